-- What a provider's report costs. Measured on one message after the other: an update of `messages` wrote a new entry into each of
-- its indexes, since a dozen of them name `status`; every statement that writes the table read and planned its CHECKs anew, which took
-- as long as the rest of it; and the log had a key too many and two foreign keys.

-- 1. Reports touch no index (heap-only updates).
alter table communications.messages
    -- When it became EXPIRED, which may be long after expires_at: the service was down, or it was in doubt.
    add column expired_at timestamptz;
update communications.messages set expired_at = updated_at where status = 'EXPIRED';

alter table communications.messages
    -- What the queue still has to do with a message, or why it is done in vain; null from SENT on. Indexes name this column instead
    -- of `status`, so that SENT → DELIVERED → READ changes none of them. Who wants to use them must ask by it.
    add column queue_status text generated always as (
        case when status in ('QUEUED', 'SENDING', 'UNCERTAIN', 'FAILED', 'EXPIRED') then status end) stored,
    -- Room beside each row for its next version.
    set (fillfactor = 70);

drop index communications.messages_due, communications.messages_expiring, communications.messages_leased,
    communications.messages_uncertain, communications.messages_unsent_in_conversation, communications.messages_waiting,
    communications.messages_fallbacks_sent, communications.messages_ended_in_vain;

create index messages_due on communications.messages (due_at) where queue_status = 'QUEUED';
create index messages_expiring on communications.messages (expires_at) where queue_status = 'QUEUED';
create index messages_leased on communications.messages (lease_until) where queue_status = 'SENDING';
create index messages_unsent_in_conversation on communications.messages (tenant_id, conversation_id, lane, id)
    where queue_status in ('QUEUED', 'SENDING') and conversation_id is not null;
create index messages_waiting on communications.messages (tenant_id, account_id, lane, due_at)
    where queue_status = 'QUEUED' and hint_at = '-infinity';
-- No index may name what an update always changes (updated_at) or a report may lower (sent_at).
create index messages_uncertain on communications.messages (tenant_id, id) where queue_status = 'UNCERTAIN';
create index messages_fallbacks_made on communications.messages (created_at) where fallback_of is not null;
create or replace view communications.double_reaches as
    select first.tenant_id, first.id as message_id, first.channel, second.id as fallback_id,
           second.channel as fallback_channel, second.fallback_reason, first.delivered_at, second.sent_at,
           second.created_at as made_at
      from communications.messages second
      join communications.messages first on first.tenant_id = second.tenant_id and first.id = second.fallback_of
     where second.fallback_of is not null and first.status in ('DELIVERED', 'READ') and second.status in ('SENT', 'DELIVERED', 'READ')
       and (second.fallback_reason <> 'NOT_READ' or first.status = 'READ');
create index messages_ended_in_vain on communications.messages (tenant_id, (coalesce(failed_at, expired_at)))
    where queue_status in ('FAILED', 'EXPIRED');

