-- The statements of the dispatch worker's hot path, as functions.
--
-- Why functions: the worker's statements are unnamed (docs/schema-communications.md), so Postgres would parse and plan
-- them anew for every batch, which costs more than running them. Inside a function the plan is kept by the backend,
-- whoever's transaction it is. Callers: shared/core/src/dispatch/{claim,settle,fallback,repair/release}.rs, and nobody else.

-- Reserves a slot for each of the messages, in the order given, from every bucket that it needs: its account's, and its
-- provider's where the provider limits all tenants together. From all of them or from none, so that a slow sender does not
-- use up what the others need. A slot further away than the horizon (ten seconds) is not given, so that what comes later
-- and matters more is not behind an hour of reservations; slot is then null.
create function communications.reserve_slots(p_tenants uuid[], p_ids uuid[])
    returns table (tenant_id uuid, id uuid, slot timestamptz)
    language plpgsql
as $$
#variable_conflict use_column
begin
    -- A sender's first message makes its buckets.
    insert into communications.rate_buckets (tenant_id, account_id, kind, subject, tat, step)
    select distinct b.tenant_id, b.account_id, k.kind, b.subject, '-infinity'::timestamptz, 1
      from unnest(p_tenants, p_ids) as w (tenant_id, id)
      join communications.messages m on m.tenant_id = w.tenant_id and m.id = w.id
      join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
     cross join lateral (
        select a.tenant_id, a.id, ''
        union all
        select communications.platform_tenant(), communications.platform_tenant(), l.provider
          from communications.provider_limits l where l.provider = a.provider) b (tenant_id, account_id, subject)
     cross join (values ('SHARED'), ('RESERVE')) as k (kind)
     where not exists (select from communications.rate_buckets old
                        where old.tenant_id = b.tenant_id and old.account_id = b.account_id and old.kind = k.kind
                          and old.subject = b.subject)
     order by 1, 2, 3, 4
    on conflict do nothing;

    return query
    with wanting as materialized (
        select m.tenant_id, m.id, m.units, m.account_id, m.lane = 'INTERACTIVE' as interactive, w.nth,
               communications.sender_rate(a.provider, a.throughput_per_second) as rate,
               l.provider, l.rate_per_second as provider_rate
          from unnest(p_tenants, p_ids) with ordinality as w (tenant_id, id, nth)
          join communications.messages m on m.tenant_id = w.tenant_id and m.id = w.id
          join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
          left join communications.provider_limits l on l.provider = a.provider),
    -- Held from here to the commit, and in one order, whoever asks: what follows counts from the newest values.
    buckets as materialized (
        select b.tenant_id, b.account_id, b.kind, b.subject, b.tat
          from communications.rate_buckets b
          join (select w.tenant_id, w.account_id, '' as subject from wanting w
                union
                select communications.platform_tenant(), communications.platform_tenant(), w.provider
                  from wanting w where w.provider is not null) k
            on k.tenant_id = b.tenant_id and k.account_id = b.account_id and k.subject = b.subject
         where b.kind in ('SHARED', 'RESERVE')
         order by b.tenant_id, b.account_id, b.kind, b.subject
           for update of b),
    -- The reserve where it is freer: an agent's answer does not wait for a campaign.
    owned as (
        select w.*, o.kind, greatest(o.tat, now()) as first_slot,
               1 / (w.rate * case o.kind when 'RESERVE' then 0.2 else 0.8 end) as step
          from wanting w
          join buckets s on s.tenant_id = w.tenant_id and s.account_id = w.account_id and s.kind = 'SHARED'
          join buckets r on r.tenant_id = w.tenant_id and r.account_id = w.account_id and r.kind = 'RESERVE'
         cross join lateral (
            select e.kind, e.tat from (values ('SHARED', s.tat), ('RESERVE', r.tat)) as e (kind, tat)
             where e.kind = case when w.interactive and r.tat < s.tat and s.tat > now() then 'RESERVE' else 'SHARED' end) o),
    placed as (
        select o.*, coalesce(sum(o.units) over (partition by o.tenant_id, o.account_id, o.kind order by o.nth
                                                rows between unbounded preceding and 1 preceding), 0) * o.step as wait
          from owned o),
    -- At a provider that all share, the reserve is also for whoever has no backlog.
    shared as (
        select p.*, s.kind as provider_kind, greatest(s.tat, now()) as provider_first,
               1 / (p.provider_rate * case s.kind when 'RESERVE' then 0.2 else 0.8 end) as provider_step,
               p.first_slot + p.wait * interval '1 second' < now() + interval '10 seconds' as own
          from placed p
          left join lateral (
            select e.kind, e.tat
              from buckets b
              join buckets r on r.subject = b.subject and r.kind = 'RESERVE'
             cross join lateral (values ('SHARED', b.tat), ('RESERVE', r.tat)) as e (kind, tat)
             where b.subject = p.provider and b.kind = 'SHARED'
               and e.kind = case when (p.interactive
                                       or p.first_slot + p.wait * interval '1 second' <= now() + interval '1 second')
                                      and r.tat < b.tat and b.tat > now() then 'RESERVE' else 'SHARED' end) s on true),
    both_placed as (
        select s.*,
               s.provider_first
                   + coalesce(sum(s.units) filter (where s.own)
                              over (partition by s.provider, s.provider_kind order by s.nth
                                    rows between unbounded preceding and 1 preceding), 0)
                     * s.provider_step * interval '1 second' as provider_slot
          from shared s),
    -- What the provider refuses does not count at the account.
    granted as (
        select b.*,
               coalesce(sum(b.units) over (partition by b.tenant_id, b.account_id, b.kind order by b.nth
                                           rows between unbounded preceding and 1 preceding), 0)
                   * b.step * interval '1 second' as ahead
          from both_placed b
         where b.own and coalesce(b.provider_slot < now() + interval '10 seconds', true)),
    -- A step after the one before, and not before the provider's: the latest of all starts so far, as if it were the first's.
    given as materialized (
        select g.*,
               max(greatest(g.first_slot, g.provider_slot) - g.ahead)
                   over (partition by g.tenant_id, g.account_id, g.kind order by g.nth) + g.ahead as slot
          from granted g),
    used as (
        select g.tenant_id, g.account_id, g.kind, '' as subject, min(g.step) as step,
               max(g.slot + g.units * g.step * interval '1 second') as tat
          from given g group by 1, 2, 3
        union all
        select communications.platform_tenant(), communications.platform_tenant(), g.provider_kind, g.provider,
               min(g.provider_step), max(g.provider_slot + g.units * g.provider_step * interval '1 second')
          from given g where g.provider is not null group by 3, 4),
    kept as (
        update communications.rate_buckets b set tat = u.tat, step = u.step
          from used u
         where b.tenant_id = u.tenant_id and b.account_id = u.account_id and b.kind = u.kind and b.subject = u.subject)
    select w.tenant_id, w.id, g.slot
      from wanting w
      left join given g on g.tenant_id = w.tenant_id and g.id = w.id;
