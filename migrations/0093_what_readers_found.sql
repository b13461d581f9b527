-- A channel that works again is not failing any more, however it came to.
do $$
declare
    v_old text;
    v_new text;
    f     record;
begin
    for f in
        select * from (values
            ('check_channel_account_transition', '    if new.status <> ''SUSPENDED'' then',
             '    if new.status = ''ACTIVE'' and new.send_health = ''FAILING'' then
        new.send_health := ''UNKNOWN'';
    end if;
    if new.status <> ''SUSPENDED'' then'),
            -- What the scan has noted of the echo's file is the message's by now.
            ('take_from_echo', '    delete from communications.message_media f',
             '    update communications.repairs r set message_id = p_ours where r.tenant_id = p_tenant and r.message_id = p_echo;
    delete from communications.message_media f'),
            -- Meta says ever less often whether it charges; what is free has a type that says so. And it writes one category in two ways.
            ('roll_up_usage', 'coalesce(p.billable, true)', 'coalesce(p.billable, p.kind is null or p.kind not like ''free%'')'),
            ('roll_up_usage', 'upper(coalesce(p.category, m.category, ''UNKNOWN''))',
             'replace(upper(coalesce(p.category, m.category, ''UNKNOWN'')), ''-'', ''_'')'),
            -- A settle that is about to give the message its id is waited for.
            ('store_revisions', '    perform communications.apply_revisions(',
             '    perform pg_advisory_xact_lock(l.hash)
       from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, r.target) as hash
               from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, target text, actor_kind text)
              where r.actor_kind = ''AGENT'' order by 1) l;
    perform communications.apply_revisions('),
            -- In the list of threads, what was deleted is more than an empty line.
            ('apply_revisions', 'returning m.tenant_id, m.conversation_id, m.id, m.body, m.thread_at, m.muted)',
             'returning m.tenant_id, m.conversation_id, m.id, case when m.revoked_at is null then m.body else ''[deleted]'' end as body,
                  m.thread_at, m.muted)')) as x (name, old, new)
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

update communications.channel_accounts set send_health = 'UNKNOWN' where status = 'ACTIVE' and send_health = 'FAILING';

-- As before; and what was edited or deleted before the message had its id is edited or deleted when it gets it.
create or replace function communications.meet_neighbours() returns trigger
    language plpgsql
as $$
declare
    v_change communications.message_revisions;
begin
    if new.reply_to is not null and new.replied_to is null then
        select m.id into new.replied_to from communications.messages m
         where m.tenant_id = new.tenant_id and m.account_id = new.account_id and m.external_message_id = new.reply_to;
        if not found and new.channel = 'EMAIL' then
            new.replied_to := communications.mail_with(new.tenant_id, new.reply_to);
        end if;
    end if;
    if new.external_message_id is null then
        return new;
    end if;
    if tg_op = 'UPDATE' then
        perform pg_advisory_xact_lock(communications.reaction_lock(new.tenant_id, new.account_id, new.external_message_id));
        perform communications.take_from_echo(e.tenant_id, e.id, new.id)
           from communications.messages e
          where e.tenant_id = new.tenant_id and e.account_id = new.account_id and e.external_message_id = new.external_message_id
            and e.id <> new.id and e.direction = 'OUTBOUND' and e.channel = 'WHATSAPP';
        new.reactions := communications.reactions_to(new.tenant_id, new.account_id, new.external_message_id);
        if new.channel = 'WHATSAPP' then
            -- As apply_revisions chooses, which cannot change the row that is being written.
            select v.* into v_change from communications.message_revisions v
             where v.tenant_id = new.tenant_id and v.account_id = new.account_id and v.target_external_id = new.external_message_id
               and v.contact_id = new.contact_id and v.actor_kind = 'AGENT' and v.kind in ('EDIT', 'REVOKE')
             order by (v.kind = 'REVOKE') desc, v.at desc, v.external_message_id desc
             limit 1;
            if found then
                insert into communications.message_revisions
                    (tenant_id, account_id, external_message_id, target_external_id, contact_id, actor_kind, kind, content, body, at)
                values (new.tenant_id, new.account_id, new.external_message_id, new.external_message_id, new.contact_id, 'AGENT', 'ORIGINAL',
                        new.content, new.body, coalesce(new.provider_timestamp, v_change.at))
                on conflict on constraint message_revisions_pkey do nothing;
                if v_change.kind = 'REVOKE' then
                    new.content := '{"type": "revoked"}';
                    new.body := '';
                    new.media := null;
                    new.revoked_at := v_change.at;
                else
                    new.content := case when new.content ->> 'type' = v_change.content ->> 'type'
                                        then (new.content - 'caption') || v_change.content else v_change.content end;
                    new.body := v_change.body;
                    new.edited_at := v_change.at;
                end if;
                update communications.conversations v
                   set preview = case when v_change.kind = 'REVOKE' then '[deleted]' else left(v_change.body, 200) end
                 where v.tenant_id = new.tenant_id and v.id = new.conversation_id
                   and not exists (select from communications.messages later
                                    where later.tenant_id = v.tenant_id and later.conversation_id = v.id and later.muted is not true
                                      and (later.thread_at, later.id) > (coalesce(new.provider_timestamp, new.created_at), new.id));
            end if;
        end if;
    -- What comes in and what reacts to it hold the locks of the same person.
    elsif exists (select from communications.message_reactions r
                   where r.tenant_id = new.tenant_id and r.account_id = new.account_id
                     and r.target_external_id = new.external_message_id) then
        new.reactions := communications.reactions_to(new.tenant_id, new.account_id, new.external_message_id);
    end if;
    if exists (select from communications.messages m
                where m.tenant_id = new.tenant_id and m.account_id = new.account_id
                  and m.reply_to = new.external_message_id and m.replied_to is null) then
        update communications.messages m set replied_to = new.id
         where (m.tenant_id, m.id) in (select a.tenant_id, a.id from communications.messages a
                                        where a.tenant_id = new.tenant_id and a.account_id = new.account_id
                                          and a.reply_to = new.external_message_id and a.replied_to is null
                                          for no key update skip locked);
    end if;
    return new;
end
$$;