-- Passages of functions that stay as they are otherwise. Those that look for what is queued ask by the column of the indexes. Whose an
-- alias is was tried as a condition on every contact of the tenant, until the answer was fenced off. And a report, which holds its message,
-- does not wait for a contact that somebody holds (a merge, which waits for the message): it leaves the id to the next report.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select p.oid, x.old, x.new
          from (values
                ('claim_messages', 'earlier.status in (', 'earlier.queue_status in ('),
                ('release_waiting', 'earlier.status in (', 'earlier.queue_status in ('),
                ('release_waiting', 'm.status = ''QUEUED'' and m.hint_at', 'm.queue_status = ''QUEUED'' and m.hint_at'),
                ('settle_messages', 'm.status = ''QUEUED'' and m.hint_at', 'm.queue_status = ''QUEUED'' and m.hint_at'),
                ('follow_ups', 'm.status in (''QUEUED'', ''SENDING'')', 'm.queue_status in (''QUEUED'', ''SENDING'')'),
                ('replay_candidates', 'm.status in (''FAILED'', ''EXPIRED'')', 'm.queue_status in (''FAILED'', ''EXPIRED'')'),
                ('people_load',
                 'join communications.contacts c
                on c.tenant_id = o.tenant_id
               and c.id = case when o.merged_into is null then o.id else communications.living_contact(o.tenant_id, o.id) end) f',
                 'cross join lateral (select case when o.merged_into is null then o.id
                                           else communications.living_contact(o.tenant_id, o.id) end as id offset 0) living
              join communications.contacts c on c.tenant_id = o.tenant_id and c.id = living.id) f'),
                ('learn_aliases',
                 'from free f)
    insert',
                 'from free f),
    held as materialized (
        select c.id from communications.contacts c
         where (c.tenant_id, c.id) in (select l.tenant_id, l.contact_id from locked l where l.taken)
           for no key update skip locked)
    insert'),
                ('learn_aliases', 'from locked where taken', 'from locked where taken and contact_id in (select id from held)'),
                ('replay_candidates', 'coalesce(m.failed_at, m.updated_at)', 'coalesce(m.failed_at, m.expired_at)'))
               as x (name, old, new)
          join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := replace(pg_get_functiondef(f.oid), f.old, f.new);
        if v_new = pg_get_functiondef(f.oid) then
            raise exception 'nothing to replace in %', f.oid::regprocedure;
        end if;
        execute v_new;
    end loop;
end
$$;

-- 2. The rules of a row are the triggers', which every writer meets as before: a function's expressions are planned once in a
-- session, those of a CHECK in every statement.
alter table communications.messages
    drop constraint messages_direction_check,
    drop constraint messages_channel_check,
    drop constraint messages_sender_kind_check,
    drop constraint messages_status_check,
    drop constraint messages_lane_check,
    drop constraint messages_category_check,
    drop constraint messages_attempts_check,
    drop constraint messages_deferrals_check,
    drop constraint messages_units_check,
    drop constraint messages_fallback_reason_check,
    drop constraint messages_outbound_has_lane,
    drop constraint messages_inbound_is_delivered,
    drop constraint messages_sending_has_lease;

create function communications.check_message() returns trigger
    language plpgsql as
$$
declare
    v_broken text;
