-- What reports make of a message is the same in any order: also of one that waits as QUEUED after a send whose end nobody knows, and of why
-- and when it failed.
create or replace function communications.project_reports(
    p_tenants uuid[], p_ids uuid[], p_statuses text[], p_externals text[], p_at timestamptz[], p_codes text[], p_reasons text[])
    returns void
    language plpgsql
    set enable_seqscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
    set join_collapse_limit = 1
    set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_tenants  uuid[];
    v_ids      uuid[];
    v_statuses text[];
    v_sent     timestamptz[];
    v_failing  boolean[];
begin
    with best as (
        select r.tenant_id, r.id,
               (array_agg(r.status order by communications.delivery_rank(r.status) desc))[1] as status,
               -- Of two sends the one that the provider has.
               (array_agg(r.external order by r.status = 'FAILED', r.at))[1] as external,
               array_agg(r.external) filter (where r.status = 'FAILED') as failed,
               (array_agg(r.status order by communications.delivery_rank(r.status) desc) filter (where r.status <> 'FAILED'))[1]
                   as status_else,
               -- What failed after all had been taken over before.
               min(r.at) as sent_at,
               min(r.at) filter (where r.status in ('DELIVERED', 'READ')) as delivered_at,
               min(r.at) filter (where r.status = 'READ') as read_at,
               bool_or(r.status = 'FAILED' and r.code = 'Bounce/Transient/General') as may_be_an_answer
          from unnest(p_tenants, p_ids, p_statuses, p_externals, p_at, p_codes, p_reasons)
               as r (tenant_id, id, status, external, at, code, reason)
         where r.status <> 'UNKNOWN'
         group by r.tenant_id, r.id),
    locked as (
        select m.tenant_id, m.id, m.status, m.external_message_id, m.sent_at, m.delivered_at, m.read_at,
               -- What waits as QUEUED was not refused: it leaves by what says that somebody has it, and only then can have failed.
               communications.projected_status(m.status, m.attempts, case when f.counts and m.status <> 'QUEUED' then b.status
                                                                          else b.status_else end) as projected,
               b.external as new_external, case when f.counts or b.status_else is not null then b.sent_at end as new_sent,
               b.delivered_at as new_delivered, b.read_at as new_read, b.failed is not null and f.counts as refused,
               -- Then the log says why and when.
               b.failed is not null or m.status = 'QUEUED' or num_nonnulls(m.failed_at, m.failed_code, m.failed_reason) > 0 as failing
          from best b join communications.messages m on m.tenant_id = b.tenant_id and m.id = b.id
         -- A message that was sent again has another id at the provider: that the earlier send failed says nothing about it.
         cross join lateral (select coalesce(coalesce(m.external_message_id, b.external) = any(b.failed), true)
                                    -- What SES says of an automatic answer, too, and of no other.
                                    and not (b.may_be_an_answer
                                             and (m.status in ('DELIVERED', 'READ') or b.delivered_at is not null)) as counts) f
         where m.attempts > 0 and m.status not in ('SUPPRESSED', 'SIMULATED', 'CANCELLED', 'EXPIRED')
         order by m.tenant_id, m.id
           for no key update of m),
    changed as (
        update communications.messages m
           set status = l.projected,
               external_message_id = coalesce(m.external_message_id, l.new_external),
               lease_until = case when l.projected = 'SENDING' then m.lease_until end,
               sent_at = least(m.sent_at, l.new_sent),
               delivered_at = least(m.delivered_at, l.new_delivered),
               read_at = least(m.read_at, l.new_read)
          from locked l
         where m.tenant_id = l.tenant_id and m.id = l.id
           and not (l.status = 'QUEUED' and l.projected = 'QUEUED')
           -- sent_at is exact to a second: providers count in seconds, and our own settle saw it first.
           and (l.projected <> l.status or l.external_message_id is null or l.refused
                or l.sent_at is null or l.new_sent <= l.sent_at - interval '1 second'
                or l.new_delivered < coalesce(l.delivered_at, 'infinity') or l.new_read < coalesce(l.read_at, 'infinity')
                or l.failing and l.projected in ('SENT', 'DELIVERED', 'READ'))
        returning m.tenant_id, m.id, m.status, m.sent_at, l.failing)
    select array_agg(c.tenant_id), array_agg(c.id), array_agg(c.status), array_agg(c.sent_at), array_agg(c.failing)
      into v_tenants, v_ids, v_statuses, v_sent, v_failing
      from changed c;

    if v_ids is null then
        return;
    end if;

    -- Why it failed, and when: by the first of all reports that say so of this send, whichever came first, those that were waited for above
    -- included. What we noted in doubt is forgotten once the provider has it; what the provider reported stays, unless it was an
    -- automatic answer.
    if true = any(v_failing) then
        with told as (
            select m.tenant_id, m.id, m.status, e.at, e.code, e.reason
              from unnest(v_tenants, v_ids, v_failing) as d (tenant_id, id, failing)
              join communications.messages m on m.tenant_id = d.tenant_id and m.id = d.id
              left join lateral (
                   select e.occurred_at as at, e.failure_code as code, e.failure_reason as reason
                     from communications.message_status_events e
                    where e.tenant_id = m.tenant_id and e.message_id = m.id and e.status = 'FAILED'
                      and e.external_message_id = m.external_message_id
                      and not (e.failure_code is not distinct from 'Bounce/Transient/General' and m.status in ('DELIVERED', 'READ'))
                    order by e.occurred_at, e.failure_code, e.failure_reason
                    limit 1) e on true
             where d.failing and (e.at is not null or m.status in ('SENT', 'DELIVERED', 'READ')))
        update communications.messages m
           set status = case when m.status = 'SENT' and t.at is not null then 'FAILED' else m.status end,
               sent_at = least(m.sent_at, t.at), failed_at = t.at, failed_code = t.code, failed_reason = t.reason
          from told t
         where m.tenant_id = t.tenant_id and m.id = t.id;
        select array_agg(m.tenant_id order by d.n), array_agg(m.id order by d.n), array_agg(m.status order by d.n),
               array_agg(m.sent_at order by d.n)
          into v_tenants, v_ids, v_statuses, v_sent
          from unnest(v_tenants, v_ids) with ordinality as d (tenant_id, id, n)
          join communications.messages m on m.tenant_id = d.tenant_id and m.id = d.id;
    end if;

    -- Its chain: the next channel's turn, or the clock of the first wait; none once it arrived.
    if exists (select from unnest(v_tenants, v_ids) as p (tenant_id, id)
                 join communications.message_fallbacks f on f.tenant_id = p.tenant_id and f.message_id = p.id) then
        update communications.message_fallbacks f
           set due_at = case when p.status = 'FAILED' then now()
                             else coalesce(f.due_at, p.sent_at + least(
                                 (f.steps -> 0 ->> 'not_delivered_within_seconds')::float8,
                                 (f.steps -> 0 ->> 'not_read_within_seconds')::float8) * interval '1 second') end
          from unnest(v_tenants, v_ids, v_statuses, v_sent) as p (tenant_id, id, status, sent_at)
         where (p.status in ('SENT', 'FAILED')
                or p.status = 'DELIVERED' and f.steps -> 0 ->> 'not_read_within_seconds' is not null)
           and f.tenant_id = p.tenant_id and f.message_id = p.id;
        delete from communications.message_fallbacks f
         using unnest(v_tenants, v_ids, v_statuses) as p (tenant_id, id, status)
         where (p.status = 'READ'
                or p.status = 'DELIVERED' and f.steps -> 0 ->> 'not_read_within_seconds' is null)
           and f.tenant_id = p.tenant_id and f.message_id = p.id;
    end if;

    -- It arrived after all: of what was to replace it, at whatever remove, nothing leaves that has not left, and nothing follows what has.
    if exists (select from unnest(v_tenants, v_ids, v_statuses) as p (tenant_id, id, status)
                 join communications.messages m on m.tenant_id = p.tenant_id and m.fallback_of = p.id
                where p.status in ('DELIVERED', 'READ')) then
        with recursive later as (
            select m.tenant_id, m.id
              from unnest(v_tenants, v_ids, v_statuses) as p (tenant_id, id, status)
              join communications.messages m on m.tenant_id = p.tenant_id and m.fallback_of = p.id
             where p.status in ('DELIVERED', 'READ') and (m.fallback_reason <> 'NOT_READ' or p.status = 'READ')
            union all
            select m.tenant_id, m.id
              from later l join communications.messages m on m.tenant_id = l.tenant_id and m.fallback_of = l.id),
        ended as (
            delete from communications.message_fallbacks f
             using later l where f.tenant_id = l.tenant_id and f.message_id = l.id)
        update communications.messages m
           set status = 'CANCELLED', failed_code = 'reached', failed_reason = 'the message before it arrived after all'
          from later l
         where m.tenant_id = l.tenant_id and m.id = l.id and m.status = 'QUEUED';
    end if;
end
$$;

-- What a report says that waited for its message is noted as what any other says.
do $$
declare
    v_old text := pg_get_functiondef('communications.match_reports'::regproc);
    v_new text := replace(v_old, $f$    perform communications.store_prices($f$,
$f$    perform communications.note_refusals(v_tenants, v_ids, v_codes, v_effects, v_at);
    perform communications.store_prices($f$);
begin
    if v_new = v_old then
        raise exception 'nothing to replace in match_reports';
    end if;
    execute v_new;
end
$$;
