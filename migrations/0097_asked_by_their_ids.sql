-- What a mail answers was looked for among all messages of the tenant, in the sender's own statement: alternatives that are joined by OR
-- use no index. Ids are collected first, each by its index. The same for suppressions that START lifts, and for what somebody gave up.
create function communications.mails_with(p_tenant uuid, p_ids jsonb) returns setof uuid
    language sql stable as $$
    select m.id
      from jsonb_array_elements_text(p_ids) as named (id)
     -- Each by the index, however many ids the planner expects.
     cross join lateral (
           select m.id from communications.messages m
            where m.tenant_id = p_tenant and m.channel = 'EMAIL' and m.direction = 'OUTBOUND' and m.external_message_id = named.id
           union all
           select m.id from communications.messages m
            where m.tenant_id = p_tenant and m.rfc_message_id = named.id
           offset 0) m;
$$;
comment on function communications.mails_with(uuid, jsonb) is
    'Of a tenant: the mails that go by one of these ids, with SES (ours alone) or in their own Message-ID.';

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('mail_load', $f$            from communications.messages m
           where m.tenant_id = o.tenant_id and m.channel = 'EMAIL'
             and (m.id = o.message_id
                  or m.id in (select x.id from communications.messages x
                               where x.tenant_id = o.tenant_id and x.channel = 'EMAIL'
                                 and x.external_message_id in (select jsonb_array_elements_text(p -> 'answers')))
                  or m.id in (select x.id from communications.messages x
                               where x.tenant_id = o.tenant_id and x.rfc_message_id in (select jsonb_array_elements_text(p -> 'answers'))))
$f$,
$f$            from (select o.message_id as id union select communications.mails_with(o.tenant_id, p -> 'answers')) named
           cross join lateral (
                 select m.* from communications.messages m
                  where m.tenant_id = o.tenant_id and m.id = named.id and m.channel = 'EMAIL'
                  limit 1) m
$f$),
            ('mail_load', $f$            from communications.messages m
           where o.message_id is not null and m.tenant_id = o.tenant_id and m.channel = 'EMAIL'
             and (m.id in (select x.id from communications.messages x
                            where x.tenant_id = o.tenant_id and x.channel = 'EMAIL'
                              and x.external_message_id in (select jsonb_array_elements_text(p -> 'answers')))
                  or m.id in (select x.id from communications.messages x
                               where x.tenant_id = o.tenant_id and x.rfc_message_id in (select jsonb_array_elements_text(p -> 'answers'))))
$f$,
$f$            from communications.mails_with(o.tenant_id, p -> 'answers') named (id)
           cross join lateral (
                 select m.* from communications.messages m
                  where m.tenant_id = o.tenant_id and m.id = named.id and m.channel = 'EMAIL'
                  limit 1) m
           where o.message_id is not null
$f$),
            ('note_wishes', $f$     using jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, address text)
     where w.wish = 'START' and s.tenant_id = w.tenant_id and s.channel = w.channel and s.at < w.at
       and s.address in (select lower(w.address)
                          union all
                         select i.value from communications.contact_identities i
                          where i.tenant_id = w.tenant_id and i.contact_id = w.contact_id
                            and i.kind = case w.channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end);
$f$,
$f$     using jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, address text)
     cross join lateral (
           select lower(w.address) as address
           union
           select i.value from communications.contact_identities i
            where i.tenant_id = w.tenant_id and i.contact_id = w.contact_id
              and i.kind = case w.channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end) a
     where w.wish = 'START' and s.tenant_id = w.tenant_id and s.channel = w.channel and s.address = a.address and s.at < w.at;
$f$),
            ('learn_aliases', $f$         where not exists (select from communications.contact_former_identities h
                            where h.tenant_id = s.tenant_id and h.contact_id = s.contact_id
                              and (h.value = s.address
                                   or s.aliases @> jsonb_build_array(jsonb_build_array(h.kind, h.scope, h.value)))
                              and not exists (select from communications.contact_identities again
                                               where again.tenant_id = h.tenant_id and again.kind = h.kind and again.scope = h.scope
                                                 and again.value = h.value and again.contact_id = h.contact_id))),
$f$,
$f$         where not exists (select from (select h.* from communications.contact_former_identities h
                                         where h.tenant_id = s.tenant_id and h.contact_id = s.contact_id
                                        -- Of one contact, by the index: nobody has given up many.
                                        offset 0) h
                            where (h.value = s.address
                                   or s.aliases @> jsonb_build_array(jsonb_build_array(h.kind, h.scope, h.value)))
                              and (select again.contact_id from communications.contact_identities again
                                    where again.tenant_id = h.tenant_id and again.kind = h.kind and again.scope = h.scope
                                      and again.value = h.value
                                    limit 1) is distinct from h.contact_id)),
$f$)) as x (name, old, new)
    loop
        v_old := pg_get_functiondef(('communications.' || f.name)::regproc);
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', f.name, f.old;
        end if;
        execute v_new;
    end loop;
end
$$;
