-- A text that is not of somebody known with an open thread took three round trips: the short way's no, the finding, the writing. The no
-- now says to whoever wants it ("or_known") what was found, and what is decided from it is written if the same is found again, under the
-- locks.

-- What inbound_load is asked about a text; it looks at nothing else of it.
create function communications.question_of_text(p jsonb) returns jsonb
    language sql stable
as $$
    select p || jsonb_build_object('numbers', jsonb_build_array(p -> 'number'), 'wabas', '[]'::jsonb,
                                   'people', jsonb_build_array(jsonb_build_object('number', p -> 'number', 'aliases', p -> 'aliases')))
$$;

do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select x.name, x.old, x.new, p.oid
          from (values
                ('inbound_text',
                 'if v_contact is null then
        return null;',
                 'if v_contact is null then
        return case when p ? ''or_known''
            then jsonb_build_object(''known'', communications.inbound_load(communications.question_of_text(p))) end;'),
                ('inbound_text',
                 'for update of v;
    if not found then
        return null;',
                 'for update of v;
    if not found then
        return case when p ? ''or_known''
            then jsonb_build_object(''known'', communications.inbound_load(communications.question_of_text(p))) end;'))
               as x (name, old, new)
          left join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := replace(pg_get_functiondef(f.oid), f.old, f.new);
        if v_new is null or v_new = pg_get_functiondef(f.oid) then
            raise exception 'nothing to replace in %', f.name;
        end if;
        execute v_new;
    end loop;
end
$$;

-- {"text": what inbound_text was asked, "known": what it answered, "document": inbound_store's}. Null, with nothing written, where
-- something else is known by now.
create function communications.inbound_decided_text(p jsonb) returns jsonb
    language plpgsql
as $$
begin
    if communications.inbound_load(communications.question_of_text(p -> 'text')) is distinct from p -> 'known' then
        return null;
    end if;
    return communications.inbound_store(p -> 'document');
end
$$;