end
$$;

-- When the first wait of a chain's next step ends; null where it has none.
create function communications.fallback_due(steps jsonb) returns timestamptz
    language sql stable parallel safe
    return now() + least((steps -> 0 ->> 'not_delivered_within_seconds')::double precision,
                         (steps -> 0 ->> 'not_read_within_seconds')::double precision) * interval '1 second';

-- Takes what is due among the hinted messages, and says of each what became of it:
--   SENDING  the caller's until its lease ends: the fence has risen and the attempt is written. Not before send_in.
--   QUEUED   not yet: no slot, a breaker, a pair that is too fast, an account that is not ACTIVE. hint_in says in how many
--            seconds to look again; null where somebody else will say so: what waits for a slot or for its account is
--            released when there is one, and not taken for a lost hint.
--   EXPIRED, SUPPRESSED, SIMULATED  ended without being sent.
-- What is not in the answer is not due, not ours or finished: its hint may be dropped. The guards are re-checked on the
-- newest row version, so that fifty workers with the same id make one claim.
create function communications.claim_messages(p_tenants uuid[], p_ids uuid[], p_lease double precision)
    returns table (
        tenant_id uuid, message_id uuid, status text, account_id uuid, provider text, external_account_id text, sender text,
        provider_config jsonb, address text, content jsonb, reply_to text, lane text, category text, fence integer,
        attempt integer, send_in double precision, expires_in double precision, dwell double precision, hint_in double precision)
    language plpgsql
    set plan_cache_mode = 'force_generic_plan'
    set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    return query
    with hinted as materialized (
        select distinct h.tenant_id, h.id from unnest(p_tenants, p_ids) as h (tenant_id, id)),
    due as materialized (
        select m.tenant_id, m.id, m.account_id, m.address, m.due_at,
               -- People who talk to each other may be quick; a notification is not a conversation.
               a.channel = 'WHATSAPP' and m.conversation_id is not null as paired,
               case when m.slot_at > now() - interval '15 seconds' and m.slot_at >= coalesce(k.open_until, '-infinity')
                    then m.slot_at end as slot,
               pair.tat - interval '60 seconds' as pair_free,
               k.open_until,
               k.failures >= 5 or k.throttles > 0 as tripped,
               case when m.expires_at <= now() then 'EXPIRED'
                    -- communications.consent_allows, written out: as a function it would run by itself for every row.
                    when m.category <> 'SERVICE' and not coalesce(
                        (select c.granted
                           from communications.consents c
                          where c.tenant_id = m.tenant_id and c.contact_id = m.contact_id
                            and c.channel = m.channel and c.category = m.category
                          order by c.at desc, c.id desc limit 1), m.category <> 'MARKETING') then 'SUPPRESSED'
                    when a.status <> 'ACTIVE' then 'PARKED'
                    when a.mode = 'SANDBOX' or s.mode = 'SANDBOX' then 'SIMULATED'
                    else 'SENDING' end as next
          from hinted h
          join communications.messages m on m.tenant_id = h.tenant_id and m.id = h.id
          join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
          left join communications.tenant_settings s on s.tenant_id = m.tenant_id
          left join communications.breakers k on k.tenant_id = m.tenant_id and k.account_id = m.account_id
          left join communications.rate_buckets pair
            on pair.tenant_id = m.tenant_id and pair.account_id = m.account_id and pair.kind = 'PAIR' and pair.subject = m.address
         where m.status = 'QUEUED' and m.due_at <= now() + interval '250 milliseconds'
           and not exists (
               select from communications.messages earlier
                where earlier.tenant_id = m.tenant_id and earlier.conversation_id = m.conversation_id
                  and earlier.lane = m.lane and earlier.status in ('QUEUED', 'SENDING') and earlier.id < m.id)
         order by m.tenant_id, m.id
           for no key update of m),
    -- A tripped breaker whose time is over lets one message through; the row's lock decides whose.
    probes as (
        update communications.breakers k
           set open_until = now() + p_lease * interval '1 second', probe_id = first.id
          from (select d.tenant_id, d.account_id, (array_agg(d.id order by d.id))[1] as id
                  from due d
                 where d.next = 'SENDING' and d.tripped and d.open_until <= now()
                 group by d.tenant_id, d.account_id) first
         where k.tenant_id = first.tenant_id and k.account_id = first.account_id and k.open_until <= now()
        returning k.tenant_id, k.account_id, first.id),
    gated as materialized (
        select d.*,
               case when d.next <> 'SENDING' then false
                    when d.open_until is null then true
                    when d.tripped then p.id is not null
                    else d.open_until <= now() end
               and coalesce(d.pair_free <= now(), true) as free
          from due d
          left join probes p on p.tenant_id = d.tenant_id and p.account_id = d.account_id and p.id = d.id),
    pairs as (
        insert into communications.rate_buckets as b (tenant_id, account_id, kind, subject, tat, step)
        select g.tenant_id, g.account_id, 'PAIR', g.address, now() + count(*) * interval '6 seconds', 6
          from gated g
         where g.free and g.slot is null and g.paired
         group by 1, 2, 3, 4
         order by 1, 2, 3, 4
        on conflict on constraint rate_buckets_pkey do update set tat = greatest(b.tat, now()) + (excluded.tat - now())),
    slots as (
        select r.tenant_id, r.id, r.slot
          from (select array_agg(g.tenant_id order by g.id) as tenants, array_agg(g.id order by g.id) as ids
                  from gated g where g.free and g.slot is null) asking
         cross join lateral communications.reserve_slots(asking.tenants, asking.ids) r
         where asking.ids is not null),
    verdicts as (
        select g.tenant_id, g.id, g.next,
               case when g.free then coalesce(g.slot, s.slot) end as slot,
               case when g.next = 'PARKED' then 'QUEUED'
                    when g.next <> 'SENDING' then g.next
                    when not g.free then 'QUEUED'
                    when coalesce(g.slot, s.slot) <= now() + interval '2 seconds' then 'SENDING'
                    else 'QUEUED' end as status,
               -- When to look again: the breaker's end (one message is enough to try), the throttle's, the pair's, the slot's.
               case when g.free then coalesce(g.slot, s.slot)
                    when g.next = 'PARKED' then null
                    when g.tripped then
                        case when row_number() over (partition by g.tenant_id, g.account_id order by g.id) = 1
                             then greatest(g.open_until, now() + interval '1 second') end
                    else greatest(g.open_until, g.pair_free) end as again_at
          from gated g
          left join slots s on s.tenant_id = g.tenant_id and s.id = g.id),
    taken as (
        update communications.messages m
           set status = v.status,
               fence = m.fence + 1,
               attempts = m.attempts + (v.status = 'SENDING')::int,
               lease_until = case when v.status = 'SENDING' then now() + p_lease * interval '1 second' end,
               slot_at = case when v.status = 'SENDING' then null else v.slot end,
               hint_at = case when v.status <> 'QUEUED' then m.hint_at else coalesce(v.again_at, '-infinity') end,
               deferrals = m.deferrals + (v.status = 'QUEUED')::int
          from verdicts v
         where m.tenant_id = v.tenant_id and m.id = v.id
        returning m.*, v.slot, v.again_at),
    -- What waits for its account may wait for days: the clock of its fallback runs from here.
    armed as (
        update communications.message_fallbacks f
           set due_at = communications.fallback_due(f.steps)
          from verdicts v
         where v.next = 'PARKED' and f.tenant_id = v.tenant_id and f.message_id = v.id and f.due_at is null),
    intents as (
        insert into communications.message_attempts (tenant_id, message_id, fence, attempt, account_id)
        select t.tenant_id, t.id, t.fence, t.attempts, t.account_id from taken t where t.status = 'SENDING')
    select t.tenant_id, t.id, t.status, t.account_id, a.provider, a.external_account_id, a.sender,
           -- Once for each account of the batch: the rest is the same.
           case when row_number() over (partition by t.tenant_id, t.account_id order by t.status <> 'SENDING', t.id) = 1
                then a.provider_config end,
           t.address, t.content, t.reply_to, t.lane, t.category, t.fence, t.attempts,
           greatest(0, extract(epoch from coalesce(t.slot, now()) - now()))::double precision,
           extract(epoch from t.expires_at - now())::double precision,
           greatest(0, extract(epoch from now() - t.due_at))::double precision,
           -- Null stays null: greatest() alone would make it "now", and the worker would spin.
           case when t.again_at is not null then greatest(0, extract(epoch from t.again_at - now())) end::double precision
      from taken t
      join communications.channel_accounts a on a.tenant_id = t.tenant_id and a.id = t.account_id;
