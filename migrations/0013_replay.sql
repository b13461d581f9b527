-- Sending again what did not reach: which messages may be, why others may not, and the copies. Callers:
-- shared/core/src/dispatch/{retry,replay}.rs.

-- What ended without reaching anybody, by the time it ended. EXPIRED messages have no failed_at.
create index messages_ended_in_vain on communications.messages (tenant_id, (coalesce(failed_at, updated_at)))
    where status in ('FAILED', 'EXPIRED');

-- The whole chain of a message: itself (place 0), what it is a fallback of (below) and what fell back from it (above).
create function communications.chain_of(p_tenant uuid, p_message uuid)
    returns table (id uuid, place integer, status text)
    language sql stable
as $$
    with recursive earlier as (
        select m.id, m.fallback_of, 0 as place, m.status
          from communications.messages m where m.tenant_id = p_tenant and m.id = p_message
        union all
        select m.id, m.fallback_of, e.place - 1, m.status
          from earlier e join communications.messages m on m.tenant_id = p_tenant and m.id = e.fallback_of),
    later as (
        select m.id, 1 as place, m.status
          from communications.messages m where m.tenant_id = p_tenant and m.fallback_of = p_message
        union all
        select m.id, l.place + 1, m.status
          from later l join communications.messages m on m.tenant_id = p_tenant and m.fallback_of = l.id)
    select e.id, e.place, e.status from earlier e
    union all
    select l.id, l.place, l.status from later l
$$;

-- By which account a message would leave now: its own where it is ACTIVE, else the oldest ACTIVE one of the channel.
-- WhatsApp stays with its number, because a chat belongs to it. Null: there is none.
create function communications.account_to_send_again(p_tenant uuid, p_account uuid, p_channel text) returns uuid
    language sql stable
    return (select a.id
              from communications.channel_accounts a
             where a.tenant_id = p_tenant and a.channel = p_channel and a.status = 'ACTIVE'
               and (a.id = p_account or p_channel in ('EMAIL', 'SMS'))
             order by a.id <> p_account, a.created_at, a.id
             limit 1);

-- WhatsApp refuses all but approved templates when the contact has been silent for 24 hours.
create function communications.window_allows(
        p_tenant uuid, p_channel text, p_account uuid, p_contact uuid, p_content jsonb) returns boolean
    language sql stable
    return p_channel <> 'WHATSAPP' or p_content ->> 'type' = 'template'
        or exists (select from communications.whatsapp_windows w
                    where w.tenant_id = p_tenant and w.account_id = p_account and w.contact_id = p_contact
                      and w.open_until > now());

-- What matches a filter (null: whatever), and why it must not be sent again now; skip is null where it may be.
create function communications.replay_candidates(
        p_tenant uuid, p_status text, p_class text, p_code text, p_channel text, p_category text, p_trigger text,
        p_after timestamptz, p_before timestamptz)
    returns table (id uuid, channel text, class text, code text, ended_at timestamptz, account_id uuid, skip text)
    language sql stable
