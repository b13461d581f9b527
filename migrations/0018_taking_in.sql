-- What a webhook brings becomes rows. Two calls a request: inbound_load finds and locks, the service decides who is who,
-- inbound_store writes. Reports alone need one: inbound_statuses. Everything is set-based; plans are kept with the functions.

-- An echo begins as SENT: it left elsewhere and has the provider's id.
create or replace function communications.check_message_insert() returns trigger
    language plpgsql as
$$
begin
    if new.direction = 'OUTBOUND' and new.status not in ('QUEUED', 'SUPPRESSED')
       and (new.status <> 'SENT' or new.external_message_id is null) then
        raise exception 'an outbound message begins as QUEUED or SUPPRESSED, or as SENT with the provider''s id, not as %', new.status
            using errcode = 'check_violation', constraint = 'messages_transition';
    end if;
    return new;
end
$$;

-- Whose these numbers are. A path that names a tenant is that tenant's door: whoever owns none of the payload's numbers has
-- been sent somebody else's, and nobody gets it.
create function communications.inbound_numbers(p_channel text, p_door uuid, p_numbers text[])
    returns table (number text, tenant_id uuid, account_id uuid, waba_id text, messaging_account_id text)
    language sql stable
as $$
    select a.external_account_id, a.tenant_id, a.id, a.waba_id, a.messaging_account_id
      from communications.channel_accounts a
     where a.channel = p_channel and a.external_account_id = any(p_numbers)
       and (p_door is null
            or exists (select from communications.channel_accounts d
                        where d.tenant_id = p_door and d.channel = p_channel and d.external_account_id = any(p_numbers)));
$$;