begin
    if tg_op = 'INSERT' then
        -- An echo begins as SENT: it left elsewhere and has the provider's id.
        if new.direction = 'OUTBOUND' and new.status not in ('QUEUED', 'SUPPRESSED')
           and (new.status <> 'SENT' or new.external_message_id is null) then
            raise exception 'an outbound message begins as QUEUED or SUPPRESSED, or as SENT with the provider''s id, not as %', new.status
                using errcode = 'check_violation', constraint = 'messages_transition';
        end if;
    else
        new.updated_at := now();
        if new.status = 'EXPIRED' and old.status <> 'EXPIRED' then
            new.expired_at := now();
        end if;
        if new.status <> old.status and not (old.direction = 'OUTBOUND' and (
            case old.status
                when 'QUEUED' then new.status in ('SENDING', 'SUPPRESSED', 'SIMULATED', 'CANCELLED', 'EXPIRED')
                when 'SENDING' then new.status in ('SENT', 'QUEUED', 'FAILED', 'UNCERTAIN')
                when 'UNCERTAIN' then new.status in ('SENT', 'QUEUED', 'FAILED', 'CANCELLED', 'EXPIRED')
                when 'SENT' then new.status in ('DELIVERED', 'READ', 'FAILED')
                when 'DELIVERED' then new.status in ('READ', 'FAILED')
                else false end
            -- The provider's word about a message that it names: it may come before we settle, after we queued a doubtful
            -- send again, or after an earlier failure report.
            or old.attempts > 0 and new.external_message_id is not null and
                case old.status
                    when 'QUEUED' then new.status in ('SENT', 'DELIVERED', 'READ')
                    when 'SENDING' then new.status in ('DELIVERED', 'READ')
                    when 'UNCERTAIN' then new.status in ('DELIVERED', 'READ')
                    when 'FAILED' then new.status in ('DELIVERED', 'READ')
                    else false end)) then
            raise exception 'an outbound message cannot go from % to %, an inbound one nowhere (this one is %)',
                old.status, new.status, old.direction
                using errcode = 'check_violation', constraint = 'messages_transition';
        end if;
    end if;
    -- What a report changes breaks none of these.
    if tg_op = 'INSERT'
       or (new.direction, new.channel, new.sender_kind, new.lane, new.category, new.attempts, new.deferrals, new.units,
           new.fallback_reason, new.lease_until is null, new.status = 'SENDING')
          is distinct from
          (old.direction, old.channel, old.sender_kind, old.lane, old.category, old.attempts, old.deferrals, old.units,
           old.fallback_reason, old.lease_until is null, old.status = 'SENDING') then
        v_broken := case
            when new.direction not in ('INBOUND', 'OUTBOUND') then 'messages_direction_check'
            when new.channel not in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT') then 'messages_channel_check'
            when new.sender_kind not in ('AGENT', 'SYSTEM', 'CONTACT') then 'messages_sender_kind_check'
            when new.status not in ('QUEUED', 'SENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED', 'UNCERTAIN', 'SUPPRESSED',
                                    'SIMULATED', 'CANCELLED', 'EXPIRED') then 'messages_status_check'
            when new.lane not in ('INTERACTIVE', 'TRANSACTIONAL', 'BULK') then 'messages_lane_check'
            when new.category not in ('OTP', 'TRANSACTIONAL', 'MARKETING', 'SERVICE') then 'messages_category_check'
            when new.attempts < 0 then 'messages_attempts_check'
            when new.deferrals < 0 then 'messages_deferrals_check'
            when new.units not between 1 and 20 then 'messages_units_check'
            when new.fallback_reason not in ('FAILED', 'NOT_DELIVERED', 'NOT_READ') then 'messages_fallback_reason_check'
            when new.direction = 'OUTBOUND' and (new.lane is null or new.category is null) then 'messages_outbound_has_lane'
            when new.direction = 'INBOUND' and new.status <> 'DELIVERED' then 'messages_inbound_is_delivered'
            when (new.status = 'SENDING') <> (new.lease_until is not null) then 'messages_sending_has_lease'
            end;
    end if;
    if v_broken is not null then
        raise exception 'new row for relation "messages" breaks its rule "%"', v_broken
            using errcode = 'check_violation', schema = 'communications', table = 'messages', constraint = v_broken;
    end if;
    return new;
end
$$;

drop trigger check_insert on communications.messages;
drop trigger check_transition on communications.messages;
drop function communications.check_message_insert, communications.check_message_transition;
create trigger check_message before insert or update on communications.messages
    for each row execute function communications.check_message();

-- 3. The log's key is what makes a report one. It is only added to, with the ids of rows that its own statement has just read, so
-- that foreign keys would look up each of them again.
alter table communications.message_status_events
    drop constraint message_status_events_pkey,
    drop constraint message_status_events_key,
    add constraint message_status_events_key primary key (tenant_id, account_id, external_message_id, provider_status),
    drop constraint message_status_events_tenant_id_account_id_fkey,
    drop constraint message_status_events_tenant_id_message_id_fkey;