end
$$;

-- The next channel's message for each that did not reach its recipient. At most one for each message, by its key; none
-- past the expiry, which holds for the whole chain.
create function communications.open_fallbacks(p_tenants uuid[], p_ids uuid[], p_reason text)
    returns table (tenant_id uuid, message_id uuid, lane text)
    language plpgsql
as $$
#variable_conflict use_column
begin
    return query
    with fired as (
        delete from communications.message_fallbacks f
         using (select distinct p.tenant_id, p.id from unnest(p_tenants, p_ids) as p (tenant_id, id)) p
         where f.tenant_id = p.tenant_id and f.message_id = p.id
        returning f.tenant_id, f.message_id, f.steps),
    next as materialized (
        select communications.uuid_v7() as id, m.tenant_id, m.id as first_id, m.contact_id, m.conversation_id, m.sender_kind,
               m.sender_id, m.variables, m.lane, m.category, m.expires_at, m.run_id, m.step, f.steps, s.*
          from fired f
          join communications.messages m on m.tenant_id = f.tenant_id and m.id = f.message_id
         cross join lateral jsonb_to_record(f.steps -> 0) as s (
                channel text, account_id uuid, address text, content jsonb, body text, units smallint,
                template_id uuid, template_version integer)
         -- A sender that is not the tenant's own (any more) ends the chain; it must not end the settle.
         where m.expires_at > now()
           and exists (select from communications.channel_accounts a
                        where a.tenant_id = m.tenant_id and a.id = s.account_id)),
    opened as (
        insert into communications.messages
               (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, sender_id, address,
                content, body, template_id, template_version, variables, status, lane, category, expires_at, hint_at,
                run_id, step, units, fallback_of, fallback_reason)
        select n.tenant_id, n.id, 'OUTBOUND', n.channel, n.account_id, n.contact_id, n.conversation_id, n.sender_kind,
               n.sender_id, n.address, n.content, n.body, n.template_id, n.template_version, n.variables, 'QUEUED', n.lane,
               n.category, n.expires_at, now(), n.run_id, n.step + 1, least(20, greatest(1, coalesce(n.units, 1))), n.first_id, p_reason
          from next n
        on conflict do nothing
        returning tenant_id, id, lane),
    rest as (
        insert into communications.message_fallbacks (tenant_id, message_id, steps)
        select n.tenant_id, n.id, n.steps - 0
          from next n join opened o on o.tenant_id = n.tenant_id and o.id = n.id
         where jsonb_array_length(n.steps) > 1)
    select o.tenant_id, o.id, o.lane from opened o;