-- {"channel", "door", "numbers": [...], "wabas": [...], "people": [{"number", "aliases": [[kind, scope, value], ...]}, ...]}
-- → {"numbers": [...], "wabas": [{"waba_id", "tenant_id", "account_id"}, ...], "people": what people_load answers}
-- People whose number has no owner are left out; each of the others keeps its place (n).
create function communications.inbound_load(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_numbers jsonb;
    v_wabas   jsonb;
    v_people  jsonb;
    v_door    uuid := (p ->> 'door')::uuid;
begin
    select jsonb_agg(to_jsonb(n)) into v_numbers
      from communications.inbound_numbers(p ->> 'channel', v_door, array(select jsonb_array_elements_text(p -> 'numbers'))) n;

    if jsonb_array_length(p -> 'wabas') > 0 then
        select jsonb_agg(to_jsonb(w)) into v_wabas
          from (select a.waba_id, a.tenant_id, a.id as account_id
                  from communications.channel_accounts a
                 where a.channel = 'WHATSAPP' and a.waba_id in (select jsonb_array_elements_text(p -> 'wabas'))
                   and (v_door is null or a.tenant_id = v_door)
                 order by a.tenant_id, a.id) w;
    end if;

    if v_numbers is not null and jsonb_array_length(p -> 'people') > 0 then
        select communications.people_load(jsonb_agg(jsonb_build_object(
                   'n', s.n - 1, 'tenant_id', o.value -> 'tenant_id', 'aliases', s.value -> 'aliases')))
          into v_people
          from jsonb_array_elements(p -> 'people') with ordinality as s (value, n)
          join jsonb_array_elements(v_numbers) as o (value) on o.value ->> 'number' = s.value ->> 'number';
    end if;

    return jsonb_build_object(
        'numbers', coalesce(v_numbers, '[]'), 'wabas', coalesce(v_wabas, '[]'), 'people', coalesce(v_people, 'null'));
end
$$;

-- Brings messages up to what was just reported about them; p_statuses are the reports' own words. The projection only rises,
-- so duplicates and any order end in the same row. Locked in one order, and not against the foreign keys of the log.
create function communications.project_reports(
        p_tenants uuid[], p_ids uuid[], p_statuses text[], p_externals text[], p_at timestamptz[], p_codes text[], p_reasons text[])
    returns void
    language plpgsql
as $$
#variable_conflict use_column
declare
    v_tenants  uuid[];
    v_ids      uuid[];
    v_statuses text[];
    v_sent     timestamptz[];
begin
    with best as (
        select r.tenant_id, r.id,
               (array_agg(r.status order by communications.delivery_rank(r.status) desc))[1] as status,
               (array_agg(r.external order by r.at))[1] as external,
               -- What failed after all had been taken over before.
               min(r.at) as sent_at,
               min(r.at) filter (where r.status in ('DELIVERED', 'READ')) as delivered_at,
               min(r.at) filter (where r.status = 'READ') as read_at,
               min(r.at) filter (where r.status = 'FAILED') as failed_at,
               (array_agg(r.code) filter (where r.status = 'FAILED'))[1] as code,
               (array_agg(r.reason) filter (where r.status = 'FAILED'))[1] as reason
          from unnest(p_tenants, p_ids, p_statuses, p_externals, p_at, p_codes, p_reasons)
               as r (tenant_id, id, status, external, at, code, reason)
         where r.status <> 'UNKNOWN'
         group by r.tenant_id, r.id),
    locked as (
        select m.tenant_id, m.id, m.status, m.external_message_id, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
               communications.projected_status(m.status, m.attempts, b.status) as projected, b.status as reported,
               b.external as new_external, b.sent_at as new_sent, b.delivered_at as new_delivered, b.read_at as new_read,
               b.failed_at as new_failed, b.code, b.reason
          from best b join communications.messages m on m.tenant_id = b.tenant_id and m.id = b.id
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
               read_at = least(m.read_at, l.new_read),
               -- What we noted in doubt is forgotten once the provider has it; what the provider reported stays.
               failed_at = case when l.projected not in ('SENT', 'DELIVERED', 'READ') then coalesce(m.failed_at, l.new_failed)
                                when m.failed_at is null then l.new_failed
                                else (select min(e.occurred_at) from communications.message_status_events e
                                       where e.tenant_id = m.tenant_id and e.message_id = m.id and e.status = 'FAILED') end,
               failed_code = case when l.projected not in ('SENT', 'DELIVERED', 'READ') then coalesce(l.code, m.failed_code)
                                  when m.failed_code is null then l.code
                                  else (select min(e.failure_code) from communications.message_status_events e
                                         where e.tenant_id = m.tenant_id and e.message_id = m.id and e.status = 'FAILED') end,
               failed_reason = case when l.projected not in ('SENT', 'DELIVERED', 'READ') then coalesce(l.reason, m.failed_reason)
                                    when m.failed_reason is null then l.reason
                                    else (select min(e.failure_reason) from communications.message_status_events e
                                           where e.tenant_id = m.tenant_id and e.message_id = m.id and e.status = 'FAILED') end
          from locked l
         where m.tenant_id = l.tenant_id and m.id = l.id
           -- sent_at is exact to a second: providers count in seconds, and our own settle saw it first.
           and (l.projected <> l.status or l.external_message_id is null or l.new_failed is not null
                or l.sent_at is null or l.new_sent <= l.sent_at - interval '1 second'
                or l.new_delivered < coalesce(l.delivered_at, 'infinity') or l.new_read < coalesce(l.read_at, 'infinity')
                or l.failed_at is not null and l.projected in ('SENT', 'DELIVERED', 'READ'))
        returning m.tenant_id, m.id, m.status, m.sent_at)
    select array_agg(c.tenant_id), array_agg(c.id), array_agg(c.status), array_agg(c.sent_at)
      into v_tenants, v_ids, v_statuses, v_sent
      from changed c;

    if v_ids is null then
        return;
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

    -- It arrived after all: what was to replace it and has not left yet stays here.
    update communications.messages later
       set status = 'CANCELLED', failed_code = 'reached', failed_reason = 'the message before it arrived after all'
      from unnest(v_tenants, v_ids, v_statuses) as p (tenant_id, id, status)
     where p.status in ('DELIVERED', 'READ') and later.tenant_id = p.tenant_id and later.fallback_of = p.id
       and later.status = 'QUEUED' and (later.fallback_reason <> 'NOT_READ' or p.status = 'READ');
end
$$;

-- Logs reports and projects them. Elements: {"id", "tenant_id", "account_id", "external_message_id", "status",
-- "provider_status", "correlation_id", "occurred_at", "failure_code", "failure_reason", "effect", "raw", "price", "aliases"}.
-- A report whose message is not known waits in the log. Answers {"new", "waiting", "parked": [message ids]}.
create function communications.record_reports(p jsonb) returns jsonb
    language plpgsql
as $$
#variable_conflict use_column
declare
    v_new       integer;
    v_tenants   uuid[];
    v_ids       uuid[];
    v_accounts  uuid[];
    v_statuses  text[];
    v_externals text[];
    v_at        timestamptz[];
    v_codes     text[];
    v_reasons   text[];
    v_effects   text[];
    v_keys      uuid[];
    v_parked    jsonb := '[]';
begin
    with reported as (
        select r.*
          from jsonb_to_recordset(p) as r (
               id uuid, tenant_id uuid, account_id uuid, external_message_id text, status text, provider_status text,
               correlation_id uuid, occurred_at timestamptz, failure_code text, failure_reason text, effect text, raw jsonb,
               price jsonb)),
    logged as (
        insert into communications.message_status_events
            (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, failure_code,
             failure_reason, occurred_at, effect, raw, price)
        select r.tenant_id, r.id, r.account_id, r.external_message_id, coalesce(by_echo.id, by_id.id), r.status,
               r.provider_status, r.failure_code, r.failure_reason, r.occurred_at, coalesce(r.effect, ''), r.raw,
               case when coalesce(by_echo.id, by_id.id) is null then r.price end
          from reported r
          left join communications.messages by_echo
            on by_echo.tenant_id = r.tenant_id and by_echo.id = r.correlation_id
           and by_echo.account_id = r.account_id and by_echo.direction = 'OUTBOUND'
          left join communications.messages by_id
            on by_echo.id is null and by_id.tenant_id = r.tenant_id and by_id.account_id = r.account_id
           and by_id.external_message_id = r.external_message_id and by_id.direction = 'OUTBOUND'
        on conflict on constraint message_status_events_key do nothing
        returning tenant_id, id, account_id, message_id, status, external_message_id, occurred_at, failure_code, failure_reason,
                  effect)
    select count(*),
           array_agg(l.tenant_id) filter (where l.message_id is not null),
           array_agg(l.message_id) filter (where l.message_id is not null),
           array_agg(l.account_id) filter (where l.message_id is not null),
           array_agg(l.status) filter (where l.message_id is not null),
           array_agg(l.external_message_id) filter (where l.message_id is not null),
           array_agg(l.occurred_at) filter (where l.message_id is not null),
           array_agg(l.failure_code) filter (where l.message_id is not null),
           array_agg(l.failure_reason) filter (where l.message_id is not null),
           array_agg(l.effect) filter (where l.message_id is not null),
           array_agg(l.id) filter (where l.message_id is not null)
      into v_new, v_tenants, v_ids, v_accounts, v_statuses, v_externals, v_at, v_codes, v_reasons, v_effects, v_keys
      from logged l;

    if v_ids is null then
        return jsonb_build_object('new', v_new, 'waiting', v_new, 'parked', v_parked);
    end if;

    perform communications.project_reports(v_tenants, v_ids, v_statuses, v_externals, v_at, v_codes, v_reasons);

    if exists (select from unnest(v_effects) as e (effect) where e.effect <> '') then
        perform communications.apply_reported(v_tenants, v_ids, v_codes, v_effects);
        select coalesce(jsonb_agg(e.id), '[]') into v_parked
          from unnest(v_ids, v_effects) as e (id, effect) where e.effect = 'PARK_HOLD';
    end if;

    if p @? '$[*].price ? (@ != null)' then
        perform communications.store_prices(v_tenants, v_ids, v_accounts, v_at, array_agg(r.price order by k.n))
           from unnest(v_keys) with ordinality as k (id, n)
           join jsonb_to_recordset(p) as r (id uuid, price jsonb) on r.id = k.id;
    end if;

    if p @? '$[*].aliases[*]' then
        perform communications.learn_aliases(jsonb_agg(jsonb_build_object(
                    'tenant_id', m.tenant_id, 'contact_id', s.contact_id, 'address', s.address, 'aliases', r.aliases)))
           from unnest(v_keys, v_tenants, v_ids) as m (id, tenant_id, message_id)
           join jsonb_to_recordset(p) as r (id uuid, aliases jsonb) on r.id = m.id
           join communications.messages s on s.tenant_id = m.tenant_id and s.id = m.message_id
          where jsonb_array_length(r.aliases) > 0;
    end if;

    return jsonb_build_object('new', v_new, 'waiting', v_new - cardinality(v_ids), 'parked', v_parked);
end
$$;

-- Once per message: the first that says one.
create function communications.store_prices(
        p_tenants uuid[], p_ids uuid[], p_accounts uuid[], p_at timestamptz[], p_prices jsonb[]) returns void
    language sql
as $$
    insert into communications.message_prices
        (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at)
    select distinct on (m.tenant_id, m.message_id)
           m.tenant_id, m.message_id, m.account_id, c.category, c.model, c.kind, c.billable, c.units, c.micros, c.currency, m.at
      from unnest(p_tenants, p_ids, p_accounts, p_at, p_prices) as m (tenant_id, message_id, account_id, at, price)
     cross join jsonb_to_record(m.price) as c (category text, model text, kind text, billable boolean, units integer,
                                               micros bigint, currency text)
     where jsonb_typeof(m.price) = 'object'
     order by m.tenant_id, m.message_id, m.at
    on conflict on constraint message_prices_pkey do nothing;
$$;

-- What reports mean beyond their messages. BOUNCE: nobody has the address. COMPLAINT: whoever has it wants no more.
create function communications.apply_reported(p_tenants uuid[], p_ids uuid[], p_codes text[], p_effects text[]) returns void
    language plpgsql
as $$
begin
    if p_effects && array ['BOUNCE', 'COMPLAINT'] then
        insert into communications.suppressions (tenant_id, channel, address, reason, source)
        select distinct on (m.tenant_id, m.channel, m.address) m.tenant_id, m.channel, m.address, e.effect, 'provider'
          from unnest(p_tenants, p_ids, p_effects) as e (tenant_id, id, effect)
          join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
         where e.effect in ('BOUNCE', 'COMPLAINT') and m.address <> ''
         order by m.tenant_id, m.channel, m.address, e.effect desc
        on conflict on constraint suppressions_pkey do nothing;
    end if;

    perform communications.apply_effects(
               array_agg(e.tenant_id), array_agg(e.id), array_agg(e.code), array_agg(null::text),
               -- How long an account waits on a hold that only a report told of: an hour.
               array_agg(3600::float8),
               array_agg(case e.effect when 'COMPLAINT' then 'OPT_OUT' else e.effect end), array_agg(null::integer))
       from unnest(p_tenants, p_ids, p_codes, p_effects) as e (tenant_id, id, code, effect)
      where e.effect not in ('', 'BOUNCE')
     having count(*) > 0;
end
$$;

-- Gives waiting reports to messages ([[tenant, message], ...]) whose provider id has just become known, with all that they
-- mean. Answers how many.
create function communications.match_reports(p jsonb) returns integer
    language plpgsql
as $$
#variable_conflict use_column
declare
    v_tenants   uuid[];
    v_ids       uuid[];
    v_accounts  uuid[];
    v_statuses  text[];
    v_externals text[];
    v_at        timestamptz[];
    v_codes     text[];
    v_reasons   text[];
    v_effects   text[];
    v_prices    jsonb[];
begin
    with matched as (
        update communications.message_status_events e
           set message_id = m.id
          from jsonb_array_elements(p) as known
          join communications.messages m on m.tenant_id = (known ->> 0)::uuid and m.id = (known ->> 1)::uuid
         where e.tenant_id = m.tenant_id and e.account_id = m.account_id
           and e.external_message_id = m.external_message_id and e.message_id is null
        returning m.tenant_id, m.id, e.status, e.external_message_id, e.occurred_at, e.failure_code, e.failure_reason, e.effect,
                  e.account_id, e.price)
    select array_agg(tenant_id), array_agg(id), array_agg(status), array_agg(external_message_id), array_agg(occurred_at),
           array_agg(failure_code), array_agg(failure_reason), array_agg(effect), array_agg(account_id), array_agg(price)
      into v_tenants, v_ids, v_statuses, v_externals, v_at, v_codes, v_reasons, v_effects, v_accounts, v_prices
      from matched;
    if v_ids is null then
        return 0;
    end if;
    perform communications.project_reports(v_tenants, v_ids, v_statuses, v_externals, v_at, v_codes, v_reasons);
    perform communications.apply_reported(v_tenants, v_ids, v_codes, v_effects);
    perform communications.store_prices(v_tenants, v_ids, v_accounts, v_at, v_prices);
    return cardinality(v_ids);
end
$$;

-- What most payloads are: one status, good news, about a message that is on its way, with nothing that hangs on it. The same rows as by
-- record_reports, at a fraction of its cost. Null, with nothing written, for everything else. As there, the log comes before the
-- message's lock.
create function communications.inbound_status(p_channel text, p_door uuid, p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_at      timestamptz := p ->> 'occurred_at';
    v_status  text := p ->> 'status';
    v_rank    integer := communications.delivery_rank(v_status);
    v_account record;
    v_message record;
begin
    if v_rank not in (1, 3, 4) or p ->> 'effect' <> '' then
        return null;
    end if;
    select a.tenant_id, a.id, a.waba_id, a.messaging_account_id into v_account
      from communications.channel_accounts a
     where a.channel = p_channel and a.external_account_id = p ->> 'number';
    if v_account.id is null or v_account.tenant_id <> p_door
       or v_account.waba_id is not null and p ->> 'waba_id' is not null
          and p ->> 'waba_id' <> v_account.waba_id and p ->> 'waba_id' is distinct from v_account.messaging_account_id then
        return null;
    end if;

    select m.id, m.contact_id, m.address, m.status, m.sent_at, m.delivered_at, m.read_at,
           communications.delivery_rank(m.status) as rank
      into v_message
      from communications.messages m
     where m.tenant_id = v_account.tenant_id and m.id = (p ->> 'correlation_id')::uuid and m.account_id = v_account.id
       and m.external_message_id = p ->> 'external_message_id' and m.status in ('SENT', 'DELIVERED', 'READ')
       and m.direction = 'OUTBOUND' and m.failed_at is null and m.fallback_of is null;
    if v_message.id is null
       or exists (select from communications.message_fallbacks f
                   where f.tenant_id = v_account.tenant_id and f.message_id = v_message.id)
       or exists (select from communications.messages later
                   where later.tenant_id = v_account.tenant_id and later.fallback_of = v_message.id) then
        return null;
    end if;

    insert into communications.message_status_events
        (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, occurred_at, raw)
    values (v_account.tenant_id, (p ->> 'id')::uuid, v_account.id, p ->> 'external_message_id', v_message.id, v_status,
            p ->> 'provider_status', v_at, p -> 'raw')
    on conflict on constraint message_status_events_key do nothing;
    if not found then
        return '{"new": 0, "waiting": 0, "parked": []}';
    end if;

    if v_rank > v_message.rank or v_at <= v_message.sent_at - interval '1 second'
       or v_rank >= 3 and v_at < coalesce(v_message.delivered_at, 'infinity')
       or v_rank = 4 and v_at < coalesce(v_message.read_at, 'infinity') then
        update communications.messages m
           set status = case when v_rank > communications.delivery_rank(m.status) then v_status else m.status end,
               sent_at = least(m.sent_at, v_at),
               delivered_at = case when v_rank >= 3 then least(m.delivered_at, v_at) else m.delivered_at end,
               read_at = case when v_rank = 4 then least(m.read_at, v_at) else m.read_at end
         where m.tenant_id = v_account.tenant_id and m.id = v_message.id
           and m.status in ('SENT', 'DELIVERED', 'READ') and m.failed_at is null;
        if not found then
            -- Something else was reported in between: the long way knows what follows.
            perform communications.project_reports(
                array [v_account.tenant_id], array [v_message.id], array [v_status], array [p ->> 'external_message_id'],
                array [v_at], array [null::text], array [null::text]);
        end if;
    end if;

    if jsonb_typeof(p -> 'price') = 'object' then
        insert into communications.message_prices
            (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at)
        values (v_account.tenant_id, v_message.id, v_account.id, p #>> '{price,category}', p #>> '{price,model}', p #>> '{price,kind}',
                (p #>> '{price,billable}')::boolean, (p #>> '{price,units}')::integer, (p #>> '{price,micros}')::bigint,
                p #>> '{price,currency}', v_at)
        on conflict on constraint message_prices_pkey do nothing;
    end if;
    if p ? 'aliases' and exists (
           select from jsonb_array_elements(p -> 'aliases') as a
            where not exists (select from communications.contact_identities i
                               where i.tenant_id = v_account.tenant_id and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
                                 and i.contact_id = v_message.contact_id)) then
        perform communications.learn_aliases(jsonb_build_array(jsonb_build_object(
            'tenant_id', v_account.tenant_id, 'contact_id', v_message.contact_id, 'address', v_message.address,
            'aliases', p -> 'aliases')));
    end if;
    return '{"new": 1, "waiting": 0, "parked": []}';
end
$$;

-- Statuses and nothing else: {"door", "channel", "reports": [record_reports' elements with "number" and "waba_id" instead of
-- tenant and account]}. Null, with nothing written, when one of the numbers has no owner here: then the long way sorts it.
create function communications.inbound_statuses(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_reports jsonb;
begin
    if jsonb_array_length(p -> 'reports') = 1 then
        v_reports := communications.inbound_status(p ->> 'channel', (p ->> 'door')::uuid, p -> 'reports' -> 0);
        if v_reports is not null then
            return v_reports;
        end if;
    end if;
    select jsonb_agg(r.value || jsonb_build_object('tenant_id', o.tenant_id, 'account_id', o.account_id))
      into v_reports
      from jsonb_array_elements(p -> 'reports') as r (value)
      join communications.inbound_numbers(
               p ->> 'channel', (p ->> 'door')::uuid,
               array(select distinct n ->> 'number' from jsonb_array_elements(p -> 'reports') as n)) o
        on o.number = r.value ->> 'number'
       and (o.waba_id is null or r.value ->> 'waba_id' is null or r.value ->> 'waba_id' in (o.waba_id, o.messaging_account_id));
    if v_reports is null or jsonb_array_length(v_reports) < jsonb_array_length(p -> 'reports') then
        return null;
    end if;
    return communications.record_reports(v_reports);
end
$$;

-- Marks what blocked contacts wrote ("muted") and lets it wake nothing: it is stored in their thread, but reopens none, is not
-- unread and lifts no thread in the list.
create function communications.mute_blocked(p jsonb) returns jsonb
    language sql stable
as $$
    select case when bool_or(c.id is not null)
                then jsonb_agg(case when c.id is null then m.value
                                    else m.value || '{"muted": true, "wakes": false}' end order by m.n)
                else p end
      from jsonb_array_elements(p) with ordinality as m (value, n)
      left join communications.contacts c
        on c.tenant_id = (m.value ->> 'tenant_id')::uuid and c.id = (m.value ->> 'contact_id')::uuid
       and c.blocked_at is not null and m.value ->> 'direction' = 'INBOUND';
$$;

-- Stores messages that are not here yet, each in its contact's thread. Elements: {"id", "tenant_id", "account_id", "channel",
-- "contact_id", "direction", "wakes", "opens_window", "address", "content", "body", "preview", "external_message_id", "reply_to",
-- "rfc_message_id", "context", "sent_at", "media": [...]}.
-- The senders' locks are held, so nobody else opens a thread for them at the same time; the unique index on live conversations
-- is the second guard. The assignee is kept; a snoozed thread wakes unless it is to sleep through replies; what does not wake
-- (a notice, an automatic answer, our own words from elsewhere) reopens nothing. Answers the new ones' count and their media.
create function communications.store_messages(p jsonb) returns jsonb
    language plpgsql
as $$
#variable_conflict use_column
declare
    v_ids       uuid[];
    v_tenants   uuid[];
    v_contacts  uuid[];
    v_threads   uuid[];
    v_owners    uuid[];
    v_opened    integer;
    v_people    integer;
    v_media     jsonb;
begin
    p := communications.mute_blocked(p);

    -- New is what is not here, once, whatever the payload repeats.
    select array_agg(i.id), array_agg(i.tenant_id)
      into v_ids, v_tenants
      from (select distinct on (r.tenant_id, r.account_id, r.external_message_id) r.id, r.tenant_id
              from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text)
             where not exists (select from communications.messages m
                                where m.tenant_id = r.tenant_id and m.account_id = r.account_id
                                  and m.external_message_id = r.external_message_id)
             order by r.tenant_id, r.account_id, r.external_message_id, r.id) i;
    if v_ids is null then
        return jsonb_build_object('messages', 0, 'media', '[]'::jsonb);
    end if;

    select count(distinct (r.tenant_id, r.contact_id)) into v_people
      from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, contact_id uuid) where r.id = any(v_ids);

    -- Each contact's live thread, else the last one.
    with arrived as (
        select r.tenant_id, r.contact_id,
               count(*) filter (where r.direction = 'INBOUND' and r.muted is not true) as inbound,
               bool_or(r.wakes) as wakes,
               -- A clock ahead of ours must not keep a thread on top of the list.
               case when bool_or(r.muted is not true) then least(max(r.sent_at) filter (where r.muted is not true), now()) end as last_at,
               (array_agg(r.preview order by r.sent_at desc, r.id desc))[1] as preview,
               least(max(r.sent_at) filter (where r.direction = 'INBOUND'), now()) as inbound_at,
               (array_agg(r.channel order by r.sent_at desc, r.id desc) filter (where r.direction = 'INBOUND'))[1] as channel,
               (array_agg(r.account_id order by r.sent_at desc, r.id desc) filter (where r.direction = 'INBOUND'))[1] as account_id
          from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid,
                                           direction text, wakes boolean, muted boolean, preview text, sent_at timestamptz)
         where r.id = any(v_ids)
         group by r.tenant_id, r.contact_id),
    latest as (
        select a.*, c.id, c.status, c.snoozed_until_reply
          from arrived a
          left join communications.tenant_settings s on s.tenant_id = a.tenant_id
         cross join lateral (
             select c.id, c.status, c.snoozed_until_reply from communications.conversations c
              where c.tenant_id = a.tenant_id and c.contact_id = a.contact_id
                -- What was resolved too long ago is history: a new thread continues it.
                and (c.status <> 'RESOLVED' or not a.wakes or s.reopen_within_days is null or c.resolved_at is null
                     or c.resolved_at > now() - s.reopen_within_days * interval '1 day')
              order by (c.status <> 'RESOLVED') desc, c.created_at desc, c.id desc
              limit 1 for update) c),
    continued as (
        update communications.conversations c
           set status = case when a.wakes and (a.status = 'RESOLVED' or a.status = 'SNOOZED' and a.snoozed_until_reply)
                             then 'OPEN' else c.status end,
               snoozed_until = case when a.status = 'SNOOZED' and not (a.wakes and a.snoozed_until_reply) then c.snoozed_until end,
               inbound_count = c.inbound_count + a.inbound,
               last_message_at = greatest(c.last_message_at, a.last_at),
               last_inbound_at = greatest(c.last_inbound_at, a.inbound_at),
               -- What came late does not become what was said last.
               last_inbound_channel = case when a.inbound_at >= coalesce(c.last_inbound_at, a.inbound_at)
                                           then a.channel else c.last_inbound_channel end,
               last_inbound_account = case when a.inbound_at >= coalesce(c.last_inbound_at, a.inbound_at)
                                           then a.account_id else c.last_inbound_account end,
               preview = case when a.last_at >= c.last_message_at then a.preview else c.preview end
          from latest a
         where c.tenant_id = a.tenant_id and c.id = a.id
        returning c.tenant_id, c.contact_id, c.id, a.status as before, c.status as after),
    logged as (
        insert into communications.conversation_events (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind)
        select tenant_id, communications.uuid_v7(), id, 'REOPENED', before, after, 'CONTACT' from continued where before <> after)
    select array_agg(tenant_id), array_agg(contact_id), array_agg(id) into v_owners, v_contacts, v_threads from continued;

    if coalesce(cardinality(v_contacts), 0) < v_people then
        -- A new thread takes the trip and booking of the latest automated message.
        with arrived as (
            select r.tenant_id, r.contact_id,
                   count(*) filter (where r.direction = 'INBOUND' and r.muted is not true) as inbound,
                   case when bool_or(r.muted is not true) then least(max(r.sent_at) filter (where r.muted is not true), now()) end as last_at,
                   (array_agg(r.preview order by r.sent_at desc, r.id desc))[1] as preview,
                   least(max(r.sent_at) filter (where r.direction = 'INBOUND'), now()) as inbound_at,
                   (array_agg(r.channel order by r.sent_at desc, r.id desc) filter (where r.direction = 'INBOUND'))[1] as channel,
                   (array_agg(r.account_id order by r.sent_at desc, r.id desc) filter (where r.direction = 'INBOUND'))[1] as account_id
              from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid,
                                               direction text, muted boolean, preview text, sent_at timestamptz)
             where r.id = any(v_ids)
               and not exists (select from unnest(v_owners, v_contacts) as k (tenant_id, contact_id)
                                where k.tenant_id = r.tenant_id and k.contact_id = r.contact_id)
             group by r.tenant_id, r.contact_id),
        opened as (
            insert into communications.conversations
                (tenant_id, id, contact_id, status, inbound_count, last_message_at, last_inbound_at, last_inbound_channel,
                 last_inbound_account, preview, trip_id, booking_id, invoice_id, continues)
            -- Nothing but muted messages: a thread that waits for nobody.
            select a.tenant_id, communications.uuid_v7(), a.contact_id, case when a.last_at is null then 'RESOLVED' else 'OPEN' end,
                   a.inbound, coalesce(a.last_at, a.inbound_at), a.inbound_at, a.channel, a.account_id,
                   a.preview, (about.context ->> 'trip_id')::uuid, (about.context ->> 'booking_id')::uuid,
                   (about.context ->> 'invoice_id')::uuid,
                   (select c.id from communications.conversations c
                     where c.tenant_id = a.tenant_id and c.contact_id = a.contact_id
                     order by c.created_at desc, c.id desc limit 1)
              from arrived a
              left join lateral (
                  select r.context
                    from communications.messages m
                    join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
                   where m.tenant_id = a.tenant_id and m.contact_id = a.contact_id and m.conversation_id is null
                   order by m.created_at desc
                   limit 1) about on true
            returning tenant_id, contact_id, id, status),
        logged as (
            insert into communications.conversation_events (tenant_id, id, conversation_id, kind, to_value, actor_kind)
            select tenant_id, communications.uuid_v7(), id, 'OPENED', status, 'CONTACT' from opened)
        select v_owners || array_agg(tenant_id), v_contacts || array_agg(contact_id), v_threads || array_agg(id)
          into v_owners, v_contacts, v_threads
          from opened;
    end if;

    insert into communications.messages
        (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body, context,
         status, lane, category, attempts, external_message_id, reply_to, rfc_message_id, sent_at, delivered_at,
         provider_timestamp, muted)
    select r.tenant_id, r.id, r.direction, r.channel, r.account_id, r.contact_id, t.id,
           case r.direction when 'INBOUND' then 'CONTACT' else 'AGENT' end, r.address, r.content, r.body, r.context,
           case r.direction when 'INBOUND' then 'DELIVERED' else 'SENT' end,
           case r.direction when 'OUTBOUND' then 'INTERACTIVE' end, case r.direction when 'OUTBOUND' then 'SERVICE' end,
           -- Sent once, elsewhere: reports about it count.
           case r.direction when 'OUTBOUND' then 1 else 0 end,
           r.external_message_id, r.reply_to, r.rfc_message_id, r.sent_at,
           case r.direction when 'INBOUND' then now() end, r.sent_at, coalesce(r.muted, false)
      from jsonb_to_recordset(p) as r (
               id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid, direction text, address text,
               content jsonb, body text, context jsonb, external_message_id text, reply_to text, rfc_message_id text,
               sent_at timestamptz, muted boolean)
      join unnest(v_owners, v_contacts, v_threads) as t (tenant_id, contact_id, id)
        on t.tenant_id = r.tenant_id and t.contact_id = r.contact_id
     where r.id = any(v_ids);

    -- Until when WhatsApp lets us answer free-form: by Meta's clock, never shortened by a late arrival, and never longer than
    -- from now on.
    insert into communications.whatsapp_windows (tenant_id, account_id, contact_id, open_until)
    select r.tenant_id, r.account_id, r.contact_id, least(max(r.sent_at), now()) + interval '24 hours'
      from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, contact_id uuid, opens_window boolean, sent_at timestamptz)
     where r.opens_window and r.id = any(v_ids)
     group by r.tenant_id, r.account_id, r.contact_id
     order by r.tenant_id, r.account_id, r.contact_id
    on conflict (tenant_id, account_id, contact_id)
       do update set open_until = greatest(communications.whatsapp_windows.open_until, excluded.open_until);

    -- What was sent to a contact before there was a thread belongs to it once they answer: agents see what it is about.
    -- Locked in the order that everybody locks messages in.
    if exists (select from unnest(v_owners, v_contacts) as t (tenant_id, contact_id)
                 join communications.messages m
                   on m.tenant_id = t.tenant_id and m.contact_id = t.contact_id and m.conversation_id is null) then
        with loose as (
            select m.tenant_id, m.id, t.id as conversation_id
              from unnest(v_owners, v_contacts, v_threads) as t (tenant_id, contact_id, id)
              join communications.messages m
                on m.tenant_id = t.tenant_id and m.contact_id = t.contact_id and m.conversation_id is null
             order by m.tenant_id, m.id
               for no key update of m)
        update communications.messages m set conversation_id = loose.conversation_id
          from loose where m.tenant_id = loose.tenant_id and m.id = loose.id;
    end if;

    if p @? '$[*].media[*]' then
        with files as (
            insert into communications.message_media
                (tenant_id, id, message_id, account_id, ordinal, kind, source, source_ref, source_url, mime_type, filename,
                 declared_sha256, expires_at, hint_at)
            select r.tenant_id, f.id, r.id, r.account_id, f.ordinal, f.kind, f.source, f.source_ref, f.source_url, f.mime_type,
                   f.filename, f.declared_sha256, f.expires_at,
                   -- A hint follows the commit.
                   now()
              from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, media jsonb)
             cross join jsonb_to_recordset(r.media) as f (id uuid, ordinal smallint, kind text, source text, source_ref text,
                        source_url text, mime_type text, filename text, declared_sha256 text, expires_at timestamptz)
             where r.id = any(v_ids)
            returning tenant_id, id)
        select jsonb_agg(jsonb_build_array(tenant_id, id)) into v_media from files;
    end if;

    -- Changes that came before their message.
    if exists (select from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text)
                 join communications.message_revisions v
                   on v.tenant_id = r.tenant_id and v.account_id = r.account_id and v.target_external_id = r.external_message_id
                where r.id = any(v_ids)) then
        perform communications.apply_revisions(array_agg(r.tenant_id), array_agg(r.account_id), array_agg(r.external_message_id))
           from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text)
          where r.id = any(v_ids);
    end if;

    return jsonb_build_object('messages', cardinality(v_ids), 'media', coalesce(v_media, '[]'));
