-- A BOUNCE is forgotten when its address certainly wrote (0071 went by where answers go). Of what a mail's headers name, a message of ours says who
-- answers it; the customer's own later ones do not (0070). The HTML of our own mails was not made safe, and is shown to nobody. What is sent again
-- is not for whoever said stop, be it an agent's. And a ban a minute before the number was asked is a ban: its business account was not asked (0069).
create function communications.opted_out(p_tenant uuid, p_contact uuid, p_channel text) returns boolean
    language sql stable
    return exists (
        select from (select c.granted, c.at from communications.consents c
                      where c.tenant_id = p_tenant and c.contact_id = p_contact and c.channel = p_channel and c.category = 'TRANSACTIONAL'
                      order by c.at desc, c.id desc limit 1) said
         where not said.granted
           and not exists (
               select from communications.conversations v
                 join communications.messages m on m.tenant_id = v.tenant_id and m.conversation_id = v.id
                where v.tenant_id = p_tenant and v.contact_id = p_contact and m.direction = 'INBOUND' and m.channel = p_channel
                  and (m.thread_at > said.at or m.thread_at > now() - interval '24 hours')));

create or replace function communications.message_content(message communications.messages) returns jsonb
    language sql stable
    return case when message.revoked_at is null
                 and message.content ->> 'type' in ('email', 'location', 'contacts', 'order', 'form', 'reply')
                 and not exists (select from communications.contacts c
                                  where c.tenant_id = message.tenant_id and c.id = message.contact_id and c.masked)
                then case when message.content ->> 'type' = 'email'
                          then jsonb_build_object('type', 'email', 'subject', message.content -> 'subject', 'text', message.content -> 'text',
                                                  'html', case message.direction when 'INBOUND' then message.content -> 'html' end)
                          else message.content end end;

do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('store_messages', 'channel text, direction text, address text, sent_at timestamptz)
         where r.id = any(v_ids) and r.direction = ''INBOUND''
           and s.tenant_id = r.tenant_id and s.channel = r.channel and s.address = r.address',
             'channel text, direction text, written_from text, sent_at timestamptz)
         where r.id = any(v_ids) and r.direction = ''INBOUND''
           and s.tenant_id = r.tenant_id and s.channel = r.channel and s.address = r.written_from'),
            ('mail_load', 'order by (m.id = o.message_id) desc nulls last, m.thread_at desc',
             'order by (m.id = o.message_id) desc nulls last, (m.direction = ''OUTBOUND'') desc, m.thread_at desc'),
            ('mail_load', 'order by m.thread_at desc, m.id desc
           limit 1) by_headers', 'order by (m.direction = ''OUTBOUND'') desc, m.thread_at desc, m.id desc
           limit 1) by_headers'),
            ('copy_messages', '''QUEUED'', m.lane',
             'case when m.category = ''SERVICE'' and communications.opted_out(m.tenant_id, m.contact_id, m.channel)
                then ''SUPPRESSED'' else ''QUEUED'' end, m.lane'),
            ('store_account_notices', 'and b.happened >= coalesce(date_trunc(''second'', a.asked_at), ''-infinity'')',
             'and b.happened >= coalesce(date_trunc(''second'', a.asked_at), ''-infinity'')
                                - case b.decides when ''STATUS'' then interval ''1 minute'' else interval ''0'' end'))
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

-- As 0068: such a template may be sent.
update communications.whatsapp_templates set status = 'APPROVED' where status = 'LOCKED';