end
$$;

-- Gives slots to messages that wait on these accounts, the more urgent lane first, and answers when to look at each.
-- What will be due within p_ahead seconds is announced for its time and gets its slot then.
create function communications.release_waiting(p_tenants uuid[], p_accounts uuid[], p_ahead double precision)
    returns table (tenant_id uuid, message_id uuid, lane text, hint_in double precision)
    language plpgsql
    set plan_cache_mode = 'force_generic_plan'
    set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    return query
    with accounts as materialized (
        select distinct p.tenant_id, p.account_id
          from unnest(p_tenants, p_accounts) as p (tenant_id, account_id)
          join communications.channel_accounts a on a.tenant_id = p.tenant_id and a.id = p.account_id and a.status = 'ACTIVE'
          left join communications.breakers k on k.tenant_id = p.tenant_id and k.account_id = p.account_id
         where coalesce(k.open_until <= now(), true)),
    waiting as materialized (
        select w.tenant_id, w.id, w.due_at, l.rank
          from accounts a
         cross join (values ('INTERACTIVE', 1), ('TRANSACTIONAL', 2), ('BULK', 3)) as l (lane, rank)
         cross join lateral (
            select m.tenant_id, m.id, m.due_at
              from communications.messages m
             where m.tenant_id = a.tenant_id and m.account_id = a.account_id and m.lane = l.lane
               and m.status = 'QUEUED' and m.hint_at = '-infinity' and m.due_at <= now() + p_ahead * interval '1 second'
               and not exists (
                   select from communications.messages earlier
                    where earlier.tenant_id = m.tenant_id and earlier.conversation_id = m.conversation_id
                      and earlier.lane = m.lane and earlier.status in ('QUEUED', 'SENDING') and earlier.id < m.id)
             order by m.due_at
             limit 50
               for no key update of m skip locked) w),
    slots as (
        select r.tenant_id, r.id, r.slot
          from (select array_agg(w.tenant_id order by w.rank, w.due_at, w.id) as tenants,
                       array_agg(w.id order by w.rank, w.due_at, w.id) as ids
                  from waiting w where w.due_at <= now()) asking
         cross join lateral communications.reserve_slots(asking.tenants, asking.ids) r
         where asking.ids is not null and r.slot is not null)
    update communications.messages m
       set slot_at = s.slot,
           hint_at = coalesce(s.slot, w.due_at)
      from waiting w
      left join slots s on s.tenant_id = w.tenant_id and s.id = w.id
     where m.tenant_id = w.tenant_id and m.id = w.id and (s.slot is not null or w.due_at > now())
    returning m.tenant_id, m.id, m.lane,
              greatest(0, extract(epoch from m.hint_at - now()))::double precision;