end
$$;

-- Makes messages say what their newest change says. Only whoever wrote a message may change it; a deletion ends it, whatever
-- else comes.
create function communications.apply_revisions(p_tenants uuid[], p_accounts uuid[], p_targets text[]) returns void
    language plpgsql
as $$
#variable_conflict use_column
begin
    with target as (
        select distinct m.tenant_id, m.id, m.account_id, m.contact_id, m.external_message_id, m.content, m.body, m.conversation_id,
               m.provider_timestamp, case m.direction when 'INBOUND' then 'CONTACT' else 'AGENT' end as actor_kind
          from unnest(p_tenants, p_accounts, p_targets) as t (tenant_id, account_id, external_id)
          join communications.messages m
            on m.tenant_id = t.tenant_id and m.account_id = t.account_id and m.external_message_id = t.external_id),
    change as (
        select t.*, v.kind, v.content as new_content, v.body as new_body, v.at
          from target t
         cross join lateral (
             select v.* from communications.message_revisions v
              where v.tenant_id = t.tenant_id and v.account_id = t.account_id and v.target_external_id = t.external_message_id
                and v.contact_id = t.contact_id and v.actor_kind = t.actor_kind and v.kind in ('EDIT', 'REVOKE')
              order by (v.kind = 'REVOKE') desc, v.at desc, v.external_message_id desc
              limit 1) v),
    kept as (
        insert into communications.message_revisions
            (tenant_id, account_id, external_message_id, target_external_id, contact_id, actor_kind, kind, content, body, at)
        select tenant_id, account_id, external_message_id, external_message_id, contact_id, actor_kind, 'ORIGINAL', content, body,
               coalesce(provider_timestamp, at)
          from change
        on conflict on constraint message_revisions_pkey do nothing),
    changed as (
        update communications.messages m
           set content = case when c.kind = 'REVOKE' then '{"type": "revoked"}'
                              -- A new caption may come without its file.
                              when m.content ->> 'type' = c.new_content ->> 'type' then m.content || c.new_content
                              else c.new_content end,
               body = case c.kind when 'REVOKE' then '' else c.new_body end,
               edited_at = case c.kind when 'EDIT' then c.at else m.edited_at end,
               revoked_at = case c.kind when 'REVOKE' then c.at end
          from change c
         where m.tenant_id = c.tenant_id and m.id = c.id
        returning m.tenant_id, m.conversation_id, m.id, m.body, m.thread_at)
    -- The list shows the last message as it reads now.
    update communications.conversations v
       set preview = left(c.body, 200)
      from changed c
     where v.tenant_id = c.tenant_id and v.id = c.conversation_id
       and not exists (select from communications.messages later
                        where later.tenant_id = c.tenant_id and later.conversation_id = c.conversation_id
                          and (later.thread_at, later.id) > (c.thread_at, c.id));
