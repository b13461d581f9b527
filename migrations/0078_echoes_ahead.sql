-- An echo of what we sent may be here before the answer to the send, as a message that somebody wrote elsewhere. When ours learns its id, they are
-- one: reports about the echo are ours and match anew, what answers it answers ours.
create function communications.take_from_echo(p_tenant uuid, p_echo uuid, p_ours uuid) returns void
    language plpgsql
as $$
begin
    update communications.message_status_events e set message_id = null where e.tenant_id = p_tenant and e.message_id = p_echo;
    update communications.message_prices p set message_id = p_ours where p.tenant_id = p_tenant and p.message_id = p_echo;
    update communications.messages m set replied_to = p_ours
      from communications.messages e
     where e.tenant_id = p_tenant and e.id = p_echo
       and m.tenant_id = e.tenant_id and m.conversation_id = e.conversation_id and m.thread_at >= e.thread_at and m.replied_to = e.id;
    delete from communications.message_media f where f.tenant_id = p_tenant and f.message_id = p_echo;
    delete from communications.messages m where m.tenant_id = p_tenant and m.id = p_echo;
end
$$;

do $$
declare
    v_old text := pg_get_functiondef('communications.meet_neighbours'::regproc);
    v_new text := replace(v_old, '    if tg_op = ''UPDATE'' then
', '    if tg_op = ''UPDATE'' then
        perform communications.take_from_echo(e.tenant_id, e.id, new.id)
           from communications.messages e
          where e.tenant_id = new.tenant_id and e.account_id = new.account_id and e.external_message_id = new.external_message_id
            and e.id <> new.id and e.direction = ''OUTBOUND'' and e.channel = ''WHATSAPP'';
');
begin
    if v_new = v_old then
        raise exception 'nothing to replace in meet_neighbours';
    end if;
    execute v_new;
end
$$;
