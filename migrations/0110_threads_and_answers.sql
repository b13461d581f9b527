-- A contact's first words by two channels at once open one thread; what nobody said keeps no thread's preview empty; an answer is looked for
-- among the newer ones.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('store_messages', $f$    -- Each contact's live thread, else the last one.
$f$,
$f$    -- Who has no live thread gets one from whoever comes first: by two channels no alias of theirs is locked twice.
    perform from communications.contacts c
      where (c.tenant_id, c.id) in (
            select r.tenant_id, r.contact_id
              from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, contact_id uuid)
             where r.id = any(v_ids)
               and not exists (select from communications.conversations v
                                where v.tenant_id = r.tenant_id and v.contact_id = r.contact_id and v.status <> 'RESOLVED'))
      order by c.tenant_id, c.id
        for no key update;

    -- Each contact's live thread, else the last one.
$f$),
            ('store_messages', $f$               c.preview = '' and not exists (select from communications.messages m
                                               where m.tenant_id = a.tenant_id and m.conversation_id = c.id and not m.muted) as unspoken
$f$,
$f$               -- What was sent before there was a thread was never shown as said in it.
               c.preview = '' and c.inbound_count = 0
               and not exists (select from communications.messages m
                                where m.tenant_id = a.tenant_id and m.conversation_id = c.id and m.sender_kind = 'AGENT') as unspoken
$f$),
            ('store_messages', $f$select c.id, c.status, c.snoozed_until_reply, c.preview from communications.conversations c
$f$,
$f$select c.id, c.status, c.snoozed_until_reply, c.preview, c.inbound_count from communications.conversations c
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

create or replace function communications.opted_out(p_tenant uuid, p_contact uuid, p_channel text) returns boolean
    language sql stable
return exists (
    select from (
        select said.at
          from (select c.granted, c.at from communications.consents c
                 where c.tenant_id = p_tenant and c.contact_id = p_contact and c.channel = p_channel and c.category = 'TRANSACTIONAL'
                 order by c.at desc, c.id desc limit 1) said
         where not said.granted
         union all
        select w.refused_at
          from communications.contact_identities i
          join communications.address_wishes w
            on w.tenant_id = i.tenant_id and w.channel = p_channel and w.address = i.value
         where i.tenant_id = p_tenant and i.contact_id = p_contact
           and i.kind = case p_channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end
           and communications.address_refuses(p_tenant, p_contact, p_channel, 'TRANSACTIONAL', i.value)) no
     where not exists (
               select from communications.conversations v
                 join communications.messages m on m.tenant_id = v.tenant_id and m.conversation_id = v.id
                where v.tenant_id = p_tenant and v.contact_id = p_contact and m.direction = 'INBOUND' and m.channel = p_channel
                  and communications.is_written(m.content, m.context)
                  -- The former by the thread's index.
                  and m.thread_at > least(no.at, now() - interval '24 hours')
                  and m.created_at > least(no.at, now() - interval '24 hours')));