end
$$;

-- Edits and deletions: {"tenant_id", "account_id", "external_message_id", "target", "contact_id", "actor_kind", "kind", "content",
-- "body", "at"}.
create function communications.store_revisions(p jsonb) returns void
    language plpgsql
as $$
begin
    insert into communications.message_revisions
        (tenant_id, account_id, external_message_id, target_external_id, contact_id, actor_kind, kind, content, body, at)
    select r.tenant_id, r.account_id, r.external_message_id, r.target, r.contact_id, r.actor_kind, r.kind, r.content, r.body, r.at
      from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, external_message_id text, target text, contact_id uuid,
                                       actor_kind text, kind text, content jsonb, body text, at timestamptz)
    on conflict on constraint message_revisions_pkey do nothing;
    perform communications.apply_revisions(array_agg(r.tenant_id), array_agg(r.account_id), array_agg(r.target))
       from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, target text);
end
$$;

-- Reactions: {"tenant_id", "account_id", "target", "contact_id", "actor_kind", "emoji", "external_message_id", "at"}. The newest
-- of each person counts, in whatever order they come.
create function communications.store_reactions(p jsonb) returns void
    language sql
as $$
    insert into communications.message_reactions as m
        (tenant_id, account_id, target_external_id, contact_id, actor_kind, emoji, external_message_id, at)
    select distinct on (r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind)
           r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind, r.emoji, r.external_message_id, r.at
      from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, target text, contact_id uuid, actor_kind text, emoji text,
                                       external_message_id text, at timestamptz)
     order by r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind, r.at desc, r.external_message_id desc
    on conflict on constraint message_reactions_pkey do update
       set emoji = excluded.emoji, external_message_id = excluded.external_message_id, at = excluded.at
     where (excluded.at, excluded.external_message_id) > (m.at, m.external_message_id);
$$;

-- Everything of one payload, in the order in which it stands on each other. Absent members are absent things.
create function communications.inbound_store(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_answer jsonb := '{}';
begin
    if p ? 'people' then
        perform communications.people_store(p -> 'people');
    end if;
    if p ? 'messages' then
        v_answer := communications.store_messages(p -> 'messages');
    end if;
    if p ? 'reactions' then
        perform communications.store_reactions(p -> 'reactions');
    end if;
    if p ? 'revisions' then
        perform communications.store_revisions(p -> 'revisions');
    end if;
    if p ? 'reports' then
        v_answer := v_answer || jsonb_build_object('reports', communications.record_reports(p -> 'reports'));
    end if;
    if p ? 'wishes' then
        perform communications.note_wishes(p -> 'wishes');
    end if;
    if p ? 'notices' then
        v_answer := v_answer || jsonb_build_object('alerts', communications.store_notices(p -> 'notices'));
    end if;
    return v_answer;
end
$$;
