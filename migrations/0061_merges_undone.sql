-- Undoing a merge, after what may have happened since.

-- With the link goes what somebody is: a driver is written to as a driver.
create or replace function communications.contact_state(c communications.contacts) returns jsonb
    language sql stable
    return jsonb_build_object(
        'display_name', c.display_name, 'locale', c.locale, 'timezone', c.timezone, 'kind', c.kind,
        'passenger_profile_id', c.passenger_profile_id, 'driver_id', c.driver_id, 'vendor_id', c.vendor_id,
        'blocked_at', c.blocked_at, 'blocked_by', c.blocked_by);

do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select p.oid::regprocedure as name, pg_get_functiondef(p.oid) as old, x.was, x.becomes
          from (values
                ('merge_contacts',
                 array ['       timezone = coalesce(timezone, v_m.timezone),
'],
                 array ['       timezone = coalesce(timezone, v_m.timezone),
           kind = case when l.kept_linked or num_nonnulls(v_m.passenger_profile_id, v_m.driver_id, v_m.vendor_id) = 0
                       then kind else v_m.kind end,
']),
                ('unmerge_contacts',
                 array ['    v_owner   uuid;
begin',
                        'and i.value = a ->> 2 and i.contact_id = v_kept
        union
',
                        '        update communications.conversations set status = ''OPEN''
         where tenant_id = v_tenant and id = v_from and status = ''RESOLVED'';
',
                        'set status = case when v_from = any(v_touched) then m.status else s.status end,
               snoozed_until = case when v_from = any(v_touched) then m.snoozed_until else s.snoozed_until end,
               snoozed_until_reply = case when v_from = any(v_touched) then m.snoozed_until_reply else s.snoozed_until_reply end,',
                        '       set display_name = s.display_name, locale = s.locale, timezone = s.timezone,
'],
                 array ['    v_owner   uuid;
    v_asleep  boolean := false;
begin',
                        'and i.value = a ->> 2 and i.contact_id = v_kept
        union
        -- Of one that came and has been given up since, what was learned from it.
        select i.kind, i.scope, i.value
          from jsonb_array_elements(v_moved -> ''aliases'') as a
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.contact_id = v_kept and i.learned_from = a ->> 2
         where not v_moved -> ''kept_aliases'' @> jsonb_build_array(jsonb_build_array(i.kind, i.scope, i.value))
        union
',
                        '        -- Another of their threads may live by now.
        v_asleep := exists (select from communications.conversations o
                             where o.tenant_id = v_tenant and o.contact_id = v_merged and o.id <> v_from and o.status <> ''RESOLVED'');
        update communications.conversations set status = ''OPEN''
         where tenant_id = v_tenant and id = v_from and status = ''RESOLVED'' and not v_asleep;
',
                        'set status = case when v_asleep or v_from = any(v_touched) then m.status else s.status end,
               snoozed_until = case when v_asleep or v_from = any(v_touched) then m.snoozed_until else s.snoozed_until end,
               snoozed_until_reply = case when v_asleep or v_from = any(v_touched)
                                          then m.snoozed_until_reply else s.snoozed_until_reply end,',
                        '       set display_name = s.display_name, locale = s.locale, timezone = s.timezone, kind = s.kind,
'])) as x (name, was, becomes)
          join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := f.old;
        for n in 1 .. cardinality(f.was) loop
            if position(f.was[n] in v_new) = 0 then
                raise exception 'nothing to replace in %: %', f.name, f.was[n];
            end if;
            v_new := replace(v_new, f.was[n], f.becomes[n]);
        end loop;
        execute v_new;
    end loop;
end
$$;