end
$$;

-- Moves messages away from senders that cannot send to another ACTIVE one of the tenant's on the same channel. Only what
-- is QUEUED moves, which is what is known not to have been accepted. WhatsApp stays: a chat belongs to its number.
create function communications.fail_over(p_tenants uuid[], p_ids uuid[])
    returns table (tenant_id uuid, message_id uuid, lane text)
    language plpgsql
as $$
#variable_conflict use_column
begin
    return query
    update communications.messages m
       set account_id = other.id, slot_at = null, due_at = now(), hint_at = now()
      from unnest(p_tenants, p_ids) as p (tenant_id, id)
      join communications.messages stuck on stuck.tenant_id = p.tenant_id and stuck.id = p.id
      join communications.channel_accounts a on a.tenant_id = stuck.tenant_id and a.id = stuck.account_id
      left join communications.breakers k on k.tenant_id = a.tenant_id and k.account_id = a.id
     cross join lateral (
        select b.id
          from communications.channel_accounts b
          left join communications.breakers bk on bk.tenant_id = b.tenant_id and bk.account_id = b.id
         where b.tenant_id = stuck.tenant_id and b.channel = stuck.channel and b.id <> stuck.account_id
           and b.status = 'ACTIVE' and b.mode = a.mode and coalesce(bk.open_until <= now(), true)
           -- Not back and forth: a sender that was tried is not tried again by this way.
           and not exists (select from communications.message_attempts t
                            where t.tenant_id = stuck.tenant_id and t.message_id = stuck.id and t.account_id = b.id)
         order by b.created_at, b.id
         limit 1) other
     where m.tenant_id = p.tenant_id and m.id = p.id and m.status = 'QUEUED' and m.channel in ('EMAIL', 'SMS')
       and (a.status <> 'ACTIVE' or k.failures >= 5 and k.open_until > now())
       -- What may have been accepted stays: the report would not find it under another sender.
       and not exists (select from communications.message_attempts t
                        where t.tenant_id = stuck.tenant_id and t.message_id = stuck.id and t.class = 'AMBIGUOUS')
    returning m.tenant_id, m.id, m.lane;
end
$$;

