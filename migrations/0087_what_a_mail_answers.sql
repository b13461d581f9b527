-- What a mail is told of what it answers: whether the contact had an answer drawn to that address by a Reply-To of theirs, which says nothing
-- about who writes from it; and whether one of our own mails that came back is a message of the very tenant.
create or replace function communications.answered_now(p_tenant uuid, p_answered jsonb) returns jsonb
    language sql stable
    return case when jsonb_typeof(p_answered) = 'object' then
        p_answered || (select jsonb_build_object('contact_id', living.id, 'drawn', exists (
                                  select from communications.conversations v
                                    join communications.messages m on m.tenant_id = v.tenant_id and m.conversation_id = v.id
                                   where v.tenant_id = p_tenant and v.contact_id = living.id and m.direction = 'INBOUND'
                                     and m.channel = 'EMAIL' and lower(m.address) = lower(p_answered ->> 'address') and m.context ? 'from'))
                         from (select communications.living_contact(p_tenant, (p_answered ->> 'contact_id')::uuid) as id) living)
        else p_answered end;

do $$
declare
    v_old text := pg_get_functiondef('communications.mail_load'::regproc);
    v_new text := replace(v_old, '''token'', o.message_id,', '''token'', o.message_id,
               ''comes_back'', exists (select from communications.messages b
                                      where b.tenant_id = o.tenant_id and b.id = (p ->> ''loop_of'')::uuid),');
begin
    if v_new = v_old then
        raise exception 'nothing to replace in mail_load';
    end if;
    execute v_new;
end
$$;
