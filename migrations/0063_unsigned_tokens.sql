-- A reply token that nobody signed counts as none: then the mail's headers say what it answers. Only the service, which has the secrets,
-- can tell; so mail_load says both.
do $$
declare
    v_old text := pg_get_functiondef('communications.mail_load'::regproc);
    v_new text;
begin
    v_new := replace(v_old, '''answered'', to_jsonb(answered))', '''answered'', to_jsonb(answered), ''by_headers'', to_jsonb(by_headers))');
    if v_new = v_old then
        raise exception 'nothing to replace in mail_load';
    end if;
    v_old := v_new;
    v_new := replace(v_old, 'limit 1) answered on true;', 'limit 1) answered on true
      left join lateral (
          select m.id as message_id, m.account_id, m.contact_id, m.address, m.external_message_id
            from communications.messages m
           where o.message_id is not null and m.tenant_id = o.tenant_id and m.channel = ''EMAIL''
             and (m.id in (select x.id from communications.messages x
                            where x.tenant_id = o.tenant_id and x.channel = ''EMAIL''
                              and x.external_message_id in (select jsonb_array_elements_text(p -> ''answers'')))
                  or m.id in (select x.id from communications.messages x
                               where x.tenant_id = o.tenant_id and x.rfc_message_id in (select jsonb_array_elements_text(p -> ''answers''))))
           order by m.thread_at desc, m.id desc
           limit 1) by_headers on true;');
    if v_new = v_old then
        raise exception 'nothing to replace in mail_load';
    end if;
    execute v_new;
end
$$;
