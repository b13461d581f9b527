-- A driver and a vendor are found by their id, as a passenger is. A report about a number that somebody gave up teaches nothing about them:
-- whoever has it now is another. What a profile taught goes with it when a merge is undone.
do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('people_load', 'from communications.contacts c where c.tenant_id = s.tenant_id and c.passenger_profile_id = s.id
                        limit 1) c) f;', 'from (select x.tenant_id, x.id, x.merged_into from communications.contacts x
                                where x.tenant_id = s.tenant_id and x.passenger_profile_id = s.id
                               union all
                               select x.tenant_id, x.id, x.merged_into from communications.contacts x
                                where x.tenant_id = s.tenant_id and x.driver_id = s.id
                               union all
                               select x.tenant_id, x.id, x.merged_into from communications.contacts x
                                where x.tenant_id = s.tenant_id and x.vendor_id = s.id) c
                        limit 1) c) f;'),
            ('learn_aliases', 'cross join jsonb_array_elements(s.aliases) as a),
    free as materialized (', 'cross join jsonb_array_elements(s.aliases) as a
         where not exists (select from communications.contact_former_identities h
                            where h.tenant_id = s.tenant_id and h.contact_id = s.contact_id
                              and (h.value = s.address
                                   or s.aliases @> jsonb_build_array(jsonb_build_array(h.kind, h.scope, h.value)))
                              and not exists (select from communications.contact_identities again
                                               where again.tenant_id = h.tenant_id and again.kind = h.kind and again.scope = h.scope
                                                 and again.value = h.value and again.contact_id = h.contact_id))),
    free as materialized ('),
            ('unmerge_contacts', '        union
        -- Of one that came and has been given up since, what was learned from it.',
             '        union
        -- What was learned since of whoever the host said it was.
        select i.kind, i.scope, i.value
          from jsonb_array_elements_text(jsonb_build_array(
                   v_moved -> ''merged_before'' -> ''passenger_profile_id'', v_moved -> ''merged_before'' -> ''driver_id'',
                   v_moved -> ''merged_before'' -> ''vendor_id'')) as host (id)
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.contact_id = v_kept and i.learned_from = host.id
         where not v_moved -> ''kept_aliases'' @> jsonb_build_array(jsonb_build_array(i.kind, i.scope, i.value))
        union
        -- Of one that came and has been given up since, what was learned from it.'))
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
