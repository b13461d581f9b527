-- An address that was said to be none is one when somebody writes from it, and whoever complained and says start wants mail again.
do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('store_messages', '    -- Changes that came before their message.', '    -- Nothing is known to be no address on WhatsApp.
    if p @? ''$[*] ? (@.channel != "WHATSAPP")'' then
        delete from communications.suppressions s
         using jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, channel text, direction text, address text, sent_at timestamptz)
         where r.id = any(v_ids) and r.direction = ''INBOUND''
           and s.tenant_id = r.tenant_id and s.channel = r.channel and s.address = r.address
           and s.reason = ''BOUNCE'' and s.at < r.sent_at;
    end if;

    -- Changes that came before their message.'),
            ('note_wishes', 'order by w.tenant_id, w.contact_id, w.channel, c.category, w.at, c.granted;',
             'order by w.tenant_id, w.contact_id, w.channel, c.category, w.at, c.granted;

    delete from communications.suppressions s
     using jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz)
      join communications.contact_identities i
        on i.tenant_id = w.tenant_id and i.contact_id = w.contact_id
       and i.kind = case w.channel when ''EMAIL'' then ''email'' when ''SMS'' then ''phone'' end
     where w.wish = ''START'' and s.tenant_id = w.tenant_id and s.channel = w.channel and s.address = i.value and s.at < w.at;'))
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
