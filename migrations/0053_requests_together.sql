-- Requests that are in a process at the same time share a transaction. Then no one door is all of them's: `doors` says for each number
-- through which tenant's door it came, and a number that came so is nobody else's. What is left out for it is a report too few (the
-- answer is null, and nothing was written) or a number without an owner. And no one of them may hold up the others for long: who meets a
-- lock that lasts is refused, and they go on alone.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select x.name, x.old, x.new, p.oid
          from (values
                ('inbound_many_statuses',
                 'on o.number = r.value ->> ''number''',
                 'on o.number = r.value ->> ''number''
       and o.tenant_id = coalesce((p -> ''doors'' ->> o.number)::uuid, o.tenant_id)'),
                ('inbound_many_statuses',
                 'begin
',
                 'begin
    if p ? ''doors'' then
        perform set_config(''lock_timeout'', ''500ms'', true);
    end if;
'),
                ('inbound_load',
                 'begin
',
                 'begin
    if p ? ''doors'' then
        perform set_config(''lock_timeout'', ''500ms'', true);
    end if;
'),
                ('inbound_statuses',
                 'jsonb_array_length(p -> ''reports'') = 1 then',
                 'jsonb_array_length(p -> ''reports'') = 1 and not p ? ''doors'' then'),
                ('inbound_load',
                 'array(select jsonb_array_elements_text(p -> ''numbers''))) n;',
                 'array(select jsonb_array_elements_text(p -> ''numbers''))) n
     where n.tenant_id = coalesce((p -> ''doors'' ->> n.number)::uuid, n.tenant_id);'))
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
