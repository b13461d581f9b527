-- What most of the other payloads are: one message without a file, from somebody who is known by all that the payload says of them and
-- whose thread is open. The same rows as by inbound_load, contacts::decide and inbound_store, in one call that reads the payload once.
-- {"channel", "door", "number", "waba_id", "aliases": [[kind, scope, value], ...], "said", "name", and of the message "id", "address",
-- "content", "body", "preview", "external_message_id", "reply_to", "context", "sent_at"}. The first `said` of the aliases are those of
-- the payload, the others are their other forms. Null, with nothing written, for everything else. Locks in inbound_load's order.
create function communications.inbound_text(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_channel  text := p ->> 'channel';
    v_number   text := p ->> 'number';
    v_waba     text := p ->> 'waba_id';
    v_external text := p ->> 'external_message_id';
    v_door     uuid := p ->> 'door';
    v_id       uuid := p ->> 'id';
    v_said     bigint := p ->> 'said';
    v_nameless boolean := p ->> 'name' is null;
    v_sent     timestamptz := p ->> 'sent_at';
    -- A clock ahead of ours must not keep a thread on top of the list.
    v_at       timestamptz := least(v_sent, now());
    v_tenant   uuid;
    v_account  uuid;
    v_contact  uuid;
    v_thread   uuid;
begin
    select a.tenant_id, a.id into v_tenant, v_account
      from communications.channel_accounts a
     where a.channel = v_channel and a.external_account_id = v_number and (v_door is null or a.tenant_id = v_door)
       and (a.waba_id is null or v_waba is null or v_waba in (a.waba_id, a.messaging_account_id));
    if not found then
        return null;
    end if;

    perform pg_advisory_xact_lock(k.hash)
       from (select distinct communications.person_lock(v_tenant::text, s ->> 0, s ->> 1, s ->> 2) as hash
               from jsonb_array_elements(p -> 'aliases') as s order by 1) k;

    -- All that was said is known, of one contact; the other forms are theirs or nobody's; none had another owner before.
    select (array_agg(i.contact_id) filter (where i.contact_id is not null))[1] into v_contact
      from jsonb_array_elements(p -> 'aliases') with ordinality as s (alias, n)
      left join communications.contact_identities i
        on i.tenant_id = v_tenant and i.kind = s.alias ->> 0 and i.scope = s.alias ->> 1 and i.value = s.alias ->> 2
      left join communications.contact_former_identities h
        on h.tenant_id = v_tenant and h.kind = s.alias ->> 0 and h.scope = s.alias ->> 1 and h.value = s.alias ->> 2
    having count(distinct i.contact_id) = 1 and bool_and(i.contact_id is not null or s.n > v_said) and count(h.contact_id) = 0;
    if v_contact is null then
        return null;
    end if;

    select v.id into v_thread
      from communications.contacts c
      join communications.conversations v on v.tenant_id = c.tenant_id and v.contact_id = c.id and v.status = 'OPEN'
     where c.tenant_id = v_tenant and c.id = v_contact and c.merged_into is null and c.blocked_at is null
       and (v_nameless or c.display_name is not null)
       -- Not here yet, nothing came ahead of it, and nothing else joins the thread with it.
       and not exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.account_id = v_account and m.external_message_id = v_external)
       and not exists (select from communications.message_revisions r
                        where r.tenant_id = v_tenant and r.account_id = v_account and r.target_external_id = v_external)
       and not exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.contact_id = v_contact and m.conversation_id is null)
       for update of v;
    if not found then
        return null;
    end if;

    update communications.conversations c
       set inbound_count = c.inbound_count + 1,
           last_message_at = greatest(c.last_message_at, v_at),
           last_inbound_at = greatest(c.last_inbound_at, v_at),
           -- What came late does not become what was said last.
           last_inbound_channel = case when v_at >= coalesce(c.last_inbound_at, v_at) then v_channel else c.last_inbound_channel end,
           last_inbound_account = case when v_at >= coalesce(c.last_inbound_at, v_at) then v_account else c.last_inbound_account end,
           preview = case when v_at >= c.last_message_at then p ->> 'preview' else c.preview end
     where c.tenant_id = v_tenant and c.id = v_thread;

    insert into communications.messages
        (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body, context,
         status, external_message_id, reply_to, sent_at, delivered_at, provider_timestamp)
    values (v_tenant, v_id, 'INBOUND', v_channel, v_account, v_contact, v_thread, 'CONTACT', p ->> 'address', p -> 'content',
            p ->> 'body', nullif(p -> 'context', 'null'), 'DELIVERED', v_external, p ->> 'reply_to', v_sent, now(), v_sent);

    -- As long as the last message to come lets us answer free-form, by the provider's clock.
    insert into communications.whatsapp_windows as w (tenant_id, account_id, contact_id, open_until)
    values (v_tenant, v_account, v_contact, v_at + interval '24 hours')
    on conflict (tenant_id, account_id, contact_id) do update set open_until = excluded.open_until
     where excluded.open_until > w.open_until;

    return '{"messages": 1, "media": []}';
end
$$;
-- By the keys, also while the tables are new and Postgres takes them for empty.
alter function communications.inbound_text
    set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off;
