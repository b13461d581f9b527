-- Texts of several payloads that share a transaction: what inbound_text does for one, in one call for all of them, which is a transaction
-- of its own. {"channel", "door", "doors", "lock_timeout"} as inbound_load takes them, and "texts": what inbound_text takes of a message.
-- Answers the places (from 0) of those that it has stored: of everybody who is known by all that the payload says of them and whose
-- thread is open. The others, and what is here already, are nobody's loss: they go the way that asks more. Locks in inbound_load's order.
create function communications.inbound_texts(p jsonb) returns jsonb
    language plpgsql
    -- As inbound_store: an index for each row, whatever the tables were like when the plan was made.
    set enable_seqscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
    set join_collapse_limit = 1
    set plan_cache_mode = force_generic_plan
as $$
declare
    v_channel  text := p ->> 'channel';
    v_door     uuid := p ->> 'door';
    v_doors    jsonb := p -> 'doors';
    -- Of each text, in one order: it, its place, where it belongs, when it was said.
    v_texts    jsonb[];
    v_places   bigint[];
    v_tenants  uuid[];
    v_accounts uuid[];
    v_contacts uuid[];
    v_threads  uuid[];
    v_at       timestamptz[];
begin
    if p ? 'lock_timeout' then
        perform set_config('lock_timeout', p ->> 'lock_timeout', true);
    end if;

    -- Whose they are; each once, whatever the payloads repeat.
    select array_agg(t.value), array_agg(t.place), array_agg(t.tenant_id), array_agg(t.account_id)
      into v_texts, v_places, v_tenants, v_accounts
      from (select distinct on (a.tenant_id, a.id, t.value ->> 'external_message_id')
                   t.value, t.n - 1 as place, a.tenant_id, a.id as account_id
              from jsonb_array_elements(p -> 'texts') with ordinality as t (value, n)
             cross join lateral (
                   select a.tenant_id, a.id from communications.channel_accounts a
                    where a.channel = v_channel and a.external_account_id = t.value ->> 'number'
                      and a.tenant_id = coalesce((v_doors ->> a.external_account_id)::uuid, v_door, a.tenant_id)
                      and (a.waba_id is null or t.value ->> 'waba_id' is null
                           or t.value ->> 'waba_id' in (a.waba_id, a.messaging_account_id))
                    limit 1) a
             order by a.tenant_id, a.id, t.value ->> 'external_message_id', t.n) t;
    if v_texts is null then
        return '[]';
    end if;

    perform pg_advisory_xact_lock(k.hash)
       from (select distinct communications.person_lock(t.tenant_id::text, s ->> 0, s ->> 1, s ->> 2) as hash
               from unnest(v_texts, v_tenants) as t (value, tenant_id)
              cross join jsonb_array_elements(t.value -> 'aliases') as s order by 1) k;

    -- All that was said is known, of one contact; the other forms are theirs or nobody's; none had another owner before. The threads are
    -- locked in one order, and what somebody says arrives in the order in which it came.
    select array_agg(t.value), array_agg(t.place), array_agg(t.tenant_id), array_agg(t.account_id), array_agg(t.contact_id),
           array_agg(v.id), array_agg(t.at)
      into v_texts, v_places, v_tenants, v_accounts, v_contacts, v_threads, v_at
      from (select t.*, who.contact_id, t.value ->> 'external_message_id' as external_id,
                   -- A clock ahead of ours must not keep a thread on top of the list.
                   least((t.value ->> 'sent_at')::timestamptz, now()) as at
              from unnest(v_texts, v_places, v_tenants, v_accounts) as t (value, place, tenant_id, account_id)
             cross join lateral (
                   select (array_agg(i.contact_id) filter (where i.contact_id is not null))[1] as contact_id
                     from jsonb_array_elements(t.value -> 'aliases') with ordinality as s (alias, n)
                     left join lateral (
                          select i.contact_id from communications.contact_identities i
                           where i.tenant_id = t.tenant_id
                             and i.kind = s.alias ->> 0 and i.scope = s.alias ->> 1 and i.value = s.alias ->> 2
                           limit 1) i on true
                     left join lateral (
                          select h.contact_id from communications.contact_former_identities h
                           where h.tenant_id = t.tenant_id
                             and h.kind = s.alias ->> 0 and h.scope = s.alias ->> 1 and h.value = s.alias ->> 2
                           limit 1) h on true
                   having count(distinct i.contact_id) = 1 and count(h.contact_id) = 0
                      and bool_and(i.contact_id is not null or s.n > (t.value ->> 'said')::bigint)) who
             order by t.tenant_id, who.contact_id, t.place) t
     cross join lateral (
           select from communications.contacts c
            where c.tenant_id = t.tenant_id and c.id = t.contact_id and c.merged_into is null and c.blocked_at is null
              and (t.value ->> 'name' is null or c.display_name is not null)
            limit 1) c
     cross join lateral (
           select v.id from communications.conversations v
            where v.tenant_id = t.tenant_id and v.contact_id = t.contact_id and v.status = 'OPEN'
              -- Not here yet, nothing came ahead of it, and nothing else joins the thread with it.
              and not exists (select from communications.messages m
                               where m.tenant_id = t.tenant_id and m.account_id = t.account_id and m.external_message_id = t.external_id)
              and not exists (select from communications.message_revisions r
                               where r.tenant_id = t.tenant_id and r.account_id = t.account_id and r.target_external_id = t.external_id)
              and not exists (select from communications.messages m
                               where m.tenant_id = t.tenant_id and m.contact_id = t.contact_id and m.conversation_id is null)
            limit 1 for update of v) v;
    if v_texts is null then
        return '[]';
    end if;

    update communications.conversations c
       set inbound_count = c.inbound_count + t.inbound,
           last_message_at = greatest(c.last_message_at, t.at),
           last_inbound_at = greatest(c.last_inbound_at, t.at),
           -- What came late does not become what was said last.
           last_inbound_channel = case when t.at >= coalesce(c.last_inbound_at, t.at) then v_channel else c.last_inbound_channel end,
           last_inbound_account = case when t.at >= coalesce(c.last_inbound_at, t.at) then t.account_id else c.last_inbound_account end,
           preview = case when t.at >= c.last_message_at then t.preview else c.preview end
      from (select t.tenant_id, t.thread_id, count(*) as inbound, max(t.at) as at,
                   (array_agg(t.account_id order by t.at desc, t.place desc))[1] as account_id,
                   (array_agg(t.value ->> 'preview' order by t.at desc, t.place desc))[1] as preview
              from unnest(v_texts, v_places, v_tenants, v_accounts, v_threads, v_at)
                   as t (value, place, tenant_id, account_id, thread_id, at)
             group by t.tenant_id, t.thread_id) t
     where c.tenant_id = t.tenant_id and c.id = t.thread_id;

    insert into communications.messages
        (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body, context,
         status, external_message_id, reply_to, sent_at, delivered_at, provider_timestamp)
    select t.tenant_id, m.id, 'INBOUND', v_channel, t.account_id, t.contact_id, t.thread_id, 'CONTACT', m.address, m.content, m.body,
           m.context, 'DELIVERED', m.external_message_id, m.reply_to, m.sent_at, now(), m.sent_at
      from unnest(v_texts, v_tenants, v_accounts, v_contacts, v_threads) as t (value, tenant_id, account_id, contact_id, thread_id)
     cross join jsonb_to_record(t.value) as m (id uuid, address text, content jsonb, body text, context jsonb, external_message_id text,
                                               reply_to text, sent_at timestamptz);

    -- As long as the last message to come lets us answer free-form, by the provider's clock.
    insert into communications.whatsapp_windows as w (tenant_id, account_id, contact_id, open_until)
    select t.tenant_id, t.account_id, t.contact_id, max(t.at) + interval '24 hours'
      from unnest(v_tenants, v_accounts, v_contacts, v_at) as t (tenant_id, account_id, contact_id, at)
     group by t.tenant_id, t.account_id, t.contact_id
     order by t.tenant_id, t.account_id, t.contact_id
    on conflict (tenant_id, account_id, contact_id) do update set open_until = excluded.open_until
     where excluded.open_until > w.open_until;

    return to_jsonb(v_places);
end
$$;