-- Writes the outcomes of a batch, each matched by its fence, and answers what to look at next. A stale worker changes no
-- message; its result is still written to its attempt. p_effects says what follows for others than the message:
--   PARK_AUTH, PARK_HOLD  the account waits for a person, or for the pause to end; the message waits for the account
--   THROTTLE              nobody sends on the account during the pause; THROTTLE_PROVIDER: nor on the provider
--   PAIR                  nobody sends to this recipient on the account during the pause
--   TROUBLE               the provider's fault: counts for the breaker
--   OPT_OUT, OPT_OUT_MARKETING  the recipient wants no more of this channel
create function communications.settle_messages(
        p_tenants uuid[], p_ids uuid[], p_fences integer[], p_statuses text[], p_classes text[], p_codes text[],
        p_reasons text[], p_external_ids text[], p_retry_in double precision[], p_refunds boolean[], p_effects text[],
        p_pauses double precision[], p_credentials integer[], p_max_delay double precision)
    -- kind HINT: look at the message in hint_in seconds. kind REPORTED: reports are waiting for it.
    returns table (kind text, tenant_id uuid, message_id uuid, lane text, hint_in double precision)
    language plpgsql
    set plan_cache_mode = 'force_generic_plan'
    set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    v_failed_tenants uuid[];
    v_failed_ids uuid[];
    v_accounts uuid[];
    v_account_tenants uuid[];
begin
    with result as materialized (
        select *
          from unnest(p_tenants, p_ids, p_fences, p_statuses, p_classes, p_codes, p_reasons, p_external_ids, p_retry_in,
                      p_refunds, p_effects)
               as r (tenant_id, id, fence, status, class, code, reason, external_message_id, retry_in, refund, effect)),
    locked as materialized (
        select m.tenant_id, m.id,
               -- A retry that would come after the expiry is none: it fails with the cause it has.
               case when r.status = 'QUEUED' and m.expires_at <= now() + r.retry_in * interval '1 second'
                    then 'FAILED' else r.status end as next
          from result r
          join communications.messages m on m.tenant_id = r.tenant_id and m.id = r.id
         where m.fence = r.fence and m.status = 'SENDING'
         order by m.tenant_id, m.id
           for no key update of m),
    attempts as (
        update communications.message_attempts a
           set finished_at = now(), class = r.class, provider_code = r.code, reason = r.reason,
               external_message_id = r.external_message_id
          from result r
         where a.tenant_id = r.tenant_id and a.message_id = r.id and a.fence = r.fence),
    settled as (
        update communications.messages m
           set status = l.next,
               lease_until = null,
               external_message_id = coalesce(r.external_message_id, m.external_message_id),
               sent_at = case when l.next = 'SENT' then coalesce(m.sent_at, now()) else m.sent_at end,
               failed_at = case when l.next = 'FAILED' then now() else m.failed_at end,
               failed_code = r.code,
               failed_reason = r.reason,
               attempts = m.attempts - r.refund::int,
               deferrals = m.deferrals + r.refund::int,
               due_at = case when l.next = 'QUEUED' then now() + r.retry_in * interval '1 second' else m.due_at end,
               hint_at = case when l.next <> 'QUEUED' then m.hint_at
                              when r.retry_in > p_max_delay or r.effect in ('PARK_AUTH', 'PARK_HOLD') then '-infinity'
                              else now() + r.retry_in * interval '1 second' end
          from locked l join result r on r.tenant_id = l.tenant_id and r.id = l.id
         where m.tenant_id = l.tenant_id and m.id = l.id
        returning m.tenant_id, m.id, m.account_id, m.channel, m.status, r.effect),
    -- The clock of the fallback runs from here; also for what waits with its account, which may be for days, and for
    -- what may have been accepted: nobody comes by here when a report says so.
    armed as (
        update communications.message_fallbacks f
           set due_at = communications.fallback_due(f.steps)
          from settled s
         -- Where nobody reports deliveries, "not delivered" would be said of everything.
         where (s.channel = 'WHATSAPP' and (s.status = 'SENT' or s.status = 'UNCERTAIN' and f.due_at is null)
                or s.status = 'QUEUED' and s.effect in ('PARK_AUTH', 'PARK_HOLD') and f.due_at is null)
           and f.tenant_id = s.tenant_id and f.message_id = s.id),
    mended as (
        delete from communications.breakers k
         using (select distinct s.tenant_id, s.account_id from settled s where s.status = 'SENT') s
         where k.tenant_id = s.tenant_id and k.account_id = s.account_id
           -- What was under way when a throttle came says nothing about it.
           and (k.open_until is null or k.open_until <= now() or k.failures >= 5 and k.throttles = 0
                or exists (select from settled p where p.status = 'SENT' and p.id = k.probe_id)))
    select array_agg(s.tenant_id) filter (where s.status = 'FAILED'), array_agg(s.id) filter (where s.status = 'FAILED'),
           array_agg(s.tenant_id), array_agg(s.account_id)
      into v_failed_tenants, v_failed_ids, v_account_tenants, v_accounts
      from settled s;

    if exists (select from unnest(p_effects) as e where e <> '') then
        perform communications.apply_effects(p_tenants, p_ids, p_codes, p_reasons, p_pauses, p_effects, p_credentials);
        perform communications.fail_over(p_tenants, p_ids);
    end if;

    if v_failed_ids is not null then
        return query
            select 'HINT', o.tenant_id, o.message_id, o.lane, 0::double precision
              from communications.open_fallbacks(v_failed_tenants, v_failed_ids, 'FAILED') o;
    end if;

    -- Reports that came before the answer to the send, and found no message with their id.
    return query
        select 'REPORTED', m.tenant_id, m.id, m.lane, null::double precision
          from unnest(p_tenants, p_ids) as p (tenant_id, id)
          join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id
         where exists (select from communications.message_status_events e
                        where e.tenant_id = m.tenant_id and e.account_id = m.account_id
                          and e.external_message_id = m.external_message_id and e.message_id is null);

    return query select 'HINT', f.tenant_id, f.message_id, f.lane, f.hint_in
                   from communications.follow_ups(p_tenants, p_ids, p_max_delay) f;

    if exists (select from unnest(v_account_tenants, v_accounts) as a (tenant_id, account_id)
                join communications.messages m on m.tenant_id = a.tenant_id and m.account_id = a.account_id
                 and m.status = 'QUEUED' and m.hint_at = '-infinity' and m.due_at <= now()) then
        return query select 'HINT', r.tenant_id, r.message_id, r.lane, r.hint_in
                       from communications.release_waiting(v_account_tenants, v_accounts, 0) r;
    end if;