-- 4. What most payloads are: one status, good news, about a message that is on its way, with nothing that hangs on it. The same rows
-- as by record_reports, at a fraction of its cost: one statement finds all that is asked, then each table is written once, and only if
-- there is something new. Null, with nothing written, for everything else. As there, the log comes before the message's lock.
create or replace function communications.inbound_status(p_channel text, p_door uuid, p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_at   timestamptz := p ->> 'occurred_at';
    v_id   text := p ->> 'external_message_id';
    v_echo uuid := p ->> 'correlation_id';
    v_number text := p ->> 'number';
    v_waba text := p ->> 'waba_id';
    v_word text := p ->> 'status';
    v_rank integer := communications.delivery_rank(v_word);
    v_this record;
begin
    if v_rank not in (1, 3, 4) or p ->> 'effect' <> '' then
        return null;
    end if;
    select m.tenant_id, m.account_id, m.id, m.contact_id, m.address, m.sent_at, m.delivered_at, m.read_at,
           communications.delivery_rank(m.status) as rank,
           p ->> 'price' is not null and c.message_id is null as priced,
           exists (select from jsonb_array_elements(p -> 'aliases') as s
                    where not exists (select from communications.contact_identities i
                                       where i.tenant_id = m.tenant_id and i.kind = s ->> 0 and i.scope = s ->> 1
                                         and i.value = s ->> 2 and i.contact_id = m.contact_id)) as learned
      into v_this
      from communications.channel_accounts a
      join communications.messages m on m.tenant_id = a.tenant_id and m.id = v_echo and m.account_id = a.id
      left join communications.message_prices c on c.tenant_id = m.tenant_id and c.message_id = m.id
     where a.channel = p_channel and a.external_account_id = v_number and (p_door is null or a.tenant_id = p_door)
       and (a.waba_id is null or v_waba is null or v_waba in (a.waba_id, a.messaging_account_id))
       and m.external_message_id = v_id and m.status in ('SENT', 'DELIVERED', 'READ')
       and m.direction = 'OUTBOUND' and m.failed_at is null and m.fallback_of is null
       and not exists (select from communications.message_fallbacks f where f.tenant_id = m.tenant_id and f.message_id = m.id)
       and not exists (select from communications.messages later where later.tenant_id = m.tenant_id and later.fallback_of = m.id);
    if not found then
        return null;
    end if;

    insert into communications.message_status_events
        (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, occurred_at, raw)
    values (v_this.tenant_id, (p ->> 'id')::uuid, v_this.account_id, v_id, v_this.id, v_word, p ->> 'provider_status', v_at, p -> 'raw')
    on conflict on constraint message_status_events_key do nothing;
    if not found then
        return '{"new": 0, "waiting": 0, "parked": []}';
    end if;

    if v_rank > v_this.rank or v_at <= v_this.sent_at - interval '1 second'
       or v_rank >= 3 and v_at < coalesce(v_this.delivered_at, 'infinity')
       or v_rank = 4 and v_at < coalesce(v_this.read_at, 'infinity') then
        update communications.messages m
           set status = case when v_rank > communications.delivery_rank(m.status) then v_word else m.status end,
               sent_at = least(m.sent_at, v_at),
               delivered_at = case when v_rank >= 3 then least(m.delivered_at, v_at) else m.delivered_at end,
               read_at = case when v_rank = 4 then least(m.read_at, v_at) else m.read_at end
         where m.tenant_id = v_this.tenant_id and m.id = v_this.id
           and m.status in ('SENT', 'DELIVERED', 'READ') and m.failed_at is null;
        if not found then
            -- Something else was reported in between: the long way knows what follows.
            perform communications.project_reports(
                array [v_this.tenant_id], array [v_this.id], array [v_word], array [v_id], array [v_at], array [null::text],
                array [null::text]);
        end if;
    end if;

    if v_this.priced then
        insert into communications.message_prices
            (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at)
        select v_this.tenant_id, v_this.id, v_this.account_id, c.category, c.model, c.kind, c.billable, c.units, c.micros, c.currency, v_at
          from jsonb_to_record(p -> 'price') as c (category text, model text, kind text, billable boolean, units integer,
                                                   micros bigint, currency text)
        on conflict on constraint message_prices_pkey do nothing;
    end if;
    if v_this.learned then
        perform communications.learn_aliases(jsonb_build_array(jsonb_build_object(
            'tenant_id', v_this.tenant_id, 'contact_id', v_this.contact_id, 'address', v_this.address, 'aliases', p -> 'aliases')));
    end if;
    return '{"new": 1, "waiting": 0, "parked": []}';
end
$$;

alter function communications.inbound_status reset all;
-- By the keys, also while the tables are new and Postgres takes them for empty.
alter function communications.inbound_status set plan_cache_mode = force_generic_plan set enable_seqscan = off;

-- Statuses and nothing else: {"door", "channel", "reports": [record_reports' elements with "number" and "waba_id" instead of
-- tenant and account]}. Null, with nothing written, when one of the numbers has no owner here: then the long way sorts it.
create or replace function communications.inbound_statuses(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_answer jsonb;
begin
    if jsonb_array_length(p -> 'reports') = 1 then
        v_answer := communications.inbound_status(p ->> 'channel', (p ->> 'door')::uuid, p -> 'reports' -> 0);
    end if;
    return coalesce(v_answer, communications.inbound_many_statuses(p));
end
$$;

create function communications.inbound_many_statuses(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_reports jsonb;
begin
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

-- 5. Many reports at once. As in 0018, but for prices and aliases, and whole, because its variables change as well.
create or replace function communications.record_reports(p jsonb) returns jsonb
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
        returning tenant_id, account_id, message_id, status, external_message_id, occurred_at, failure_code, failure_reason,
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
           array_agg(l.effect) filter (where l.message_id is not null)
      into v_new, v_tenants, v_ids, v_accounts, v_statuses, v_externals, v_at, v_codes, v_reasons, v_effects
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

    -- Back to the payload by the log's key: a list of a thousand joined to itself is a million comparisons.
    if p @? '$[*].price ? (@ != null)' then
        perform communications.store_prices(array_agg(e.tenant_id), array_agg(e.message_id), array_agg(e.account_id),
                                            array_agg(e.occurred_at), array_agg(r.price))
           from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text, provider_status text,
                                            price jsonb)
           join communications.message_status_events e
             on e.tenant_id = r.tenant_id and e.account_id = r.account_id and e.external_message_id = r.external_message_id
            and e.provider_status = r.provider_status
          where e.id = r.id and e.message_id is not null;
    end if;

    if p @? '$[*].aliases[*]' then
        perform communications.learn_aliases(jsonb_agg(jsonb_build_object(
                    'tenant_id', s.tenant_id, 'contact_id', s.contact_id, 'address', s.address, 'aliases', r.aliases)))
           from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text, provider_status text,
                                            aliases jsonb)
           join communications.message_status_events e
             on e.tenant_id = r.tenant_id and e.account_id = r.account_id and e.external_message_id = r.external_message_id
            and e.provider_status = r.provider_status
           join communications.messages s on s.tenant_id = e.tenant_id and s.id = e.message_id
          where e.id = r.id and jsonb_array_length(r.aliases) > 0;
    end if;

    return jsonb_build_object('new', v_new, 'waiting', v_new - cardinality(v_ids), 'parked', v_parked);
end
$$;

-- 6. Settings of functions within functions: a setting is taken on and off at every call, each at the price of a statement. Those that
-- the service calls have the settings of 0024, and what they call runs under theirs. For whoever asks for people alone:
create function communications.find_people(p jsonb) returns jsonb
    language plpgsql
as $$
begin
    return communications.people_load(p);
end
$$;

do $$
declare
    f record;
begin
    for f in
        select p.oid::regprocedure as name, k.calls
          from (values
                ('find_people', true), ('record_reports', true), ('inbound_many_statuses', true), ('inbound_statuses', false),
                -- Not learn_aliases and project_reports: inbound_status is too short for these settings and calls them, seldom.
                ('people_load', false), ('open_reviews', false), ('apply_reported', false), ('store_prices', false),
                ('store_messages', false), ('store_reactions', false), ('store_revisions', false), ('apply_revisions', false),
                ('mute_blocked', false), ('note_wishes', false), ('store_notices', false), ('store_template_notices', false),
                ('store_account_notices', false)) as k (name, calls)
          join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = k.name
    loop
        execute format('alter function %s %s', f.name, case when f.calls then
            'set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set join_collapse_limit = 1
                set plan_cache_mode = force_generic_plan' else 'reset all' end);
    end loop;
end
$$;
