-- Agents see of a mail whether its sender has written it for sure, or anybody may have: `context.proven` of what came in since this was
-- deployed, null of what came before.
create or replace function communications.message_content(message communications.messages) returns jsonb
    language sql stable
    return case when message.revoked_at is null
                 and message.content ->> 'type' in ('email', 'location', 'contacts', 'order', 'form', 'reply')
                 and not exists (select from communications.contacts c
                                  where c.tenant_id = message.tenant_id and c.id = message.contact_id and c.masked)
                then case when message.content ->> 'type' = 'email'
                          then jsonb_build_object('type', 'email', 'subject', message.content -> 'subject', 'text', message.content -> 'text',
                                                  'html', case message.direction when 'INBOUND' then message.content -> 'html' end,
                                                  'proven', case message.direction when 'INBOUND' then message.context -> 'proven' end)
                          else message.content end end;