end
$$;

-- What must be looked at next: these messages where they are queued again, and for every conversation (and lane) that
-- they belong to the first that still waits. What is due later than a queue can delay is left to the scan.
create function communications.follow_ups(p_tenants uuid[], p_ids uuid[], p_max_delay double precision)
    returns table (tenant_id uuid, message_id uuid, lane text, hint_in double precision)
    language plpgsql
as $$
#variable_conflict use_column
begin
    return query
    with settled as materialized (
        select m.tenant_id, m.id, m.conversation_id, m.lane, m.status
          from unnest(p_tenants, p_ids) as p (tenant_id, id)
          join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id),
    next as (
        select s.tenant_id, s.id from settled s where s.status = 'QUEUED'
        union
        select c.tenant_id, first.id
          from (select distinct s.tenant_id, s.conversation_id, s.lane from settled s where s.conversation_id is not null) c
         cross join lateral (
            select m.id from communications.messages m
             where m.tenant_id = c.tenant_id and m.conversation_id = c.conversation_id and m.lane = c.lane
               and m.status in ('QUEUED', 'SENDING')
             order by m.id limit 1) first)
    select m.tenant_id, m.id, m.lane, greatest(0, extract(epoch from m.due_at - now()))::double precision
      from next n
      join communications.messages m on m.tenant_id = n.tenant_id and m.id = n.id
     -- What waits to be released has a place in a longer line.
     where m.status = 'QUEUED' and m.hint_at <> '-infinity' and m.due_at <= now() + p_max_delay * interval '1 second';
end
$$;

-- The consequences of outcomes beyond their messages; see settle_messages.
create function communications.apply_effects(
        p_tenants uuid[], p_ids uuid[], p_codes text[], p_reasons text[], p_pauses double precision[], p_effects text[],
        p_credentials integer[])
    returns void
    language plpgsql
