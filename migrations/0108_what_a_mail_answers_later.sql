-- A mail names what it answers nearest first, and finds it also where that comes later: by SES's id or by its own, of the same contact.
-- A mail is one message of its tenant, whichever of the tenant's accounts it came to.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('mail_load', $f$            from (select o.message_id as id union select communications.mails_with(o.tenant_id, p -> 'answers')) named
$f$,
$f$            from (select o.message_id as id, 0 as n
                  union all
                  select m.id, a.n from jsonb_array_elements_text(p -> 'answers') with ordinality as a (id, n)
                   cross join lateral communications.mails_with(o.tenant_id, jsonb_build_array(a.id)) as m (id)) named
$f$),
            ('mail_load', $f$           order by (m.id = o.message_id) desc nulls last, (m.direction = 'OUTBOUND') desc, m.thread_at desc, m.id desc
$f$,
$f$           order by (m.id = o.message_id) desc nulls last, (m.direction = 'OUTBOUND') desc, named.n, m.id desc
$f$),
            ('mail_load', $f$            from communications.mails_with(o.tenant_id, p -> 'answers') named (id)
$f$,
$f$            from (select m.id, a.n from jsonb_array_elements_text(p -> 'answers') with ordinality as a (id, n)
                   cross join lateral communications.mails_with(o.tenant_id, jsonb_build_array(a.id)) as m (id)) named
$f$),
            ('mail_load', $f$           order by (m.direction = 'OUTBOUND') desc, m.thread_at desc, m.id desc
$f$,
$f$           order by (m.direction = 'OUTBOUND') desc, named.n, m.id desc
$f$),
            ('mail_load', $f$        -- As merges lock: people, then contacts. Whoever was merged while this waited is the kept one.
$f$,
$f$        -- As merges lock: people, then contacts; who writes and who was written to in one order, for who stores the mail locks the former.
        -- Whoever was merged while this waited is the kept one.
$f$),
            ('mail_load', $f$                 where jsonb_typeof(v.answered) = 'object')
$f$,
$f$                 where jsonb_typeof(v.answered) = 'object'
                union all
                select (a ->> 'tenant_id')::uuid, (a ->> 'contact_id')::uuid
                  from jsonb_array_elements(nullif(v_people -> 'aliases', 'null')) as a)
