-- What fuzzers and races found of merges. An undo gave a number that the kept contact had given up long before to the other one, left mails whose answers
-- go elsewhere (Reply-To) with the wrong one, tore automated messages out of the thread that their answer had put them in, left a yes to
-- marketing that rested on the other's, and sent reviews back to contacts that had moved on. A merge excluded nobody who wrote for a driver
-- or a vendor, and read all tenants' reactions, revisions and reviews.
create index message_reactions_contact on communications.message_reactions (tenant_id, contact_id);
create index message_revisions_contact on communications.message_revisions (tenant_id, contact_id);
create index contact_reviews_open_a on communications.contact_reviews (tenant_id, contact_a) where resolution is null;
create index contact_reviews_open_b on communications.contact_reviews (tenant_id, contact_b) where resolution is null;

do $$
declare
    v_names text[] := array['lock_contacts', 'merge_contacts', 'unmerge_contacts'];
    v_name  text;
    v_old   text;
    v_new   text;
    f       record;
begin
    foreach v_name in array v_names loop
        v_old := pg_get_functiondef(('communications.' || v_name)::regproc);
        for f in
            select * from (values
                -- As people_load locks them.
                ('lock_contacts', 'c.passenger_profile_id::text)', 'coalesce(c.passenger_profile_id, c.driver_id, c.vendor_id)::text)'),
                ('lock_contacts', 'and c.passenger_profile_id is not null) k',
                 'and num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) > 0) k'),

                ('merge_contacts', '''kept_consents'', coalesce(',
                 '''kept_former'', coalesce((select jsonb_agg(jsonb_build_array(h.kind, h.scope, h.value, h.until))
                                           from communications.contact_former_identities h
                                          where h.tenant_id = v_tenant and h.contact_id = v_kept), ''[]''),
               ''kept_consents'', coalesce('),
                ('merge_contacts', 'where m.address in (select i.value from communications.contact_identities i
                                         where i.tenant_id = v_tenant and i.contact_id = v_merged)',
                 'where communications.alias_of_message(m.direction, m.address, m.context)
                          in (select i.value from communications.contact_identities i
                               where i.tenant_id = v_tenant and i.contact_id = v_merged
                               union all
                              select h.value from communications.contact_former_identities h
                               where h.tenant_id = v_tenant and h.contact_id = v_merged)'),
                ('merge_contacts', '''kept_consents'', coalesce(',
                 '''kept_reactions'', coalesce((select jsonb_agg(jsonb_build_array(r.account_id, r.target_external_id, r.actor_kind))
                                              from communications.message_reactions r
                                             where r.tenant_id = v_tenant and r.contact_id = v_kept), ''[]''),
               ''kept_revisions'', coalesce((select jsonb_agg(jsonb_build_array(r.account_id, r.external_message_id))
                                              from communications.message_revisions r
                                             where r.tenant_id = v_tenant and r.contact_id = v_kept), ''[]''),
               ''kept_consents'', coalesce('),
                -- Of two yeses the later outlasts what was said at an address between them.
                ('merge_contacts', '(k.granted is null or k.granted and not m.granted)',
                 '(k.granted is null or k.granted and not m.granted or k.granted and m.granted and m.at > k.at)'),
                ('merge_contacts', '    -- The question of this pair is answered',
                 '    -- In a statement of its own: what another merge made of them is seen.
    perform from communications.contact_reviews r
      where r.tenant_id = v_tenant and r.resolution is null and (r.contact_a = v_merged or r.contact_b = v_merged)
      order by r.id for no key update;
    -- The question of this pair is answered'),
                ('merge_contacts', 'and r.resolution is null and v_merged in (r.contact_a, r.contact_b))',
                 'and r.resolution is null and (r.contact_a = v_merged or r.contact_b = v_merged))'),

                ('unmerge_contacts', 'and (a ->> 3)::timestamptz = h.until))
        returning h.value)',
                 'and (a ->> 3)::timestamptz = h.until))
           -- What the kept one had given up before was never the other''s.
           and not exists (select from jsonb_array_elements(v_moved -> ''kept_former'') as a
                            where a ->> 0 = h.kind and a ->> 1 = h.scope and a ->> 2 = h.value and (a ->> 3)::timestamptz = h.until)
           -- Nor are messages at a number that the kept one has.
        returning case when not v_moved -> ''kept_aliases'' @> jsonb_build_array(jsonb_build_array(h.kind, h.scope, h.value))
                        and not exists (select from communications.contact_identities i
                                         where i.tenant_id = v_tenant and i.contact_id = v_kept and i.kind = h.kind
                                           and i.scope = h.scope and i.value = h.value)
                       then h.value end as value)'),
                ('unmerge_contacts', 'select v_values || coalesce(array_agg(value), ''{}'') into v_values from back;',
                 'select v_values || coalesce(array_agg(value) filter (where value is not null), ''{}'') into v_values from back;'),
                ('unmerge_contacts', 'where r.tenant_id = v_tenant and r.contact_id = v_kept
       and (exists (select from jsonb_array_elements(v_moved -> ''reactions'')',
                 'where r.tenant_id = v_tenant and r.contact_id = v_kept
       and not exists (select from jsonb_array_elements(v_moved -> ''kept_reactions'') as a
                        where a ->> 0 = r.account_id::text and a ->> 1 = r.target_external_id and a ->> 2 = r.actor_kind)
       and (exists (select from jsonb_array_elements(v_moved -> ''reactions'')'),
                ('unmerge_contacts', 'where r.tenant_id = v_tenant and r.contact_id = v_kept
       and (exists (select from jsonb_array_elements(v_moved -> ''revisions'')',
                 'where r.tenant_id = v_tenant and r.contact_id = v_kept
       and not exists (select from jsonb_array_elements(v_moved -> ''kept_revisions'') as a
                        where a ->> 0 = r.account_id::text and a ->> 1 = r.external_message_id)
       and (exists (select from jsonb_array_elements(v_moved -> ''revisions'')'),
                ('unmerge_contacts', 'where m.address = any(v_values) and not v_moved -> ''kept_messages'' @> to_jsonb(m.id)',
                 'where communications.alias_of_message(m.direction, m.address, m.context) = any(v_values)
           and not v_moved -> ''kept_messages'' @> to_jsonb(m.id)'),
                ('unmerge_contacts', 'select coalesce(array_agg(id), ''{}'') into v_ids from theirs;',
                 'select coalesce(array_agg(id), ''{}'') into v_ids from theirs;
    -- And what answers these, wherever it went.
    select v_ids || coalesce(array_agg(m.id), ''{}'') into v_ids
      from communications.messages_of(v_tenant, v_kept) m
     where m.direction = ''OUTBOUND'' and m.replied_to = any(v_ids) and m.id <> all(v_ids);'),
                ('unmerge_contacts', 'conversation_id = (a ->> 1)::uuid,',
                 '-- What has found its thread since goes along with the rest of it.
           conversation_id = coalesce((a ->> 1)::uuid, m.conversation_id),'),
                ('unmerge_contacts', 'where y.of_merged and not y.of_kept)',
                 'where y.of_merged and not y.of_kept
           -- START gives back what was there before it, and that was the kept one''s perhaps.
           and not (s.category = ''MARKETING''
                    and exists (select from communications.consents start
                                 where start.tenant_id = v_tenant and start.contact_id = v_kept and start.channel = s.channel
                                   and start.category = ''TRANSACTIONAL'' and start.granted and start.at = s.at
                                   and start.source = s.source)
                    and not exists (select from communications.consents earlier
                                     where earlier.tenant_id = v_tenant and earlier.contact_id = v_merged
                                       and earlier.channel = s.channel and earlier.category = ''MARKETING'' and earlier.granted
                                       and earlier.at < s.at)))'),
                ('unmerge_contacts', '    -- What was done to a message goes with it.',
                 '    -- START gives back what was there before it, and that was the other''s perhaps.
    delete from communications.consents s
     where s.tenant_id = v_tenant and s.contact_id = v_kept and s.granted and s.category = ''MARKETING''
       and not v_moved -> ''kept_consents'' @> to_jsonb(s.id)
       and exists (select from communications.consents start
                    where start.tenant_id = v_tenant and start.contact_id = v_kept and start.channel = s.channel
                      and start.category = ''TRANSACTIONAL'' and start.granted and start.at = s.at and start.source = s.source)
       and not exists (select from communications.consents earlier
                        where earlier.tenant_id = v_tenant and earlier.contact_id = v_kept and earlier.channel = s.channel
                          and earlier.category = ''MARKETING'' and earlier.granted and earlier.at < s.at);

    -- What was done to a message goes with it.'),
                ('unmerge_contacts', 'set contact_a = (a ->> 1)::uuid, contact_b = (a ->> 2)::uuid,
           resolution',
                 'set contact_a = least(x.one, x.other), contact_b = greatest(x.one, x.other),
           resolution'),
                ('unmerge_contacts', 'resolution = case when r.resolution = ''MERGED'' then null else r.resolution end,
           resolved_by = case when r.resolution = ''MERGED'' then null else r.resolved_by end,
           resolved_at = case when r.resolution = ''MERGED'' then null else r.resolved_at end',
                 '-- The same is asked already.
           resolution = case when x.twin then coalesce(r.resolution, ''MERGED'') when r.resolution = ''MERGED'' then null
                             else r.resolution end,
           resolved_by = case when x.twin then coalesce(r.resolved_by, v_by) when r.resolution = ''MERGED'' then null
                              else r.resolved_by end,
           resolved_at = case when x.twin then coalesce(r.resolved_at, now()) when r.resolution = ''MERGED'' then null
                              else r.resolved_at end'),
                ('unmerge_contacts', 'from jsonb_array_elements(v_moved -> ''reviews'') as a
     where r.tenant_id = v_tenant and r.id = (a ->> 0)::uuid;',
                 'from (select pair.*, exists (
                   select from communications.contact_reviews twin
                    where twin.tenant_id = v_tenant and twin.id <> pair.id and twin.resolution is null
                      and twin.contact_a = least(pair.one, pair.other) and twin.contact_b = greatest(pair.one, pair.other)) as twin
            from (select r.id, v_merged as one,
                   -- The other one may be somebody else by now, by a merge of their own.
                   case when v_merged in (r.contact_a, r.contact_b)
                        then case when r.contact_a = v_merged then r.contact_b else r.contact_a end
                        else case when r.contact_a = v_kept then r.contact_b else r.contact_a end end as other
              from jsonb_array_elements(v_moved -> ''reviews'') as a
              join communications.contact_reviews r on r.tenant_id = v_tenant and r.id = (a ->> 0)::uuid
             where v_kept in (r.contact_a, r.contact_b) or v_merged in (r.contact_a, r.contact_b)) pair) x
     where r.tenant_id = v_tenant and r.id = x.id;')) as x (name, old, new)
             where x.name = v_name
        loop
            v_new := replace(v_old, f.old, f.new);
            if v_new = v_old then
                raise exception 'nothing to replace in %: %', v_name, f.old;
            end if;
            v_old := v_new;
        end loop;
        execute v_old;
    end loop;
end
$$;