as $$
#variable_conflict use_column
begin
    -- Credentials that were replaced while they were in use say nothing about the new ones.
    update communications.channel_accounts a
       set status = case when e.effect = 'PARK_AUTH' then 'REAUTH_REQUIRED' else 'SUSPENDED' end,
           status_reason = concat_ws(': ', e.code, e.reason),
           send_health = 'FAILING',
           resume_at = case when e.effect = 'PARK_HOLD' then now() + e.pause * interval '1 second' end
      from (select distinct on (m.tenant_id, m.account_id) m.tenant_id, m.account_id, e.effect, e.code, e.reason, e.pause,
                   e.credential
              from unnest(p_tenants, p_ids, p_codes, p_reasons, p_pauses, p_effects, p_credentials)
                   as e (tenant_id, id, code, reason, pause, effect, credential)
              join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
             where e.effect in ('PARK_AUTH', 'PARK_HOLD')
             order by m.tenant_id, m.account_id, e.effect) e
     where a.tenant_id = e.tenant_id and a.id = e.account_id and a.status = 'ACTIVE'
       and (e.credential is null or (a.provider_config -> 'secrets' -> 0 ->> 'version')::integer is not distinct from e.credential);

    -- Five in a row open it; a batch with a success is none. Then only the one message that tries makes it longer: what was
    -- under way when it opened says nothing new.
    insert into communications.breakers as b (tenant_id, account_id, failures, open_until)
    select m.tenant_id, m.account_id, least(5, count(*)), case when count(*) >= 5 then now() + interval '30 seconds' end
      from unnest(p_tenants, p_ids, p_effects) as e (tenant_id, id, effect)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     where e.effect = 'TROUBLE'
       and not exists (select from unnest(p_tenants, p_ids) as o (tenant_id, id)
                         join communications.messages s on s.tenant_id = o.tenant_id and s.id = o.id
                        where s.tenant_id = m.tenant_id and s.account_id = m.account_id
                          and s.status in ('SENT', 'DELIVERED', 'READ'))
     group by m.tenant_id, m.account_id
     order by m.tenant_id, m.account_id
    on conflict on constraint breakers_pkey do update
       set failures = case when b.failures < 5 then least(5, b.failures + excluded.failures)
                           when b.probe_id = any(p_ids) then b.failures + 1
                           else b.failures end,
           open_until = case when b.failures < 5 and b.failures + excluded.failures >= 5 then now() + interval '30 seconds'
                             when b.failures >= 5 and b.probe_id = any(p_ids)
                             then now() + least(600, 30 * 2 ^ least(10, b.failures - 4)) * interval '1 second'
                             else b.open_until end,
           probe_id = null;

    insert into communications.breakers as b (tenant_id, account_id, throttles, open_until)
    select m.tenant_id, m.account_id, 1, now() + max(e.pause) * interval '1 second'
      from unnest(p_tenants, p_ids, p_pauses, p_effects) as e (tenant_id, id, pause, effect)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     where e.effect in ('THROTTLE', 'THROTTLE_PROVIDER')
     group by m.tenant_id, m.account_id
     order by m.tenant_id, m.account_id
    on conflict on constraint breakers_pkey do update
       set throttles = b.throttles + (b.open_until is null or b.open_until <= now() or b.throttles = 0
                                      or coalesce(b.probe_id = any(p_ids), false))::int,
           open_until = case when b.open_until > now() and not coalesce(b.probe_id = any(p_ids), false)
                             then greatest(b.open_until, excluded.open_until)
                             else greatest(excluded.open_until,
                                           now() + least(600, extract(epoch from excluded.open_until - now())
                                                              * 2 ^ least(10, b.throttles)) * interval '1 second') end,
           probe_id = null;

    update communications.rate_buckets b
       set tat = greatest(b.tat, now() + e.pause * interval '1 second')
      from (select a.provider, max(e.pause) as pause
              from unnest(p_tenants, p_ids, p_pauses, p_effects) as e (tenant_id, id, pause, effect)
              join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
              join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
             where e.effect = 'THROTTLE_PROVIDER'
             group by a.provider) e
     where b.tenant_id = communications.platform_tenant() and b.account_id = communications.platform_tenant()
       and b.subject = e.provider;

    -- Pairs after senders, as the claim takes them.
    insert into communications.rate_buckets as b (tenant_id, account_id, kind, subject, tat, step)
    select m.tenant_id, m.account_id, 'PAIR', m.address, now() + max(e.pause + 60) * interval '1 second', 6
      from unnest(p_tenants, p_ids, p_pauses, p_effects) as e (tenant_id, id, pause, effect)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     where e.effect = 'PAIR'
     group by m.tenant_id, m.account_id, m.address
     order by m.tenant_id, m.account_id, m.address
    on conflict on constraint rate_buckets_pkey do update set tat = greatest(b.tat, excluded.tat);

    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
    select distinct on (m.tenant_id, m.contact_id, m.channel, c.category)
           m.tenant_id, communications.uuid_v7(), m.contact_id, m.channel, c.category, false, 'opt-out', 'provider'
      from unnest(p_tenants, p_ids, p_effects) as e (tenant_id, id, effect)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     cross join unnest(case e.effect when 'OPT_OUT' then array ['OTP', 'TRANSACTIONAL', 'MARKETING']
                                     else array ['MARKETING'] end) as c (category)
     where e.effect in ('OPT_OUT', 'OPT_OUT_MARKETING')
       and communications.consent_allows(m.tenant_id, m.contact_id, m.channel, c.category);
end
$$;
