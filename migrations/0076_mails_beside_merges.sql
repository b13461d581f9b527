-- A mail that waited for a merge is the kept contact's.
create function communications.answered_now(p_tenant uuid, p_answered jsonb) returns jsonb
    language sql stable
    return case when jsonb_typeof(p_answered) = 'object'
                then p_answered || jsonb_build_object('contact_id', communications.living_contact(p_tenant, (p_answered ->> 'contact_id')::uuid))
                else p_answered end;

do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('mail_load', '          from jsonb_array_elements(v_owners) with ordinality as o (value, n);
', '          from jsonb_array_elements(v_owners) with ordinality as o (value, n);

        -- As merges lock: people, then contacts. Whoever was merged while this waited is the kept one.
        perform from communications.contacts c
          where (c.tenant_id, c.id) in (
                select (o ->> ''tenant_id'')::uuid, (v.answered ->> ''contact_id'')::uuid
                  from jsonb_array_elements(v_owners) as o
                 cross join lateral (values (o -> ''answered''), (o -> ''by_headers'')) as v (answered)
                 where jsonb_typeof(v.answered) = ''object'')
          order by c.tenant_id, c.id
            for no key update;
        select jsonb_agg(o.value || jsonb_build_object(
                   ''answered'', communications.answered_now((o.value ->> ''tenant_id'')::uuid, o.value -> ''answered''),
                   ''by_headers'', communications.answered_now((o.value ->> ''tenant_id'')::uuid, o.value -> ''by_headers'')) order by o.n)
          into v_owners
          from jsonb_array_elements(v_owners) with ordinality as o (value, n);
'))
            as c (name, before, after)
    loop
        v_old := pg_get_functiondef(('communications.' || v_change.name)::regproc);
        v_new := replace(v_old, v_change.before, v_change.after);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', v_change.name, v_change.before;
        end if;
        execute v_new;
    end loop;
end
$$;
