-- As in 0020, and what is asleep takes nothing from those who are awake: no slot of its sender's, no pair, and not the one try that a
-- tripped breaker allows. One sleeper after another would have taken that, and nobody would have tried.
create or replace function communications.claim_messages(p_tenants uuid[], p_ids uuid[], p_lease double precision)
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
                    -- Nobody lives there, or whoever does has complained: an agent's answer does not reach them either.
                    when exists (select from communications.suppressions x
                                  where x.tenant_id = m.tenant_id and x.channel = m.channel and x.address = m.address) then 'SUPPRESSED'
                    when a.status <> 'ACTIVE' then 'PARKED'
                    when a.mode = 'SANDBOX' or s.mode = 'SANDBOX' then 'SIMULATED'
                    when m.quiet_hours is not null and communications.quiet_now(m.quiet_hours) is not null then 'ASLEEP'
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
                    -- The trigger asleep makes of it what the rule says.
                    when g.next = 'ASLEEP' then 'SENDING'
                    when g.next <> 'SENDING' then g.next
                    when not g.free then 'QUEUED'
                    when coalesce(g.slot, s.slot) <= now() + interval '2 seconds' then 'SENDING'
                    else 'QUEUED' end as status,
               -- When to look again: the breaker's end (one message is enough to try), the throttle's, the pair's, the slot's.
               case when g.free then coalesce(g.slot, s.slot)
                    when g.next in ('PARKED', 'ASLEEP') then null
                    when g.tripped then
                        case when row_number() over (partition by g.tenant_id, g.account_id, g.next order by g.id) = 1
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
