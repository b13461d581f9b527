-- What agents may see of a message beyond its body: the subject, the whole text and the safe HTML of a mail, where a place is, the cards that
-- were shared, what a form was filled in with. Not of a masked contact, whose mails quote addresses, nor of what was deleted. Hasura's
-- computed field; it never raises.
create function communications.message_content(message communications.messages) returns jsonb
    language sql stable
    return case when message.revoked_at is null
                 and message.content ->> 'type' in ('email', 'location', 'contacts', 'order', 'form', 'reply')
                 and not exists (select from communications.contacts c
                                  where c.tenant_id = message.tenant_id and c.id = message.contact_id and c.masked)
                then case when message.content ->> 'type' = 'email'
                          then jsonb_build_object('type', 'email', 'subject', message.content -> 'subject',
                                                  'text', message.content -> 'text', 'html', message.content -> 'html')
                          else message.content end end;

-- A picture in the HTML of a mail names its file so. Those from before have none.
alter table communications.message_media add column content_id text;

create or replace function communications.files_of(p_tenant uuid, p_message uuid) returns jsonb
    language sql stable
    return (select jsonb_agg(jsonb_build_object('id', f.id, 'kind', f.kind, 'mime_type', f.mime_type, 'filename', f.filename,
                                                'size_bytes', f.size_bytes, 'state', f.state, 'reason', f.reason,
                                                'content_id', f.content_id) order by f.ordinal)
              from (select * from communications.message_media f
                     where f.tenant_id = p_tenant and f.message_id = p_message
                     order by f.ordinal limit 100) f);

do $$
declare
    v_old    text := pg_get_functiondef('communications.store_messages'::regproc);
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('source_url, mime_type, filename,
                 declared_sha256,', 'source_url, mime_type, filename,
                 content_id, declared_sha256,'),
            ('f.filename, f.declared_sha256', 'f.filename, f.content_id, f.declared_sha256'),
            ('filename text, declared_sha256 text', 'filename text, content_id text, declared_sha256 text'))
            as c (before, after)
    loop
        v_new := replace(v_old, v_change.before, v_change.after);
        if v_new = v_old then
            raise exception 'nothing to replace in store_messages: %', v_change.before;
        end if;
        v_old := v_new;
    end loop;
    execute v_old;
end
$$;