$f$),
            ('mail_load', $f$    return jsonb_build_object('owners', coalesce(v_owners, '[]'),$f$,
$f$    select jsonb_agg(o.value || jsonb_build_object('nearest', coalesce((
               select jsonb_agg(jsonb_build_object(
                          'message', m.id, 'external', m.external_message_id,
                          'contact', communications.living_contact(m.tenant_id, m.contact_id)) order by a.n, m.id)
                 from jsonb_array_elements_text(p -> 'answers') with ordinality as a (id, n)
                cross join lateral communications.mails_with((o.value ->> 'tenant_id')::uuid, jsonb_build_array(a.id)) as named (id)
                cross join lateral (
                      select m.* from communications.messages m
                       where m.tenant_id = (o.value ->> 'tenant_id')::uuid and m.id = named.id and m.channel = 'EMAIL'
                       limit 1) m), '[]')) order by o.n)
      into v_owners
      from jsonb_array_elements(v_owners) with ordinality as o (value, n);
    return jsonb_build_object('owners', coalesce(v_owners, '[]'),$f$),
            ('meet_neighbours', $f$         where m.tenant_id = new.tenant_id and m.account_id = new.account_id and m.external_message_id = new.reply_to;
        if not found and new.channel = 'EMAIL' then
            new.replied_to := communications.mail_with(new.tenant_id, new.reply_to);
        end if;
    end if;
$f$,
$f$         where m.tenant_id = new.tenant_id and m.account_id = new.account_id and m.external_message_id = new.reply_to
           and (new.channel <> 'EMAIL' or m.contact_id = new.contact_id);
        if not found and new.channel = 'EMAIL' then
            select m.id into new.replied_to from communications.messages m
             where m.tenant_id = new.tenant_id and m.rfc_message_id = new.reply_to and m.contact_id = new.contact_id
             order by m.id limit 1;
        end if;
    end if;
    if new.channel = 'EMAIL' and new.rfc_message_id is not null then
        update communications.messages m set replied_to = new.id
         where (m.tenant_id, m.id) in (
               select c.tenant_id, a.id
                 from communications.channel_accounts c
                -- Each by the index, also where the plan was made before there were any.
                cross join lateral (
                      select a.id from communications.messages a
                       where a.tenant_id = c.tenant_id and a.account_id = c.id and a.reply_to = new.rfc_message_id
                         and a.replied_to is null and a.contact_id = new.contact_id and a.id <> new.id
                      offset 0
                         for no key update skip locked) a
                where c.tenant_id = new.tenant_id and c.channel = 'EMAIL');
    end if;
$f$),
            ('meet_neighbours', $f$                where m.tenant_id = new.tenant_id and m.account_id = new.account_id
                  and m.reply_to = new.external_message_id and m.replied_to is null) then
$f$,
$f$                where m.tenant_id = new.tenant_id and m.account_id = new.account_id
                  and m.reply_to = new.external_message_id and m.replied_to is null
                  and (new.channel <> 'EMAIL' or m.contact_id = new.contact_id)) then
$f$),
            ('meet_neighbours', $f$                                          and a.reply_to = new.external_message_id and a.replied_to is null
$f$,
$f$                                          and a.reply_to = new.external_message_id and a.replied_to is null
                                          and (new.channel <> 'EMAIL' or a.contact_id = new.contact_id)
$f$),
            ('find_answered', $f$          join communications.messages m
            on m.tenant_id = a.tenant_id and m.account_id = a.account_id and m.external_message_id = a.reply_to
$f$,
$f$         cross join lateral (
               select m.id from communications.messages m
                where m.tenant_id = a.tenant_id and m.account_id = a.account_id and m.external_message_id = a.reply_to
                  and (a.channel <> 'EMAIL' or m.contact_id = a.contact_id)
               union all
               select m.id from communications.messages m
                where m.tenant_id = a.tenant_id and m.rfc_message_id = case a.channel when 'EMAIL' then a.reply_to end
                  and m.contact_id = a.contact_id
               limit 1) m
$f$),
            ('store_messages', $f$              where r.channel = 'WHATSAPP' order by 1) k;
$f$,
$f$              where r.channel = 'WHATSAPP' order by 1) k;
    if p @? '$[*] ? (@.channel == "EMAIL")' then
        perform pg_advisory_xact_lock(k.hash)
           from (select distinct communications.reaction_lock(r.tenant_id, r.tenant_id, r.external_message_id) as hash
                   from jsonb_to_recordset(p) as r (tenant_id uuid, channel text, external_message_id text)
                  where r.channel = 'EMAIL' order by 1) k;
        select coalesce(jsonb_agg(r.value order by r.n), '[]') into p
          from jsonb_array_elements(p) with ordinality as r (value, n)
         where r.value ->> 'channel' <> 'EMAIL'
            or not exists (select from communications.channel_accounts a
                            cross join lateral (
                                  select from communications.messages m
                                   where m.tenant_id = a.tenant_id and m.account_id = a.id
                                     and m.external_message_id = r.value ->> 'external_message_id'
                                   offset 0) m
                            where a.tenant_id = (r.value ->> 'tenant_id')::uuid and a.channel = 'EMAIL');
    end if;
$f$),
            ('store_messages', $f$attempts, external_message_id, reply_to, rfc_message_id,$f$,
$f$attempts, external_message_id, reply_to, replied_to, rfc_message_id,$f$),
            ('store_messages', $f$           r.external_message_id, r.reply_to, r.rfc_message_id, r.sent_at,
$f$,
$f$           r.external_message_id, r.reply_to, r.replied_to, r.rfc_message_id, r.sent_at,
$f$),
            ('store_messages', $f$external_message_id text, reply_to text, rfc_message_id text,$f$,
$f$external_message_id text, reply_to text, replied_to uuid, rfc_message_id text,$f$)) as x (name, old, new)
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