as $$
    with matched as materialized (
        select m.id, m.channel, m.category, m.contact_id, m.account_id, m.content, tried.class, tried.doubtful,
               m.failed_code,
               coalesce(m.failed_at, m.updated_at) as ended_at,
               m.fallback_of is not null
                   or exists (select from communications.messages f where f.tenant_id = p_tenant and f.fallback_of = m.id)
                   as chained
          from communications.messages m
         cross join lateral (
                select (array_agg(a.class order by a.fence desc))[1] as class,
                       bool_or(coalesce(a.class, 'AMBIGUOUS') = 'AMBIGUOUS') as doubtful
                  from communications.message_attempts a
                 where a.tenant_id = p_tenant and a.message_id = m.id) tried
         where m.tenant_id = p_tenant and m.status in ('FAILED', 'EXPIRED') and m.direction = 'OUTBOUND'
           and coalesce(m.failed_at, m.updated_at) > p_after
           and (p_before is null or coalesce(m.failed_at, m.updated_at) < p_before)
           and (p_status is null or m.status = p_status)
           and (p_class is null or tried.class = p_class)
           and (p_code is null or m.failed_code = p_code)
           and (p_channel is null or m.channel = p_channel)
           and (p_category is null or m.category = p_category)
           -- A copy belongs to no run; the message that it goes back to does.
           and (p_trigger is null or exists (
                with recursive line as (
                    select m.run_id, m.replay_of
                    union all
                    select o.run_id, o.replay_of
                      from line l join communications.messages o on o.tenant_id = p_tenant and o.id = l.replay_of)
                select from line l join communications.trigger_runs r on r.tenant_id = p_tenant and r.id = l.run_id
                 where r.trigger_event = p_trigger))),
    -- Once for each account and not for each of its thousands of messages.
    senders as materialized (
        select a.account_id, a.channel, communications.account_to_send_again(p_tenant, a.account_id, a.channel) as sender
          from (select distinct m.account_id, m.channel from matched m) a),
    judged as materialized (
        select m.*, chain.root, chain.place, senders.sender,
               case
                   when chain.replayed or copy.id is not null then 'ALREADY_REPLAYED'
                   when chain.reached then 'REACHED_BY_CHAIN'
                   when chain.pending or rest.due_at is not null then 'FALLBACK_PENDING'
                   when not communications.consent_allows(p_tenant, m.contact_id, m.channel, m.category) then 'NO_CONSENT'
                   -- An advertisement never comes twice, not even perhaps.
                   when m.category = 'MARKETING' and m.doubtful then 'MAY_HAVE_BEEN_SENT'
                   when senders.sender is null then 'NO_ACTIVE_ACCOUNT'
                   when not communications.window_allows(p_tenant, m.channel, m.account_id, m.contact_id, m.content)
                       then 'WINDOW_CLOSED'
               end as skip
          from matched m
          join senders on senders.account_id = m.account_id and senders.channel = m.channel
          left join communications.messages copy on copy.tenant_id = p_tenant and copy.replay_of = m.id
          left join communications.message_fallbacks rest on rest.tenant_id = p_tenant and rest.message_id = m.id
         cross join lateral (
                select (array_agg(c.id order by c.place))[1] as root, -min(c.place) as place,
                       bool_or(exists (select from communications.messages r
                                        where r.tenant_id = p_tenant and r.replay_of = c.id)) as replayed,
                       bool_or(c.place <> 0 and c.status in ('DELIVERED', 'READ') or c.place > 0 and c.status = 'SENT')
                           as reached,
                       bool_or(c.place > 0 and c.status in ('QUEUED', 'SENDING', 'UNCERTAIN')) as pending
                  from communications.chain_of(p_tenant, case when m.chained then m.id end) c) chain)
    select j.id, j.channel, j.class, j.failed_code, j.ended_at, j.sender,
           -- Of a chain that failed from end to end the first channel tries again, and not all of them.
           coalesce(j.skip, case when row_number() over (partition by coalesce(j.root, j.id), j.skip order by j.place, j.id) > 1
                                 then 'ONE_OF_CHAIN' end)
      from judged j
$$;

-- Copies of messages, to leave by these accounts: the same words to the same person, as long-lived as the original was
-- at its birth, without its chain, its run and its history. One copy of an original, by its key; what has one already is
-- not in the answer.
create function communications.copy_messages(p_tenant uuid, p_ids uuid[], p_accounts uuid[], p_hint_at timestamptz)
    returns table (message_id uuid, original_id uuid)
    language sql
as $$
    insert into communications.messages
           (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, sender_id, address,
            content, body, template_id, template_version, variables, status, lane, category, expires_at, hint_at, reply_to,
            units, replay_of)
    select m.tenant_id, communications.uuid_v7(), 'OUTBOUND', m.channel, p.account_id, m.contact_id, m.conversation_id,
           m.sender_kind, m.sender_id, m.address, m.content, m.body, m.template_id, m.template_version, m.variables,
           'QUEUED', m.lane, m.category, now() + (m.expires_at - m.created_at), p_hint_at, m.reply_to, m.units, m.id
      from unnest(p_ids, p_accounts) as p (id, account_id)
      join communications.messages m on m.tenant_id = p_tenant and m.id = p.id
     where m.status in ('FAILED', 'EXPIRED', 'CANCELLED')
     -- Two replays at once meet in one order.
     order by m.id
    on conflict (tenant_id, replay_of) where replay_of is not null do nothing
    returning id, replay_of
$$;
