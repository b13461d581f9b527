-- The schema as all migrations make it, for reading. Written by: cargo xtask sqlx

CREATE SCHEMA communications;

CREATE TABLE communications.channel_accounts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    channel text NOT NULL,
    provider text NOT NULL,
    status text DEFAULT 'PENDING'::text NOT NULL,
    status_reason text,
    status_changed_at timestamp with time zone DEFAULT now() NOT NULL,
    display_name text NOT NULL,
    sender text NOT NULL,
    external_account_id text,
    waba_id text,
    waac_id text,
    messaging_account_id text,
    provider_config jsonb DEFAULT '{"public": {}, "secrets": []}'::jsonb NOT NULL,
    mode text DEFAULT 'LIVE'::text NOT NULL,
    throughput_per_second integer,
    messaging_tier text,
    quality text,
    send_health text DEFAULT 'UNKNOWN'::text NOT NULL,
    media_health text DEFAULT 'UNKNOWN'::text NOT NULL,
    template_health text DEFAULT 'UNKNOWN'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    resume_at timestamp with time zone,
    read_receipts text DEFAULT 'NEVER'::text NOT NULL,
    created_by uuid,
    acted_by uuid,
    requested_external_id text,
    attempt_id uuid,
    attempt_until timestamp with time zone,
    verify_until timestamp with time zone,
    verified_at timestamp with time zone,
    checked_at timestamp with time zone,
    templates_synced_at timestamp with time zone,
    templates_tried_at timestamp with time zone,
    asked_at timestamp with time zone,
    CONSTRAINT channel_accounts_attempt CHECK (((attempt_id IS NULL) = (attempt_until IS NULL))),
    CONSTRAINT channel_accounts_channel_check CHECK ((channel = ANY (ARRAY['WHATSAPP'::text, 'EMAIL'::text, 'SMS'::text, 'WEBCHAT'::text]))),
    CONSTRAINT channel_accounts_media_health_check CHECK ((media_health = ANY (ARRAY['UNKNOWN'::text, 'OK'::text, 'FAILING'::text]))),
    CONSTRAINT channel_accounts_mode_check CHECK ((mode = ANY (ARRAY['LIVE'::text, 'SANDBOX'::text]))),
    CONSTRAINT channel_accounts_provider_check CHECK ((provider = ANY (ARRAY['META'::text, 'SES'::text, 'SNS'::text, 'EUM_SMS'::text, 'WEBCHAT'::text]))),
    CONSTRAINT channel_accounts_read_receipts_check CHECK ((read_receipts = ANY (ARRAY['NEVER'::text, 'ON_READ'::text, 'ON_REPLY'::text]))),
    CONSTRAINT channel_accounts_send_health_check CHECK ((send_health = ANY (ARRAY['UNKNOWN'::text, 'OK'::text, 'FAILING'::text]))),
    CONSTRAINT channel_accounts_status_check CHECK ((status = ANY (ARRAY['PENDING'::text, 'VERIFYING'::text, 'ACTIVE'::text, 'SUSPENDED'::text, 'REAUTH_REQUIRED'::text, 'DISABLED'::text]))),
    CONSTRAINT channel_accounts_template_health_check CHECK ((template_health = ANY (ARRAY['UNKNOWN'::text, 'OK'::text, 'FAILING'::text]))),
    CONSTRAINT channel_accounts_throughput_per_second_check CHECK ((throughput_per_second > 0))
);

COMMENT ON COLUMN communications.channel_accounts.read_receipts IS 'When the provider is told that the contact''s messages were read: NEVER, ON_READ by the assignee, ON_REPLY.';

CREATE FUNCTION communications.account_to_send_again(p_tenant uuid, p_account uuid, p_channel text) RETURNS uuid
    LANGUAGE sql STABLE
    RETURN (SELECT a.id FROM communications.channel_accounts a WHERE ((a.tenant_id = account_to_send_again.p_tenant) AND (a.channel = account_to_send_again.p_channel) AND (a.status = 'ACTIVE'::text) AND ((a.id = account_to_send_again.p_account) OR (account_to_send_again.p_channel = ANY (ARRAY['EMAIL'::text, 'SMS'::text])))) ORDER BY (a.id <> account_to_send_again.p_account), a.created_at, a.id LIMIT 1);

CREATE FUNCTION communications.add_batch_recipients(p_tenant uuid, p_batch uuid, p_recipients jsonb[]) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
    v_from integer;
begin
    select b.recipients into v_from from communications.batches b
     where b.tenant_id = p_tenant and b.id = p_batch for no key update;
    insert into communications.batch_recipients (tenant_id, batch_id, position, recipient)
    select p_tenant, p_batch, v_from + r.place::integer - 1, r.recipient
      from unnest(p_recipients) with ordinality as r (recipient, place);
    update communications.batches b set recipients = v_from + cardinality(p_recipients)
     where b.tenant_id = p_tenant and b.id = p_batch;
    return v_from + cardinality(p_recipients);
end
$$;

CREATE FUNCTION communications.add_batch_steps(p_tenant uuid, p_batch uuid, p_size integer) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.batch_steps (tenant_id, batch_id, first, until)
    select b.tenant_id, b.id, n, least(n + p_size, b.recipients)
      from communications.batches b cross join generate_series(0, b.recipients - 1, p_size) as n
     where b.tenant_id = p_tenant and b.id = p_batch
    on conflict do nothing;
$$;

CREATE TABLE communications.address_wishes (
    tenant_id uuid NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    stop_at timestamp with time zone,
    stop_marketing_at timestamp with time zone,
    start_at timestamp with time zone,
    start_marketing_at timestamp with time zone,
    refused_at timestamp with time zone GENERATED ALWAYS AS (
CASE
    WHEN (stop_at >= COALESCE(start_at, '-infinity'::timestamp with time zone)) THEN stop_at
    ELSE NULL::timestamp with time zone
END) STORED,
    marketing_refused_at timestamp with time zone GENERATED ALWAYS AS (GREATEST(
CASE
    WHEN (stop_at >= COALESCE(start_at, '-infinity'::timestamp with time zone)) THEN stop_at
    ELSE NULL::timestamp with time zone
END,
CASE
    WHEN (stop_marketing_at >= COALESCE(start_marketing_at, '-infinity'::timestamp with time zone)) THEN stop_marketing_at
    ELSE NULL::timestamp with time zone
END)) STORED,
    CONSTRAINT address_wishes_address_check CHECK (((address <> ''::text) AND (address = lower(address)))),
    CONSTRAINT address_wishes_channel_check CHECK ((channel = ANY (ARRAY['EMAIL'::text, 'SMS'::text])))
);

CREATE TABLE communications.consents (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    contact_id uuid NOT NULL,
    channel text NOT NULL,
    category text NOT NULL,
    granted boolean NOT NULL,
    basis text NOT NULL,
    source text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    address text,
    CONSTRAINT consents_category_check CHECK ((category = ANY (ARRAY['OTP'::text, 'TRANSACTIONAL'::text, 'MARKETING'::text, 'SERVICE'::text]))),
    CONSTRAINT consents_channel_check CHECK ((channel = ANY (ARRAY['WHATSAPP'::text, 'EMAIL'::text, 'SMS'::text, 'WEBCHAT'::text])))
);

COMMENT ON COLUMN communications.consents.address IS 'Where it was said, of mails and texts, in lower case.';

CREATE FUNCTION communications.address_refuses(p_tenant uuid, p_contact uuid, p_channel text, p_category text, p_address text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((p_category <> 'SERVICE'::text) AND (EXISTS (SELECT FROM (communications.address_wishes w CROSS JOIN LATERAL (SELECT CASE address_refuses.p_category WHEN 'MARKETING'::text THEN w.marketing_refused_at ELSE w.refused_at END AS at) said) WHERE ((w.tenant_id = address_refuses.p_tenant) AND (w.channel = address_refuses.p_channel) AND (w.address = lower(address_refuses.p_address)) AND (said.at IS NOT NULL) AND (NOT (EXISTS (SELECT FROM communications.consents c WHERE ((c.tenant_id = address_refuses.p_tenant) AND (c.contact_id = address_refuses.p_contact) AND (c.channel = address_refuses.p_channel) AND (c.category = address_refuses.p_category) AND c.granted AND (c.at > said.at)))))))));

CREATE FUNCTION communications.alias_of_message(direction text, address text, context jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (direction = 'INBOUND'::text) THEN COALESCE((context ->> 'from'::text), address) ELSE address END;

CREATE FUNCTION communications.living_contact(p_tenant uuid, p_contact uuid) RETURNS uuid
    LANGUAGE sql STABLE
    AS $$
    with recursive chain as (
        select c.id, c.merged_into from communications.contacts c where c.tenant_id = p_tenant and c.id = p_contact
        union all
        select c.id, c.merged_into
          from chain join communications.contacts c on c.tenant_id = p_tenant and c.id = chain.merged_into)
    select id from chain where merged_into is null;
$$;

CREATE TABLE communications.conversations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    contact_id uuid NOT NULL,
    status text DEFAULT 'OPEN'::text NOT NULL,
    assigned_to uuid,
    snoozed_until timestamp with time zone,
    snoozed_until_reply boolean DEFAULT true NOT NULL,
    last_message_at timestamp with time zone DEFAULT now() NOT NULL,
    last_inbound_at timestamp with time zone,
    last_inbound_channel text,
    last_inbound_account uuid,
    preview text DEFAULT ''::text NOT NULL,
    inbound_count bigint DEFAULT 0 NOT NULL,
    booking_id uuid,
    trip_id uuid,
    invoice_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    resolved_at timestamp with time zone,
    continues uuid,
    seen_by uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    holder_unread boolean GENERATED ALWAYS AS (((assigned_to IS NOT NULL) AND (inbound_count > 0) AND (NOT (assigned_to = ANY (seen_by))))) STORED,
    read_by text[] DEFAULT '{}'::text[] NOT NULL,
    read_to bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    contact_name text,
    contact_kind text,
    CONSTRAINT conversations_inbound_count_check CHECK ((inbound_count >= 0)),
    CONSTRAINT conversations_snooze_needs_an_end CHECK (((status <> 'SNOOZED'::text) OR (snoozed_until IS NOT NULL) OR snoozed_until_reply))
);

CREATE TABLE communications.messages (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    direction text NOT NULL,
    channel text NOT NULL,
    account_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    conversation_id uuid,
    sender_kind text NOT NULL,
    sender_id uuid,
    address text NOT NULL,
    content jsonb NOT NULL,
    body text DEFAULT ''::text NOT NULL,
    template_id uuid,
    template_version integer,
    variables jsonb,
    status text NOT NULL,
    lane text,
    category text,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    hint_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    deferrals integer DEFAULT 0 NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    external_message_id text,
    reply_to text,
    fallback_of uuid,
    replay_of uuid,
    run_id uuid,
    step smallint DEFAULT 0 NOT NULL,
    idempotency_key text,
    sent_at timestamp with time zone,
    delivered_at timestamp with time zone,
    read_at timestamp with time zone,
    failed_at timestamp with time zone,
    failed_code text,
    failed_reason text,
    provider_timestamp timestamp with time zone,
    thread_at timestamp with time zone GENERATED ALWAYS AS (COALESCE(provider_timestamp, created_at)) STORED,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    units smallint DEFAULT 1 NOT NULL,
    slot_at timestamp with time zone,
    fallback_reason text,
    context jsonb,
    rfc_message_id text,
    edited_at timestamp with time zone,
    revoked_at timestamp with time zone,
    muted boolean DEFAULT false NOT NULL,
    expired_at timestamp with time zone,
    queue_status text GENERATED ALWAYS AS (
CASE
    WHEN (status = ANY (ARRAY['QUEUED'::text, 'SENDING'::text, 'UNCERTAIN'::text, 'FAILED'::text, 'EXPIRED'::text])) THEN status
    ELSE NULL::text
END) STORED,
    held_due_at timestamp with time zone,
    quiet_hours jsonb,
    media jsonb,
    reactions jsonb,
    replied_to uuid,
    trigger_event text
)
WITH (fillfactor='70');

CREATE FUNCTION communications.answered_now(p_tenant uuid, p_answered jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN CASE WHEN (jsonb_typeof(p_answered) = 'object'::text) THEN (p_answered || (SELECT jsonb_build_object('contact_id', living.id, 'drawn', (EXISTS (SELECT FROM (communications.conversations v JOIN communications.messages m ON (((m.tenant_id = v.tenant_id) AND (m.conversation_id = v.id)))) WHERE ((v.tenant_id = answered_now.p_tenant) AND (v.contact_id = living.id) AND (m.direction = 'INBOUND'::text) AND (m.channel = 'EMAIL'::text) AND (lower(m.address) = lower((answered_now.p_answered ->> 'address'::text))) AND (m.context ? 'from'::text))))) AS jsonb_build_object FROM (SELECT communications.living_contact(answered_now.p_tenant, ((answered_now.p_answered ->> 'contact_id'::text))::uuid) AS id) living)) ELSE p_answered END;

CREATE FUNCTION communications.apply_effects(p_tenants uuid[], p_ids uuid[], p_codes text[], p_reasons text[], p_pauses double precision[], p_effects text[], p_credentials integer[], p_at timestamp with time zone[] DEFAULT NULL::timestamp with time zone[]) RETURNS void
    LANGUAGE plpgsql
    AS $_$
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
           open_until = case when b.failures < 5 and b.failures + excluded.failures >= 5
                             then greatest(b.open_until, now() + interval '30 seconds')
                             when b.failures >= 5 and b.probe_id = any(p_ids)
                             then now() + least(600, 30 * 2 ^ least(10, b.failures - 4)) * interval '1 second'
                             else b.open_until end,
           probe_id = case when b.probe_id <> all(p_ids) then b.probe_id end;

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
           probe_id = case when b.probe_id <> all(p_ids) then b.probe_id end;

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

    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
    select distinct on (m.tenant_id, m.contact_id, m.channel, c.category)
           m.tenant_id, communications.uuid_v7(), m.contact_id, m.channel, c.category, false, 'opt-out', 'provider', case when m.channel in ('EMAIL', 'SMS') then lower(m.address) end, least(e.at, now())
      from unnest(p_tenants, p_ids, p_effects, p_at) as e (tenant_id, id, effect, at)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     cross join unnest(case e.effect when 'OPT_OUT' then array ['OTP', 'TRANSACTIONAL', 'MARKETING']
                                     else array ['MARKETING'] end) as c (category)
     where e.effect in ('OPT_OUT', 'OPT_OUT_MARKETING')
       and not exists (select from communications.channel_accounts a
                        where a.tenant_id = m.tenant_id and a.id = m.account_id
                          and (a.provider = 'SNS'
                               or a.provider = 'EUM_SMS' and coalesce(a.external_account_id, '') !~ '^[+]?[0-9]+$'))
       and case when e.at is null
                then coalesce((select known.granted from communications.consents known
                                where known.tenant_id = m.tenant_id and known.contact_id = m.contact_id
                                  and known.channel = m.channel and known.category = c.category
                                order by known.at desc, known.id desc limit 1), true)
                -- The same again.
                else not exists (select from communications.consents known
                                  where known.tenant_id = m.tenant_id and known.contact_id = m.contact_id
                                    and known.channel = m.channel and known.category = c.category and not known.granted
                                    and known.source = 'provider' and known.at = least(e.at, now())) end
     order by m.tenant_id, m.contact_id, m.channel, c.category, e.at desc nulls first;

    perform communications.stop_what_was_given_back(jsonb_agg(jsonb_build_object(
               'tenant_id', m.tenant_id, 'contact_id', m.contact_id, 'channel', m.channel, 'wish', 'STOP_MARKETING',
               'basis', 'opt-out', 'source', 'provider', 'at', e.at)))
       from unnest(p_tenants, p_ids, p_effects, p_at) as e (tenant_id, id, effect, at)
       join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
      where e.effect = 'OPT_OUT_MARKETING' and e.at is not null
     having count(*) > 0;
end
$_$;

CREATE FUNCTION communications.apply_reported(p_tenants uuid[], p_ids uuid[], p_codes text[], p_effects text[], p_at timestamp with time zone[] DEFAULT NULL::timestamp with time zone[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    if p_effects && array ['BOUNCE', 'COMPLAINT'] then
        insert into communications.suppressions (tenant_id, channel, address, reason, source, at)
        select distinct on (m.tenant_id, m.channel, m.address, e.effect) m.tenant_id, m.channel, m.address, e.effect, 'provider', least(coalesce(e.at, now()), now())
          from unnest(p_tenants, p_ids, p_effects, p_at) as e (tenant_id, id, effect, at)
          join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
         where e.effect in ('BOUNCE', 'COMPLAINT') and m.address <> ''
           and not exists (
                   select from communications.who_reads(m.tenant_id, m.contact_id, m.channel, m.address) who
                     join communications.consents c
                       on c.tenant_id = m.tenant_id and c.contact_id = who and c.channel = m.channel
                    where c.category = 'TRANSACTIONAL' and c.granted and c.at > e.at)
           -- Said there by somebody who is not known to read there.
           and not exists (
                   select from communications.address_wishes w
                    where w.tenant_id = m.tenant_id and w.channel = m.channel and w.address = lower(m.address) and w.start_at > e.at)
           and (e.effect = 'COMPLAINT' or not exists (
                   select from communications.who_reads(m.tenant_id, m.contact_id, m.channel, m.address) who
                    cross join lateral communications.messages_of(m.tenant_id, who) later
                    where later.direction = 'INBOUND' and later.channel = m.channel and lower(communications.alias_of_message(later.direction, later.address, later.context)) = lower(m.address)
                      and communications.is_written(later.content, later.context) and later.thread_at > e.at))
         order by m.tenant_id, m.channel, m.address, e.effect desc, e.at desc
        on conflict on constraint suppressions_pkey do update
           set at = excluded.at where suppressions.at < excluded.at;
    end if;

    perform communications.apply_effects(
               array_agg(e.tenant_id), array_agg(e.id), array_agg(e.code), array_agg(null::text),
               -- How long an account waits on a hold that only a report told of: an hour from then.
               array_agg(extract(epoch from communications.reported_hold(e.at) - now())::float8),
               array_agg(case e.effect when 'COMPLAINT' then 'OPT_OUT' else e.effect end), array_agg(null::integer),
               array_agg(e.at))
       from unnest(p_tenants, p_ids, p_codes, p_effects, p_at) as e (tenant_id, id, code, effect, at)
      where e.effect not in ('', 'BOUNCE')
        and (e.effect <> 'PARK_HOLD' or communications.reported_hold(e.at) > now())
     having count(*) > 0;
end
$$;

CREATE FUNCTION communications.apply_revisions(p_tenants uuid[], p_accounts uuid[], p_targets text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
    perform from communications.conversations v
      where (v.tenant_id, v.id) in (
            select m.tenant_id, m.conversation_id
              from unnest(p_tenants, p_accounts, p_targets) as t (tenant_id, account_id, external_id)
              join communications.messages m
                on m.tenant_id = t.tenant_id and m.account_id = t.account_id and m.external_message_id = t.external_id)
      order by v.tenant_id, v.contact_id, v.id
        for no key update;
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
                              when m.content ->> 'type' = c.new_content ->> 'type' then (m.content - 'caption') || c.new_content
                              else c.new_content end,
               body = case c.kind when 'REVOKE' then '' else c.new_body end,
               media = case when c.kind <> 'REVOKE' then m.media end,
               edited_at = case c.kind when 'EDIT' then c.at end,
               revoked_at = case c.kind when 'REVOKE' then c.at end
          from change c
         where m.tenant_id = c.tenant_id and m.id = c.id
        returning m.tenant_id, m.conversation_id, m.id, case when m.revoked_at is null then m.body else '[deleted]' end as body,
                  m.thread_at, m.muted)
    -- The list shows the last message as it reads now.
    update communications.conversations v
       set preview = left(c.body, 200)
      from changed c
     where v.tenant_id = c.tenant_id and v.id = c.conversation_id and c.muted is not true
       and not exists (select from communications.messages later
                        where later.tenant_id = c.tenant_id and later.conversation_id = c.conversation_id and later.muted is not true
                          and (later.thread_at, later.id) > (c.thread_at, c.id));
end
$$;

CREATE FUNCTION communications.aws_reports(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_known   jsonb;
    v_unknown jsonb;
begin
    select jsonb_agg(r.value || jsonb_build_object('tenant_id', o.tenant_id, 'account_id', o.account_id) order by r.n)
               filter (where o.tenant_id is not null),
           jsonb_agg(r.n - 1 order by r.n) filter (where o.tenant_id is null)
      into v_known, v_unknown
      from jsonb_array_elements(p) with ordinality as r (value, n)
      left join lateral (
          select a.tenant_id, a.id as account_id, 1 as rank
            from communications.channel_accounts a
           where a.id = (r.value ->> 'account_id')::uuid
          union all
          select m.tenant_id, m.account_id, 2
            from communications.messages m
           where m.channel in ('EMAIL', 'SMS') and m.direction = 'OUTBOUND'
             and m.external_message_id = r.value ->> 'external_message_id'
           order by rank
           limit 1) o on true;
    return jsonb_build_object(
        'recorded', case when v_known is null then '{}' else communications.record_reports(v_known) end,
        'unknown', coalesce(v_unknown, '[]'));
end
$$;

CREATE FUNCTION communications.before_merge(p_now jsonb, p_before jsonb, p_after jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
    select jsonb_object_agg(n.key, case when n.value = p_after -> n.key then p_before -> n.key else n.value end)
      from jsonb_each(p_now) as n;
$$;

CREATE FUNCTION communications.begin_settings() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    insert into communications.tenant_settings (tenant_id, name) values (new.tenant_id, new.display_name) on conflict do nothing;
    return null;
end
$$;

CREATE FUNCTION communications.begins_as_most(p_direction text, p_channel text, p_status text, p_sender_kind text, p_lane text, p_category text, p_attempts integer, p_deferrals integer, p_units integer) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
begin
    return p_channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT') and p_attempts = 0 and p_deferrals = 0 and p_units between 1 and 20
       and case p_direction
           when 'OUTBOUND' then p_status in ('QUEUED', 'SUPPRESSED') and p_sender_kind in ('AGENT', 'SYSTEM')
               and p_lane in ('INTERACTIVE', 'TRANSACTIONAL', 'BULK')
               and p_category in ('OTP', 'TRANSACTIONAL', 'MARKETING', 'SERVICE')
           when 'INBOUND' then p_status = 'DELIVERED' and p_sender_kind = 'CONTACT' and p_lane is null and p_category is null
           end;
end
$$;

CREATE FUNCTION communications.cancel_run(p_tenant uuid, p_run uuid, OUT cancelled bigint, OUT too_late bigint) RETURNS record
    LANGUAGE plpgsql
    AS $$
begin
    perform 1 from communications.messages m
      where m.tenant_id = p_tenant and m.run_id = p_run
       and (m.status in ('QUEUED', 'SENDING', 'UNCERTAIN')
            or exists (select from communications.message_fallbacks f where f.tenant_id = m.tenant_id and f.message_id = m.id))
      order by m.id
        for no key update;
    delete from communications.message_fallbacks f
     using communications.messages m
     where m.tenant_id = p_tenant and m.run_id = p_run and f.tenant_id = m.tenant_id and f.message_id = m.id;
    update communications.messages m
       set status = 'CANCELLED', failed_code = 'cancelled', failed_reason = 'its run was cancelled'
     where m.tenant_id = p_tenant and m.run_id = p_run and m.status in ('QUEUED', 'UNCERTAIN');
    select count(*) filter (where m.status = 'CANCELLED' and m.failed_code = 'cancelled'),
           count(*) filter (where not (m.status = 'CANCELLED' and m.failed_code = 'cancelled') and m.status <> 'SUPPRESSED')
      into cancelled, too_late
      from communications.messages m
     where m.tenant_id = p_tenant and m.run_id = p_run;
    update communications.trigger_runs r
       set cancelled_at = coalesce(r.cancelled_at, now()),
           status = case r.status when 'HANDED_OVER' then 'COMPLETED' else r.status end,
           answer = case r.status when 'HANDED_OVER' then r.answer || '{"status": "COMPLETED"}' else r.answer end
     where r.tenant_id = p_tenant and r.id = p_run;
end
$$;

CREATE FUNCTION communications.cap_sms() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if new.status = 'SENDING' then
        if not communications.spend_on_sms(new.tenant_id, communications.utc_month(now()), new.units) then
            new.status := 'QUEUED';
            new.attempts := old.attempts;
            new.lease_until := null;
            new.slot_at := null;
            new.hint_at := '-infinity';
            new.deferrals := old.deferrals + 1;
            update communications.channel_accounts a
               set status = 'SUSPENDED', status_reason = 'spend-cap: the month''s limit for text messages is reached',
                   resume_at = (communications.utc_month(now()) + interval '1 month') at time zone 'UTC'
             where a.tenant_id = new.tenant_id and a.channel = 'SMS' and a.status = 'ACTIVE';
        end if;
    else
        perform communications.spend_on_sms(new.tenant_id, communications.utc_month(now()), -new.units);
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.chain_of(p_tenant uuid, p_message uuid) RETURNS TABLE(id uuid, place integer, status text)
    LANGUAGE sql STABLE
    AS $$
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

CREATE FUNCTION communications.check_channel_account_transition() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if (old.status, new.status) not in (
        ('PENDING', 'VERIFYING'), ('PENDING', 'DISABLED'),
        ('VERIFYING', 'ACTIVE'), ('VERIFYING', 'PENDING'), ('VERIFYING', 'DISABLED'),
        ('ACTIVE', 'SUSPENDED'), ('ACTIVE', 'REAUTH_REQUIRED'), ('ACTIVE', 'DISABLED'),
        ('SUSPENDED', 'ACTIVE'), ('SUSPENDED', 'REAUTH_REQUIRED'), ('SUSPENDED', 'DISABLED'),
        ('REAUTH_REQUIRED', 'ACTIVE'), ('REAUTH_REQUIRED', 'SUSPENDED'), ('REAUTH_REQUIRED', 'DISABLED'),
        ('DISABLED', 'VERIFYING')
    ) then
        raise exception 'a channel account cannot go from % to %', old.status, new.status
            using errcode = 'check_violation', constraint = 'channel_accounts_transition';
    end if;
    new.status_changed_at := now();
    if new.status = 'ACTIVE' and new.send_health = 'FAILING' then
        new.send_health := 'UNKNOWN';
    end if;
    if new.status <> 'SUSPENDED' then
        new.resume_at := null;
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.check_conversation_transition() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if (old.status, new.status) not in (
        ('OPEN', 'SNOOZED'), ('OPEN', 'RESOLVED'),
        ('SNOOZED', 'OPEN'), ('SNOOZED', 'RESOLVED'),
        ('RESOLVED', 'OPEN')
    ) then
        raise exception 'a conversation cannot go from % to %', old.status, new.status
            using errcode = 'check_violation', constraint = 'conversations_transition';
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.check_message() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION communications.claim_media(p jsonb) RETURNS jsonb
    LANGUAGE sql
    AS $$
    with claimed as (
        update communications.message_media f
           set fence = f.fence + 1, attempts = f.attempts + 1,
               lease_until = now() + (p ->> 'lease_seconds')::float8 * interval '1 second',
               due_at = now() + greatest((p ->> 'lease_seconds')::float8 * interval '1 second',
                                         communications.media_wait(f.attempts + 1)),
               hint_at = '-infinity'
         where f.tenant_id = (p ->> 'tenant_id')::uuid and f.id = (p ->> 'media_id')::uuid
           and f.state = 'PENDING' and f.due_at <= now() and f.expires_at > now()
           and (f.lease_until is null or f.lease_until <= now())
        returning f.*)
    select jsonb_build_object(
               'tenant_id', f.tenant_id, 'media_id', f.id, 'account_id', f.account_id, 'fence', f.fence, 'attempt', f.attempts,
               'kind', f.kind, 'source', f.source, 'source_ref', f.source_ref,
               -- It lives for five minutes.
               'source_url', case when f.created_at > now() - interval '5 minutes' then f.source_url end,
               'mime_type', f.mime_type, 'declared_sha256', f.declared_sha256,
               -- The same at every attempt, so that two of them are one object.
               'storage_key', f.tenant_id || '/' || to_char(f.created_at at time zone 'UTC', 'YYYY/MM') || '/' || f.id,
               'external_account_id', a.external_account_id, 'provider_config', a.provider_config)
      from claimed f
      join communications.channel_accounts a on a.tenant_id = f.tenant_id and a.id = f.account_id;
$$;

CREATE FUNCTION communications.claim_messages(p_tenants uuid[], p_ids uuid[], p_lease double precision) RETURNS TABLE(tenant_id uuid, message_id uuid, status text, account_id uuid, provider text, external_account_id text, sender text, provider_config jsonb, address text, content jsonb, reply_to text, lane text, category text, fence integer, attempt integer, send_in double precision, expires_in double precision, dwell double precision, hint_in double precision)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
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
                    when m.fallback_of is not null and communications.is_reached_before(m.tenant_id, m.id) then 'REACHED'
                    -- communications.consent_allows, written out: as a function it would run by itself for every row.
                    when m.category <> 'SERVICE' and not coalesce(
                        (select c.granted
                           from communications.consents c
                          where c.tenant_id = m.tenant_id and c.contact_id = m.contact_id
                            and c.channel = m.channel and c.category = m.category
                          order by c.at desc, c.id desc limit 1), m.category <> 'MARKETING') then 'NO_CONSENT'
                    -- communications.address_refuses, written out.
                    when m.category <> 'SERVICE' and m.channel in ('EMAIL', 'SMS') and exists (
                        select from communications.address_wishes w
                         cross join lateral (
                               select case m.category when 'MARKETING' then w.marketing_refused_at else w.refused_at end as at) said
                         where w.tenant_id = m.tenant_id and w.channel = m.channel and w.address = lower(m.address) and said.at is not null
                           and not exists (select from communications.consents c
                                            where c.tenant_id = m.tenant_id and c.contact_id = m.contact_id and c.channel = m.channel
                                              and c.category = m.category and c.granted and c.at > said.at)) then 'STOPPED'
                    -- Nobody lives there, or whoever does has complained: an agent's answer does not reach them either.
                    when exists (select from communications.suppressions x
                                  where x.tenant_id = m.tenant_id and x.channel = m.channel and x.address = m.address) then 'UNREACHABLE'
                    when a.status <> 'ACTIVE' then 'PARKED'
                    when a.mode = 'SANDBOX' or s.mode = 'SANDBOX' then 'SIMULATED'
                    when m.channel = 'WHATSAPP' and m.content ->> 'type' <> 'template' and not exists (
                        select from communications.whatsapp_windows w
                         where w.tenant_id = m.tenant_id and w.account_id = m.account_id and w.contact_id = m.contact_id
                           and w.open_until > now()) then 'CLOSED'
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
                  and earlier.lane = m.lane and earlier.queue_status in ('QUEUED', 'SENDING') and earlier.id < m.id
                  and (earlier.queue_status = 'SENDING' or earlier.due_at <= now() + interval '250 milliseconds'
                       -- It was due before, and waits for its next try, its slot or its sender.
                       or earlier.fence > 0 and earlier.held_due_at is null
                          and (earlier.quiet_hours is null or communications.quiet_now(earlier.quiet_hours) is null)))
         order by m.tenant_id, m.id
           for no key update of m),
    -- A tripped breaker whose time is over lets one message through; the row's lock decides whose.
    probes as (
        update communications.breakers k
           set open_until = now() + p_lease * interval '1 second', probe_id = first.id
          from (select d.tenant_id, d.account_id, (array_agg(d.id order by d.id))[1] as id
                  from due d
                 where d.next = 'SENDING' and d.tripped and d.open_until <= now() and coalesce(d.pair_free <= now(), true)
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
                    when g.next = 'CLOSED' then 'EXPIRED'
                    when g.next = 'REACHED' then 'CANCELLED'
                    when g.next in ('NO_CONSENT', 'STOPPED', 'UNREACHABLE') then 'SUPPRESSED'
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
                             then greatest(g.open_until, g.pair_free, now() + interval '1 second') end
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
               deferrals = m.deferrals + (v.status = 'QUEUED')::int,
               failed_code = case v.next when 'CLOSED' then 'window-closed'
                                         when 'REACHED' then 'reached'
                                         when 'NO_CONSENT' then 'no-consent'
                                         when 'STOPPED' then 'stopped-at-address'
                                         when 'UNREACHABLE' then 'address-suppressed' else m.failed_code end,
               failed_reason = case v.next when 'CLOSED' then 'more than 24 hours since the contact wrote'
                                           when 'REACHED' then 'the message before it arrived after all'
                                           when 'NO_CONSENT' then 'the contact has not agreed to this, or said stop'
                                           when 'STOPPED' then 'somebody who reads at the address said stop'
                                           when 'UNREACHABLE' then 'the address bounced for good, or whoever has it complained'
                                           else m.failed_reason end
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

CREATE FUNCTION communications.consent_allows(p_tenant_id uuid, p_contact_id uuid, p_channel text, p_category text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE p_category WHEN 'SERVICE'::text THEN true ELSE COALESCE((SELECT c.granted FROM communications.consents c WHERE ((c.tenant_id = consent_allows.p_tenant_id) AND (c.contact_id = consent_allows.p_contact_id) AND (c.channel = consent_allows.p_channel) AND (c.category = consent_allows.p_category)) ORDER BY c.at DESC, c.id DESC LIMIT 1), (p_category <> 'MARKETING'::text)) END;

CREATE FUNCTION communications.consenting(p_tenant uuid, p_contacts uuid[], p_channels text[], p_category text) RETURNS TABLE(contact_id uuid, channel text)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select p.contact_id, c.channel
      from unnest(p_contacts) as p (contact_id) cross join unnest(p_channels) as c (channel)
     where case p_category
           when 'SERVICE' then true
           else coalesce(
               (select g.granted
                  from communications.consents g
                 where g.tenant_id = p_tenant and g.contact_id = p.contact_id and g.channel = c.channel and g.category = p_category
                 order by g.at desc, g.id desc
                 limit 1),
               p_category <> 'MARKETING')
           end;
$$;

CREATE TABLE communications.contacts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text DEFAULT 'CUSTOMER'::text NOT NULL,
    display_name text,
    locale text,
    timezone text,
    identifiers jsonb DEFAULT '{}'::jsonb NOT NULL,
    passenger_profile_id uuid,
    driver_id uuid,
    vendor_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    merged_into uuid,
    blocked_at timestamp with time zone,
    blocked_by uuid,
    masked boolean DEFAULT false NOT NULL,
    CONSTRAINT contacts_kind_check CHECK ((kind = ANY (ARRAY['CUSTOMER'::text, 'DRIVER'::text, 'VENDOR'::text]))),
    CONSTRAINT contacts_one_profile CHECK ((num_nonnulls(passenger_profile_id, driver_id, vendor_id) <= 1))
);

CREATE FUNCTION communications.contact_addresses(contact communications.contacts) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN (NOT (contact).masked) THEN (contact).identifiers ELSE NULL::jsonb END;

CREATE FUNCTION communications.contact_state(c communications.contacts) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN jsonb_build_object('display_name', (c).display_name, 'locale', (c).locale, 'timezone', (c).timezone, 'kind', (c).kind, 'passenger_profile_id', (c).passenger_profile_id, 'driver_id', (c).driver_id, 'vendor_id', (c).vendor_id, 'blocked_at', (c).blocked_at, 'blocked_by', (c).blocked_by);

CREATE FUNCTION communications.conversation_unread_count(conversation communications.conversations, hasura_session json) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN GREATEST((0)::bigint, ((conversation).inbound_count - COALESCE((conversation).read_to[array_position((conversation).read_by, lower(((hasura_session ->> 'x-hasura-user-id'::text) COLLATE "C")))], (0)::bigint)));

CREATE FUNCTION communications.copy_messages(p_tenant uuid, p_ids uuid[], p_accounts uuid[], p_hint_at timestamp with time zone) RETURNS TABLE(message_id uuid, original_id uuid)
    LANGUAGE sql
    AS $$
    insert into communications.messages
           (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, sender_id, address,
            content, body, template_id, template_version, variables, status, lane, category, expires_at, hint_at, reply_to,
            units, replay_of, quiet_hours)
    select m.tenant_id, communications.uuid_v7(), 'OUTBOUND', m.channel, p.account_id, m.contact_id, m.conversation_id,
           m.sender_kind, m.sender_id, m.address, m.content, m.body, m.template_id, m.template_version, m.variables,
           case when m.category = 'SERVICE' and communications.opted_out(m.tenant_id, m.contact_id, m.channel)
                then 'SUPPRESSED' else 'QUEUED' end, m.lane, m.category, now() + (m.expires_at - m.created_at), p_hint_at, m.reply_to, m.units, m.id, m.quiet_hours
      from unnest(p_ids, p_accounts) as p (id, account_id)
      join communications.messages m on m.tenant_id = p_tenant and m.id = p.id
     where m.status in ('FAILED', 'EXPIRED', 'CANCELLED')
     -- Two replays at once meet in one order.
     order by m.id
       for no key update of m
    on conflict (tenant_id, replay_of) where replay_of is not null do nothing
    returning id, replay_of
$$;

CREATE FUNCTION communications.correct_sms_spend() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    update communications.sms_spend s
       set micros = s.micros + new.micros
                    - case when tg_op = 'UPDATE' and old.micros is not null then old.micros else m.units * l.part_micros end
      from communications.messages m, communications.sms_limits l
     where m.tenant_id = new.tenant_id and m.id = new.message_id and m.channel = 'SMS'
       and l.tenant_id = new.tenant_id
       and s.tenant_id = new.tenant_id and s.month = communications.utc_month(coalesce(m.sent_at, new.at));
    return null;
end
$$;

CREATE FUNCTION communications.cursors_of(p_tenant uuid, p_thread uuid) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select coalesce(jsonb_agg(jsonb_build_object('user_id', r.user_id, 'last_read_at', r.last_read_at, 'inbound_seen', r.inbound_seen)
                              order by r.user_id), '[]')
      from communications.conversation_read_cursors r where r.tenant_id = p_tenant and r.conversation_id = p_thread;
$$;

CREATE FUNCTION communications.delivery_rank(status text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE status WHEN 'SENT'::text THEN 1 WHEN 'FAILED'::text THEN 2 WHEN 'DELIVERED'::text THEN 3 WHEN 'READ'::text THEN 4 ELSE 0 END;

CREATE FUNCTION communications.expire_media(p jsonb) RETURNS jsonb
    LANGUAGE sql
    AS $$
    with late as (
        select f.tenant_id, f.id
          from communications.message_media f
         where f.state = 'PENDING' and f.expires_at <= now() and (f.lease_until is null or f.lease_until <= now())
         order by f.expires_at limit (p ->> 'limit')::bigint for update skip locked),
    ended as (
        update communications.message_media f
           set state = 'EXPIRED', reason = coalesce(f.reason, 'never-tried'), lease_until = null
          from late where f.tenant_id = late.tenant_id and f.id = late.id
        returning f.tenant_id, f.id, f.message_id, f.reason),
    noted as (
        insert into communications.repairs (tenant_id, id, kind, message_id, detail)
        select tenant_id, communications.uuid_v7(), 'MEDIA_EXPIRED', message_id, jsonb_build_object('media_id', id, 'reason', reason)
          from ended)
    select to_jsonb(count(*)) from ended;
$$;

CREATE FUNCTION communications.fail_over(p_tenants uuid[], p_ids uuid[]) RETURNS TABLE(tenant_id uuid, message_id uuid, lane text)
    LANGUAGE plpgsql
    AS $$
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
     where m.tenant_id = p.tenant_id and m.id = p.id and m.status = 'QUEUED' and m.held_due_at is null and m.channel in ('EMAIL', 'SMS')
       and (a.status <> 'ACTIVE' or k.failures >= 5 and k.open_until > now())
       -- What may have been accepted stays: the report would not find it under another sender.
       and not exists (select from communications.message_attempts t
                        where t.tenant_id = stuck.tenant_id and t.message_id = stuck.id and t.class = 'AMBIGUOUS')
    returning m.tenant_id, m.id, m.lane;
end
$$;

CREATE FUNCTION communications.fallback_due(steps jsonb) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (now() + (LEAST((((steps -> 0) ->> 'not_delivered_within_seconds'::text))::double precision, (((steps -> 0) ->> 'not_read_within_seconds'::text))::double precision) * '00:00:01'::interval));

CREATE TABLE communications.message_media (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    message_id uuid NOT NULL,
    account_id uuid NOT NULL,
    ordinal smallint DEFAULT 0 NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    source_ref text NOT NULL,
    source_url text,
    mime_type text,
    filename text,
    declared_sha256 text,
    state text DEFAULT 'PENDING'::text NOT NULL,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    hint_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    lease_until timestamp with time zone,
    size_bytes bigint,
    sha256 bytea,
    storage_key text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    stored_at timestamp with time zone,
    content_id text,
    CONSTRAINT message_media_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT message_media_lease CHECK (((lease_until IS NULL) OR (state = 'PENDING'::text))),
    CONSTRAINT message_media_sha256_check CHECK ((length(sha256) = 32)),
    CONSTRAINT message_media_size_bytes_check CHECK ((size_bytes >= 0)),
    CONSTRAINT message_media_source_check CHECK ((source = ANY (ARRAY['META'::text, 'MAIL'::text]))),
    CONSTRAINT message_media_state_check CHECK ((state = ANY (ARRAY['PENDING'::text, 'STORED'::text, 'REJECTED'::text, 'EXPIRED'::text]))),
    CONSTRAINT message_media_stored CHECK (((state = 'STORED'::text) = (storage_key IS NOT NULL)))
);

CREATE FUNCTION communications.files_of(p_tenant uuid, p_message uuid) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN (SELECT jsonb_agg(jsonb_build_object('id', f.id, 'kind', f.kind, 'mime_type', f.mime_type, 'filename', f.filename, 'size_bytes', f.size_bytes, 'state', f.state, 'reason', f.reason, 'content_id', f.content_id) ORDER BY f.ordinal) AS jsonb_agg FROM (SELECT f_1.tenant_id, f_1.id, f_1.message_id, f_1.account_id, f_1.ordinal, f_1.kind, f_1.source, f_1.source_ref, f_1.source_url, f_1.mime_type, f_1.filename, f_1.declared_sha256, f_1.state, f_1.reason, f_1.attempts, f_1.fence, f_1.due_at, f_1.expires_at, f_1.hint_at, f_1.lease_until, f_1.size_bytes, f_1.sha256, f_1.storage_key, f_1.created_at, f_1.stored_at, f_1.content_id FROM communications.message_media f_1 WHERE ((f_1.tenant_id = files_of.p_tenant) AND (f_1.message_id = files_of.p_message)) ORDER BY f_1.ordinal LIMIT 100) f);

CREATE FUNCTION communications.find_answered(p_most integer) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_found integer;
begin
    with late as (
        select a.tenant_id, a.id, m.id as answered
          from communications.messages a
         cross join lateral (
               select m.id from communications.messages m
                where m.tenant_id = a.tenant_id and m.account_id = a.account_id and m.external_message_id = a.reply_to
                  and (a.channel <> 'EMAIL' or m.contact_id = a.contact_id)
               union all
               select m.id from communications.messages m
                where m.tenant_id = a.tenant_id and m.rfc_message_id = case a.channel when 'EMAIL' then a.reply_to end
                  and m.contact_id = a.contact_id
               limit 1) m
         where a.reply_to is not null and a.replied_to is null and a.created_at > now() - interval '1 hour'
         order by a.created_at
         limit p_most
           for no key update of a skip locked)
    update communications.messages m set replied_to = l.answered
      from late l
     where m.tenant_id = l.tenant_id and m.id = l.id;
    get diagnostics v_found = row_count;
    return v_found;
end
$$;

CREATE FUNCTION communications.find_people(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
    if jsonb_array_length(p) > 100 then
        perform set_config('plan_cache_mode', 'force_custom_plan', true);
    end if;
    return communications.people_load(p);
end
$$;

CREATE FUNCTION communications.fold_thread(p_tenant uuid, p_into uuid, p_from uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    with first as (
        select t.id, (select min(m.created_at) - interval '1 microsecond' from communications.messages m
                       where m.tenant_id = p_tenant and m.conversation_id = t.id and m.direction = 'INBOUND' and not m.muted) as unread
          from unnest(array[p_into, p_from]) as t (id)),
    seen as (
        select u.user_id,
               (select min(coalesce(r.last_read_at, f.unread))
                  from first f
                  left join communications.conversation_read_cursors r
                    on r.tenant_id = p_tenant and r.conversation_id = f.id and r.user_id = u.user_id) as last_read_at
          from (select distinct r.user_id from communications.conversation_read_cursors r
                 where r.tenant_id = p_tenant and r.conversation_id in (p_into, p_from)) u)
    insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at)
    select p_tenant, p_into, user_id, last_read_at from seen
    on conflict (tenant_id, conversation_id, user_id) do update set last_read_at = excluded.last_read_at;

    update communications.conversations k
       -- A question that waits in either waits in both.
       set status = case when m.status = 'OPEN' then 'OPEN' else k.status end,
           snoozed_until = case when m.status <> 'OPEN' then k.snoozed_until end,
           snoozed_until_reply = k.snoozed_until_reply or m.status = 'OPEN',
           assigned_to = coalesce(k.assigned_to, m.assigned_to),
           booking_id = coalesce(k.booking_id, m.booking_id), trip_id = coalesce(k.trip_id, m.trip_id),
           invoice_id = coalesce(k.invoice_id, m.invoice_id),
           preview = case when m.last_message_at > k.last_message_at then m.preview else k.preview end,
           last_message_at = greatest(k.last_message_at, m.last_message_at),
           last_inbound_channel = case when m.last_inbound_at > coalesce(k.last_inbound_at, '-infinity')
                                       then m.last_inbound_channel else k.last_inbound_channel end,
           last_inbound_account = case when m.last_inbound_at > coalesce(k.last_inbound_at, '-infinity')
                                       then m.last_inbound_account else k.last_inbound_account end,
           last_inbound_at = greatest(k.last_inbound_at, m.last_inbound_at),
           inbound_count = (select count(*) from communications.messages x
                             where x.tenant_id = p_tenant and x.conversation_id in (p_into, p_from)
                               and x.direction = 'INBOUND' and not x.muted)
      from communications.conversations m
     where k.tenant_id = p_tenant and k.id = p_into and m.tenant_id = p_tenant and m.id = p_from;
    update communications.conversations
       set status = 'RESOLVED', snoozed_until = null, snoozed_until_reply = true, inbound_count = 0
     where tenant_id = p_tenant and id = p_from;
end
$$;

CREATE FUNCTION communications.follow_ups(p_tenants uuid[], p_ids uuid[], p_max_delay double precision) RETURNS TABLE(tenant_id uuid, message_id uuid, lane text, hint_in double precision)
    LANGUAGE plpgsql
    AS $$
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
               and m.queue_status in ('QUEUED', 'SENDING')
               and (m.queue_status = 'SENDING' or m.due_at <= now() + interval '250 milliseconds'
                    or m.fence > 0 and m.held_due_at is null
                       and (m.quiet_hours is null or communications.quiet_now(m.quiet_hours) is null))
             order by m.id limit 1) first)
    select m.tenant_id, m.id, m.lane, greatest(0, extract(epoch from m.due_at - now()))::double precision
      from next n
      join communications.messages m on m.tenant_id = n.tenant_id and m.id = n.id
     -- What waits to be released has a place in a longer line.
     where m.status = 'QUEUED' and m.hint_at <> '-infinity' and m.due_at <= now() + p_max_delay * interval '1 second';
end
$$;

CREATE FUNCTION communications.give_back_what_was_said(p jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
    select distinct on (start.id) start.tenant_id, communications.uuid_v7(), start.contact_id, start.channel, 'MARKETING', true,
           start.basis, start.source, start.address, start.at
      from jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz)
      join communications.consents start
        on start.tenant_id = w.tenant_id and start.contact_id = w.contact_id and start.channel = w.channel
       and start.category = 'TRANSACTIONAL' and start.granted and start.at > w.at
     where w.wish = 'START_MARKETING'
       and communications.marketing_before(start.tenant_id, start.contact_id, start.channel, start.at)
       and not exists (select from communications.consents said
                        where said.tenant_id = start.tenant_id and said.contact_id = start.contact_id and said.channel = start.channel
                          and said.category = 'MARKETING' and said.at between start.at and start.at + interval '1 microsecond')
     order by start.id;
$$;

COMMENT ON FUNCTION communications.give_back_what_was_said(p jsonb) IS 'Of wishes as note_wishes takes them: each yes to marketing is given back by the STARTs after it, as if it had been told first.';

CREATE FUNCTION communications.hold_run(p_tenant uuid, p_run uuid, p_hold boolean) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
    v_rows bigint;
begin
    perform 1 from communications.messages m
      where m.tenant_id = p_tenant and m.run_id = p_run
        and (m.queue_status in ('QUEUED', 'SENDING', 'UNCERTAIN')
             or exists (select from communications.message_fallbacks f where f.tenant_id = m.tenant_id and f.message_id = m.id))
      order by m.id
        for no key update of m;
    update communications.messages m
       set due_at = case when p_hold then 'infinity'::timestamptz else greatest(m.held_due_at, now()) end,
           held_due_at = case when p_hold then m.due_at end,
           hint_at = '-infinity', slot_at = null
     where m.tenant_id = p_tenant and m.run_id = p_run and m.status = 'QUEUED'
       and (m.due_at = 'infinity') <> p_hold;
    get diagnostics v_rows = row_count;
    return v_rows;
end
$$;

CREATE FUNCTION communications.inbound_decided_text(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
begin
    if communications.inbound_load(communications.question_of_text(p -> 'text')) is distinct from p -> 'known' then
        return null;
    end if;
    return communications.inbound_store(p -> 'document');
end
$$;

CREATE FUNCTION communications.inbound_load(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_numbers jsonb;
    v_wabas   jsonb;
    v_people  jsonb;
    v_door    uuid := (p ->> 'door')::uuid;
begin
    if p ?| '{lock_timeout,doors}' then
        perform set_config('lock_timeout', coalesce(p ->> 'lock_timeout', '500ms'), true);
    end if;
    select jsonb_agg(to_jsonb(n)) into v_numbers
      from communications.inbound_numbers(p ->> 'channel', v_door, array(select jsonb_array_elements_text(p -> 'numbers'))) n
     where n.tenant_id = coalesce((p -> 'doors' ->> n.number)::uuid, n.tenant_id);

    if jsonb_array_length(p -> 'wabas') > 0 then
        select jsonb_agg(to_jsonb(w)) into v_wabas
          from (select a.waba_id, a.tenant_id, a.id as account_id, a.sender
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

CREATE FUNCTION communications.inbound_many_statuses(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_tenants  uuid[];
    v_accounts uuid[];
begin
    select array_agg(o.tenant_id order by r.n), array_agg(o.account_id order by r.n)
      into v_tenants, v_accounts
      from jsonb_array_elements(p -> 'reports') with ordinality as r (value, n)
      join communications.inbound_numbers(
               p ->> 'channel', (p ->> 'door')::uuid,
               array(select distinct e.value ->> 'number' from jsonb_array_elements(p -> 'reports') as e)) o
        on o.number = r.value ->> 'number'
       and o.tenant_id = coalesce((p -> 'doors' ->> o.number)::uuid, o.tenant_id)
       and (o.waba_id is null or r.value ->> 'waba_id' is null or r.value ->> 'waba_id' in (o.waba_id, o.messaging_account_id));
    if v_tenants is null or cardinality(v_tenants) < jsonb_array_length(p -> 'reports') then
        return null;
    end if;
    return communications.record_reports_of(p -> 'reports', v_tenants, v_accounts);
end
$$;

CREATE FUNCTION communications.inbound_numbers(p_channel text, p_door uuid, p_numbers text[]) RETURNS TABLE(number text, tenant_id uuid, account_id uuid, waba_id text, messaging_account_id text)
    LANGUAGE sql STABLE
    AS $$
    select a.external_account_id, a.tenant_id, a.id, a.waba_id, a.messaging_account_id
      from communications.channel_accounts a
     where a.channel = p_channel and a.external_account_id = any(p_numbers)
       and (p_door is null
            or exists (select from communications.channel_accounts d
                        where d.tenant_id = p_door and d.channel = p_channel and d.external_account_id = any(p_numbers)));
$$;

CREATE FUNCTION communications.inbound_status(p_channel text, p_door uuid, p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
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
           p ->> 'price' is not null
           and (c.message_id is null
                or c.said_at <= v_at
                   and (c.category, c.model, c.kind, c.billable, c.units, c.micros, c.currency)
                       is distinct from (p #>> '{price,category}', p #>> '{price,model}', p #>> '{price,kind}',
                                         (p #>> '{price,billable}')::boolean, (p #>> '{price,units}')::integer,
                                         (p #>> '{price,micros}')::bigint, p #>> '{price,currency}')) as priced,
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
            (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at, said_at)
        values (v_this.tenant_id, v_this.id, v_this.account_id, p #>> '{price,category}', p #>> '{price,model}',
                p #>> '{price,kind}', (p #>> '{price,billable}')::boolean, (p #>> '{price,units}')::integer,
                (p #>> '{price,micros}')::bigint, p #>> '{price,currency}', v_at, v_at)
        on conflict on constraint message_prices_pkey do nothing;
        if not found then
            perform communications.store_prices(
                array [v_this.tenant_id], array [v_this.id], array [v_this.account_id], array [v_at], array [p -> 'price']);
        end if;
    end if;
    if v_this.learned then
        perform communications.learn_aliases(jsonb_build_array(jsonb_build_object(
            'tenant_id', v_this.tenant_id, 'contact_id', v_this.contact_id, 'address', v_this.address, 'aliases', p -> 'aliases')));
    end if;
    return '{"new": 1, "waiting": 0, "parked": []}';
end
$$;

CREATE FUNCTION communications.inbound_statuses(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    v_answer jsonb;
begin
    if p ?| '{lock_timeout,doors}' then
        perform set_config('lock_timeout', coalesce(p ->> 'lock_timeout', '500ms'), true);
    end if;
    if jsonb_array_length(p -> 'reports') = 1 and not p ? 'doors' then
        v_answer := communications.inbound_status(p ->> 'channel', (p ->> 'door')::uuid, p -> 'reports' -> 0);
    end if;
    return coalesce(v_answer, communications.inbound_many_statuses(p));
end
$$;

CREATE FUNCTION communications.inbound_store(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_answer jsonb := '{}';
begin
    if p ? 'people' then
        perform communications.people_store(p -> 'people');
    end if;
    -- Each of them locks its own in order; together they need one.
    if (p ? 'messages')::integer + (p ? 'reactions')::integer + (p ? 'revisions')::integer > 1 then
        perform pg_advisory_xact_lock(k.hash)
           from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, coalesce(r.target, r.external_message_id)) as hash
                   from (values ('messages'), ('reactions'), ('revisions')) as kind (name)
                  cross join jsonb_to_recordset(coalesce(p -> kind.name, '[]')) as r (tenant_id uuid, account_id uuid, target text,
                                                                                      external_message_id text)
                  order by 1) k;
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

CREATE FUNCTION communications.inbound_text(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    AS $$
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
    if p ? 'lock_timeout' then
        perform set_config('lock_timeout', p ->> 'lock_timeout', true);
    end if;
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
    perform pg_advisory_xact_lock(communications.reaction_lock(v_tenant, v_account, v_external));

    -- All that was said is known, of one contact; the other forms are theirs or nobody's; none had another owner before.
    select (array_agg(i.contact_id) filter (where i.contact_id is not null))[1] into v_contact
      from jsonb_array_elements(p -> 'aliases') with ordinality as s (alias, n)
      left join communications.contact_identities i
        on i.tenant_id = v_tenant and i.kind = s.alias ->> 0 and i.scope = s.alias ->> 1 and i.value = s.alias ->> 2
      left join communications.contact_former_identities h
        on h.tenant_id = v_tenant and h.kind = s.alias ->> 0 and h.scope = s.alias ->> 1 and h.value = s.alias ->> 2
    having count(distinct i.contact_id) = 1 and bool_and(i.contact_id is not null or s.n > v_said) and count(h.contact_id) = 0;
    if v_contact is null then
        return case when p ? 'or_known'
            then jsonb_build_object('known', communications.inbound_load(communications.question_of_text(p))) end;
    end if;

    select v.id into v_thread
      from communications.contacts c
      join communications.conversations v on v.tenant_id = c.tenant_id and v.contact_id = c.id and v.status = 'OPEN' and v.preview <> ''
     where c.tenant_id = v_tenant and c.id = v_contact and c.merged_into is null and c.blocked_at is null
       and (v_nameless or c.display_name is not null)
       -- Not here yet, nothing came ahead of it, and nothing else joins the thread with it.
       and not exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.account_id = v_account and m.external_message_id = v_external)
       and not exists (select from communications.message_revisions r
                        where r.tenant_id = v_tenant and r.account_id = v_account and r.target_external_id = v_external)
       and not exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.contact_id = v_contact and m.conversation_id is null)
       for no key update of v;
    if not found then
        return case when p ? 'or_known'
            then jsonb_build_object('known', communications.inbound_load(communications.question_of_text(p))) end;
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

CREATE FUNCTION communications.inbound_texts(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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
    perform pg_advisory_xact_lock(k.hash)
       from (select communications.reaction_lock(t.tenant_id, t.account_id, t.value ->> 'external_message_id') as hash
               from unnest(v_texts, v_tenants, v_accounts) as t (value, tenant_id, account_id) order by 1) k;

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
            where v.tenant_id = t.tenant_id and v.contact_id = t.contact_id and v.status = 'OPEN' and v.preview <> ''
              -- Not here yet, nothing came ahead of it, and nothing else joins the thread with it.
              and not exists (select from communications.messages m
                               where m.tenant_id = t.tenant_id and m.account_id = t.account_id and m.external_message_id = t.external_id)
              and not exists (select from communications.message_revisions r
                               where r.tenant_id = t.tenant_id and r.account_id = t.account_id and r.target_external_id = t.external_id)
              and not exists (select from communications.messages m
                               where m.tenant_id = t.tenant_id and m.contact_id = t.contact_id and m.conversation_id is null)
            limit 1 for no key update of v) v;
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

CREATE FUNCTION communications.inbound_until(p_tenant uuid, p_thread uuid, p_until timestamp with time zone) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    select count(*) from communications.messages m
     where m.tenant_id = p_tenant and m.conversation_id = p_thread and m.direction = 'INBOUND' and not m.muted
       and m.created_at <= p_until;
$$;

CREATE FUNCTION communications.is_channel(p_channel text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
begin
    return p_channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT');
end
$$;

CREATE FUNCTION communications.is_conversation_status(p_status text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
begin
    return p_status in ('OPEN', 'SNOOZED', 'RESOLVED');
end
$$;

CREATE FUNCTION communications.is_given_back(p communications.consents) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN ((p).granted AND ((p).category = 'MARKETING'::text) AND (EXISTS (SELECT FROM communications.consents start WHERE ((start.tenant_id = (is_given_back.p).tenant_id) AND (start.contact_id = (is_given_back.p).contact_id) AND (start.channel = (is_given_back.p).channel) AND (start.category = 'TRANSACTIONAL'::text) AND start.granted AND (start.at = (is_given_back.p).at) AND (start.source = (is_given_back.p).source)))));

COMMENT ON FUNCTION communications.is_given_back(p communications.consents) IS 'Is it the yes to marketing that a START brought back, and not one of its own?';

CREATE FUNCTION communications.is_reached_before(p_tenant uuid, p_message uuid) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select exists (select from communications.chain_of(p_tenant, p_message) earlier
                     join communications.messages next on next.tenant_id = p_tenant and next.fallback_of = earlier.id
                    where earlier.place < 0
                      and (earlier.status = 'READ' or earlier.status = 'DELIVERED' and next.fallback_reason <> 'NOT_READ'));
$$;

COMMENT ON FUNCTION communications.is_reached_before(p_tenant uuid, p_message uuid) IS 'Has one of the messages that this one replaces, at whatever remove, arrived after all, as far as the next one waited for it?';

CREATE FUNCTION communications.is_reported(p_status text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
begin
    return p_status in ('SENT', 'DELIVERED', 'READ', 'FAILED', 'UNKNOWN');
end
$$;

CREATE FUNCTION communications.is_written(content jsonb, context jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (((content ->> 'type'::text) IS DISTINCT FROM 'system'::text) AND ((context ->> 'automatic'::text) IS NULL) AND ((context ->> 'group_id'::text) IS NULL));

CREATE FUNCTION communications.is_zone(p_zone text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
begin
    perform now() at time zone p_zone;
    return p_zone is not null;
exception when invalid_parameter_value then
    return false;
end
$$;

CREATE FUNCTION communications.learn_aliases(p jsonb) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
    -- Nearly always everything is known.
    if not exists (select from jsonb_to_recordset(p) as s (tenant_id uuid, contact_id uuid, aliases jsonb)
                    cross join jsonb_array_elements(s.aliases) as a
                    where not exists (select from communications.contact_identities i
                                       where i.tenant_id = s.tenant_id and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
                                         and i.contact_id = s.contact_id)) then
        return;
    end if;

    with said as materialized (
        select distinct on (s.tenant_id, a ->> 0, a ->> 1, a ->> 2)
               s.tenant_id, a ->> 0 as kind, a ->> 1 as scope, a ->> 2 as value, s.address,
               communications.living_contact(s.tenant_id, s.contact_id) as contact_id
          from jsonb_to_recordset(p) as s (tenant_id uuid, contact_id uuid, address text, aliases jsonb)
         cross join jsonb_array_elements(s.aliases) as a
         where not exists (select from (select h.* from communications.contact_former_identities h
                                         where h.tenant_id = s.tenant_id and h.contact_id = s.contact_id
                                        -- Of one contact, by the index: nobody has given up many.
                                        offset 0) h
                            where (h.value = s.address
                                   or s.aliases @> jsonb_build_array(jsonb_build_array(h.kind, h.scope, h.value)))
                              and (select again.contact_id from communications.contact_identities again
                                    where again.tenant_id = h.tenant_id and again.kind = h.kind and again.scope = h.scope
                                      and again.value = h.value
                                    limit 1) is distinct from h.contact_id)),
    free as materialized (
        select s.* from said s
         where not exists (select from communications.contact_identities i
                            where i.tenant_id = s.tenant_id and i.kind = s.kind and i.scope = s.scope and i.value = s.value)
           and not exists (select from communications.contact_former_identities h
                            where h.tenant_id = s.tenant_id and h.kind = s.kind and h.scope = s.scope and h.value = s.value
                              and communications.living_contact(h.tenant_id, h.contact_id) = s.contact_id)),
    locked as materialized (
        select f.*, pg_try_advisory_xact_lock(communications.person_lock(f.tenant_id::text, f.kind, f.scope, f.value)) as taken
          from free f),
    held as materialized (
        select c.id from communications.contacts c
         where (c.tenant_id, c.id) in (select l.tenant_id, l.contact_id from locked l where l.taken)
           for no key update skip locked)
    insert into communications.contact_identities (tenant_id, kind, scope, value, contact_id, learned_from)
    select tenant_id, kind, scope, value, contact_id, address from locked where taken and contact_id in (select id from held)
    on conflict do nothing;

    perform communications.open_reviews(jsonb_agg(to_jsonb(d)))
       from (select c.tenant_id, least(c.contact_id, c.other) as contact_a, greatest(c.contact_id, c.other) as contact_b,
                    count(distinct c.address) as times,
                    jsonb_agg(distinct jsonb_build_object('kind', c.kind, 'value', c.value, 'contact_id', c.other))
                        || jsonb_agg(distinct jsonb_build_object('kind', 'address', 'value', c.address, 'contact_id', c.contact_id))
                        as evidence
               from (select s.tenant_id, s.address, i.kind, i.value,
                            communications.living_contact(s.tenant_id, s.contact_id) as contact_id,
                            communications.living_contact(i.tenant_id, i.contact_id) as other
                       from jsonb_to_recordset(p) as s (tenant_id uuid, contact_id uuid, address text, aliases jsonb)
                      cross join jsonb_array_elements(s.aliases) as a
                       join communications.contact_identities i
                         on i.tenant_id = s.tenant_id and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
                        and i.contact_id <> s.contact_id
                      where not exists (select from communications.contact_former_identities h
                                         where h.tenant_id = i.tenant_id and h.kind = i.kind and h.scope = i.scope
                                           and h.value = i.value and h.contact_id = s.contact_id)) c
              where c.contact_id <> c.other
              group by c.tenant_id, least(c.contact_id, c.other), greatest(c.contact_id, c.other)) d
     having count(*) > 0;
end
$$;

CREATE FUNCTION communications.learn_contact() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    select c.display_name, c.kind into new.contact_name, new.contact_kind
      from communications.contacts c
     where c.tenant_id = new.tenant_id and c.id = new.contact_id
       for share;
    return new;
end
$$;

CREATE FUNCTION communications.learn_trigger() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    select r.trigger_event into new.trigger_event
      from communications.trigger_runs r
     where r.tenant_id = new.tenant_id and r.id = new.run_id;
    return new;
end
$$;

CREATE FUNCTION communications.lock_contacts(p_tenant uuid, p_contacts uuid[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    v_locked bigint[] := '{}';
    v_more   bigint[];
begin
    -- Again, until nothing came while waiting.
    loop
        select array_agg(k.hash order by k.hash) into v_more
          from (select communications.person_lock(p_tenant::text, i.kind, i.scope, i.value) as hash
                  from communications.contact_identities i where i.tenant_id = p_tenant and i.contact_id = any(p_contacts)
                union
                select communications.person_lock(p_tenant::text, h.kind, h.scope, h.value)
                  from communications.contact_former_identities h where h.tenant_id = p_tenant and h.contact_id = any(p_contacts)
                union
                select communications.person_lock(p_tenant::text, 'profile', coalesce(c.passenger_profile_id, c.driver_id, c.vendor_id)::text)
                  from communications.contacts c
                 where c.tenant_id = p_tenant and c.id = any(p_contacts) and num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) > 0) k
         where k.hash <> all(v_locked);
        exit when v_more is null;
        perform pg_advisory_xact_lock(hash) from unnest(v_more) as hash;
        v_locked := v_locked || v_more;
    end loop;
    perform from communications.contacts c
      where c.tenant_id = p_tenant and c.id = any(p_contacts) order by c.id for no key update;
    perform from communications.conversations v
      where v.tenant_id = p_tenant and v.contact_id = any(p_contacts) order by v.id for update;
end
$$;

CREATE FUNCTION communications.mail_load(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_owners jsonb;
    v_people jsonb;
begin
    with asked as (
        select distinct lower(r ->> 'domain') as domain, (r ->> 'message_id')::uuid as message_id
          from jsonb_array_elements(p -> 'recipients') as r),
    candidates as (
        select q.domain, q.message_id as claimed, a.tenant_id, a.id as account_id, a.created_at, m.id as message_id
          from asked q
          join communications.channel_accounts a
            on a.channel = 'EMAIL' and a.verified_at is not null
           and (a.external_account_id = q.domain or lower(a.provider_config #>> '{public,reply_domain}') = q.domain)
          left join communications.messages m on m.tenant_id = a.tenant_id and m.id = q.message_id and m.channel = 'EMAIL'),
    shared as (
        select domain from candidates group by domain having count(distinct tenant_id) > 1),
    owners as (
        select distinct on (c.tenant_id) c.tenant_id, c.account_id, c.message_id,
               bool_or(c.domain not in (select domain from shared)) over (partition by c.tenant_id) as alone,
               array_agg(c.domain) over (partition by c.tenant_id) as domains
          from candidates c
         where c.message_id is not null or c.domain not in (select domain from shared)
         order by c.tenant_id, (c.message_id is not null) desc, c.created_at, c.account_id)
    select jsonb_agg(jsonb_build_object(
               'tenant_id', o.tenant_id,
               -- The account that wrote is the one that is answered.
               'account_id', coalesce(answered.account_id, o.account_id),
               -- And the one that it came to, where no address of it names a message.
               'reached', coalesce((select c.account_id from candidates c
                                     where c.tenant_id = o.tenant_id and c.claimed is null
                                     order by c.created_at, c.account_id limit 1), o.account_id),
               'alone', o.alone,
               'domains', to_jsonb(o.domains),
               'token', o.message_id,
               'comes_back', exists (select from communications.messages b
                                      where b.tenant_id = o.tenant_id and b.id = (p ->> 'loop_of')::uuid),
               'answered', to_jsonb(answered), 'by_headers', to_jsonb(by_headers)) order by o.tenant_id)
      into v_owners
      from owners o
      left join lateral (
          select m.id as message_id, m.account_id, m.contact_id, m.address, m.external_message_id, m.direction = 'OUTBOUND' as ours
            from (select o.message_id as id, 0 as n
                  union all
                  select m.id, a.n from jsonb_array_elements_text(p -> 'answers') with ordinality as a (id, n)
                   cross join lateral communications.mails_with(o.tenant_id, jsonb_build_array(a.id)) as m (id)) named
           cross join lateral (
                 select m.* from communications.messages m
                  where m.tenant_id = o.tenant_id and m.id = named.id and m.channel = 'EMAIL'
                  limit 1) m
           order by (m.id = o.message_id) desc nulls last, (m.direction = 'OUTBOUND') desc, named.n, m.id desc
           limit 1) answered on true
      left join lateral (
          select m.id as message_id, m.account_id, m.contact_id, m.address, m.external_message_id, m.direction = 'OUTBOUND' as ours
            from (select m.id, a.n from jsonb_array_elements_text(p -> 'answers') with ordinality as a (id, n)
                   cross join lateral communications.mails_with(o.tenant_id, jsonb_build_array(a.id)) as m (id)) named
           cross join lateral (
                 select m.* from communications.messages m
                  where m.tenant_id = o.tenant_id and m.id = named.id and m.channel = 'EMAIL'
                  limit 1) m
           where o.message_id is not null
           order by (m.direction = 'OUTBOUND') desc, named.n, m.id desc
           limit 1) by_headers on true;

    if v_owners is not null and jsonb_array_length(p -> 'aliases') > 0 then
        select communications.people_load(jsonb_agg(jsonb_build_object(
                   'n', o.n - 1, 'tenant_id', o.value -> 'tenant_id', 'aliases', p -> 'aliases')))
          into v_people
          from jsonb_array_elements(v_owners) with ordinality as o (value, n);

        -- As merges lock: people, then contacts; who writes and who was written to in one order, for who stores the mail locks the former.
        -- Whoever was merged while this waited is the kept one.
        perform from communications.contacts c
          where (c.tenant_id, c.id) in (
                select (o ->> 'tenant_id')::uuid, (v.answered ->> 'contact_id')::uuid
                  from jsonb_array_elements(v_owners) as o
                 cross join lateral (values (o -> 'answered'), (o -> 'by_headers')) as v (answered)
                 where jsonb_typeof(v.answered) = 'object'
                union all
                select (a ->> 'tenant_id')::uuid, (a ->> 'contact_id')::uuid
                  from jsonb_array_elements(nullif(v_people -> 'aliases', 'null')) as a)
          order by c.tenant_id, c.id
            for no key update;
        select jsonb_agg(o.value || jsonb_build_object(
                   'answered', communications.answered_now((o.value ->> 'tenant_id')::uuid, o.value -> 'answered'),
                   'by_headers', communications.answered_now((o.value ->> 'tenant_id')::uuid, o.value -> 'by_headers')) order by o.n)
          into v_owners
          from jsonb_array_elements(v_owners) with ordinality as o (value, n);
    end if;
    select jsonb_agg(o.value || jsonb_build_object('nearest', coalesce((
               select jsonb_agg(jsonb_build_object(
                          'message', m.id, 'external', m.external_message_id,
                          'contact', communications.living_contact(m.tenant_id, m.contact_id)) order by a.n, m.id)
                 from jsonb_array_elements_text(p -> 'answers') with ordinality as a (id, n)
                cross join lateral communications.mails_with((o.value ->> 'tenant_id')::uuid, jsonb_build_array(a.id)) as named (id)
                cross join lateral (
                      select m.* from communications.messages m
                       where m.tenant_id = (o.value ->> 'tenant_id')::uuid and m.id = named.id and m.channel = 'EMAIL'
                       limit 1) m), '[]')) order by o.n)
      into v_owners
      from jsonb_array_elements(v_owners) with ordinality as o (value, n);
    return jsonb_build_object('owners', coalesce(v_owners, '[]'), 'people', coalesce(v_people, 'null'));
end
$$;

CREATE FUNCTION communications.mail_with(p_tenant uuid, p_rfc text) RETURNS uuid
    LANGUAGE sql STABLE
    RETURN (SELECT m.id FROM communications.messages m WHERE ((m.tenant_id = mail_with.p_tenant) AND (m.rfc_message_id = mail_with.p_rfc)) ORDER BY m.id LIMIT 1);

CREATE FUNCTION communications.mails_with(p_tenant uuid, p_ids jsonb) RETURNS SETOF uuid
    LANGUAGE sql STABLE
    AS $$
    select m.id
      from jsonb_array_elements_text(p_ids) as named (id)
     -- Each by the index, however many ids the planner expects.
     cross join lateral (
           select m.id from communications.messages m
            where m.tenant_id = p_tenant and m.channel = 'EMAIL' and m.direction = 'OUTBOUND' and m.external_message_id = named.id
           union all
           select m.id from communications.messages m
            where m.tenant_id = p_tenant and m.rfc_message_id = named.id
           offset 0) m;
$$;

COMMENT ON FUNCTION communications.mails_with(p_tenant uuid, p_ids jsonb) IS 'Of a tenant: the mails that go by one of these ids, with SES (ours alone) or in their own Message-ID.';

CREATE FUNCTION communications.marketing_before(p_tenant uuid, p_contact uuid, p_channel text, p_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN (SELECT before.granted FROM communications.consents before WHERE ((before.tenant_id = marketing_before.p_tenant) AND (before.contact_id = marketing_before.p_contact) AND (before.channel = marketing_before.p_channel) AND (before.category = 'MARKETING'::text) AND (before.at <= marketing_before.p_at) AND (before.granted OR (NOT (EXISTS (SELECT FROM communications.consents stop WHERE ((stop.tenant_id = before.tenant_id) AND (stop.contact_id = before.contact_id) AND (stop.channel = before.channel) AND (stop.category = 'TRANSACTIONAL'::text) AND (NOT stop.granted) AND (stop.at = before.at) AND (stop.source = before.source))))))) ORDER BY before.at DESC, before.id DESC LIMIT 1);

COMMENT ON FUNCTION communications.marketing_before(p_tenant uuid, p_contact uuid, p_channel text, p_at timestamp with time zone) IS 'What somebody had said of marketing by then, full stops left out: what a START of then gives back. Null: nothing.';

CREATE FUNCTION communications.match_reports(p jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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
    perform communications.apply_reported(v_tenants, v_ids, v_codes, v_effects, v_at);
    perform communications.note_refusals(v_tenants, v_ids, v_codes, v_effects, v_at);
    perform communications.store_prices(v_tenants, v_ids, v_accounts, v_at, v_prices);
    return cardinality(v_ids);
end
$$;

CREATE FUNCTION communications.media_gauges(p jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select jsonb_build_object(
        'overdue', count(*) filter (where f.due_at < now() - (p ->> 'overdue_seconds')::float8 * interval '1 second'),
        'failing', count(distinct (f.tenant_id, f.account_id)) filter (where a.media_health = 'FAILING'))
      from communications.message_media f
      join communications.channel_accounts a on a.tenant_id = f.tenant_id and a.id = f.account_id
     where f.state = 'PENDING';
$$;

CREATE FUNCTION communications.media_wait(p_attempts integer) RETURNS interval
    LANGUAGE sql IMMUTABLE
    AS $$
    select (array ['10 seconds', '1 minute', '5 minutes', '30 minutes', '2 hours', '6 hours']::interval[])
           [least(greatest(p_attempts, 1), 6)];
$$;

CREATE FUNCTION communications.meet_neighbours() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
declare
    v_change communications.message_revisions;
begin
    if new.reply_to is not null and new.replied_to is null then
        select m.id into new.replied_to from communications.messages m
         where m.tenant_id = new.tenant_id and m.account_id = new.account_id and m.external_message_id = new.reply_to
           and (new.channel <> 'EMAIL' or m.contact_id = new.contact_id);
        if not found and new.channel = 'EMAIL' then
            select m.id into new.replied_to from communications.messages m
             where m.tenant_id = new.tenant_id and m.rfc_message_id = new.reply_to and m.contact_id = new.contact_id
             order by m.id limit 1;
        end if;
    end if;
    if new.channel = 'EMAIL' and new.rfc_message_id is not null then
        update communications.messages m set replied_to = new.id
         where (m.tenant_id, m.id) in (
               select c.tenant_id, a.id
                 from communications.channel_accounts c
                cross join unnest(array [new.rfc_message_id,
                                         substring(new.rfc_message_id from '(?i)^(.+)@(?:.+[.])?amazonses[.]com(?:[.]cn)?$')]) as named (id)
                -- Each by the index, also where the plan was made before there were any.
                cross join lateral (
                      select a.id from communications.messages a
                       where a.tenant_id = c.tenant_id and a.account_id = c.id and a.reply_to = named.id
                         and a.replied_to is null and a.contact_id = new.contact_id and a.id <> new.id
                      offset 0
                         for no key update skip locked) a
                where c.tenant_id = new.tenant_id and c.channel = 'EMAIL');
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
                    new.edited_at := null;
                    new.revoked_at := v_change.at;
                else
                    new.content := case when new.content ->> 'type' = v_change.content ->> 'type'
                                        then (new.content - 'caption') || v_change.content else v_change.content end;
                    new.body := v_change.body;
                    new.edited_at := v_change.at;
                end if;
                perform from communications.conversations v
                  where v.tenant_id = new.tenant_id and v.id = new.conversation_id for no key update;
                update communications.conversations v
                   set preview = case when v_change.kind = 'REVOKE' then '[deleted]' else left(v_change.body, 200) end
                 where v.tenant_id = new.tenant_id and v.id = new.conversation_id
                   and not exists (select from communications.messages later
                                    where later.tenant_id = v.tenant_id and later.conversation_id = v.id and later.muted is not true
                                      and (later.thread_at, later.id) > (coalesce(new.provider_timestamp, new.created_at), new.id));
            end if;
        end if;
    -- Whoever inserts it holds its lock already.
    elsif exists (select from communications.message_reactions r
                   where r.tenant_id = new.tenant_id and r.account_id = new.account_id
                     and r.target_external_id = new.external_message_id) then
        new.reactions := communications.reactions_to(new.tenant_id, new.account_id, new.external_message_id);
    end if;
    if exists (select from communications.messages m
                where m.tenant_id = new.tenant_id and m.account_id = new.account_id
                  and m.reply_to = new.external_message_id and m.replied_to is null
                  and (new.channel <> 'EMAIL' or m.contact_id = new.contact_id)) then
        update communications.messages m set replied_to = new.id
         where (m.tenant_id, m.id) in (select a.tenant_id, a.id from communications.messages a
                                        where a.tenant_id = new.tenant_id and a.account_id = new.account_id
                                          and a.reply_to = new.external_message_id and a.replied_to is null
                                          and (new.channel <> 'EMAIL' or a.contact_id = new.contact_id)
                                          for no key update skip locked);
    end if;
    return new;
end
$_$;

CREATE FUNCTION communications.merge_contacts(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
    v_tenant   uuid := (p ->> 'tenant_id')::uuid;
    v_merge    uuid := (p ->> 'merge_id')::uuid;
    v_kept     uuid := (p ->> 'kept_id')::uuid;
    v_merged   uuid := (p ->> 'merged_id')::uuid;
    v_by       uuid := (p ->> 'by')::uuid;
    v_k        communications.contacts;
    v_m        communications.contacts;
    v_into     uuid;
    v_from     uuid;
    v_ids      uuid[];
    v_runs     jsonb;
    v_messages jsonb := '[]';
    v_moved    jsonb := '{}';
    v_some     jsonb;
begin
    perform communications.lock_contacts(v_tenant, array[v_kept, v_merged]);
    select * into v_k from communications.contacts where tenant_id = v_tenant and id = v_kept;
    select * into v_m from communications.contacts where tenant_id = v_tenant and id = v_merged;
    if v_k.id is null or v_m.id is null then
        return '{"refused": "not-found"}';
    elsif v_m.merged_into = v_kept then
        return (select jsonb_build_object('merge_id', g.id) from communications.contact_merges g
                 where g.tenant_id = v_tenant and g.kept_id = v_kept and g.merged_id = v_merged and g.undone_at is null);
    elsif v_k.merged_into is not null then
        return jsonb_build_object('refused', 'merged', 'contact_id', v_kept);
    elsif v_m.merged_into is not null then
        return jsonb_build_object('refused', 'merged', 'contact_id', v_merged);
    end if;

    select v.id into v_from
      from communications.conversations v
     where v.tenant_id = v_tenant and v.contact_id = v_merged and v.status <> 'RESOLVED';
    select v.id into v_into
      from communications.conversations v where v.tenant_id = v_tenant and v.contact_id = v_kept and v.status <> 'RESOLVED';

    -- What must not be taken for the merged contact's when it is undone.
    select jsonb_build_object(
               'kept_aliases', coalesce((select jsonb_agg(jsonb_build_array(i.kind, i.scope, i.value))
                                           from communications.contact_identities i
                                          where i.tenant_id = v_tenant and i.contact_id = v_kept), '[]'),
               'kept_former', coalesce((select jsonb_agg(jsonb_build_array(h.kind, h.scope, h.value, h.until))
                                           from communications.contact_former_identities h
                                          where h.tenant_id = v_tenant and h.contact_id = v_kept), '[]'),
               'kept_reactions', coalesce((select jsonb_agg(jsonb_build_array(r.account_id, r.target_external_id, r.actor_kind))
                                              from communications.message_reactions r
                                             where r.tenant_id = v_tenant and r.contact_id = v_kept), '[]'),
               'kept_revisions', coalesce((select jsonb_agg(jsonb_build_array(r.account_id, r.external_message_id))
                                              from communications.message_revisions r
                                             where r.tenant_id = v_tenant and r.contact_id = v_kept), '[]'),
               'kept_consents', coalesce((select jsonb_agg(s.id) from communications.consents s
                                           where s.tenant_id = v_tenant and s.contact_id = v_kept), '[]'),
               'kept_messages', coalesce((
                   select jsonb_agg(m.id)
                     from communications.messages_of(v_tenant, v_kept) m
                    where communications.alias_of_message(m.direction, m.address, m.context)
                          in (select i.value from communications.contact_identities i
                               where i.tenant_id = v_tenant and i.contact_id = v_merged
                               union all
                              select h.value from communications.contact_former_identities h
                               where h.tenant_id = v_tenant and h.contact_id = v_merged)), '[]'))
      into v_moved;

    if v_into is not null and v_from is not null then
        v_moved := v_moved || (
            select jsonb_build_object('fold', jsonb_build_object(
                       'into', v_into, 'from', v_from, 'before', communications.thread_state(k),
                       'cursors_before', communications.cursors_of(v_tenant, v_into), 'from_before', communications.thread_state(m)))
              from communications.conversations k, communications.conversations m
             where k.tenant_id = v_tenant and k.id = v_into and m.tenant_id = v_tenant and m.id = v_from);
        perform communications.fold_thread(v_tenant, v_into, v_from);
    end if;

    -- Both may have had messages of one run, which are told apart by their steps. Chains are short.
    select coalesce(jsonb_object_agg(k.run_id, k.past), '{}') into v_runs
      from (select k.run_id, (max(k.step) / 100 + 1) * 100 as past
              from (select distinct run_id from communications.messages_of(v_tenant, v_merged) where run_id is not null) m
              join communications.messages k
                on k.tenant_id = v_tenant and k.run_id = m.run_id and k.contact_id = v_kept
             group by k.run_id) k;

    -- Locked in the order that everybody locks messages in; again, for what a worker added while this waited.
    loop
        select array_agg(m.id) into v_ids from communications.messages_of(v_tenant, v_merged) m;
        exit when v_ids is null;
        with locked as (
            select m.id, m.conversation_id, m.run_id from communications.messages m
             where m.tenant_id = v_tenant and m.id = any(v_ids) order by m.id for no key update),
        changed as (
            update communications.messages m
               set contact_id = v_kept,
                   conversation_id = case when v_into is not null and m.conversation_id = v_from then v_into else m.conversation_id end,
                   step = m.step + coalesce((v_runs ->> m.run_id::text)::smallint, 0::smallint)
              from locked l
             where m.tenant_id = v_tenant and m.id = l.id
            returning m.id, l.conversation_id)
        select jsonb_agg(jsonb_build_array(id, conversation_id)) into v_some from changed;
        v_messages := v_messages || coalesce(v_some, '[]');
    end loop;
    v_moved := v_moved || jsonb_build_object('messages', v_messages, 'runs', v_runs);

    with changed as (
        update communications.contact_identities set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged returning kind, scope, value)
    select coalesce(jsonb_agg(jsonb_build_array(kind, scope, value)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('aliases', v_some);

    with changed as (
        update communications.contact_former_identities set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged returning kind, scope, value, until)
    select coalesce(jsonb_agg(jsonb_build_array(kind, scope, value, until)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('former', v_some);

    -- The emptied thread stays behind: it must not be taken for the newest one.
    with changed as (
        update communications.conversations set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged and (v_into is null or id is distinct from v_from) returning id)
    select coalesce(jsonb_agg(id), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('threads', v_some);
    insert into communications.conversation_events
           (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
    select v_tenant, communications.uuid_v7(), e.id, 'MERGED', e.before, e.after, 'AGENT', v_by
      from (select t::uuid as id, v_merged::text as before, v_kept::text as after from jsonb_array_elements_text(v_some) as t
            union all
            select x, v_from::text, v_into::text from unnest(array[v_from, v_into]) as x
             where v_into is not null and v_from is not null) e;

    if v_moved ? 'fold' then
        update communications.conversation_read_cursors r
           set inbound_seen = communications.inbound_until(v_tenant, v_into, r.last_read_at)
         where r.tenant_id = v_tenant and r.conversation_id = v_into;
        v_moved := jsonb_set(v_moved, '{fold}', (v_moved -> 'fold') || (
            select jsonb_build_object('after', communications.thread_state(k), 'cursors_after', communications.cursors_of(v_tenant, v_into))
              from communications.conversations k where k.tenant_id = v_tenant and k.id = v_into));
    end if;

    -- Whoever wrote last may be answered.
    select coalesce(jsonb_object_agg(w.account_id, jsonb_build_object('before', w.open_until)), '{}') into v_some
      from communications.whatsapp_windows w where w.tenant_id = v_tenant and w.contact_id = v_kept;
    insert into communications.whatsapp_windows as w (tenant_id, account_id, contact_id, open_until)
    select tenant_id, account_id, v_kept, open_until
      from communications.whatsapp_windows where tenant_id = v_tenant and contact_id = v_merged
    on conflict (tenant_id, account_id, contact_id) do update set open_until = greatest(w.open_until, excluded.open_until);
    v_moved := v_moved || jsonb_build_object('windows', coalesce((
        select jsonb_object_agg(w.account_id, coalesce(v_some -> w.account_id::text, '{}') || jsonb_build_object('after', w.open_until))
          from communications.whatsapp_windows w where w.tenant_id = v_tenant and w.contact_id = v_kept), '{}'));

    -- A no of either is a no; a yes holds where the other never said anything.
    with said as (
        insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
        select v_tenant, communications.uuid_v7(), v_kept, m.channel, m.category, m.granted, 'merge', 'merge',
               greatest(m.at, k.at)
          from communications.current_consents m
          left join communications.current_consents k
            on k.tenant_id = v_tenant and k.contact_id = v_kept and k.channel = m.channel and k.category = m.category
         where m.tenant_id = v_tenant and m.contact_id = v_merged and (k.granted is null or k.granted and not m.granted or k.granted and m.granted and m.at > k.at)
        returning id)
    select coalesce(jsonb_agg(id), '[]') into v_some from said;
    v_moved := v_moved || jsonb_build_object('consents', v_some);

    -- Where both reacted to one message, both stay.
    with changed as (
        update communications.message_reactions r set contact_id = v_kept
         where r.tenant_id = v_tenant and r.contact_id = v_merged
           and not exists (select from communications.message_reactions o
                            where o.tenant_id = v_tenant and o.account_id = r.account_id and o.contact_id = v_kept
                              and o.target_external_id = r.target_external_id and o.actor_kind = r.actor_kind)
        returning account_id, target_external_id, actor_kind)
    select coalesce(jsonb_agg(jsonb_build_array(account_id, target_external_id, actor_kind)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('reactions', v_some);
    with changed as (
        update communications.message_revisions set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged returning account_id, external_message_id)
    select coalesce(jsonb_agg(jsonb_build_array(account_id, external_message_id)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('revisions', v_some);

    -- In a statement of its own: what another merge made of them is seen.
    perform from communications.contact_reviews r
      where r.tenant_id = v_tenant and r.resolution is null and (r.contact_a = v_merged or r.contact_b = v_merged)
      order by r.id for no key update;
    -- The question of this pair is answered, and what was asked of the merged contact is asked of the kept one.
    with open as (
        select r.id, r.contact_a, r.contact_b, case when r.contact_a = v_merged then r.contact_b else r.contact_a end as other
          from communications.contact_reviews r
         where r.tenant_id = v_tenant and r.resolution is null and (r.contact_a = v_merged or r.contact_b = v_merged)),
    changed as (
        update communications.contact_reviews r
           set contact_a = case when o.answered then r.contact_a else least(v_kept, o.other) end,
               contact_b = case when o.answered then r.contact_b else greatest(v_kept, o.other) end,
               resolution = case when o.answered then 'MERGED' end,
               resolved_by = case when o.answered then v_by end, resolved_at = case when o.answered then now() end
          from (select o.*, o.other = v_kept or exists (
                           select from communications.contact_reviews k
                            where k.tenant_id = v_tenant and k.resolution is null
                              and k.contact_a = least(v_kept, o.other) and k.contact_b = greatest(v_kept, o.other)) as answered
                  from open o) o
         where r.tenant_id = v_tenant and r.id = o.id
        returning r.id, o.contact_a, o.contact_b)
    select coalesce(jsonb_agg(jsonb_build_array(id, contact_a, contact_b)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('reviews', v_some);

    -- One link for a contact: the merged one keeps its own where the kept one has another.
    v_moved := v_moved || jsonb_build_object(
        'contact_before', communications.contact_state(v_k), 'merged_before', communications.contact_state(v_m));
    update communications.contacts
       set merged_into = v_kept,
           passenger_profile_id = case when l.kept_linked then passenger_profile_id end,
           driver_id = case when l.kept_linked then driver_id end,
           vendor_id = case when l.kept_linked then vendor_id end
      from (select num_nonnulls(v_k.passenger_profile_id, v_k.driver_id, v_k.vendor_id) > 0 as kept_linked) l
     where tenant_id = v_tenant and id = v_merged;
    update communications.contacts
       set display_name = coalesce(display_name, v_m.display_name), locale = coalesce(locale, v_m.locale),
           timezone = coalesce(timezone, v_m.timezone),
           kind = case when l.kept_linked or num_nonnulls(v_m.passenger_profile_id, v_m.driver_id, v_m.vendor_id) = 0
                       then kind else v_m.kind end,
           passenger_profile_id = case when l.kept_linked then passenger_profile_id else v_m.passenger_profile_id end,
           driver_id = case when l.kept_linked then driver_id else v_m.driver_id end,
           vendor_id = case when l.kept_linked then vendor_id else v_m.vendor_id end,
           blocked_by = case when blocked_at is null then v_m.blocked_by else blocked_by end,
           blocked_at = coalesce(blocked_at, v_m.blocked_at)
      from (select num_nonnulls(v_k.passenger_profile_id, v_k.driver_id, v_k.vendor_id) > 0 as kept_linked) l
     where tenant_id = v_tenant and id = v_kept;
    v_moved := v_moved || (select jsonb_build_object('contact_after', communications.contact_state(c))
                             from communications.contacts c where c.tenant_id = v_tenant and c.id = v_kept);

    -- By the clock: of two merges in their order, whenever their transactions began.
    insert into communications.contact_merges (tenant_id, id, kept_id, merged_id, moved, merged_by, merged_at)
    values (v_tenant, v_merge, v_kept, v_merged, v_moved, v_by, clock_timestamp());
    return jsonb_build_object('merge_id', v_merge);
end
$$;

CREATE FUNCTION communications.message_address(message communications.messages) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE WHEN (EXISTS (SELECT FROM communications.contacts c WHERE ((c.tenant_id = (message_address.message).tenant_id) AND (c.id = (message_address.message).contact_id) AND c.masked))) THEN ('•••'::text || CASE WHEN ((message).address ~~ '%@%'::text) THEN ''::text ELSE "right"((message).address, 2) END) ELSE (message).address END;

CREATE FUNCTION communications.message_content(message communications.messages) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN CASE WHEN (((message).revoked_at IS NULL) AND (((message).content ->> 'type'::text) = ANY (ARRAY['email'::text, 'location'::text, 'contacts'::text, 'order'::text, 'form'::text, 'reply'::text])) AND (NOT (EXISTS (SELECT FROM communications.contacts c WHERE ((c.tenant_id = (message_content.message).tenant_id) AND (c.id = (message_content.message).contact_id) AND c.masked))))) THEN CASE WHEN (((message).content ->> 'type'::text) = 'email'::text) THEN jsonb_build_object('type', 'email', 'subject', ((message).content -> 'subject'::text), 'text', ((message).content -> 'text'::text), 'html', CASE (message).direction WHEN 'INBOUND'::text THEN ((message).content -> 'html'::text) ELSE NULL::jsonb END, 'proven', CASE (message).direction WHEN 'INBOUND'::text THEN ((message).context -> 'proven'::text) ELSE NULL::jsonb END) ELSE (message).content END ELSE NULL::jsonb END;

CREATE FUNCTION communications.messages_of(p_tenant uuid, p_contact uuid) RETURNS SETOF communications.messages
    LANGUAGE sql STABLE
    AS $$
    select m.* from communications.conversations v
      join communications.messages m on m.tenant_id = v.tenant_id and m.conversation_id = v.id
     where v.tenant_id = p_tenant and v.contact_id = p_contact and m.contact_id = p_contact
    union all
    select m.* from communications.messages m
     where m.tenant_id = p_tenant and m.contact_id = p_contact and m.conversation_id is null;
$$;

CREATE FUNCTION communications.mute_blocked(p jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select case when bool_or(c.id is not null)
                then jsonb_agg(case when c.id is null then m.value
                                    else m.value || '{"muted": true, "wakes": false}' end order by m.n)
                else p end
      from jsonb_array_elements(p) with ordinality as m (value, n)
      left join communications.contacts c
        on c.tenant_id = (m.value ->> 'tenant_id')::uuid and c.id = (m.value ->> 'contact_id')::uuid
       and c.blocked_at is not null and m.value ->> 'direction' = 'INBOUND';
$$;

CREATE FUNCTION communications.note_refusals(p_tenants uuid[], p_ids uuid[], p_codes text[], p_effects text[], p_at timestamp with time zone[]) RETURNS TABLE(tenant_id uuid, account_id uuid)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
    if not p_effects @> array ['NOTICE'] then
        return;
    end if;
    return query
    insert into communications.channel_account_events (tenant_id, id, account_id, field, event, alert, occurred_at, raw, raw_hash)
    select distinct on (m.tenant_id, m.account_id, n.raw_hash)
           m.tenant_id, communications.uuid_v7(), m.account_id, 'messages', e.code, true, n.at,
           jsonb_build_object('code', e.code, 'message_id', m.id), n.raw_hash
      from unnest(p_tenants, p_ids, p_codes, p_effects, p_at) as e (tenant_id, id, code, effect, at)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     cross join lateral (select least(coalesce(e.at, now()), now()) as at) t
     cross join lateral (select t.at, sha256(convert_to(concat_ws(' ', 'refused', e.code, (t.at at time zone 'UTC')::date), 'UTF8'))
                                as raw_hash) n
     where e.effect = 'NOTICE'
     order by m.tenant_id, m.account_id, n.raw_hash, n.at
    on conflict on constraint channel_account_events_key do nothing
    returning tenant_id, account_id;
end
$$;

COMMENT ON FUNCTION communications.note_refusals(p_tenants uuid[], p_ids uuid[], p_codes text[], p_effects text[], p_at timestamp with time zone[]) IS 'Notes that a provider refused messages for their account''s own sake, once a day for each account and code; answers what is new.';

CREATE FUNCTION communications.note_wishes(p jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    v_wishes jsonb;
begin
    -- One time after the other: what START gives back depends on what was said before it.
    for v_wishes in
        select jsonb_agg(w.value) from jsonb_array_elements(p) as w (value)
         group by least((w.value ->> 'at')::timestamptz, now()) order by least((w.value ->> 'at')::timestamptz, now())
    loop
        perform communications.note_wishes_at_once(v_wishes);
    end loop;

    perform communications.give_back_what_was_said(p);
    perform communications.stop_what_was_given_back(p);

    insert into communications.address_wishes as w
           (tenant_id, channel, address, stop_at, stop_marketing_at, start_at, start_marketing_at)
    select s.tenant_id, s.channel, lower(s.address), max(s.at) filter (where s.wish = 'STOP'),
           max(s.at) filter (where s.wish = 'STOP_MARKETING'), max(s.at) filter (where s.wish = 'START'),
           max(s.at) filter (where s.wish = 'START_MARKETING')
      from (select r.tenant_id, r.channel, r.address, r.wish, least(r.at, now()) as at
              from jsonb_to_recordset(p) as r (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, address text)
             where r.channel in ('EMAIL', 'SMS') and r.address <> ''
               -- Told late, by whoever has left the number since: of who has it now it says nothing.
               and not exists (select from communications.contact_former_identities f
                                where f.tenant_id = r.tenant_id and f.contact_id = r.contact_id and f.kind = 'phone'
                                  and f.value = r.address and f.until >= r.at)) s
     group by s.tenant_id, s.channel, lower(s.address)
     order by s.tenant_id, s.channel, lower(s.address)
    on conflict on constraint address_wishes_pkey do update
       set stop_at = greatest(w.stop_at, excluded.stop_at),
           stop_marketing_at = greatest(w.stop_marketing_at, excluded.stop_marketing_at),
           start_at = greatest(w.start_at, excluded.start_at),
           start_marketing_at = greatest(w.start_marketing_at, excluded.start_marketing_at);

    -- What bounced or was complained about: where it was said, and at every address of whoever said it.
    delete from communications.suppressions s
     using jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, address text)
     cross join lateral (
           select lower(w.address) as address
           union
           select i.value from communications.contact_identities i
            where i.tenant_id = w.tenant_id and i.contact_id = w.contact_id
              and i.kind = case w.channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end) a
     where w.wish = 'START' and s.tenant_id = w.tenant_id and s.channel = w.channel and s.address = a.address and s.at < w.at;
end
$$;

CREATE FUNCTION communications.note_wishes_at_once(p jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
    select distinct on (w.tenant_id, w.contact_id, w.channel, c.category)
           w.tenant_id, communications.uuid_v7(), w.contact_id, w.channel, c.category, c.granted, w.basis, w.source, lower(w.address),
           -- A clock ahead of ours must not outlast a later wish.
           least(w.at, now())
      from jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, basis text, source text, at timestamptz,
                                       address text)
      join (values ('STOP', 'OTP', false), ('STOP', 'TRANSACTIONAL', false), ('STOP', 'MARKETING', false),
                   ('STOP_MARKETING', 'MARKETING', false), ('START_MARKETING', 'MARKETING', true),
                   ('START', 'OTP', true), ('START', 'TRANSACTIONAL', true), ('START', 'MARKETING', true))
           as c (wish, category, granted) on c.wish = w.wish
      -- The same again.
     where not exists (select from communications.consents known
                        where known.tenant_id = w.tenant_id and known.contact_id = w.contact_id and known.channel = w.channel
                          and known.category = c.category and known.granted = c.granted and known.source = w.source
                          and known.at = least(w.at, now()))
       -- What was there before a full stop, and nothing that was never agreed to.
       and (w.wish <> 'START' or c.category <> 'MARKETING'
            or communications.marketing_before(w.tenant_id, w.contact_id, w.channel, w.at))
     order by w.tenant_id, w.contact_id, w.channel, c.category, c.granted;
$$;

CREATE FUNCTION communications.open_asleep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    v_until timestamptz;
begin
    select m.quiet_hours into new.quiet_hours
      from communications.messages m where m.tenant_id = new.tenant_id and m.id = new.fallback_of;
    v_until := communications.quiet_now(new.quiet_hours);
    if v_until is not null then
        if new.quiet_hours ->> 'action' = 'DROP' then
            return null;
        end if;
        new.due_at := v_until;
        new.hint_at := '-infinity';
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.open_fallbacks(p_tenants uuid[], p_ids uuid[], p_reason text) RETURNS TABLE(tenant_id uuid, message_id uuid, lane text)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION communications.open_reviews(p jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.contact_reviews as r (tenant_id, id, contact_a, contact_b, evidence, times_seen)
    select d.tenant_id, communications.uuid_v7(), d.contact_a, d.contact_b, d.evidence, d.times
      from jsonb_to_recordset(p) as d (tenant_id uuid, contact_a uuid, contact_b uuid, times integer, evidence jsonb)
     where not exists (select from communications.contact_reviews old
                        where old.tenant_id = d.tenant_id and old.contact_a = d.contact_a and old.contact_b = d.contact_b
                          and old.resolution = 'DISMISSED' and old.evidence @> d.evidence)
     order by d.tenant_id, d.contact_a, d.contact_b
    on conflict (tenant_id, contact_a, contact_b) where resolution is null do update
       set times_seen = r.times_seen + excluded.times_seen,
           last_seen_at = now(),
           evidence = (select jsonb_agg(distinct e) from jsonb_array_elements(r.evidence || excluded.evidence) as e);
$$;

CREATE TABLE communications.contact_identities (
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    scope text DEFAULT ''::text NOT NULL,
    value text NOT NULL,
    contact_id uuid NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    learned_from text,
    gained_at timestamp with time zone,
    CONSTRAINT contact_identities_email_lower CHECK (((kind <> 'email'::text) OR (value = lower(value)))),
    CONSTRAINT contact_identities_kind_check CHECK ((kind = ANY (ARRAY['phone'::text, 'wa_id'::text, 'bsuid'::text, 'parent_bsuid'::text, 'email'::text, 'visitor'::text]))),
    CONSTRAINT contact_identities_phone_e164 CHECK (((kind <> 'phone'::text) OR (value ~ '^\+[1-9][0-9]{6,14}$'::text))),
    CONSTRAINT contact_identities_value_check CHECK ((value <> ''::text))
);

COMMENT ON COLUMN communications.contact_identities.gained_at IS 'The provider''s newest news that the number is its owner''s, by the provider''s clock; older news takes it from nobody.';

CREATE FUNCTION communications.opted_out(p_tenant uuid, p_contact uuid, p_channel text) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN (EXISTS (SELECT FROM (SELECT said.at FROM (SELECT c.granted, c.at FROM communications.consents c WHERE ((c.tenant_id = opted_out.p_tenant) AND (c.contact_id = opted_out.p_contact) AND (c.channel = opted_out.p_channel) AND (c.category = 'TRANSACTIONAL'::text)) ORDER BY c.at DESC, c.id DESC LIMIT 1) said WHERE (NOT said.granted) UNION ALL SELECT w.refused_at FROM (communications.contact_identities i JOIN communications.address_wishes w ON (((w.tenant_id = i.tenant_id) AND (w.channel = opted_out.p_channel) AND (w.address = i.value)))) WHERE ((i.tenant_id = opted_out.p_tenant) AND (i.contact_id = opted_out.p_contact) AND (i.kind = CASE opted_out.p_channel WHEN 'EMAIL'::text THEN 'email'::text WHEN 'SMS'::text THEN 'phone'::text ELSE NULL::text END) AND communications.address_refuses(opted_out.p_tenant, opted_out.p_contact, opted_out.p_channel, 'TRANSACTIONAL'::text, i.value))) no WHERE (NOT (EXISTS (SELECT FROM (communications.conversations v JOIN communications.messages m ON (((m.tenant_id = v.tenant_id) AND (m.conversation_id = v.id)))) WHERE ((v.tenant_id = opted_out.p_tenant) AND (v.contact_id = opted_out.p_contact) AND (m.direction = 'INBOUND'::text) AND (m.channel = opted_out.p_channel) AND communications.is_written(m.content, m.context) AND (m.thread_at > LEAST(no.at, (now() - '24:00:00'::interval))) AND (m.created_at > LEAST(no.at, (now() - '24:00:00'::interval)))))))));

CREATE FUNCTION communications.people_load(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $_$
declare
    v_tenants  uuid[];
    v_kinds    text[];
    v_scopes   text[];
    v_values   text[];
    v_hosts    uuid[];
    v_ids      uuid[];
    v_aliases  jsonb;
    v_former   jsonb;
    v_profiles jsonb;
begin
    select array_agg(a.tenant_id), array_agg(a.kind), array_agg(a.scope), array_agg(a.value)
      into v_tenants, v_kinds, v_scopes, v_values
      from (select distinct (s ->> 'tenant_id')::uuid as tenant_id, a ->> 0 as kind, a ->> 1 as scope, a ->> 2 as value
              from jsonb_array_elements(p) as s cross join jsonb_array_elements(s -> 'aliases') as a) a;
    if p @? '$[*].profile ? (@ != null)' then
        select array_agg(s.tenant_id), array_agg(s.profile) into v_hosts, v_ids
          from (select distinct s.tenant_id, s.profile from jsonb_to_recordset(p) as s (tenant_id uuid, profile uuid)
                 where s.profile is not null) s;
    end if;

    perform pg_advisory_xact_lock(k.hash)
       from (select communications.person_lock(a.tenant_id::text, a.kind, a.scope, a.value) as hash
               from unnest(v_tenants, v_kinds, v_scopes, v_values) as a (tenant_id, kind, scope, value)
             union
             select communications.person_lock(s.tenant_id::text, 'profile', s.id::text)
               from unnest(v_hosts, v_ids) as s (tenant_id, id)
             order by 1) k;

    select jsonb_agg(to_jsonb(f)) into v_aliases
      from (select a.*, c.*, owner.gained_at
              from unnest(v_tenants, v_kinds, v_scopes, v_values) as a (tenant_id, kind, scope, value)
             cross join lateral (
                   select i.contact_id as id, i.gained_at from communications.contact_identities i
                    where i.tenant_id = a.tenant_id and i.kind = a.kind and i.scope = a.scope and i.value = a.value
                    limit 1) owner
             cross join lateral (
                   select case when o.merged_into is null then o.id else communications.living_contact(o.tenant_id, o.id) end as id
                     from communications.contacts o where o.tenant_id = a.tenant_id and o.id = owner.id
                    limit 1) living
             cross join lateral (
                   select c.id as contact_id,
                          coalesce(c.passenger_profile_id, c.driver_id, c.vendor_id, case when exists (
                              select from communications.contact_identities x
                               where x.tenant_id = c.tenant_id and x.contact_id = c.id and x.kind <> 'email') then c.id end) as link,
                          c.display_name is null or c.locale is null or c.timezone is null
                              or num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0 as incomplete
                     from communications.contacts c where c.tenant_id = a.tenant_id and c.id = living.id
                    limit 1) c) f;

    select jsonb_agg(to_jsonb(f)) into v_former
      from (select a.*, h.*
              from unnest(v_tenants, v_kinds, v_scopes, v_values) as a (tenant_id, kind, scope, value)
             cross join lateral (
                   select distinct communications.living_contact(h.tenant_id, h.contact_id) as contact_id, h.until, h.since
                     from communications.contact_former_identities h
                    where h.tenant_id = a.tenant_id and h.kind = a.kind and h.scope = a.scope and h.value = a.value) h) f;

    if v_ids is not null then
        select jsonb_agg(to_jsonb(f)) into v_profiles
          from (select s.tenant_id, s.id as profile, c.contact_id
                  from unnest(v_hosts, v_ids) as s (tenant_id, id)
                 cross join lateral (
                       select case when c.merged_into is null then c.id
                                   else communications.living_contact(c.tenant_id, c.id) end as contact_id
                         from (select x.tenant_id, x.id, x.merged_into from communications.contacts x
                                where x.tenant_id = s.tenant_id and x.passenger_profile_id = s.id
                               union all
                               select x.tenant_id, x.id, x.merged_into from communications.contacts x
                                where x.tenant_id = s.tenant_id and x.driver_id = s.id
                               union all
                               select x.tenant_id, x.id, x.merged_into from communications.contacts x
                                where x.tenant_id = s.tenant_id and x.vendor_id = s.id) c
                        limit 1) c) f;
    end if;

    return jsonb_build_object(
        'aliases', coalesce(v_aliases, '[]'), 'former', coalesce(v_former, '[]'), 'profiles', coalesce(v_profiles, '[]'));
end
$_$;

CREATE FUNCTION communications.people_store(p jsonb) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_faces jsonb;
begin
    if p ? 'created' then
        select jsonb_object_agg(f.contact_id, f.face) into v_faces
          from (select k.contact_id, jsonb_object_agg(k.kind, k.values) as face
                  from (select a.contact_id, a.kind, jsonb_agg(a.value order by a.value) as values
                          from jsonb_to_recordset(p -> 'aliases') as a (contact_id uuid, kind text, value text)
                         group by a.contact_id, a.kind) k
                 group by k.contact_id) f;
        insert into communications.contacts (tenant_id, id, display_name, locale, timezone, passenger_profile_id, identifiers)
        select tenant_id, contact_id, name, locale, timezone, profile, coalesce(v_faces -> contact_id::text, '{}')
          from jsonb_to_recordset(p -> 'created')
               as c (tenant_id uuid, contact_id uuid, name text, locale text, timezone text, profile uuid);
    end if;
    if p ? 'given_up' then
        -- Before the aliases: the next owner may be in the same payload.
        insert into communications.contact_former_identities (tenant_id, kind, scope, value, contact_id, until, first_seen_at, since)
        select g.tenant_id, g.kind, g.scope, g.value, g.contact_id, g.at, coalesce(i.first_seen_at, now()), g.since
          from jsonb_to_recordset(p -> 'given_up')
               as g (tenant_id uuid, kind text, scope text, value text, contact_id uuid, at timestamptz, since timestamptz)
          left join communications.contact_identities i
            on i.tenant_id = g.tenant_id and i.kind = g.kind and i.scope = g.scope and i.value = g.value
        on conflict on constraint contact_former_identities_pkey do nothing;
        update communications.address_wishes w
           set stop_at = case when w.stop_at > g.at then w.stop_at end,
               stop_marketing_at = case when w.stop_marketing_at > g.at then w.stop_marketing_at end,
               start_at = case when w.start_at > g.at then w.start_at end,
               start_marketing_at = case when w.start_marketing_at > g.at then w.start_marketing_at end
          from (select tenant_id, value, max(at) as at
                  from jsonb_to_recordset(p -> 'given_up')
                       as g (tenant_id uuid, kind text, value text, at timestamptz, taken_over boolean)
                 where kind = 'phone' and taken_over is not true
                 group by tenant_id, value) g
         where w.tenant_id = g.tenant_id and w.channel = 'SMS' and w.address = g.value;
        delete from communications.contact_identities i
         using jsonb_to_recordset(p -> 'given_up') as g (tenant_id uuid, kind text, scope text, value text)
         where i.tenant_id = g.tenant_id and i.kind = g.kind and i.scope = g.scope and i.value = g.value;
    end if;
    if p ? 'aliases' then
        insert into communications.contact_identities (tenant_id, kind, scope, value, contact_id, learned_from)
        select tenant_id, kind, scope, value, contact_id, learned_from
          from jsonb_to_recordset(p -> 'aliases')
               as a (tenant_id uuid, kind text, scope text, value text, contact_id uuid, learned_from text);
    end if;
    if p ? 'gained' then
        update communications.contact_identities i
           set gained_at = g.at
          from (select tenant_id, kind, scope, value, contact_id, max(at) as at
                  from jsonb_to_recordset(p -> 'gained')
                       as g (tenant_id uuid, kind text, scope text, value text, contact_id uuid, at timestamptz)
                 group by tenant_id, kind, scope, value, contact_id) g
         where i.tenant_id = g.tenant_id and i.kind = g.kind and i.scope = g.scope and i.value = g.value
           and i.contact_id = g.contact_id and (i.gained_at is null or i.gained_at < g.at);
    end if;
    if p ? 'known' then
        -- Not before: the checks of foreign keys would be planned anew for every row.
        if jsonb_array_length(p -> 'known') > 100 then
            perform set_config('plan_cache_mode', 'force_custom_plan', true);
        end if;
        -- A contact known by its number alone learns its name, its language and its profile; what it has is never replaced.
        with seen as (
            select k.tenant_id, k.contact_id, k.name, k.locale, k.timezone,
                   -- One contact for a profile.
                   case when row_number() over (partition by k.tenant_id, k.profile order by k.n) = 1 then k.profile end as profile
              from (select k.tenant_id, k.contact_id, min(k.n) as n,
                           (array_agg(k.name order by k.n) filter (where k.name is not null))[1] as name,
                           (array_agg(k.locale order by k.n) filter (where k.locale is not null))[1] as locale,
                           (array_agg(k.timezone order by k.n) filter (where k.timezone is not null))[1] as timezone,
                           (array_agg(k.profile order by k.n) filter (where k.profile is not null))[1] as profile
                      from rows from (jsonb_to_recordset(p -> 'known')
                               as (tenant_id uuid, contact_id uuid, name text, locale text, timezone text, profile uuid))
                           with ordinality as k (tenant_id, contact_id, name, locale, timezone, profile, n)
                     group by k.tenant_id, k.contact_id) k)
        update communications.contacts c
           set display_name = coalesce(c.display_name, s.name),
               locale = coalesce(c.locale, s.locale),
               timezone = coalesce(c.timezone, s.timezone),
               passenger_profile_id = case
                   when num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) > 0 then c.passenger_profile_id
                   when exists (select from communications.contacts other
                                 where other.tenant_id = s.tenant_id and other.passenger_profile_id = s.profile) then null
                   else s.profile end
          from seen s
         where c.tenant_id = s.tenant_id and c.id = s.contact_id
           and (c.display_name is null and s.name is not null
                or c.locale is null and s.locale is not null
                or c.timezone is null and s.timezone is not null
                or num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0 and s.profile is not null);
    end if;
    if p ? 'reviews' then
        perform communications.open_reviews(p -> 'reviews');
    end if;
end
$$;

CREATE FUNCTION communications.person_lock(VARIADIC p_parts text[]) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN hashtextextended(array_to_string(p_parts, '/'::text), (0)::bigint);

CREATE FUNCTION communications.platform_tenant() RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '00000000-0000-0000-0000-000000000000'::uuid;

CREATE FUNCTION communications.project_reports(p_tenants uuid[], p_ids uuid[], p_statuses text[], p_externals text[], p_at timestamp with time zone[], p_codes text[], p_reasons text[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

CREATE FUNCTION communications.projected_status(current text, attempts integer, reported text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (attempts = 0) THEN current WHEN (current <> ALL (ARRAY['QUEUED'::text, 'SENDING'::text, 'UNCERTAIN'::text, 'SENT'::text, 'FAILED'::text, 'DELIVERED'::text, 'READ'::text])) THEN current WHEN ((current = 'QUEUED'::text) AND (reported = 'FAILED'::text)) THEN current WHEN (communications.delivery_rank(reported) > communications.delivery_rank(current)) THEN reported ELSE current END;

CREATE FUNCTION communications.protect_contact_identifiers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if pg_trigger_depth() = 1 then
        raise exception 'contacts.identifiers follows contact_identities: change the aliases there'
            using errcode = 'restrict_violation', constraint = 'contacts_identifiers_derived';
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.question_of_text(p jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select p || jsonb_build_object('numbers', jsonb_build_array(p -> 'number'), 'wabas', '[]'::jsonb,
                                   'people', jsonb_build_array(jsonb_build_object('number', p -> 'number', 'aliases', p -> 'aliases')))
$$;

CREATE FUNCTION communications.quiet_until(p_zone text, p_from time without time zone, p_to time without time zone, p_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    RETURN (SELECT CASE WHEN ((quiet_until.p_from < quiet_until.p_to) AND (l.clock >= quiet_until.p_from) AND (l.clock < quiet_until.p_to)) THEN ((l.today + quiet_until.p_to) AT TIME ZONE quiet_until.p_zone) WHEN ((quiet_until.p_from > quiet_until.p_to) AND (l.clock >= quiet_until.p_from)) THEN (((l.today + 1) + quiet_until.p_to) AT TIME ZONE quiet_until.p_zone) WHEN ((quiet_until.p_from > quiet_until.p_to) AND (l.clock < quiet_until.p_to)) THEN ((l.today + quiet_until.p_to) AT TIME ZONE quiet_until.p_zone) ELSE NULL::timestamp with time zone END AS "case" FROM (SELECT ((quiet_until.p_at AT TIME ZONE quiet_until.p_zone))::date AS today, ((quiet_until.p_at AT TIME ZONE quiet_until.p_zone))::time without time zone AS clock) l);

CREATE FUNCTION communications.quiet_now(p_hours jsonb) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    RETURN communications.quiet_until((p_hours ->> 'zone'::text), ((p_hours ->> 'from'::text))::time without time zone, ((p_hours ->> 'to'::text))::time without time zone, now());

CREATE FUNCTION communications.reaction_lock(p_tenant uuid, p_account uuid, p_external text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN hashtextextended(array_to_string(ARRAY[(p_tenant)::text, (p_account)::text, p_external], '/'::text), (0)::bigint);

CREATE TABLE communications.message_reactions (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    target_external_id text NOT NULL,
    contact_id uuid NOT NULL,
    actor_kind text NOT NULL,
    emoji text NOT NULL,
    external_message_id text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT message_reactions_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['CONTACT'::text, 'AGENT'::text])))
);

CREATE FUNCTION communications.reactions_to(p_tenant uuid, p_account uuid, p_target text) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN (SELECT jsonb_agg(jsonb_build_object('emoji', r.emoji, 'actor_kind', r.actor_kind, 'at', r.at) ORDER BY r.at, r.contact_id, r.actor_kind) AS jsonb_agg FROM (SELECT r_1.tenant_id, r_1.account_id, r_1.target_external_id, r_1.contact_id, r_1.actor_kind, r_1.emoji, r_1.external_message_id, r_1.at FROM communications.message_reactions r_1 WHERE ((r_1.tenant_id = reactions_to.p_tenant) AND (r_1.account_id = reactions_to.p_account) AND (r_1.target_external_id = reactions_to.p_target) AND (r_1.emoji <> ''::text)) ORDER BY r_1.at DESC, r_1.contact_id, r_1.actor_kind LIMIT 20) r);

CREATE FUNCTION communications.recall_readers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    -- Nobody has seen what comes now. Merges take away, and give back what was read.
    if new.inbound_count > old.inbound_count and old.inbound_count > 0 then
        new.seen_by := '{}';
    else
        new.seen_by := array(select r.user_id from communications.conversation_read_cursors r
                              where r.tenant_id = new.tenant_id and r.conversation_id = new.id and r.inbound_seen >= new.inbound_count
                              order by r.user_id);
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.record_account_history() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    v_kind text := case
        when new.acted_by is not null then 'USER'
        when new.status is distinct from old.status and new.status in ('SUSPENDED', 'REAUTH_REQUIRED')
             and coalesce(new.status_reason, '') not like 'spend-cap:%' then 'PROVIDER'
        when old.status in ('SUSPENDED', 'REAUTH_REQUIRED') and new.status = 'ACTIVE' and old.status_reason like 'provider: %' then 'PROVIDER'
        else 'SYSTEM' end;
    v_before text := old.provider_config #>> '{secrets,0,version}';
    v_after text := new.provider_config #>> '{secrets,0,version}';
begin
    if new.status is distinct from old.status then
        insert into communications.channel_account_history (tenant_id, account_id, what, before, after, reason, by_kind, by_user)
        values (new.tenant_id, new.id, 'STATUS', old.status, new.status, new.status_reason, v_kind, new.acted_by);
    end if;
    if new.mode is distinct from old.mode then
        insert into communications.channel_account_history (tenant_id, account_id, what, before, after, by_kind, by_user)
        values (new.tenant_id, new.id, 'MODE', old.mode, new.mode, case when new.acted_by is null then 'SYSTEM' else 'USER' end, new.acted_by);
    end if;
    if v_before is distinct from v_after then
        insert into communications.channel_account_history (tenant_id, account_id, what, before, after, by_kind, by_user)
        values (new.tenant_id, new.id, 'CREDENTIALS', v_before, v_after, case when new.acted_by is null then 'SYSTEM' else 'USER' end,
                new.acted_by);
    end if;
    new.acted_by := null;
    return new;
end
$$;

CREATE FUNCTION communications.record_reports(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
    return communications.record_reports_of(p, null, null);
end
$$;

CREATE FUNCTION communications.record_reports_of(p jsonb, p_tenants uuid[], p_accounts uuid[]) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    v_tenants   uuid[];
    v_reports   uuid[];
    v_accounts  uuid[];
    v_externals text[];
    v_ids       uuid[];
    v_statuses  text[];
    v_words     text[];
    v_codes     text[];
    v_reasons   text[];
    v_at        timestamptz[];
    v_effects   text[];
    v_raw       jsonb[];
    v_prices    jsonb[];
    v_contacts  uuid[];
    v_addresses text[];
    v_aliases   jsonb[];
    v_logged    uuid[];
    v_unknown   jsonb;
    v_parked    jsonb := '[]';
    v_alerts    bigint := 0;
begin
    select array_agg(r.tenant_id), array_agg(r.id), array_agg(r.account_id), array_agg(r.external_message_id),
           array_agg(coalesce(by_echo.id, by_id.id)), array_agg(r.status), array_agg(r.provider_status), array_agg(r.failure_code),
           array_agg(r.failure_reason), array_agg(r.occurred_at), array_agg(coalesce(r.effect, '')), array_agg(r.raw),
           array_agg(r.price), array_agg(coalesce(by_echo.contact_id, by_id.contact_id)),
           array_agg(coalesce(by_echo.address, by_id.address)), array_agg(r.aliases)
      into v_tenants, v_reports, v_accounts, v_externals, v_ids, v_statuses, v_words, v_codes, v_reasons, v_at, v_effects, v_raw,
           v_prices, v_contacts, v_addresses, v_aliases
      from (select coalesce(s.owner, s.tenant_id) as tenant_id, coalesce(s.owner_account, s.account_id) as account_id, s.id,
                   s.external_message_id, s.status, s.provider_status, s.correlation_id, s.occurred_at, s.failure_code,
                   s.failure_reason, s.effect, s.raw, s.price, s.aliases
              from rows from (
                       jsonb_to_recordset(p) as (
                           id uuid, tenant_id uuid, account_id uuid, external_message_id text, status text, provider_status text,
                           correlation_id uuid, occurred_at timestamptz, failure_code text, failure_reason text, effect text, raw jsonb,
                           price jsonb, aliases jsonb),
                       unnest(p_tenants), unnest(p_accounts))
                   as s (id, tenant_id, account_id, external_message_id, status, provider_status, correlation_id, occurred_at,
                         failure_code, failure_reason, effect, raw, price, aliases, owner, owner_account)) r
      left join lateral (
           select m.id, m.contact_id, m.address from communications.messages m
            where m.tenant_id = r.tenant_id and m.id = r.correlation_id and m.account_id = r.account_id and m.direction = 'OUTBOUND'
            limit 1) by_echo on true
      left join lateral (
           -- A null is not looked for.
           select m.id, m.contact_id, m.address from communications.messages m
            where m.tenant_id = r.tenant_id and m.account_id = r.account_id and m.direction = 'OUTBOUND'
              and m.external_message_id = case when by_echo.id is null then r.external_message_id end
            limit 1) by_id on true;

    with logged as (
        insert into communications.message_status_events
            (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, failure_code,
             failure_reason, occurred_at, effect, raw, price)
        select r.tenant_id, r.id, r.account_id, r.external_message_id, r.message_id, r.status, r.provider_status, r.code, r.reason,
               r.at, r.effect, r.raw, case when r.message_id is null then r.price end
          from unnest(v_tenants, v_reports, v_accounts, v_externals, v_ids, v_statuses, v_words, v_codes, v_reasons, v_at, v_effects,
                      v_raw, v_prices)
               as r (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, code, reason, at, effect,
                     raw, price)
         order by r.tenant_id, r.account_id, r.external_message_id, r.provider_status
        on conflict on constraint message_status_events_key do nothing
        returning id)
    select array_agg(l.id) into v_logged from logged l;

    if v_logged is null then
        return jsonb_build_object('new', 0, 'waiting', 0, 'parked', v_parked);
    end if;

    -- On with what is new and about a message that is known: nearly always all.
    if cardinality(v_logged) < cardinality(v_reports) or array_position(v_ids, null) is not null then
        select array_agg(r.tenant_id), array_agg(r.message_id), array_agg(r.account_id), array_agg(r.status),
               array_agg(r.external_message_id), array_agg(r.at), array_agg(r.code), array_agg(r.reason), array_agg(r.effect),
               array_agg(r.price), array_agg(r.contact_id), array_agg(r.address), array_agg(r.aliases)
          into v_tenants, v_ids, v_accounts, v_statuses, v_externals, v_at, v_codes, v_reasons, v_effects, v_prices, v_contacts,
               v_addresses, v_aliases
          from unnest(v_tenants, v_reports, v_ids, v_accounts, v_statuses, v_externals, v_at, v_codes, v_reasons, v_effects, v_prices,
                      v_contacts, v_addresses, v_aliases)
               as r (tenant_id, id, message_id, account_id, status, external_message_id, at, code, reason, effect, price, contact_id,
                     address, aliases)
         where r.message_id is not null and r.id = any (v_logged);
        if v_ids is null then
            return jsonb_build_object('new', cardinality(v_logged), 'waiting', cardinality(v_logged), 'parked', v_parked);
        end if;
    end if;

    perform communications.project_reports(v_tenants, v_ids, v_statuses, v_externals, v_at, v_codes, v_reasons);

    if exists (select from unnest(v_effects) as e (effect) where e.effect <> '') then
        perform communications.apply_reported(v_tenants, v_ids, v_codes, v_effects, v_at);
        select count(*) into v_alerts from communications.note_refusals(v_tenants, v_ids, v_codes, v_effects, v_at);
        select coalesce(jsonb_agg(e.id), '[]') into v_parked
          from unnest(v_ids, v_effects, v_at) as e (id, effect, at)
         where e.effect = 'PARK_HOLD' and communications.reported_hold(e.at) > now();
    end if;

    perform communications.store_prices(v_tenants, v_ids, v_accounts, v_at, v_prices)
      where exists (select from unnest(v_prices) as c (price) where jsonb_typeof(c.price) = 'object');

    -- Whose aliases are all known needs nothing.
    select jsonb_agg(jsonb_build_object(
               'tenant_id', s.tenant_id, 'contact_id', s.contact_id, 'address', s.address, 'aliases', s.aliases))
      into v_unknown
      from unnest(v_tenants, v_contacts, v_addresses, v_aliases) as s (tenant_id, contact_id, address, aliases)
     where exists (select from jsonb_array_elements(nullif(s.aliases, 'null')) as a
                    where not exists (select from communications.contact_identities i
                                       where i.tenant_id = s.tenant_id and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
                                         and i.contact_id = s.contact_id));
    if v_unknown is not null then
        perform communications.learn_aliases(v_unknown);
    end if;

    return jsonb_build_object(
        'new', cardinality(v_logged), 'waiting', cardinality(v_logged) - cardinality(v_ids), 'parked', v_parked, 'alerts', v_alerts);
end
$$;

CREATE FUNCTION communications.recount_threads(p_tenant uuid, p_threads uuid[]) RETURNS void
    LANGUAGE sql
    AS $$
    update communications.conversations v
       set inbound_count = m.inbound,
           last_message_at = coalesce(m.last_at, v.last_message_at), preview = coalesce(m.preview, ''),
           last_inbound_at = m.inbound_at, last_inbound_channel = m.channel, last_inbound_account = m.account_id
      from unnest(p_threads) as t (id)
     cross join lateral (
           select count(*) filter (where m.direction = 'INBOUND' and not m.muted) as inbound,
                  least(max(m.thread_at) filter (where not m.muted), now()) as last_at,
                  left((array_agg(case when m.revoked_at is not null then '[deleted]'
                                       when m.content ->> 'type' = 'email' and m.direction = 'INBOUND'
                                       then concat_ws(' – ', nullif(m.content ->> 'subject', ''), m.body) else m.body end
                                  order by m.thread_at desc, m.id desc) filter (where not m.muted))[1], 200) as preview,
                  case when bool_or(m.written) then least(max(m.thread_at) filter (where m.written), now()) end as inbound_at,
                  (array_agg(m.channel order by m.thread_at desc, m.id desc) filter (where m.written))[1] as channel,
                  (array_agg(m.account_id order by m.thread_at desc, m.id desc) filter (where m.written))[1] as account_id
             from (select x.*, x.direction = 'INBOUND' and communications.is_written(x.content, x.context) as written
                     from communications.messages x) m
            where m.tenant_id = p_tenant and m.conversation_id = t.id) m
     where v.tenant_id = p_tenant and v.id = t.id;

    update communications.conversation_read_cursors r
       set inbound_seen = communications.inbound_until(p_tenant, r.conversation_id, r.last_read_at)
     where r.tenant_id = p_tenant and r.conversation_id = any(p_threads);
$$;

CREATE FUNCTION communications.refresh_contact_identifiers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform communications.refresh_identifiers(array_agg(tenant_id), array_agg(contact_id)) from touched;
    return null;
end
$$;

CREATE FUNCTION communications.refresh_contact_identifiers_moved() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform communications.refresh_identifiers(array_agg(tenant_id), array_agg(contact_id))
       from ((select tenant_id, contact_id, kind, value, first_seen_at from before
              except select tenant_id, contact_id, kind, value, first_seen_at from after)
             union all
             (select tenant_id, contact_id, kind, value, first_seen_at from after
              except select tenant_id, contact_id, kind, value, first_seen_at from before)) moved
     having count(*) > 0;
    return null;
end
$$;

CREATE FUNCTION communications.refresh_faces_that_lack() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform communications.refresh_identifiers(array_agg(t.tenant_id), array_agg(t.contact_id))
       from touched t
      where not (select coalesce(c.identifiers -> t.kind ? t.value, false)
                   from communications.contacts c where c.tenant_id = t.tenant_id and c.id = t.contact_id)
     having count(*) > 0;
    return null;
end
$$;

CREATE FUNCTION communications.refresh_identifiers(tenant_ids uuid[], contact_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    perform from communications.contacts c
      where (c.tenant_id, c.id) in (select t.tenant_id, t.contact_id from unnest(tenant_ids, contact_ids) as t (tenant_id, contact_id))
      order by c.tenant_id, c.id
        for no key update;
    update communications.contacts c
       set identifiers = coalesce((
               select jsonb_object_agg(k.kind, k.values)
                 from (select i.kind, jsonb_agg(i.value order by i.first_seen_at, i.value) as values
                         from communications.contact_identities i
                        where i.tenant_id = c.tenant_id and i.contact_id = c.id
                        group by i.kind) k), '{}')
      from (select distinct t.tenant_id, t.contact_id from unnest(tenant_ids, contact_ids) as t (tenant_id, contact_id)) t
     where c.tenant_id = t.tenant_id and c.id = t.contact_id;
end
$$;

CREATE FUNCTION communications.rehint_media(p jsonb) RETURNS jsonb
    LANGUAGE sql
    AS $$
    with lost as (
        select f.tenant_id, f.id, f.hint_at
          from communications.message_media f
         where f.state = 'PENDING' and f.due_at <= now() and f.expires_at > now()
           and f.hint_at < now() - (p ->> 'hint_lost_seconds')::float8 * interval '1 second'
         order by f.due_at limit (p ->> 'limit')::bigint for update skip locked),
    hinted as (
        update communications.message_media f set hint_at = now()
          from lost where f.tenant_id = lost.tenant_id and f.id = lost.id
        returning f.tenant_id, f.id, f.message_id, lost.hint_at > '-infinity' as was_lost),
    noted as (
        insert into communications.repairs (tenant_id, id, kind, message_id, detail)
        select tenant_id, communications.uuid_v7(), 'MEDIA_HINT_LOST', message_id, jsonb_build_object('media_id', id)
          from hinted where was_lost)
    select coalesce(jsonb_agg(jsonb_build_array(tenant_id, id)), '[]') from hinted;
$$;

CREATE FUNCTION communications.reject_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    raise exception '% is append-only', tg_table_name
        using errcode = 'restrict_violation', constraint = tg_table_name || '_append_only';
end
$$;

CREATE FUNCTION communications.release_waiting(p_tenants uuid[], p_accounts uuid[], p_ahead double precision) RETURNS TABLE(tenant_id uuid, message_id uuid, lane text, hint_in double precision)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
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
               and m.queue_status = 'QUEUED' and m.hint_at = '-infinity' and m.due_at <= now() + p_ahead * interval '1 second'
               and not exists (
                   select from communications.messages earlier
                    where earlier.tenant_id = m.tenant_id and earlier.conversation_id = m.conversation_id
                      and earlier.lane = m.lane and earlier.queue_status in ('QUEUED', 'SENDING') and earlier.id < m.id
                  and (earlier.queue_status = 'SENDING' or earlier.due_at <= now() + interval '250 milliseconds'
                       -- It was due before, and waits for its next try, its slot or its sender.
                       or earlier.fence > 0 and earlier.held_due_at is null
                          and (earlier.quiet_hours is null or communications.quiet_now(earlier.quiet_hours) is null)))
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

CREATE FUNCTION communications.replay_candidates(p_tenant uuid, p_status text, p_class text, p_code text, p_channel text, p_category text, p_trigger text, p_after timestamp with time zone, p_before timestamp with time zone) RETURNS TABLE(id uuid, channel text, class text, code text, ended_at timestamp with time zone, account_id uuid, skip text)
    LANGUAGE sql STABLE
    AS $$
    with matched as materialized (
        select m.id, m.channel, m.category, m.contact_id, m.account_id, m.address, m.content, tried.class, tried.doubtful,
               m.failed_code,
               coalesce(m.failed_at, m.expired_at) as ended_at,
               m.fallback_of is not null
                   or exists (select from communications.messages f where f.tenant_id = p_tenant and f.fallback_of = m.id)
                   as chained
          from communications.messages m
         cross join lateral (
                select (array_agg(a.class order by a.fence desc))[1] as class,
                       bool_or(coalesce(a.class, 'AMBIGUOUS') = 'AMBIGUOUS') as doubtful
                  from communications.message_attempts a
                 where a.tenant_id = p_tenant and a.message_id = m.id) tried
         where m.tenant_id = p_tenant and m.queue_status in ('FAILED', 'EXPIRED') and m.direction = 'OUTBOUND'
           and coalesce(m.failed_at, m.expired_at) > p_after
           and (p_before is null or coalesce(m.failed_at, m.expired_at) < p_before)
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
                   when not communications.consent_allows(p_tenant, m.contact_id, m.channel, m.category)
                        or communications.address_refuses(p_tenant, m.contact_id, m.channel, m.category, m.address) then 'NO_CONSENT'
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

CREATE FUNCTION communications.reported_hold(p_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (LEAST(COALESCE(p_at, now()), now()) + '01:00:00'::interval);

CREATE FUNCTION communications.reserve_slots(p_tenants uuid[], p_ids uuid[]) RETURNS TABLE(tenant_id uuid, id uuid, slot timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION communications.rest_with_run() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    v_cancelled boolean;
    v_rests boolean;
begin
    if tg_op = 'UPDATE' and old.status not in ('SENDING', 'UNCERTAIN') then
        return new;
    end if;
    select r.cancelled_at is not null, b.status in ('PAUSED', 'STOPPED')
      into v_cancelled, v_rests
      from communications.trigger_runs r
      left join communications.batches b
        on b.tenant_id = r.tenant_id and b.id = case r.source when 'batch' then r.idempotency_key::uuid end
     where r.tenant_id = new.tenant_id and r.id = new.run_id;
    if v_cancelled and tg_op = 'UPDATE' then
        new.status := 'CANCELLED';
        new.failed_code := 'cancelled';
        new.failed_reason := 'its run was cancelled';
    elsif v_rests then
        new.held_due_at := new.due_at;
        new.due_at := 'infinity';
        new.hint_at := '-infinity';
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.roll_up_usage(p_every interval, p_most integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
    v_last timestamptz;
    v_to   timestamptz;
    v_read integer;
    v_days integer;
begin
    select counted_to into v_last from communications.usage_progress for update;
    if v_last > now() - p_every then
        return 0;
    end if;
    select max(recorded_at), count(*) into v_to, v_read
      from (select recorded_at from communications.message_prices where recorded_at > v_last order by recorded_at limit p_most) p;
    if v_read < p_most then
        v_to := now();
    end if;
    with days as materialized (
        select distinct p.tenant_id, (p.at at time zone 'UTC')::date as day
          from communications.message_prices p
         where p.recorded_at > v_last - interval '10 minutes' and p.recorded_at <= v_to),
    counted as materialized (
        select d.tenant_id, d.day, m.channel, replace(upper(coalesce(p.category, m.category, 'UNKNOWN')), '-', '_') as category,
               coalesce(p.currency, '') as currency,
               count(*) as messages, count(*) filter (where coalesce(p.billable, p.kind is null or p.kind not like 'free%')) as billable,
               coalesce(sum(coalesce(p.units, 1)), 0) as units, sum(p.micros) as micros
          from days d
          join communications.message_prices p
            on p.tenant_id = d.tenant_id
           and p.at >= d.day::timestamp at time zone 'UTC' and p.at < (d.day + 1)::timestamp at time zone 'UTC'
          join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.message_id
         group by 1, 2, 3, 4, 5),
    gone as (
        delete from communications.usage_daily u
         using days d
         where u.tenant_id = d.tenant_id and u.day = d.day
           and not exists (select from counted c where c.tenant_id = u.tenant_id and c.day = u.day and c.channel = u.channel
                              and c.category = u.category and c.currency = u.currency)),
    kept as (
        insert into communications.usage_daily as u (tenant_id, day, channel, category, currency, messages, billable, units, micros)
        select tenant_id, day, channel, category, currency, messages, billable, units, micros from counted
         order by tenant_id, day, channel, category, currency
        on conflict on constraint usage_daily_pkey do update
           set messages = excluded.messages, billable = excluded.billable, units = excluded.units, micros = excluded.micros,
               updated_at = now()
         where (u.messages, u.billable, u.units, u.micros)
               is distinct from (excluded.messages, excluded.billable, excluded.units, excluded.micros))
    select count(*) into v_days from days;
    update communications.usage_progress set counted_to = v_to;
    return v_days;
end
$$;

CREATE FUNCTION communications.sender_rate(provider text, throughput_per_second integer) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE provider WHEN 'META'::text THEN (0.9 * (COALESCE(throughput_per_second, 80))::numeric) WHEN 'SES'::text THEN (COALESCE(throughput_per_second, 14))::numeric ELSE (COALESCE(throughput_per_second, 20))::numeric END;

CREATE FUNCTION communications.session_user_id(hasura_session json) RETURNS uuid
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN ((hasura_session ->> 'x-hasura-user-id'::text) ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'::text) THEN ((hasura_session ->> 'x-hasura-user-id'::text))::uuid ELSE NULL::uuid END;

CREATE FUNCTION communications.set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    new.updated_at := now();
    return new;
end
$$;

CREATE FUNCTION communications.settle_media(p jsonb) RETURNS jsonb
    LANGUAGE sql
    AS $$
    with settled as (
        update communications.message_media f
           set state = p ->> 'state', reason = p ->> 'reason', lease_until = null,
               due_at = next.due_at,
               hint_at = case when next.due_at <= now() + interval '15 minutes' then next.due_at else '-infinity' end,
               size_bytes = (p ->> 'size_bytes')::bigint, sha256 = decode(p ->> 'sha256', 'hex'),
               mime_type = coalesce(p ->> 'mime_type', f.mime_type), storage_key = p ->> 'storage_key',
               stored_at = case p ->> 'state' when 'STORED' then now() end
          from (select m.tenant_id, m.id,
                       case p ->> 'state' when 'PENDING'
                            then now() + greatest(communications.media_wait(m.attempts),
                                                  coalesce((p ->> 'wait_seconds')::float8, 0) * interval '1 second')
                            else m.due_at end as due_at
                  from communications.message_media m
                 where m.tenant_id = (p ->> 'tenant_id')::uuid and m.id = (p ->> 'media_id')::uuid) next
         where f.tenant_id = next.tenant_id and f.id = next.id
           and f.fence = (p ->> 'fence')::integer and f.state = 'PENDING' and f.lease_until is not null
        returning f.tenant_id, f.id, f.account_id, f.fence, f.state, f.due_at, f.hint_at),
    before as (
        select a.tenant_id, a.id, a.media_health, s.id as media_id, s.fence
          from settled s
          join communications.channel_accounts a on a.tenant_id = s.tenant_id and a.id = s.account_id
         where a.media_health <> p ->> 'health'
           for no key update of a),
    changed as (
        update communications.channel_accounts a set media_health = p ->> 'health'
          from before b where a.tenant_id = b.tenant_id and a.id = b.id
        returning a.tenant_id, a.id, a.media_health, b.media_health as before, b.media_id, b.fence),
    noted as (
        insert into communications.channel_account_events
            (tenant_id, id, account_id, field, event, alert, occurred_at, raw, raw_hash)
        select c.tenant_id, communications.uuid_v7(), c.id, 'media_health', c.media_health, c.media_health = 'FAILING', now(), r.raw,
               sha256(convert_to(r.raw::text, 'UTF8'))
          from changed c
         cross join lateral (select jsonb_build_object('before', c.before, 'health', c.media_health, 'code', p ->> 'code',
                                                       'media_id', c.media_id, 'attempt', c.fence) as raw) r
         where c.media_health = 'FAILING' or c.before = 'FAILING'
        on conflict on constraint channel_account_events_key do nothing)
    select jsonb_build_object(
        'settled', exists (select from settled),
        'hint_in', (select extract(epoch from due_at - now()) from settled where state = 'PENDING' and hint_at > '-infinity'),
        'health', (select media_health from changed));
$$;

CREATE FUNCTION communications.settle_messages(p_tenants uuid[], p_ids uuid[], p_fences integer[], p_statuses text[], p_classes text[], p_codes text[], p_reasons text[], p_external_ids text[], p_retry_in double precision[], p_refunds boolean[], p_effects text[], p_pauses double precision[], p_credentials integer[], p_max_delay double precision) RETURNS TABLE(kind text, tenant_id uuid, message_id uuid, lane text, hint_in double precision)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
declare
    v_failed_tenants uuid[];
    v_failed_ids uuid[];
    v_accounts uuid[];
    v_account_tenants uuid[];
begin
    if exists (select from unnest(p_statuses, p_effects) as r (status, effect) where r.status = 'SENT' or r.effect <> '') then
        -- A claim that came too late may hold one of them, until it has its breaker.
        perform from unnest(p_tenants, p_ids) as p (tenant_id, id)
           join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id
          order by m.tenant_id, m.id
            for no key update of m;
        perform from communications.breakers k
          where (k.tenant_id, k.account_id) in (
                select m.tenant_id, m.account_id from unnest(p_tenants, p_ids) as p (tenant_id, id)
                  join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id)
          order by k.tenant_id, k.account_id
            for update;
    end if;
    if 'THROTTLE_PROVIDER' = any(p_effects) then
        perform from communications.rate_buckets b
          where b.tenant_id = communications.platform_tenant() and b.account_id = communications.platform_tenant()
            and b.subject in (
                select a.provider from unnest(p_tenants, p_ids) as p (tenant_id, id)
                  join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id
                  join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id)
          order by b.tenant_id, b.account_id, b.kind, b.subject
            for update;
    end if;
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
        return query select 'ALERT', n.tenant_id, n.account_id, '', null::double precision
                       from communications.note_refusals(p_tenants, p_ids, p_codes, p_effects, null) n;
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

    return query
        select 'WAITING', a.tenant_id, a.account_id, '', null::double precision
          from (select distinct a.tenant_id, a.account_id from unnest(v_account_tenants, v_accounts) as a (tenant_id, account_id)) a
         where exists (select from communications.messages m
                        where m.tenant_id = a.tenant_id and m.account_id = a.account_id
                          and m.queue_status = 'QUEUED' and m.hint_at = '-infinity' and m.due_at <= now());
end
$$;

CREATE FUNCTION communications.share_mask() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if new.merged_into is not null and new.masked then
        update communications.contacts set masked = true
         where tenant_id = new.tenant_id and id = new.merged_into and not masked;
    elsif new.merged_into is null and not new.masked then
        new.masked := coalesce((select c.masked from communications.contacts c
                                 where c.tenant_id = new.tenant_id and c.id = old.merged_into), false);
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.show_changed_file() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform from communications.messages m where m.tenant_id = new.tenant_id and m.id = new.message_id for no key update;
    update communications.messages m
       set media = communications.files_of(m.tenant_id, m.id)
     where m.tenant_id = new.tenant_id and m.id = new.message_id and m.revoked_at is null;
    return null;
end
$$;

CREATE FUNCTION communications.show_new_files() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    -- First, and by itself, here and below: the next statement sees what whoever held it has written.
    perform from communications.messages m
      join (select distinct tenant_id, message_id from changed) f on f.tenant_id = m.tenant_id and f.message_id = m.id
     order by m.tenant_id, m.id
       for no key update of m;
    update communications.messages m
       set media = communications.files_of(m.tenant_id, m.id)
      from (select distinct tenant_id, message_id from changed) f
     where m.tenant_id = f.tenant_id and m.id = f.message_id and m.revoked_at is null;
    return null;
end
$$;

CREATE FUNCTION communications.show_reactions() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    -- Whoever makes one of these known waits until this is committed, or has committed before the next statement.
    perform pg_advisory_xact_lock(k.hash)
       from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, r.target_external_id) as hash
               from changed r
              where not exists (select from communications.messages m
                                 where m.tenant_id = r.tenant_id and m.account_id = r.account_id
                                   and m.external_message_id = r.target_external_id)
              order by 1) k;
    perform from communications.messages m
      join (select distinct tenant_id, account_id, target_external_id from changed) r
        on r.tenant_id = m.tenant_id and r.account_id = m.account_id and r.target_external_id = m.external_message_id
     order by m.tenant_id, m.id
       for no key update of m;
    update communications.messages m
       set reactions = shown.reactions
      from (select distinct tenant_id, account_id, target_external_id from changed) r
     cross join lateral communications.reactions_to(r.tenant_id, r.account_id, r.target_external_id) as shown (reactions)
     where m.tenant_id = r.tenant_id and m.account_id = r.account_id and m.external_message_id = r.target_external_id
       and m.reactions is distinct from shown.reactions;
    return null;
end
$$;

CREATE FUNCTION communications.shown_to_dispatcher(p_tenant uuid, p_conversation uuid, p_user uuid) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select not exists (select from communications.tenant_settings s
                        where s.tenant_id = p_tenant and s.inbox_visibility = 'MINE_AND_UNASSIGNED')
        or exists (select from communications.conversations c
                    where c.tenant_id = p_tenant and c.id = p_conversation
                      and (c.assigned_to is null or c.assigned_to = p_user))
$$;

CREATE FUNCTION communications.spend_on_sms(p_tenant uuid, p_month date, p_units integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
    v_limit communications.sms_limits;
begin
    select * into v_limit from communications.sms_limits l where l.tenant_id = p_tenant;
    if not found then
        return true;
    end if;
    insert into communications.sms_spend (tenant_id, month) values (p_tenant, p_month) on conflict do nothing;
    update communications.sms_spend s
       set micros = s.micros + p_units * v_limit.part_micros
     where s.tenant_id = p_tenant and s.month = p_month
       and (p_units <= 0 or s.micros + p_units * v_limit.part_micros <= v_limit.monthly_micros);
    return found;
end
$$;

CREATE FUNCTION communications.stamp_resolution() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    new.resolved_at := case when new.status = 'RESOLVED' then now() end;
    return new;
end
$$;

CREATE FUNCTION communications.stay_asleep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    v_until timestamptz := communications.quiet_now(new.quiet_hours);
begin
    if v_until is null then
        return new;
    end if;
    new.attempts := old.attempts;
    new.lease_until := null;
    new.slot_at := null;
    if new.quiet_hours ->> 'action' = 'DROP' or v_until >= new.expires_at then
        new.status := 'EXPIRED';
        new.failed_code := 'quiet-hours';
        new.failed_reason := 'quiet hours, and too late after them';
    else
        new.status := 'QUEUED';
        new.due_at := v_until;
        new.hint_at := '-infinity';
        new.deferrals := old.deferrals + 1;
    end if;
    return new;
end
$$;

CREATE FUNCTION communications.stop_what_was_given_back(p jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
    select distinct on (back.id) w.tenant_id, communications.uuid_v7(), w.contact_id, w.channel, 'MARKETING', false, w.basis, w.source,
           lower(w.address), back.at + interval '1 microsecond'
      from jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, basis text, source text, at timestamptz,
                                       address text)
      join communications.consents back
        on back.tenant_id = w.tenant_id and back.contact_id = w.contact_id and back.channel = w.channel
       and back.category = 'MARKETING' and back.granted and back.at > w.at
     where w.wish = 'STOP_MARKETING' and communications.is_given_back(back)
       and not exists (select from communications.consents own
                        where own.tenant_id = back.tenant_id and own.contact_id = back.contact_id and own.channel = back.channel
                          and own.category = 'MARKETING' and own.granted and own.at > w.at and own.at <= back.at
                          and not communications.is_given_back(own))
       and not exists (select from communications.consents no
                        where no.tenant_id = back.tenant_id and no.contact_id = back.contact_id and no.channel = back.channel
                          and no.category = 'MARKETING' and not no.granted and no.at = back.at + interval '1 microsecond')
     order by back.id, w.at desc;
$$;

COMMENT ON FUNCTION communications.stop_what_was_given_back(p jsonb) IS 'Of wishes as note_wishes takes them: each "stop promotions" stops what a later START gave back, unless somebody said yes in between.';

CREATE FUNCTION communications.store_account_notices(p jsonb) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
    v_alerts integer;
begin
    perform from communications.channel_accounts a
      where (a.tenant_id, a.id) in (select (n ->> 'tenant_id')::uuid, (n ->> 'account_id')::uuid
                                      from jsonb_array_elements(p) as n where n ->> 'kind' = 'ACCOUNT')
      order by a.tenant_id, a.id
        for no key update;
    with said as (
        select v.*, r.n,
               -- A clock ahead of ours must not outlast a later notice. In whole seconds, as Meta counts: of one second the last to
               -- come is the newest.
               date_trunc('second', least(coalesce(v.at, now()), now())) as happened,
               case when v.change in ('SUSPENDED', 'REINSTATED') then 'STATUS' else v.change end as decides
          from jsonb_array_elements(p) with ordinality as r (notice, n)
         cross join jsonb_to_record(r.notice) as v (tenant_id uuid, account_id uuid, field text, event text, change text, word text,
                    disconnected boolean, alert boolean, at timestamptz, raw jsonb, raw_hash text)
         where r.notice ->> 'kind' = 'ACCOUNT'),
    about as (
        select distinct on (tenant_id, account_id, raw_hash) * from said order by tenant_id, account_id, raw_hash, n),
    kept as (
        insert into communications.channel_account_events
            (tenant_id, id, account_id, field, event, alert, decides, occurred_at, raw, raw_hash)
        select tenant_id, communications.uuid_v7(), account_id, field, event, alert, decides, happened, raw, decode(raw_hash, 'hex')
          from about
        on conflict on constraint channel_account_events_key do nothing
        returning tenant_id, account_id, alert, raw_hash),
    -- The newest of each kind of change, unless a newer one was here before.
    effective as (
        select distinct on (b.tenant_id, b.account_id, b.decides) b.*
          from about b
          join kept k on k.tenant_id = b.tenant_id and k.account_id = b.account_id and k.raw_hash = decode(b.raw_hash, 'hex')
         join communications.channel_accounts a on a.tenant_id = b.tenant_id and a.id = b.account_id
         where b.decides is not null
           and b.happened >= coalesce(date_trunc('second', a.asked_at), '-infinity')
                                - case b.decides when 'STATUS' then interval '1 minute' else interval '0' end
           and not exists (select from communications.channel_account_events newer
                            where newer.tenant_id = b.tenant_id and newer.account_id = b.account_id
                              and newer.decides = b.decides and newer.occurred_at > b.happened)
         order by b.tenant_id, b.account_id, b.decides, b.happened desc, b.n desc),
    changes as (
        select e.tenant_id, e.account_id,
               max(e.change) filter (where e.decides = 'STATUS') as state,
               max(e.word) filter (where e.change = 'SUSPENDED') as reason,
               bool_or(e.disconnected) filter (where e.change = 'SUSPENDED') is true as disconnected,
               max(e.word) filter (where e.change = 'QUALITY') as quality,
               max(e.word) filter (where e.change = 'TIER') as tier,
               max(e.word) filter (where e.change = 'NAME') as name,
               max(e.word) filter (where e.change = 'THROUGHPUT')::integer as throughput
          from effective e
         group by e.tenant_id, e.account_id
         order by e.tenant_id, e.account_id),
    changed as (
        update communications.channel_accounts a
           set status = case when c.state = 'SUSPENDED' and a.status in ('ACTIVE', 'REAUTH_REQUIRED', 'SUSPENDED')
                             then case when c.disconnected then 'REAUTH_REQUIRED' else 'SUSPENDED' end
                             -- Only what a notice stopped is reinstated by one.
                             when c.state = 'REINSTATED' and a.status in ('SUSPENDED', 'REAUTH_REQUIRED') and a.status_reason like 'provider: %'
                             then 'ACTIVE'
                             else a.status end,
               status_reason = case when c.state = 'SUSPENDED' and a.status in ('ACTIVE', 'REAUTH_REQUIRED', 'SUSPENDED') then 'provider: ' || c.reason
                                    when c.state = 'REINSTATED' and a.status in ('SUSPENDED', 'REAUTH_REQUIRED')
                                         and a.status_reason like 'provider: %' then null
                                    else a.status_reason end,
               -- A person's business now: what the pipeline suspended for a while does not try by itself any more.
               resume_at = case when c.state = 'SUSPENDED' then null else a.resume_at end,
               quality = coalesce(c.quality, a.quality),
               messaging_tier = coalesce(c.tier, a.messaging_tier),
               display_name = coalesce(c.name, a.display_name),
               throughput_per_second = coalesce(c.throughput, a.throughput_per_second)
          from changes c
         where a.tenant_id = c.tenant_id and a.id = c.account_id)
    select count(*) filter (where alert) into v_alerts from kept;
    return coalesce(v_alerts, 0);
end
$$;

CREATE FUNCTION communications.store_messages(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $_$
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
    perform pg_advisory_xact_lock(k.hash)
       from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, r.external_message_id) as hash
               from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, channel text, external_message_id text)
              where r.channel = 'WHATSAPP' order by 1) k;
    if p @? '$[*] ? (@.channel == "EMAIL")' then
        perform pg_advisory_xact_lock(k.hash)
           from (select distinct communications.reaction_lock(r.tenant_id, r.tenant_id, r.external_message_id) as hash
                   from jsonb_to_recordset(p) as r (tenant_id uuid, channel text, external_message_id text)
                  where r.channel = 'EMAIL' order by 1) k;
        select coalesce(jsonb_agg(r.value order by r.n), '[]') into p
          from jsonb_array_elements(p) with ordinality as r (value, n)
         where r.value ->> 'channel' <> 'EMAIL'
            or not exists (select from communications.channel_accounts a
                            cross join lateral (
                                  select from communications.messages m
                                   where m.tenant_id = a.tenant_id and m.account_id = a.id
                                     and m.external_message_id = r.value ->> 'external_message_id'
                                   offset 0) m
                            where a.tenant_id = (r.value ->> 'tenant_id')::uuid and a.channel = 'EMAIL');
    end if;

    -- New is what is not here, once, whatever the payload repeats.
    select array_agg(i.id), array_agg(i.tenant_id)
      into v_ids, v_tenants
      from (select distinct on (r.tenant_id, r.account_id, r.external_message_id) r.id, r.tenant_id
              from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text)
             left join lateral (select true as here from communications.messages m
                                  where m.tenant_id = r.tenant_id and m.account_id = r.account_id
                                    and m.external_message_id = r.external_message_id limit 1) m on true
             where m.here is null
             order by r.tenant_id, r.account_id, r.external_message_id, r.id) i;
    if v_ids is null then
        return jsonb_build_object('messages', 0, 'media', '[]'::jsonb);
    end if;

    select count(distinct (r.tenant_id, r.contact_id)) into v_people
      from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, contact_id uuid) where r.id = any(v_ids);

    -- Who has no live thread gets one from whoever comes first: by two channels no alias of theirs is locked twice.
    perform from communications.contacts c
      where (c.tenant_id, c.id) in (
            select r.tenant_id, r.contact_id
              from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, contact_id uuid)
             where r.id = any(v_ids)
               and not exists (select from communications.conversations v
                                where v.tenant_id = r.tenant_id and v.contact_id = r.contact_id and v.status <> 'RESOLVED'))
      order by c.tenant_id, c.id
        for no key update;

    -- Each contact's live thread, else the last one.
    with arrived as (
        select r.tenant_id, r.contact_id,
               count(*) filter (where r.direction = 'INBOUND' and r.muted is not true) as inbound,
               bool_or(r.wakes) as wakes,
               -- A clock ahead of ours must not keep a thread on top of the list.
               case when bool_or(r.muted is not true) then least(max(r.sent_at) filter (where r.muted is not true), now()) end as last_at,
               (array_agg(r.preview order by r.sent_at desc, r.id desc) filter (where r.muted is not true))[1] as preview,
               case when bool_or(r.written) then least(max(r.sent_at) filter (where r.written), now()) end as inbound_at,
               (array_agg(r.channel order by r.sent_at desc, r.id desc) filter (where r.written))[1] as channel,
               (array_agg(r.account_id order by r.sent_at desc, r.id desc) filter (where r.written))[1] as account_id
          from (select s.*, s.direction = 'INBOUND' and communications.is_written(s.content, s.context) as written
                  from jsonb_to_recordset(p) as s (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid, direction text,
                                                   wakes boolean, muted boolean, preview text, sent_at timestamptz, content jsonb,
                                                   context jsonb)) r
         where r.id = any(v_ids)
         group by r.tenant_id, r.contact_id),
    latest as (
        select a.*, c.id, c.status, c.snoozed_until_reply,
               -- What was sent before there was a thread was never shown as said in it.
               c.preview = '' and c.inbound_count = 0
               and not exists (select from communications.messages m
                                where m.tenant_id = a.tenant_id and m.conversation_id = c.id and m.sender_kind = 'AGENT') as unspoken
          from (select * from arrived order by tenant_id, contact_id) a
          left join communications.tenant_settings s on s.tenant_id = a.tenant_id
         cross join lateral (
             select c.id, c.status, c.snoozed_until_reply, c.preview, c.inbound_count from communications.conversations c
              where c.tenant_id = a.tenant_id and c.contact_id = a.contact_id
                -- What was resolved too long ago is history: a new thread continues it.
                and (c.status <> 'RESOLVED' or not a.wakes or s.reopen_within_days is null or c.resolved_at is null
                     or c.resolved_at > now() - s.reopen_within_days * interval '1 day')
              order by (c.status <> 'RESOLVED') desc, c.created_at desc, c.id desc
              limit 1 for no key update) c),
    continued as (
        update communications.conversations c
           set status = case when a.wakes and (a.status = 'RESOLVED' or a.status = 'SNOOZED' and a.snoozed_until_reply)
                             then 'OPEN' else c.status end,
               snoozed_until = case when a.status = 'SNOOZED' and not (a.wakes and a.snoozed_until_reply) then c.snoozed_until end,
               inbound_count = c.inbound_count + a.inbound,
               last_message_at = case when a.unspoken then coalesce(a.last_at, c.last_message_at)
                                      else greatest(c.last_message_at, a.last_at) end,
               last_inbound_at = greatest(c.last_inbound_at, a.inbound_at),
               -- What came late does not become what was said last.
               last_inbound_channel = case when a.inbound_at >= coalesce(c.last_inbound_at, a.inbound_at)
                                           then a.channel else c.last_inbound_channel end,
               last_inbound_account = case when a.inbound_at >= coalesce(c.last_inbound_at, a.inbound_at)
                                           then a.account_id else c.last_inbound_account end,
               preview = case when a.last_at >= c.last_message_at or a.unspoken then coalesce(a.preview, c.preview) else c.preview end
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
                   bool_or(r.wakes or r.direction = 'OUTBOUND') as wakes,
                   case when bool_or(r.muted is not true) then least(max(r.sent_at) filter (where r.muted is not true), now()) end as last_at,
                   (array_agg(r.preview order by r.sent_at desc, r.id desc) filter (where r.muted is not true))[1] as preview,
                   least(max(r.sent_at), now()) as at,
                   case when bool_or(r.written) then least(max(r.sent_at) filter (where r.written), now()) end as inbound_at,
                   (array_agg(r.channel order by r.sent_at desc, r.id desc) filter (where r.written))[1] as channel,
                   (array_agg(r.account_id order by r.sent_at desc, r.id desc) filter (where r.written))[1] as account_id
              from (select s.*, s.direction = 'INBOUND' and communications.is_written(s.content, s.context) as written
                      from jsonb_to_recordset(p) as s (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid,
                                                       direction text, wakes boolean, muted boolean, preview text, sent_at timestamptz,
                                                       content jsonb, context jsonb)) r
             where r.id = any(v_ids)
               and not exists (select from unnest(v_owners, v_contacts) as k (tenant_id, contact_id)
                                where k.tenant_id = r.tenant_id and k.contact_id = r.contact_id)
             group by r.tenant_id, r.contact_id),
        opened as (
            insert into communications.conversations
                (tenant_id, id, contact_id, status, inbound_count, last_message_at, last_inbound_at, last_inbound_channel,
                 last_inbound_account, preview, trip_id, booking_id, invoice_id, continues)
            -- Nothing but muted messages, or such as wake nobody: a thread that waits for nobody.
            select a.tenant_id, communications.uuid_v7(), a.contact_id, case when a.last_at is null or not a.wakes then 'RESOLVED' else 'OPEN' end,
                   a.inbound, coalesce(a.last_at, a.inbound_at, a.at), a.inbound_at, a.channel, a.account_id,
                   coalesce(a.preview, ''), (about.context ->> 'trip_id')::uuid, (about.context ->> 'booking_id')::uuid,
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
         status, lane, category, attempts, external_message_id, reply_to, replied_to, rfc_message_id, sent_at, delivered_at,
         provider_timestamp, muted)
    select r.tenant_id, r.id, r.direction, r.channel, r.account_id, r.contact_id, t.id,
           case r.direction when 'INBOUND' then 'CONTACT' else 'AGENT' end, r.address, r.content, r.body, r.context,
           case r.direction when 'INBOUND' then 'DELIVERED' else 'SENT' end,
           case r.direction when 'OUTBOUND' then 'INTERACTIVE' end, case r.direction when 'OUTBOUND' then 'SERVICE' end,
           -- Sent once, elsewhere: reports about it count.
           case r.direction when 'OUTBOUND' then 1 else 0 end,
           r.external_message_id, r.reply_to, r.replied_to, r.rfc_message_id, r.sent_at,
           case r.direction when 'INBOUND' then now() end, r.sent_at, coalesce(r.muted, false)
      from jsonb_to_recordset(p) as r (
               id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid, direction text, address text,
               content jsonb, body text, context jsonb, external_message_id text, reply_to text, replied_to uuid, rfc_message_id text,
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
                cross join lateral (
                      select from communications.messages m
                       where m.tenant_id = t.tenant_id and m.contact_id = t.contact_id and m.conversation_id is null
                       limit 1) m) then
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
                 content_id, declared_sha256, expires_at, hint_at)
            select r.tenant_id, f.id, r.id, r.account_id, f.ordinal, f.kind, f.source, f.source_ref, f.source_url, f.mime_type,
                   f.filename, f.content_id, f.declared_sha256, f.expires_at,
                   -- A hint follows the commit.
                   now()
              from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, media jsonb)
             cross join jsonb_to_recordset(r.media) as f (id uuid, ordinal smallint, kind text, source text, source_ref text,
                        source_url text, mime_type text, filename text, content_id text, declared_sha256 text, expires_at timestamptz)
             where r.id = any(v_ids)
            returning tenant_id, id)
        select jsonb_agg(jsonb_build_array(tenant_id, id)) into v_media from files;
    end if;

    -- Nothing is known to be no address on WhatsApp.
    if p @? '$[*] ? (@.channel != "WHATSAPP")' then
        delete from communications.suppressions s
         using jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, channel text, direction text, written_from text, sent_at timestamptz)
         where r.id = any(v_ids) and r.direction = 'INBOUND'
           and s.tenant_id = r.tenant_id and s.channel = r.channel and s.address = r.written_from
           and s.reason = 'BOUNCE' and s.at < r.sent_at;
    end if;

    -- Changes that came before their message.
    if exists (select from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text)
                 cross join lateral (
                      select from communications.message_revisions v
                       where v.tenant_id = r.tenant_id and v.account_id = r.account_id and v.target_external_id = r.external_message_id
                       limit 1) v
                where r.id = any(v_ids)) then
        perform communications.apply_revisions(array_agg(r.tenant_id), array_agg(r.account_id), array_agg(r.external_message_id))
           from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, external_message_id text)
          where r.id = any(v_ids);
    end if;

    return jsonb_build_object('messages', cardinality(v_ids), 'media', coalesce(v_media, '[]'));
end
$_$;

CREATE FUNCTION communications.store_notices(p jsonb) RETURNS integer
    LANGUAGE plpgsql
    AS $_$
begin
    if p @? '$[*] ? (@.kind == "TEMPLATE")' then
        perform communications.store_template_notices(p);
    end if;
    if p @? '$[*] ? (@.kind == "ACCOUNT")' then
        return communications.store_account_notices(p);
    end if;
    return 0;
end
$_$;

CREATE FUNCTION communications.store_prices(p_tenants uuid[], p_ids uuid[], p_accounts uuid[], p_at timestamp with time zone[], p_prices jsonb[]) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.message_prices as p
        (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at, said_at)
    select distinct on (m.tenant_id, m.message_id)
           m.tenant_id, m.message_id, m.account_id, c.category, c.model, c.kind, c.billable, c.units, c.micros, c.currency,
           min(m.at) over (partition by m.tenant_id, m.message_id), m.at
      from unnest(p_tenants, p_ids, p_accounts, p_at, p_prices) as m (tenant_id, message_id, account_id, at, price)
     cross join jsonb_to_record(m.price) as c (category text, model text, kind text, billable boolean, units integer,
                                               micros bigint, currency text)
     where jsonb_typeof(m.price) = 'object'
     order by m.tenant_id, m.message_id, m.at desc
    on conflict on constraint message_prices_pkey do update
       set category = excluded.category, model = excluded.model, kind = excluded.kind, billable = excluded.billable,
           units = excluded.units, micros = excluded.micros, currency = excluded.currency,
           said_at = excluded.said_at, recorded_at = now()
     where excluded.said_at >= p.said_at
       and (p.category, p.model, p.kind, p.billable, p.units, p.micros, p.currency)
           is distinct from (excluded.category, excluded.model, excluded.kind, excluded.billable, excluded.units, excluded.micros,
                             excluded.currency);
$$;

CREATE FUNCTION communications.store_reactions(p jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.message_reactions as m
        (tenant_id, account_id, target_external_id, contact_id, actor_kind, emoji, external_message_id, at)
    select distinct on (r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind)
           r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind, r.emoji, r.external_message_id, r.at
      from rows from (jsonb_to_recordset(p) as (tenant_id uuid, account_id uuid, target text, contact_id uuid, actor_kind text,
                                                emoji text, external_message_id text, at timestamptz))
           with ordinality as r (tenant_id, account_id, target, contact_id, actor_kind, emoji, external_message_id, at, n)
     order by r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind, r.at desc, r.emoji = '' desc, r.n desc
    on conflict on constraint message_reactions_pkey do update
       set emoji = excluded.emoji, external_message_id = excluded.external_message_id, at = excluded.at
     where excluded.at > m.at
        or excluded.at = m.at and (excluded.emoji = '' or m.emoji <> '') and excluded.emoji <> m.emoji;
$$;

CREATE FUNCTION communications.store_revisions(p jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    insert into communications.message_revisions
        (tenant_id, account_id, external_message_id, target_external_id, contact_id, actor_kind, kind, content, body, at)
    select r.tenant_id, r.account_id, r.external_message_id, r.target, r.contact_id, r.actor_kind, r.kind, r.content, r.body, r.at
      from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, external_message_id text, target text, contact_id uuid,
                                       actor_kind text, kind text, content jsonb, body text, at timestamptz)
    on conflict on constraint message_revisions_pkey do nothing;
    perform pg_advisory_xact_lock(l.hash)
       from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, r.target) as hash
               from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, target text) order by 1) l;
    perform communications.apply_revisions(array_agg(r.tenant_id), array_agg(r.account_id), array_agg(r.target))
       from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, target text);
end
$$;

CREATE FUNCTION communications.store_template_list(p_tenant uuid, p_waba text, p_at timestamp with time zone, p jsonb) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
    v_gone integer;
begin
    perform communications.store_template_notices(
        (select coalesce(jsonb_agg(t || jsonb_build_object('kind', 'TEMPLATE', 'tenant_id', p_tenant, 'waba_id', p_waba, 'at', p_at)), '[]')
           from jsonb_array_elements(p) as t));
    update communications.whatsapp_templates t
       set status = 'DELETED', reason = null, status_at = p_at, updated_at = now()
     where t.tenant_id = p_tenant and t.waba_id = p_waba and coalesce(greatest(t.status_at, t.category_at, t.quality_at, t.components_at), '-infinity') < p_at
       and t.status is distinct from 'DELETED'
       and not exists (select from jsonb_to_recordset(p) as l (name text, language text)
                        where l.name = t.name and l.language = t.language);
    get diagnostics v_gone = row_count;
    update communications.channel_accounts a
       set templates_synced_at = p_at
     where a.tenant_id = p_tenant and a.channel = 'WHATSAPP' and a.waba_id = p_waba;
    return v_gone;
end
$$;

CREATE FUNCTION communications.store_template_notices(p jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into communications.whatsapp_templates as t
        (tenant_id, waba_id, name, language, external_template_id, status, status_at, category, category_at, quality, quality_at,
         reason, components, components_at)
    select n.tenant_id, n.waba_id, n.name, n.language, (array_agg(n.template_id order by n.n desc) filter (where n.template_id is not null))[1],
           (array_agg(n.status order by n.at desc, n.n desc) filter (where n.status is not null))[1],
           max(n.at) filter (where n.status is not null),
           (array_agg(n.category order by n.at desc, n.n desc) filter (where n.category is not null))[1],
           max(n.at) filter (where n.category is not null),
           (array_agg(n.quality order by n.at desc, n.n desc) filter (where n.quality is not null))[1],
           max(n.at) filter (where n.quality is not null),
           (array_agg(n.reason order by n.at desc, n.n desc) filter (where n.status is not null or n.reason is not null))[1],
           (array_agg(n.components order by n.at desc, n.n desc) filter (where n.components is not null))[1],
           max(n.at) filter (where n.components is not null)
      from (select r.n, v.tenant_id, v.waba_id, v.name, v.language, v.template_id, v.status, v.category, v.quality, v.reason, v.components,
                   least(coalesce(v.at, now()), now()) as at
              from jsonb_array_elements(p) with ordinality as r (notice, n)
             cross join jsonb_to_record(r.notice) as v (tenant_id uuid, waba_id text, name text, language text, template_id text,
                        status text, category text, quality text, reason text, components jsonb, at timestamptz)
             where r.notice ->> 'kind' = 'TEMPLATE') n
     group by n.tenant_id, n.waba_id, n.name, n.language
     order by n.tenant_id, n.waba_id, n.name, n.language
    on conflict on constraint whatsapp_templates_pkey do update
       set external_template_id = coalesce(excluded.external_template_id, t.external_template_id),
           status = case when excluded.status_at >= coalesce(t.status_at, '-infinity') then excluded.status else t.status end,
           reason = case when excluded.status_at >= coalesce(t.status_at, '-infinity') then excluded.reason
                         when excluded.status_at is null then coalesce(excluded.reason, t.reason)
                         else t.reason end,
           status_at = greatest(t.status_at, excluded.status_at),
           category = case when excluded.category_at >= coalesce(t.category_at, '-infinity') then excluded.category else t.category end,
           category_at = greatest(t.category_at, excluded.category_at),
           quality = case when excluded.quality_at >= coalesce(t.quality_at, '-infinity') then excluded.quality else t.quality end,
           quality_at = greatest(t.quality_at, excluded.quality_at),
           components = case when excluded.components_at >= coalesce(t.components_at, '-infinity')
                             then coalesce((select jsonb_agg(c.value order by c.n)
                                              from jsonb_array_elements(case jsonb_typeof(t.components) when 'array' then t.components end)
                                                   with ordinality as c (value, n)
                                             where c.value ->> 'type' not in ('HEADER', 'BODY', 'FOOTER', 'BUTTONS')
                                                or c.value ->> 'type' = 'HEADER' and c.value ->> 'format' <> 'TEXT'
                                               and not excluded.components @> '[{"type": "HEADER"}]'), '[]')
                                  || excluded.components
                             else t.components end,
           components_at = greatest(t.components_at, excluded.components_at),
           updated_at = now();
$$;

CREATE FUNCTION communications.sync_integration(p_tenant uuid, p_provider text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    insert into communications.operator_integrations
        (tenant_id, provider, channel, status, status_changed_at, account_id, display_name, sender, mode, health, accounts, active_accounts,
         version)
    select a.tenant_id, a.provider, a.channel, a.status, a.status_changed_at, a.id, a.display_name, a.sender, a.mode, a.send_health, 0, 0, 0
      from communications.channel_accounts a
     where a.tenant_id = p_tenant and a.provider = p_provider
     limit 1
    on conflict do nothing;
    perform from communications.operator_integrations i
      where i.tenant_id = p_tenant and i.provider = p_provider for update;

    update communications.operator_integrations i
       set channel = n.channel, status = n.status, status_reason = n.status_reason, status_changed_at = n.status_changed_at,
           account_id = n.id, display_name = n.display_name, sender = n.sender, mode = n.mode, health = n.health,
           accounts = n.accounts, active_accounts = n.active_accounts, version = i.version + 1, updated_at = now()
      from (select a.*,
                   count(*) over ()::integer as accounts,
                   (count(*) filter (where a.status = 'ACTIVE') over ())::integer as active_accounts,
                   case when bool_or(a.status <> 'DISABLED' and a.send_health = 'FAILING') over () then 'FAILING'
                        when bool_or(a.status <> 'DISABLED' and a.send_health = 'OK') over () then 'OK'
                        else 'UNKNOWN' end as health,
                   row_number() over (order by array_position(
                       array ['REAUTH_REQUIRED', 'SUSPENDED', 'ACTIVE', 'VERIFYING', 'PENDING', 'DISABLED'], a.status),
                       a.created_at, a.id) as place
              from communications.channel_accounts a
             where a.tenant_id = p_tenant and a.provider = p_provider) n
     where n.place = 1 and i.tenant_id = p_tenant and i.provider = p_provider
       and (i.channel, i.status, i.status_reason, i.status_changed_at, i.account_id, i.display_name, i.sender, i.mode, i.health,
            i.accounts, i.active_accounts)
           is distinct from
           (n.channel, n.status, n.status_reason, n.status_changed_at, n.id, n.display_name, n.sender, n.mode, n.health,
            n.accounts, n.active_accounts);
    -- The last account is gone.
    delete from communications.operator_integrations i
     where i.tenant_id = p_tenant and i.provider = p_provider
       and not exists (select from communications.channel_accounts a where a.tenant_id = p_tenant and a.provider = p_provider);
end
$$;

CREATE FUNCTION communications.sync_integrations() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op <> 'INSERT' and (tg_op = 'DELETE' or old.provider is distinct from new.provider) then
        perform communications.sync_integration(old.tenant_id, old.provider);
    end if;
    if tg_op <> 'DELETE' then
        perform communications.sync_integration(new.tenant_id, new.provider);
    end if;
    return null;
end
$$;

CREATE FUNCTION communications.take_from_echo(p_tenant uuid, p_echo uuid, p_ours uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    update communications.message_status_events e set message_id = null where e.tenant_id = p_tenant and e.message_id = p_echo;
    -- What was said of either was said of the same message: ours stands where both have a price.
    delete from communications.message_prices p
     where p.tenant_id = p_tenant and p.message_id = p_echo
       and exists (select from communications.message_prices o where o.tenant_id = p_tenant and o.message_id = p_ours);
    update communications.message_prices p set message_id = p_ours where p.tenant_id = p_tenant and p.message_id = p_echo;
    update communications.messages m set replied_to = p_ours
      from communications.messages e
     where e.tenant_id = p_tenant and e.id = p_echo
       and m.tenant_id = e.tenant_id and m.conversation_id = e.conversation_id and m.thread_at >= e.thread_at and m.replied_to = e.id;
    update communications.repairs r set message_id = p_ours where r.tenant_id = p_tenant and r.message_id = p_echo;
    delete from communications.message_media f where f.tenant_id = p_tenant and f.message_id = p_echo;
    delete from communications.messages m where m.tenant_id = p_tenant and m.id = p_echo;
end
$$;

CREATE FUNCTION communications.tell_conversations() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    update communications.conversations v
       set contact_name = new.display_name, contact_kind = new.kind
     where v.tenant_id = new.tenant_id and v.contact_id = new.id;
    return null;
end
$$;

CREATE FUNCTION communications.tell_readers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    -- First, and by itself: the next statement sees the marks of whoever held it.
    perform from communications.conversations k
      join (select distinct tenant_id, conversation_id from marked) m on m.tenant_id = k.tenant_id and m.conversation_id = k.id
     order by k.tenant_id, k.id
       for no key update of k;
    update communications.conversations c
       set seen_by = n.seen_by, read_by = n.read_by, read_to = n.read_to
      from (select k.tenant_id, k.id, r.*
              from (select distinct tenant_id, conversation_id from marked) m
              join communications.conversations k on k.tenant_id = m.tenant_id and k.id = m.conversation_id
             cross join lateral (
                  select coalesce(array_agg(r.user_id order by r.user_id) filter (where r.inbound_seen >= k.inbound_count), '{}') as seen_by,
                         coalesce(array_agg(r.user_id::text order by r.user_id), '{}') as read_by,
                         coalesce(array_agg(r.inbound_seen order by r.user_id), '{}') as read_to
                    from communications.conversation_read_cursors r
                   where r.tenant_id = k.tenant_id and r.conversation_id = k.id) r) n
     where c.tenant_id = n.tenant_id and c.id = n.id
       and (c.seen_by, c.read_by, c.read_to) is distinct from (n.seen_by, n.read_by, n.read_to);
    return null;
end
$$;

CREATE FUNCTION communications.template_parameters(p_components jsonb) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case when jsonb_typeof(p_components) = 'array' then coalesce((
        select count(distinct m.name[1])::integer
          from jsonb_array_elements(p_components) as c
         cross join regexp_matches(c ->> 'text', '\{\{\s*(\w+)\s*\}\}', 'g') as m (name)
         where upper(c ->> 'type') = 'BODY'), 0) end
$$;

CREATE TABLE communications.tenant_settings (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    default_locale text DEFAULT 'en'::text NOT NULL,
    timezone text DEFAULT 'UTC'::text NOT NULL,
    mode text DEFAULT 'LIVE'::text NOT NULL,
    claim_required boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    reopen_within_days integer,
    inbox_visibility text DEFAULT 'ALL'::text NOT NULL,
    CONSTRAINT tenant_settings_inbox_visibility_check CHECK ((inbox_visibility = ANY (ARRAY['ALL'::text, 'MINE_AND_UNASSIGNED'::text]))),
    CONSTRAINT tenant_settings_mode_check CHECK ((mode = ANY (ARRAY['LIVE'::text, 'SANDBOX'::text]))),
    CONSTRAINT tenant_settings_reopen_within_days_check CHECK ((reopen_within_days > 0))
);

CREATE FUNCTION communications.tenant_unread_conversations(settings communications.tenant_settings, hasura_session json) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN (WITH me AS MATERIALIZED (SELECT communications.session_user_id(tenant_unread_conversations.hasura_session) AS id) SELECT count(*) AS count FROM ((SELECT FROM communications.conversations c WHERE ((c.tenant_id = (tenant_unread_conversations.settings).tenant_id) AND (c.assigned_to = (SELECT me.id FROM me)) AND (c.status = 'OPEN'::text) AND c.holder_unread) LIMIT 100) UNION ALL (SELECT FROM (SELECT c_1.inbound_count, c_1.seen_by FROM communications.conversations c_1 WHERE ((c_1.tenant_id = (tenant_unread_conversations.settings).tenant_id) AND (c_1.assigned_to IS NULL) AND (c_1.status = 'OPEN'::text)) ORDER BY c_1.last_message_at DESC, c_1.id DESC LIMIT 200) c WHERE ((c.inbound_count > 0) AND (NOT ((SELECT me.id FROM me) = ANY (c.seen_by)))) LIMIT 100) LIMIT 100) u);

CREATE FUNCTION communications.thread_state(v communications.conversations) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN jsonb_build_object('status', (v).status, 'snoozed_until', (v).snoozed_until, 'snoozed_until_reply', (v).snoozed_until_reply, 'assigned_to', (v).assigned_to, 'booking_id', (v).booking_id, 'trip_id', (v).trip_id, 'invoice_id', (v).invoice_id, 'last_message_at', (v).last_message_at, 'last_inbound_at', (v).last_inbound_at, 'last_inbound_channel', (v).last_inbound_channel, 'last_inbound_account', (v).last_inbound_account, 'preview', (v).preview, 'inbound_count', (v).inbound_count);

CREATE FUNCTION communications.unmerge_contacts(p jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
    v_tenant  uuid := (p ->> 'tenant_id')::uuid;
    v_merge   uuid := (p ->> 'merge_id')::uuid;
    v_by      uuid := (p ->> 'by')::uuid;
    v_g       communications.contact_merges;
    v_kept    uuid;
    v_merged  uuid;
    v_moved   jsonb;
    v_fold    jsonb;
    v_into    uuid;
    v_from    uuid;
    v_later   uuid;
    v_values  text[];
    v_ids     uuid[];
    v_strays  uuid[];
    v_homes   uuid[];
    v_touched uuid[] := '{}';
    v_state   jsonb;
    v_new     uuid;
    v_live    boolean;
    v_stays   boolean;
    v_owner   uuid;
    v_asleep  boolean := false;
begin
    select * into v_g from communications.contact_merges where tenant_id = v_tenant and id = v_merge;
    if v_g.id is null then
        return '{"refused": "not-found"}';
    end if;
    v_kept := v_g.kept_id;
    v_merged := v_g.merged_id;
    perform communications.lock_contacts(v_tenant, array[v_kept, v_merged]);
    select * into v_g from communications.contact_merges where tenant_id = v_tenant and id = v_merge for update;
    if v_g.undone_at is not null then
        return jsonb_build_object('merge_id', v_merge, 'kept_id', v_kept, 'merged_id', v_merged, 'undone_at', v_g.undone_at);
    end if;
    select g.id into v_later from communications.contact_merges g
     where g.tenant_id = v_tenant and g.undone_at is null and g.id <> v_merge and v_kept in (g.kept_id, g.merged_id)
       and g.merged_at > v_g.merged_at
     order by g.merged_at desc limit 1;
    if v_later is not null then
        return jsonb_build_object('refused', 'later-merge', 'merge_id', v_later);
    end if;
    v_moved := v_g.moved;
    v_fold := v_moved -> 'fold';
    v_into := (v_fold ->> 'into')::uuid;
    v_from := (v_fold ->> 'from')::uuid;

    -- Aliases: those that came, and those that were learned from them since.
    with recursive mine as (
        select i.kind, i.scope, i.value
          from jsonb_array_elements(v_moved -> 'aliases') as a
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2 and i.contact_id = v_kept
        union
        -- What was learned since of whoever the host said it was.
        select i.kind, i.scope, i.value
          from jsonb_array_elements_text(jsonb_build_array(
                   v_moved -> 'merged_before' -> 'passenger_profile_id', v_moved -> 'merged_before' -> 'driver_id',
                   v_moved -> 'merged_before' -> 'vendor_id')) as host (id)
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.contact_id = v_kept and i.learned_from = host.id
         where not v_moved -> 'kept_aliases' @> jsonb_build_array(jsonb_build_array(i.kind, i.scope, i.value))
        union
        -- Of one that came and has been given up since, what was learned from it.
        select i.kind, i.scope, i.value
          from jsonb_array_elements(v_moved -> 'aliases') as a
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.contact_id = v_kept and i.learned_from = a ->> 2
         where not v_moved -> 'kept_aliases' @> jsonb_build_array(jsonb_build_array(i.kind, i.scope, i.value))
        union
        select i.kind, i.scope, i.value
          from mine
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.contact_id = v_kept and i.learned_from = mine.value
         where not v_moved -> 'kept_aliases' @> jsonb_build_array(jsonb_build_array(i.kind, i.scope, i.value))),
    back as (
        update communications.contact_identities i set contact_id = v_merged
          from mine m where i.tenant_id = v_tenant and i.kind = m.kind and i.scope = m.scope and i.value = m.value
        returning i.value)
    select coalesce(array_agg(value), '{}') into v_values from back;
    -- Also what they gave up since.
    with back as (
        update communications.contact_former_identities h set contact_id = v_merged
         where h.tenant_id = v_tenant and h.contact_id = v_kept
           and (exists (select from jsonb_array_elements(v_moved -> 'aliases') as a
                         where a ->> 0 = h.kind and a ->> 1 = h.scope and a ->> 2 = h.value)
                or exists (select from jsonb_array_elements(v_moved -> 'former') as a
                            where a ->> 0 = h.kind and a ->> 1 = h.scope and a ->> 2 = h.value
                              and (a ->> 3)::timestamptz = h.until))
           -- What the kept one had given up before was never the other's.
           and not exists (select from jsonb_array_elements(v_moved -> 'kept_former') as a
                            where a ->> 0 = h.kind and a ->> 1 = h.scope and a ->> 2 = h.value and (a ->> 3)::timestamptz = h.until)
           -- Nor are messages at a number that the kept one has.
        returning case when not v_moved -> 'kept_aliases' @> jsonb_build_array(jsonb_build_array(h.kind, h.scope, h.value))
                        and not exists (select from communications.contact_identities i
                                         where i.tenant_id = v_tenant and i.contact_id = v_kept and i.kind = h.kind
                                           and i.scope = h.scope and i.value = h.value)
                       then h.value end as value)
    select v_values || coalesce(array_agg(value) filter (where value is not null), '{}') into v_values from back;

    -- Messages of theirs: by the record, by their address, and what was sent in place of those.
    with recursive theirs as (
        select m.id from jsonb_array_elements(v_moved -> 'messages') as a
          join communications.messages m on m.tenant_id = v_tenant and m.id = (a ->> 0)::uuid
        union
        select m.id from communications.messages_of(v_tenant, v_kept) m
         where communications.alias_of_message(m.direction, m.address, m.context) = any(v_values)
           and not v_moved -> 'kept_messages' @> to_jsonb(m.id)
        union
        select m.id from theirs t
          join communications.messages m on m.tenant_id = v_tenant and t.id in (m.fallback_of, m.replay_of))
    select coalesce(array_agg(id), '{}') into v_ids from theirs;
    -- And what answers these, wherever it went.
    select v_ids || coalesce(array_agg(m.id), '{}') into v_ids
      from communications.messages_of(v_tenant, v_kept) m
     where m.direction = 'OUTBOUND' and m.replied_to = any(v_ids) and m.id <> all(v_ids);

    -- Threads go back; the folded one has its own life again.
    with back as (
        update communications.conversations v set contact_id = v_merged
          from jsonb_array_elements_text(v_moved -> 'threads') as t
         where v.tenant_id = v_tenant and v.id = t::uuid and v.contact_id = v_kept
        returning v.id)
    insert into communications.conversation_events (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
    select v_tenant, communications.uuid_v7(), id, 'UNMERGED', v_kept::text, v_merged::text, 'AGENT', v_by from back;
    if v_fold is not null then
        -- Another of their threads may live by now.
        v_asleep := exists (select from communications.conversations o
                             where o.tenant_id = v_tenant and o.contact_id = v_merged and o.id <> v_from and o.status <> 'RESOLVED');
        update communications.conversations set status = 'OPEN'
         where tenant_id = v_tenant and id = v_from and status = 'RESOLVED' and not v_asleep;
        insert into communications.conversation_events
               (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
        select v_tenant, communications.uuid_v7(), x, 'UNMERGED', v_into::text, v_from::text, 'AGENT', v_by
          from unnest(array[v_into, v_from]) as x;
    end if;

    -- Of the record: to where they were.
    perform from communications.messages m where m.tenant_id = v_tenant and m.id = any(v_ids) order by m.id for no key update;
    update communications.messages m
       set contact_id = v_merged, -- What has found its thread since goes along with the rest of it.
           conversation_id = coalesce((a ->> 1)::uuid, m.conversation_id),
           step = m.step - coalesce((v_moved -> 'runs' ->> m.run_id::text)::smallint, 0::smallint)
      from jsonb_array_elements(v_moved -> 'messages') as a
     where m.tenant_id = v_tenant and m.id = (a ->> 0)::uuid;
    -- Of since: theirs.
    update communications.messages m
       set contact_id = v_merged,
           step = m.step - case when m.step >= (v_moved -> 'runs' ->> m.run_id::text)::smallint
                                then (v_moved -> 'runs' ->> m.run_id::text)::smallint else 0::smallint end
     where m.tenant_id = v_tenant and m.id = any(v_ids) and m.contact_id = v_kept;

    -- Whoever's message is in the other's thread now gets it into a thread of their own: the live one, else the last, else a new
    -- one; which is open, if the one that it leaves is.
    foreach v_owner in array array[v_merged, v_kept] loop
        select array_agg(m.id), bool_or(v.status <> 'RESOLVED' and m.direction = 'INBOUND' and not m.muted),
               array_agg(distinct v.id)
          into v_strays, v_live, v_homes
          from communications.conversations v
          join communications.messages m on m.tenant_id = v_tenant and m.conversation_id = v.id
         where v.tenant_id = v_tenant and v.contact_id in (v_kept, v_merged) and v.contact_id <> v_owner and m.contact_id = v_owner;
        continue when v_strays is null;
        v_touched := v_touched || v_homes;
        select v.id into v_new from communications.conversations v
         where v.tenant_id = v_tenant and v.contact_id = v_owner
         order by (v.status <> 'RESOLVED') desc, v.created_at desc, v.id desc limit 1;
        if v_new is null then
            v_new := communications.uuid_v7();
            insert into communications.conversations (tenant_id, id, contact_id, status)
            values (v_tenant, v_new, v_owner, case when v_live then 'OPEN' else 'RESOLVED' end);
            insert into communications.conversation_events
                   (tenant_id, id, conversation_id, kind, to_value, actor_kind, actor_id)
            values (v_tenant, communications.uuid_v7(), v_new, 'OPENED', case when v_live then 'OPEN' else 'RESOLVED' end, 'AGENT', v_by);
        elsif v_live then
            with woken as (
                update communications.conversations v
                   set status = 'OPEN', snoozed_until = null, snoozed_until_reply = true
                  from communications.conversations old
                 where v.tenant_id = v_tenant and v.id = v_new and v.status <> 'OPEN'
                   and old.tenant_id = v.tenant_id and old.id = v.id
                returning old.status as before)
            insert into communications.conversation_events
                   (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
            select v_tenant, communications.uuid_v7(), v_new, 'REOPENED', before, 'OPEN', 'AGENT', v_by from woken;
        end if;
        update communications.messages set conversation_id = v_new where tenant_id = v_tenant and id = any(v_strays);
        v_touched := v_touched || v_new;
    end loop;

    if v_fold is not null then
        select communications.thread_state(k) into v_state
          from communications.conversations k where k.tenant_id = v_tenant and k.id = v_into;
        -- Did anything come to the thread that stays, since?
        select count(*) > (v_fold -> 'before' ->> 'inbound_count')::bigint into v_stays
          from communications.messages m
         where m.tenant_id = v_tenant and m.conversation_id = v_into and m.direction = 'INBOUND' and not m.muted;
        if v_stays or (v_state -> 'inbound_count') <> (v_fold -> 'after' -> 'inbound_count')
                   or (v_state -> 'last_message_at') <> (v_fold -> 'after' -> 'last_message_at') then
            v_touched := v_touched || v_into;
        end if;
        v_state := communications.before_merge(v_state, v_fold -> 'before', v_fold -> 'after')
                   || case when v_stays then jsonb_build_object('status', v_state -> 'status', 'snoozed_until', v_state -> 'snoozed_until',
                                                                'snoozed_until_reply', v_state -> 'snoozed_until_reply')
                           else '{}' end;
        update communications.conversations k
           set status = s.status, snoozed_until = s.snoozed_until, snoozed_until_reply = s.snoozed_until_reply,
               assigned_to = s.assigned_to, booking_id = s.booking_id, trip_id = s.trip_id, invoice_id = s.invoice_id,
               last_message_at = s.last_message_at, last_inbound_at = s.last_inbound_at,
               last_inbound_channel = s.last_inbound_channel, last_inbound_account = s.last_inbound_account,
               preview = s.preview, inbound_count = s.inbound_count
          from jsonb_populate_record(null::communications.conversations, v_state) as s
         where k.tenant_id = v_tenant and k.id = v_into;
        -- The other one: as it was, awake if somebody wrote since.
        update communications.conversations m
           set status = case when v_asleep or v_from = any(v_touched) then m.status else s.status end,
               snoozed_until = case when v_asleep or v_from = any(v_touched) then m.snoozed_until else s.snoozed_until end,
               snoozed_until_reply = case when v_asleep or v_from = any(v_touched)
                                          then m.snoozed_until_reply else s.snoozed_until_reply end,
               inbound_count = s.inbound_count
          from jsonb_populate_record(null::communications.conversations, v_fold -> 'from_before') as s
         where m.tenant_id = v_tenant and m.id = v_from;

        -- Who has marked the joined thread since has seen both.
        with mark as (
            select now.user_id, now.last_read_at, was.last_read_at as before, was.inbound_seen as seen_before,
                   now.last_read_at is not distinct from made.last_read_at and now.inbound_seen = made.inbound_seen as untouched
              from communications.conversation_read_cursors now
              left join jsonb_to_recordset(v_fold -> 'cursors_after') as made (user_id uuid, last_read_at timestamptz, inbound_seen bigint)
                on made.user_id = now.user_id
              left join jsonb_to_recordset(v_fold -> 'cursors_before') as was (user_id uuid, last_read_at timestamptz, inbound_seen bigint)
                on was.user_id = now.user_id
             where now.tenant_id = v_tenant and now.conversation_id = v_into),
        gone as (
            delete from communications.conversation_read_cursors r using mark k
             where k.untouched and k.before is null
               and r.tenant_id = v_tenant and r.conversation_id = v_into and r.user_id = k.user_id),
        kept as (
            update communications.conversation_read_cursors r
               set last_read_at = case when k.untouched then k.before else k.last_read_at end,
                   inbound_seen = case when k.untouched then k.seen_before
                                       else communications.inbound_until(v_tenant, v_into, k.last_read_at) end
              from mark k
             where (k.before is not null or not k.untouched)
               and r.tenant_id = v_tenant and r.conversation_id = v_into and r.user_id = k.user_id)
        insert into communications.conversation_read_cursors as r (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
        select v_tenant, v_from, k.user_id, k.last_read_at, communications.inbound_until(v_tenant, v_from, k.last_read_at)
          from mark k where not k.untouched
        on conflict (tenant_id, conversation_id, user_id) do update
           set last_read_at = greatest(r.last_read_at, excluded.last_read_at),
               inbound_seen = communications.inbound_until(v_tenant, v_from, greatest(r.last_read_at, excluded.last_read_at));
    end if;
    if cardinality(v_touched) > 0 then
        perform communications.recount_threads(v_tenant, v_touched);
    end if;

    -- Windows: the kept one's as before, or by what they wrote since; the merged one's longer by what they wrote since.
    with wrote as (
        select c.id as contact_id, m.account_id, least(max(m.thread_at), now()) + interval '24 hours' as open_until
          from unnest(array[v_kept, v_merged]) as c (id)
         cross join lateral communications.messages_of(v_tenant, c.id) m
         where m.direction = 'INBOUND' and m.channel = 'WHATSAPP' and m.content ->> 'type' is distinct from 'system' and not coalesce(m.context ? 'group_id', false)
         group by c.id, m.account_id),
    kept as (
        select w.account_id, w.open_until,
               greatest((r.value ->> 'before')::timestamptz, wrote.open_until) as restored
          from communications.whatsapp_windows w
          left join jsonb_each(v_moved -> 'windows') as r on r.key = w.account_id::text
          left join wrote on wrote.contact_id = v_kept and wrote.account_id = w.account_id
         where w.tenant_id = v_tenant and w.contact_id = v_kept),
    closed as (
        delete from communications.whatsapp_windows w using kept k
         where k.restored is null and w.tenant_id = v_tenant and w.contact_id = v_kept and w.account_id = k.account_id),
    restored as (
        update communications.whatsapp_windows w set open_until = k.restored from kept k
         where k.restored <> k.open_until and w.tenant_id = v_tenant and w.contact_id = v_kept and w.account_id = k.account_id)
    insert into communications.whatsapp_windows as w (tenant_id, account_id, contact_id, open_until)
    select v_tenant, wrote.account_id, v_merged, wrote.open_until
      from wrote
     where wrote.contact_id = v_merged
       and exists (select from communications.messages_of(v_tenant, v_merged) m
                    where m.account_id = wrote.account_id and m.direction = 'INBOUND'
                      and not exists (select from jsonb_array_elements(v_moved -> 'messages') as a where a ->> 0 = m.id::text))
    on conflict (tenant_id, account_id, contact_id) do update set open_until = greatest(w.open_until, excluded.open_until);

    -- A no said while they were one was said by either, so it holds for both. A yes is theirs whose message said it; of one that
    -- the provider told nobody knows whose it is, so it holds for none.
    delete from communications.consents s using jsonb_array_elements_text(v_moved -> 'consents') as c
     where s.tenant_id = v_tenant and s.id = c::uuid;
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
    select v_tenant, communications.uuid_v7(), v_merged, s.channel, s.category, false, s.basis, s.source, s.at
      from communications.consents s
     where s.tenant_id = v_tenant and s.contact_id = v_kept and not s.granted
       and not v_moved -> 'kept_consents' @> to_jsonb(s.id);

    with yes as (
        select s.id,
               exists (select from communications.messages_of(v_tenant, v_merged) m
                        where m.direction = 'INBOUND' and m.channel = s.channel and m.thread_at = s.at) as of_merged,
               exists (select from communications.messages_of(v_tenant, v_kept) m
                        where m.direction = 'INBOUND' and m.channel = s.channel and m.thread_at = s.at) as of_kept
          from communications.consents s
         where s.tenant_id = v_tenant and s.contact_id = v_kept and s.granted and s.source in ('message', 'provider')
           and not v_moved -> 'kept_consents' @> to_jsonb(s.id)),
    theirs as (
        insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
        select v_tenant, communications.uuid_v7(), v_merged, s.channel, s.category, s.granted, s.basis, s.source, s.at
          from yes y join communications.consents s on s.tenant_id = v_tenant and s.id = y.id
         where y.of_merged and not y.of_kept
           -- START gives back what was there before it, and that was the kept one's perhaps.
           and not (s.category = 'MARKETING'
                    and exists (select from communications.consents start
                                 where start.tenant_id = v_tenant and start.contact_id = v_kept and start.channel = s.channel
                                   and start.category = 'TRANSACTIONAL' and start.granted and start.at = s.at
                                   and start.source = s.source)
                    and not exists (select from communications.consents earlier
                                     where earlier.tenant_id = v_tenant and earlier.contact_id = v_merged
                                       and earlier.channel = s.channel and earlier.category = 'MARKETING' and earlier.granted
                                       and earlier.at < s.at)))
    delete from communications.consents s
     using yes y where (y.of_merged or not y.of_kept) and s.tenant_id = v_tenant and s.id = y.id;

    -- START gives back what was there before it, and that was the other's perhaps.
    delete from communications.consents s
     where s.tenant_id = v_tenant and s.contact_id = v_kept and s.granted and s.category = 'MARKETING'
       and not v_moved -> 'kept_consents' @> to_jsonb(s.id)
       and exists (select from communications.consents start
                    where start.tenant_id = v_tenant and start.contact_id = v_kept and start.channel = s.channel
                      and start.category = 'TRANSACTIONAL' and start.granted and start.at = s.at and start.source = s.source)
       and not exists (select from communications.consents earlier
                        where earlier.tenant_id = v_tenant and earlier.contact_id = v_kept and earlier.channel = s.channel
                          and earlier.category = 'MARKETING' and earlier.granted and earlier.at < s.at);

    -- What was done to a message goes with it.
    update communications.message_reactions r set contact_id = v_merged
     where r.tenant_id = v_tenant and r.contact_id = v_kept
       and not exists (select from jsonb_array_elements(v_moved -> 'kept_reactions') as a
                        where a ->> 0 = r.account_id::text and a ->> 1 = r.target_external_id and a ->> 2 = r.actor_kind)
       and (exists (select from jsonb_array_elements(v_moved -> 'reactions') as a
                     where a ->> 0 = r.account_id::text and a ->> 1 = r.target_external_id and a ->> 2 = r.actor_kind)
            or exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.account_id = r.account_id and m.external_message_id = r.target_external_id
                          and m.contact_id = v_merged))
       and not exists (select from communications.message_reactions o
                        where o.tenant_id = v_tenant and o.account_id = r.account_id and o.contact_id = v_merged
                          and o.target_external_id = r.target_external_id and o.actor_kind = r.actor_kind);
    update communications.message_revisions r set contact_id = v_merged
     where r.tenant_id = v_tenant and r.contact_id = v_kept
       and not exists (select from jsonb_array_elements(v_moved -> 'kept_revisions') as a
                        where a ->> 0 = r.account_id::text and a ->> 1 = r.external_message_id)
       and (exists (select from jsonb_array_elements(v_moved -> 'revisions') as a
                     where a ->> 0 = r.account_id::text and a ->> 1 = r.external_message_id)
            or exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.account_id = r.account_id and m.external_message_id = r.target_external_id
                          and m.contact_id = v_merged));

    update communications.contact_reviews r
       set contact_a = least(x.one, x.other), contact_b = greatest(x.one, x.other),
           -- The same is asked already.
           resolution = case when x.twin then coalesce(r.resolution, 'MERGED') when r.resolution = 'MERGED' then null
                             else r.resolution end,
           resolved_by = case when x.twin then coalesce(r.resolved_by, v_by) when r.resolution = 'MERGED' then null
                              else r.resolved_by end,
           resolved_at = case when x.twin then coalesce(r.resolved_at, now()) when r.resolution = 'MERGED' then null
                              else r.resolved_at end
      from (select pair.*, exists (
                   select from communications.contact_reviews twin
                    where twin.tenant_id = v_tenant and twin.id <> pair.id and twin.resolution is null
                      and twin.contact_a = least(pair.one, pair.other) and twin.contact_b = greatest(pair.one, pair.other)) as twin
            from (select r.id, v_merged as one,
                   -- The other one may be somebody else by now, by a merge of their own.
                   case when v_merged in (r.contact_a, r.contact_b)
                        then case when r.contact_a = v_merged then r.contact_b else r.contact_a end
                        else case when r.contact_a = v_kept then r.contact_b else r.contact_a end end as other
              from jsonb_array_elements(v_moved -> 'reviews') as a
              join communications.contact_reviews r on r.tenant_id = v_tenant and r.id = (a ->> 0)::uuid
             where v_kept in (r.contact_a, r.contact_b) or v_merged in (r.contact_a, r.contact_b)) pair) x
     where r.tenant_id = v_tenant and r.id = x.id;

    select communications.before_merge(communications.contact_state(c), v_moved -> 'contact_before', v_moved -> 'contact_after')
      into v_state from communications.contacts c where c.tenant_id = v_tenant and c.id = v_kept;
    update communications.contacts c
       set display_name = s.display_name, locale = s.locale, timezone = s.timezone, kind = s.kind,
           passenger_profile_id = s.passenger_profile_id, driver_id = s.driver_id, vendor_id = s.vendor_id,
           blocked_at = s.blocked_at, blocked_by = s.blocked_by
      from jsonb_populate_record(null::communications.contacts, v_state) as s
     where c.tenant_id = v_tenant and c.id = v_kept;
    -- A link that somebody else has by now stays theirs.
    update communications.contacts c
       set merged_into = null,
           passenger_profile_id = case when not exists (
               select from communications.contacts o
                where o.tenant_id = v_tenant and o.id <> v_merged and o.passenger_profile_id = s.passenger_profile_id)
               then s.passenger_profile_id end,
           driver_id = case when not exists (
               select from communications.contacts o where o.tenant_id = v_tenant and o.id <> v_merged and o.driver_id = s.driver_id)
               then s.driver_id end,
           vendor_id = case when not exists (
               select from communications.contacts o where o.tenant_id = v_tenant and o.id <> v_merged and o.vendor_id = s.vendor_id)
               then s.vendor_id end
      from jsonb_populate_record(null::communications.contacts, v_moved -> 'merged_before') as s
     where c.tenant_id = v_tenant and c.id = v_merged;

    update communications.contact_merges set undone_by = v_by, undone_at = now() where tenant_id = v_tenant and id = v_merge
    returning * into v_g;
    return jsonb_build_object('merge_id', v_merge, 'kept_id', v_kept, 'merged_id', v_merged, 'undone_at', v_g.undone_at);
end
$$;

CREATE FUNCTION communications.utc_month(at timestamp with time zone) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (date_trunc('month'::text, (at AT TIME ZONE 'UTC'::text)))::date;

CREATE FUNCTION communications.uuid_v7() RETURNS uuid
    LANGUAGE sql PARALLEL SAFE
    RETURN (encode(set_bit(set_bit(OVERLAY(uuid_send(gen_random_uuid()) PLACING SUBSTRING(int8send(((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint) FROM 3) FROM 1 FOR 6), (52)::bigint, 1), (53)::bigint, 1), 'hex'::text))::uuid;

CREATE FUNCTION communications.verified_once() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    new.verified_at := now();
    return new;
end
$$;

CREATE FUNCTION communications.who_reads(p_tenant uuid, p_contact uuid, p_channel text, p_address text) RETURNS SETOF uuid
    LANGUAGE sql STABLE
    AS $$
    select p_contact
    union
    select i.contact_id from communications.contact_identities i
     where i.tenant_id = p_tenant and i.kind = case p_channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end
       and i.scope = '' and i.value = lower(p_address);
$$;

CREATE TABLE communications.whatsapp_windows (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    open_until timestamp with time zone NOT NULL
);

CREATE FUNCTION communications.window_allows(p_tenant uuid, p_channel text, p_account uuid, p_contact uuid, p_content jsonb) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN ((p_channel <> 'WHATSAPP'::text) OR ((p_content ->> 'type'::text) = 'template'::text) OR (EXISTS (SELECT FROM communications.whatsapp_windows w WHERE ((w.tenant_id = window_allows.p_tenant) AND (w.account_id = window_allows.p_account) AND (w.contact_id = window_allows.p_contact) AND (w.open_until > now())))));

CREATE TABLE communications.api_clients (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    token_sha256 bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    disabled_at timestamp with time zone,
    CONSTRAINT api_clients_name_check CHECK ((name <> ''::text)),
    CONSTRAINT api_clients_scopes_check CHECK (((cardinality(scopes) > 0) AND (scopes <@ ARRAY['notifications:read'::text, 'notifications:write'::text, 'batches:write'::text]))),
    CONSTRAINT api_clients_token_sha256_check CHECK ((octet_length(token_sha256) = 32))
);

CREATE TABLE communications.batch_recipients (
    tenant_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    "position" integer NOT NULL,
    recipient jsonb NOT NULL,
    CONSTRAINT batch_recipients_position_check CHECK (("position" >= 0))
);

CREATE TABLE communications.batch_steps (
    tenant_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    first integer NOT NULL,
    until integer NOT NULL,
    outcomes text[],
    reasons text[],
    message_ids uuid[],
    decided_at timestamp with time zone,
    CONSTRAINT batch_steps_check CHECK ((until > first)),
    CONSTRAINT batch_steps_first_check CHECK ((first >= 0)),
    CONSTRAINT batch_steps_whole CHECK ((((decided_at IS NULL) AND (num_nulls(outcomes, reasons, message_ids) = 3)) OR ((decided_at IS NOT NULL) AND (cardinality(outcomes) = (until - first)) AND (cardinality(reasons) = (until - first)) AND (cardinality(message_ids) = (until - first)))))
);

CREATE VIEW communications.batch_outcomes AS
 SELECT r.tenant_id,
    r.batch_id,
    r."position",
    r.recipient,
    s.outcomes[((r."position" - s.first) + 1)] AS outcome,
    s.reasons[((r."position" - s.first) + 1)] AS reason,
    s.message_ids[((r."position" - s.first) + 1)] AS message_id
   FROM (communications.batch_recipients r
     LEFT JOIN communications.batch_steps s ON (((s.tenant_id = r.tenant_id) AND (s.batch_id = r.batch_id) AND (r."position" >= s.first) AND (r."position" < s.until))));

CREATE TABLE communications.batches (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    source text NOT NULL,
    idempotency_key text NOT NULL,
    body_hash bytea NOT NULL,
    trigger_event text NOT NULL,
    request jsonb NOT NULL,
    status text DEFAULT 'OPEN'::text NOT NULL,
    status_reason text,
    run_id uuid NOT NULL,
    recipients integer DEFAULT 0 NOT NULL,
    cursor integer DEFAULT 0 NOT NULL,
    queued integer DEFAULT 0 NOT NULL,
    suppressed integer DEFAULT 0 NOT NULL,
    duplicates integer DEFAULT 0 NOT NULL,
    skipped integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    fanned_out_at timestamp with time zone,
    resumed_at timestamp with time zone,
    CONSTRAINT batches_check CHECK (((cursor >= 0) AND (cursor <= recipients))),
    CONSTRAINT batches_done CHECK (((status <> 'COMPLETED'::text) OR (cursor = recipients))),
    CONSTRAINT batches_honest CHECK (((((queued + suppressed) + duplicates) + skipped) = cursor)),
    CONSTRAINT batches_recipients_check CHECK ((recipients >= 0)),
    CONSTRAINT batches_status_check CHECK ((status = ANY (ARRAY['OPEN'::text, 'RUNNING'::text, 'PAUSED'::text, 'COMPLETED'::text, 'CANCELLED'::text, 'STOPPED'::text])))
);

COMMENT ON COLUMN communications.batches.cursor IS 'How many are decided about, not which: steps end in any order.';

CREATE TABLE communications.breakers (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    throttles integer DEFAULT 0 NOT NULL,
    open_until timestamp with time zone,
    probe_id uuid
);

CREATE TABLE communications.channel_account_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    field text NOT NULL,
    event text NOT NULL,
    alert boolean NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    raw jsonb NOT NULL,
    raw_hash bytea NOT NULL,
    decides text,
    CONSTRAINT channel_account_events_decides_check CHECK ((decides = ANY (ARRAY['STATUS'::text, 'QUALITY'::text, 'TIER'::text, 'NAME'::text, 'THROUGHPUT'::text])))
);

CREATE TABLE communications.channel_account_history (
    tenant_id uuid NOT NULL,
    id uuid DEFAULT communications.uuid_v7() NOT NULL,
    account_id uuid NOT NULL,
    what text NOT NULL,
    before text,
    after text,
    reason text,
    by_kind text NOT NULL,
    by_user uuid,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT channel_account_history_by_kind_check CHECK ((by_kind = ANY (ARRAY['USER'::text, 'PROVIDER'::text, 'SYSTEM'::text]))),
    CONSTRAINT channel_account_history_user CHECK (((by_kind = 'USER'::text) = (by_user IS NOT NULL))),
    CONSTRAINT channel_account_history_what_check CHECK ((what = ANY (ARRAY['STATUS'::text, 'MODE'::text, 'CREDENTIALS'::text])))
);

CREATE TABLE communications.channel_provisioning_steps (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    step text NOT NULL,
    ordinal smallint NOT NULL,
    state text DEFAULT 'PENDING'::text NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    error_class text,
    error_code text,
    cause text,
    cure text,
    tried_by uuid,
    tried_at timestamp with time zone,
    done_at timestamp with time zone,
    CONSTRAINT channel_provisioning_steps_done CHECK (((state <> 'DONE'::text) OR (done_at IS NOT NULL))),
    CONSTRAINT channel_provisioning_steps_failed CHECK (((state = 'FAILED'::text) = ((error_class IS NOT NULL) AND (cause IS NOT NULL) AND (cure IS NOT NULL)))),
    CONSTRAINT channel_provisioning_steps_state_check CHECK ((state = ANY (ARRAY['PENDING'::text, 'WAITING'::text, 'DONE'::text, 'FAILED'::text])))
);

CREATE TABLE communications.contact_former_identities (
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    scope text DEFAULT ''::text NOT NULL,
    value text NOT NULL,
    contact_id uuid NOT NULL,
    until timestamp with time zone NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    since timestamp with time zone
);

COMMENT ON COLUMN communications.contact_former_identities.since IS 'The provider''s newest news, by its clock, that it was theirs; null: nobody knows since when.';

CREATE TABLE communications.contact_merges (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kept_id uuid NOT NULL,
    merged_id uuid NOT NULL,
    moved jsonb NOT NULL,
    merged_by uuid,
    merged_at timestamp with time zone DEFAULT now() NOT NULL,
    undone_by uuid,
    undone_at timestamp with time zone,
    CONSTRAINT contact_merges_two CHECK ((kept_id <> merged_id))
);

CREATE TABLE communications.contact_reviews (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    contact_a uuid NOT NULL,
    contact_b uuid NOT NULL,
    evidence jsonb NOT NULL,
    kinds jsonb GENERATED ALWAYS AS (jsonb_path_query_array(evidence, '$[*]."kind"'::jsonpath)) STORED NOT NULL,
    times_seen integer DEFAULT 1 NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    resolution text,
    resolved_by uuid,
    resolved_at timestamp with time zone,
    CONSTRAINT contact_reviews_order CHECK ((contact_a < contact_b)),
    CONSTRAINT contact_reviews_resolution_check CHECK ((resolution = ANY (ARRAY['MERGED'::text, 'DISMISSED'::text])))
);

CREATE TABLE communications.conversation_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    kind text NOT NULL,
    from_value text,
    to_value text,
    actor_kind text NOT NULL,
    actor_id uuid,
    note text,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT conversation_events_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['AGENT'::text, 'SYSTEM'::text, 'CONTACT'::text]))),
    CONSTRAINT conversation_events_kind_check CHECK ((kind = ANY (ARRAY['OPENED'::text, 'CLAIMED'::text, 'RELEASED'::text, 'REASSIGNED'::text, 'RESOLVED'::text, 'SNOOZED'::text, 'REOPENED'::text, 'MERGED'::text, 'UNMERGED'::text, 'NOTE_ADDED'::text, 'LINKED'::text])))
);

CREATE TABLE communications.conversation_read_cursors (
    tenant_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    user_id uuid NOT NULL,
    last_read_at timestamp with time zone NOT NULL,
    inbound_seen bigint DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT conversation_read_cursors_inbound_seen_check CHECK ((inbound_seen >= 0))
);

CREATE VIEW communications.current_consents AS
 SELECT DISTINCT ON (tenant_id, contact_id, channel, category) tenant_id,
    contact_id,
    channel,
    category,
    granted,
    basis,
    source,
    at
   FROM communications.consents
  ORDER BY tenant_id, contact_id, channel, category, at DESC, id DESC;

CREATE TABLE communications.domain_contract (
    view_name text NOT NULL,
    column_name text NOT NULL,
    data_type text NOT NULL
);

CREATE VIEW communications.domain_contract_gaps AS
 SELECT c.view_name,
    c.column_name,
    c.data_type AS expected,
    (i.data_type)::text AS found
   FROM (communications.domain_contract c
     LEFT JOIN information_schema.columns i ON ((((i.table_schema)::name = 'communications'::name) AND ((i.table_name)::name = c.view_name) AND ((i.column_name)::name = c.column_name))))
  WHERE ((i.data_type IS NULL) OR (((i.data_type)::text <> c.data_type) AND (NOT ((c.data_type = 'text'::text) AND ((i.data_type)::text = 'character varying'::text)))));

CREATE VIEW communications.double_reaches AS
 SELECT first.tenant_id,
    first.id AS message_id,
    first.channel,
    second.id AS fallback_id,
    second.channel AS fallback_channel,
    second.fallback_reason,
    first.delivered_at,
    second.sent_at,
    second.created_at AS made_at
   FROM (communications.messages second
     JOIN communications.messages first ON (((first.tenant_id = second.tenant_id) AND (first.id = second.fallback_of))))
  WHERE ((second.fallback_of IS NOT NULL) AND (first.status = ANY (ARRAY['DELIVERED'::text, 'READ'::text])) AND (second.status = ANY (ARRAY['SENT'::text, 'DELIVERED'::text, 'READ'::text])) AND ((second.fallback_reason <> 'NOT_READ'::text) OR (first.status = 'READ'::text)));

CREATE TABLE communications.message_attempts (
    tenant_id uuid NOT NULL,
    message_id uuid NOT NULL,
    fence integer NOT NULL,
    attempt integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    class text,
    provider_code text,
    reason text,
    external_message_id text,
    account_id uuid
)
WITH (fillfactor='70');

CREATE TABLE communications.message_fallbacks (
    tenant_id uuid NOT NULL,
    message_id uuid NOT NULL,
    steps jsonb NOT NULL,
    due_at timestamp with time zone,
    CONSTRAINT message_fallbacks_step_shape CHECK ((jsonb_array_length(jsonb_path_query_array(steps, '$[*]?((((((((((((@."channel" == "WHATSAPP" || @."channel" == "EMAIL") || @."channel" == "SMS") || @."channel" == "WEBCHAT") && @."account_id" like_regex "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$") && @."address".type() == "string") && @."content".type() == "object") && @."body".type() == "string") && ((!(exists (@."template_id")) || @."template_id" == null) || @."template_id" like_regex "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")) && ((!(exists (@."template_version")) || @."template_version" == null) || @."template_version".type() == "number")) && ((!(exists (@."units")) || @."units" == null) || @."units".type() == "number")) && ((!(exists (@."not_delivered_within_seconds")) || @."not_delivered_within_seconds" == null) || @."not_delivered_within_seconds".type() == "number")) && ((!(exists (@."not_read_within_seconds")) || @."not_read_within_seconds" == null) || @."not_read_within_seconds".type() == "number"))'::jsonpath)) = jsonb_array_length(steps))),
    CONSTRAINT message_fallbacks_steps CHECK (((jsonb_typeof(steps) = 'array'::text) AND (steps <> '[]'::jsonb)))
);

CREATE TABLE communications.message_prices (
    tenant_id uuid NOT NULL,
    message_id uuid NOT NULL,
    account_id uuid NOT NULL,
    category text,
    model text,
    kind text,
    billable boolean,
    units integer,
    micros bigint,
    currency text,
    at timestamp with time zone NOT NULL,
    said_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE communications.message_revisions (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    external_message_id text NOT NULL,
    target_external_id text NOT NULL,
    contact_id uuid NOT NULL,
    actor_kind text NOT NULL,
    kind text NOT NULL,
    content jsonb,
    body text,
    at timestamp with time zone NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT message_revisions_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['CONTACT'::text, 'AGENT'::text]))),
    CONSTRAINT message_revisions_kind_check CHECK ((kind = ANY (ARRAY['ORIGINAL'::text, 'EDIT'::text, 'REVOKE'::text])))
);

CREATE TABLE communications.message_status_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    external_message_id text NOT NULL,
    message_id uuid,
    status text NOT NULL,
    provider_status text NOT NULL,
    failure_code text,
    failure_reason text,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    raw jsonb NOT NULL,
    effect text DEFAULT ''::text NOT NULL,
    price jsonb
);

CREATE TABLE communications.notification_rules (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    trigger_event text NOT NULL,
    audience text NOT NULL,
    steps jsonb NOT NULL,
    category text NOT NULL,
    lane text NOT NULL,
    quiet_hours jsonb,
    expires_after interval DEFAULT '24:00:00'::interval NOT NULL,
    orchestrator text DEFAULT 'NATIVE'::text NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    orchestrator_deadline interval DEFAULT '00:01:00'::interval NOT NULL,
    CONSTRAINT notification_rules_category_check CHECK ((category = ANY (ARRAY['OTP'::text, 'TRANSACTIONAL'::text, 'MARKETING'::text, 'SERVICE'::text]))),
    CONSTRAINT notification_rules_lane_check CHECK ((lane = ANY (ARRAY['INTERACTIVE'::text, 'TRANSACTIONAL'::text, 'BULK'::text]))),
    CONSTRAINT notification_rules_orchestrator_check CHECK ((orchestrator = ANY (ARRAY['NATIVE'::text, 'N8N'::text]))),
    CONSTRAINT notification_rules_orchestrator_deadline_check CHECK (((orchestrator_deadline >= '00:00:05'::interval) AND (orchestrator_deadline <= '01:00:00'::interval))),
    CONSTRAINT notification_rules_steps_check CHECK ((jsonb_typeof(steps) = 'array'::text))
);

CREATE TABLE communications.notification_templates (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    trigger_event text NOT NULL,
    channel text NOT NULL,
    locale text NOT NULL,
    version integer NOT NULL,
    status text DEFAULT 'DRAFT'::text NOT NULL,
    subject text,
    body text NOT NULL,
    html text,
    whatsapp_template jsonb,
    variable_schema jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    published_at timestamp with time zone,
    CONSTRAINT notification_templates_channel_check CHECK ((channel = ANY (ARRAY['WHATSAPP'::text, 'EMAIL'::text, 'SMS'::text, 'WEBCHAT'::text]))),
    CONSTRAINT notification_templates_locale_check CHECK ((locale ~ '^[a-z]{2,3}(-[A-Z]{2})?$'::text)),
    CONSTRAINT notification_templates_status_check CHECK ((status = ANY (ARRAY['DRAFT'::text, 'PUBLISHED'::text, 'RETIRED'::text]))),
    CONSTRAINT notification_templates_version_check CHECK ((version > 0)),
    CONSTRAINT notification_templates_whatsapp CHECK (((channel <> 'WHATSAPP'::text) OR (whatsapp_template IS NOT NULL)))
);

CREATE TABLE communications.whatsapp_templates (
    tenant_id uuid NOT NULL,
    waba_id text NOT NULL,
    name text NOT NULL,
    language text NOT NULL,
    external_template_id text,
    status text,
    status_at timestamp with time zone,
    category text,
    category_at timestamp with time zone,
    quality text,
    quality_at timestamp with time zone,
    reason text,
    components jsonb,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    components_at timestamp with time zone
);

CREATE VIEW communications.notification_template_approvals AS
 SELECT tenant_id,
    account_id,
    template_id,
    trigger_event,
    locale,
    version,
    of_platform,
    whatsapp_name,
    whatsapp_language,
    meta_category,
    quality,
    reason,
    approval,
    (approval = ANY (ARRAY['APPROVED'::text, 'UNKNOWN'::text])) AS may_be_sent
   FROM ( SELECT a.tenant_id,
            a.id AS account_id,
            t.id AS template_id,
            t.trigger_event,
            t.locale,
            t.version,
            (t.tenant_id <> a.tenant_id) AS of_platform,
            (t.whatsapp_template ->> 'name'::text) AS whatsapp_name,
            (t.whatsapp_template ->> 'language'::text) AS whatsapp_language,
            k.category AS meta_category,
            k.quality,
            k.reason,
                CASE
                    WHEN ((k.status IS NULL) AND (a.templates_synced_at IS NULL)) THEN 'UNKNOWN'::text
                    WHEN (k.status IS NULL) THEN 'MISSING'::text
                    WHEN ((k.status = 'APPROVED'::text) AND (communications.template_parameters(k.components) <> jsonb_array_length(COALESCE((t.whatsapp_template -> 'body'::text), '[]'::jsonb)))) THEN 'PARAMETERS_DIFFER'::text
                    ELSE k.status
                END AS approval
           FROM ((communications.channel_accounts a
             JOIN communications.notification_templates t ON ((((t.tenant_id = a.tenant_id) OR (t.tenant_id = communications.platform_tenant())) AND (t.channel = 'WHATSAPP'::text) AND (t.status = 'PUBLISHED'::text))))
             LEFT JOIN communications.whatsapp_templates k ON (((k.tenant_id = a.tenant_id) AND (k.waba_id = a.waba_id) AND (k.name = (t.whatsapp_template ->> 'name'::text)) AND (k.language = (t.whatsapp_template ->> 'language'::text)))))
          WHERE ((a.channel = 'WHATSAPP'::text) AND (a.status <> 'DISABLED'::text) AND (a.tenant_id <> communications.platform_tenant()) AND ((t.tenant_id = a.tenant_id) OR (NOT (EXISTS ( SELECT
                   FROM communications.notification_templates o
                  WHERE ((o.tenant_id = a.tenant_id) AND (o.trigger_event = t.trigger_event) AND (o.channel = t.channel) AND (o.locale = t.locale) AND (o.status = 'PUBLISHED'::text)))))))) u;

CREATE TABLE communications.operator_integrations (
    tenant_id uuid NOT NULL,
    provider text NOT NULL,
    channel text NOT NULL,
    status text NOT NULL,
    status_reason text,
    status_changed_at timestamp with time zone NOT NULL,
    account_id uuid NOT NULL,
    display_name text NOT NULL,
    sender text NOT NULL,
    mode text NOT NULL,
    health text NOT NULL,
    accounts integer NOT NULL,
    active_accounts integer NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT operator_integrations_channel_check CHECK ((channel = ANY (ARRAY['WHATSAPP'::text, 'EMAIL'::text, 'SMS'::text, 'WEBCHAT'::text]))),
    CONSTRAINT operator_integrations_health_check CHECK ((health = ANY (ARRAY['UNKNOWN'::text, 'OK'::text, 'FAILING'::text]))),
    CONSTRAINT operator_integrations_mode_check CHECK ((mode = ANY (ARRAY['LIVE'::text, 'SANDBOX'::text]))),
    CONSTRAINT operator_integrations_provider_check CHECK ((provider = ANY (ARRAY['META'::text, 'SES'::text, 'SNS'::text, 'EUM_SMS'::text, 'WEBCHAT'::text]))),
    CONSTRAINT operator_integrations_status_check CHECK ((status = ANY (ARRAY['PENDING'::text, 'VERIFYING'::text, 'ACTIVE'::text, 'SUSPENDED'::text, 'REAUTH_REQUIRED'::text, 'DISABLED'::text])))
);

CREATE TABLE communications.provider_limits (
    provider text NOT NULL,
    rate_per_second double precision NOT NULL,
    CONSTRAINT provider_limits_provider_check CHECK ((provider = ANY (ARRAY['SES'::text, 'SNS'::text, 'EUM_SMS'::text]))),
    CONSTRAINT provider_limits_rate_per_second_check CHECK ((rate_per_second > (0)::double precision))
);

CREATE TABLE communications.quarantine (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    source text NOT NULL,
    reason text NOT NULL,
    external_account_id text,
    path_tenant_id uuid,
    payload bytea NOT NULL,
    payload_hash bytea NOT NULL,
    times_seen integer DEFAULT 1 NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    replayed_at timestamp with time zone,
    replays integer DEFAULT 0 NOT NULL,
    replay_error text
);

CREATE TABLE communications.rate_buckets (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    kind text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    tat timestamp with time zone NOT NULL,
    step double precision NOT NULL,
    CONSTRAINT rate_buckets_kind_check CHECK ((kind = ANY (ARRAY['SHARED'::text, 'RESERVE'::text, 'PAIR'::text]))),
    CONSTRAINT rate_buckets_step_check CHECK ((step > (0)::double precision))
)
WITH (fillfactor='50');

CREATE TABLE communications.read_receipts (
    tenant_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    account_id uuid NOT NULL,
    message_id uuid NOT NULL,
    thread_at timestamp with time zone NOT NULL,
    given_at timestamp with time zone,
    typing_until timestamp with time zone,
    typed_at timestamp with time zone
);

CREATE TABLE communications.repairs (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    message_id uuid NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE communications.sms_limits (
    tenant_id uuid NOT NULL,
    monthly_micros bigint NOT NULL,
    part_micros bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sms_limits_monthly_micros_check CHECK ((monthly_micros >= 0)),
    CONSTRAINT sms_limits_part_micros_check CHECK ((part_micros > 0))
);

CREATE TABLE communications.sms_senders (
    identity text NOT NULL,
    tenant_id uuid NOT NULL,
    countries text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sms_senders_countries_check CHECK ((cardinality(countries) > 0))
);

CREATE TABLE communications.sms_spend (
    tenant_id uuid NOT NULL,
    month date NOT NULL,
    micros bigint DEFAULT 0 NOT NULL
);

CREATE TABLE communications.suppressions (
    tenant_id uuid NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    reason text NOT NULL,
    source text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT suppressions_address_check CHECK ((address <> ''::text)),
    CONSTRAINT suppressions_channel_check CHECK ((channel = ANY (ARRAY['WHATSAPP'::text, 'EMAIL'::text, 'SMS'::text, 'WEBCHAT'::text]))),
    CONSTRAINT suppressions_reason_check CHECK ((reason = ANY (ARRAY['BOUNCE'::text, 'COMPLAINT'::text])))
);

CREATE TABLE communications.trigger_runs (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    source text NOT NULL,
    idempotency_key text NOT NULL,
    body_hash bytea NOT NULL,
    trigger_event text NOT NULL,
    status text NOT NULL,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    cancelled_at timestamp with time zone,
    hand_off jsonb,
    deadline_at timestamp with time zone,
    beside_run_id uuid,
    carried_out_by uuid,
    CONSTRAINT trigger_runs_handed_over CHECK (((status <> 'HANDED_OVER'::text) OR ((hand_off IS NOT NULL) AND (deadline_at IS NOT NULL)))),
    CONSTRAINT trigger_runs_status_check CHECK ((status = ANY (ARRAY['COMPLETED'::text, 'STALE'::text, 'IGNORED'::text, 'HANDED_OVER'::text])))
);

CREATE TABLE communications.usage_daily (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    channel text NOT NULL,
    category text NOT NULL,
    currency text DEFAULT ''::text NOT NULL,
    messages bigint NOT NULL,
    billable bigint NOT NULL,
    units bigint NOT NULL,
    micros bigint,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT usage_daily_channel_check CHECK ((channel = ANY (ARRAY['WHATSAPP'::text, 'EMAIL'::text, 'SMS'::text, 'WEBCHAT'::text])))
);

CREATE TABLE communications.usage_progress (
    one boolean DEFAULT true NOT NULL,
    counted_to timestamp with time zone NOT NULL,
    CONSTRAINT usage_progress_one_check CHECK (one)
);

ALTER TABLE ONLY communications.address_wishes
    ADD CONSTRAINT address_wishes_pkey PRIMARY KEY (tenant_id, channel, address);

ALTER TABLE ONLY communications.api_clients
    ADD CONSTRAINT api_clients_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.batch_recipients
    ADD CONSTRAINT batch_recipients_pkey PRIMARY KEY (tenant_id, batch_id, "position");

ALTER TABLE ONLY communications.batch_steps
    ADD CONSTRAINT batch_steps_pkey PRIMARY KEY (tenant_id, batch_id, first);

ALTER TABLE ONLY communications.batches
    ADD CONSTRAINT batches_key UNIQUE (tenant_id, source, idempotency_key);

ALTER TABLE ONLY communications.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.breakers
    ADD CONSTRAINT breakers_pkey PRIMARY KEY (tenant_id, account_id);

ALTER TABLE ONLY communications.channel_account_events
    ADD CONSTRAINT channel_account_events_key UNIQUE (tenant_id, account_id, raw_hash);

ALTER TABLE ONLY communications.channel_account_events
    ADD CONSTRAINT channel_account_events_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.channel_account_history
    ADD CONSTRAINT channel_account_history_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.channel_accounts
    ADD CONSTRAINT channel_accounts_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.channel_accounts
    ADD CONSTRAINT channel_accounts_requested_key UNIQUE (tenant_id, channel, requested_external_id);

ALTER TABLE ONLY communications.channel_provisioning_steps
    ADD CONSTRAINT channel_provisioning_steps_pkey PRIMARY KEY (tenant_id, account_id, step);

ALTER TABLE ONLY communications.consents
    ADD CONSTRAINT consents_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.contact_former_identities
    ADD CONSTRAINT contact_former_identities_pkey PRIMARY KEY (tenant_id, kind, scope, value, until);

ALTER TABLE ONLY communications.contact_identities
    ADD CONSTRAINT contact_identities_pkey PRIMARY KEY (tenant_id, kind, scope, value);

ALTER TABLE ONLY communications.contact_merges
    ADD CONSTRAINT contact_merges_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.contact_reviews
    ADD CONSTRAINT contact_reviews_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.conversation_events
    ADD CONSTRAINT conversation_events_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.conversation_read_cursors
    ADD CONSTRAINT conversation_read_cursors_pkey PRIMARY KEY (tenant_id, conversation_id, user_id);

ALTER TABLE communications.conversations
    ADD CONSTRAINT conversations_last_inbound_channel_check CHECK (communications.is_channel(last_inbound_channel)) NOT VALID;

ALTER TABLE ONLY communications.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE communications.conversations
    ADD CONSTRAINT conversations_status_check CHECK (communications.is_conversation_status(status)) NOT VALID;

ALTER TABLE ONLY communications.domain_contract
    ADD CONSTRAINT domain_contract_pkey PRIMARY KEY (view_name, column_name);

ALTER TABLE ONLY communications.message_attempts
    ADD CONSTRAINT message_attempts_pkey PRIMARY KEY (tenant_id, message_id, fence);

ALTER TABLE ONLY communications.message_fallbacks
    ADD CONSTRAINT message_fallbacks_pkey PRIMARY KEY (tenant_id, message_id);

ALTER TABLE ONLY communications.message_media
    ADD CONSTRAINT message_media_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.message_media
    ADD CONSTRAINT message_media_place UNIQUE (tenant_id, message_id, ordinal);

ALTER TABLE ONLY communications.message_prices
    ADD CONSTRAINT message_prices_pkey PRIMARY KEY (tenant_id, message_id);

ALTER TABLE ONLY communications.message_reactions
    ADD CONSTRAINT message_reactions_pkey PRIMARY KEY (tenant_id, account_id, target_external_id, contact_id, actor_kind);

ALTER TABLE ONLY communications.message_revisions
    ADD CONSTRAINT message_revisions_pkey PRIMARY KEY (tenant_id, account_id, external_message_id);

ALTER TABLE ONLY communications.message_status_events
    ADD CONSTRAINT message_status_events_key PRIMARY KEY (tenant_id, account_id, external_message_id, provider_status);

ALTER TABLE communications.message_status_events
    ADD CONSTRAINT message_status_events_status_check CHECK (communications.is_reported(status)) NOT VALID;

ALTER TABLE ONLY communications.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.notification_rules
    ADD CONSTRAINT notification_rules_key UNIQUE (tenant_id, trigger_event, audience);

ALTER TABLE communications.notification_rules
    ADD CONSTRAINT notification_rules_otp_any_time CHECK (((quiet_hours IS NULL) OR (category <> 'OTP'::text))) NOT VALID;

ALTER TABLE ONLY communications.notification_rules
    ADD CONSTRAINT notification_rules_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE communications.notification_rules
    ADD CONSTRAINT notification_rules_quiet_hours CHECK (((quiet_hours IS NULL) OR ((jsonb_typeof(quiet_hours) = 'object'::text) AND ((quiet_hours - ARRAY['from'::text, 'to'::text, 'action'::text]) = '{}'::jsonb) AND COALESCE(((quiet_hours ->> 'from'::text) ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'::text), false) AND COALESCE(((quiet_hours ->> 'to'::text) ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'::text), false) AND COALESCE(((quiet_hours ->> 'from'::text) <> (quiet_hours ->> 'to'::text)), false) AND COALESCE(((quiet_hours ->> 'action'::text) = ANY (ARRAY['HOLD'::text, 'DROP'::text])), false)))) NOT VALID;

ALTER TABLE communications.notification_rules
    ADD CONSTRAINT notification_rules_steps CHECK (((NOT jsonb_path_exists(steps, '$[*]?(@.type() != "object")'::jsonpath)) AND (NOT COALESCE(jsonb_path_exists(steps, '$[*]?(!(((@."channel" == "WHATSAPP" || @."channel" == "EMAIL") || @."channel" == "SMS") || @."channel" == "WEBCHAT"))'::jsonpath, silent => true), false)) AND (NOT COALESCE(jsonb_path_exists(steps, '$[*].keyvalue()?(!((@."key" == "channel" || @."key" == "not_delivered_within_seconds") || @."key" == "not_read_within_seconds"))'::jsonpath, silent => true), false)) AND (NOT COALESCE(jsonb_path_exists(steps, '$[*].keyvalue()?((@."key" != "channel" && @."value".type() != "null") && (((@."value".type() != "number" || @."value" < 1) || @."value" > 259200) || @."value".floor() != @."value"))'::jsonpath, silent => true), false)) AND (NOT COALESCE(jsonb_path_exists(steps, '$[0].keyvalue()?(@."key" != "channel" && @."value".type() != "null")'::jsonpath, silent => true), false)))) NOT VALID;

ALTER TABLE ONLY communications.notification_templates
    ADD CONSTRAINT notification_templates_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.notification_templates
    ADD CONSTRAINT notification_templates_version_key UNIQUE (tenant_id, trigger_event, channel, locale, version);

ALTER TABLE ONLY communications.operator_integrations
    ADD CONSTRAINT operator_integrations_pkey PRIMARY KEY (tenant_id, provider);

ALTER TABLE ONLY communications.provider_limits
    ADD CONSTRAINT provider_limits_pkey PRIMARY KEY (provider);

ALTER TABLE ONLY communications.quarantine
    ADD CONSTRAINT quarantine_payload_key UNIQUE (tenant_id, source, reason, payload_hash);

ALTER TABLE ONLY communications.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.rate_buckets
    ADD CONSTRAINT rate_buckets_pkey PRIMARY KEY (tenant_id, account_id, kind, subject);

ALTER TABLE ONLY communications.read_receipts
    ADD CONSTRAINT read_receipts_pkey PRIMARY KEY (tenant_id, conversation_id, account_id);

ALTER TABLE ONLY communications.repairs
    ADD CONSTRAINT repairs_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.sms_limits
    ADD CONSTRAINT sms_limits_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY communications.sms_senders
    ADD CONSTRAINT sms_senders_pkey PRIMARY KEY (identity);

ALTER TABLE ONLY communications.sms_spend
    ADD CONSTRAINT sms_spend_pkey PRIMARY KEY (tenant_id, month);

ALTER TABLE ONLY communications.suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (tenant_id, channel, address, reason);

ALTER TABLE ONLY communications.tenant_settings
    ADD CONSTRAINT tenant_settings_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY communications.trigger_runs
    ADD CONSTRAINT trigger_runs_key UNIQUE (tenant_id, source, idempotency_key);

ALTER TABLE ONLY communications.trigger_runs
    ADD CONSTRAINT trigger_runs_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY communications.usage_daily
    ADD CONSTRAINT usage_daily_pkey PRIMARY KEY (tenant_id, day, channel, category, currency);

ALTER TABLE ONLY communications.usage_progress
    ADD CONSTRAINT usage_progress_pkey PRIMARY KEY (one);

ALTER TABLE ONLY communications.whatsapp_templates
    ADD CONSTRAINT whatsapp_templates_pkey PRIMARY KEY (tenant_id, waba_id, name, language);

ALTER TABLE ONLY communications.whatsapp_windows
    ADD CONSTRAINT whatsapp_windows_pkey PRIMARY KEY (tenant_id, account_id, contact_id);

CREATE UNIQUE INDEX api_clients_token_key ON communications.api_clients USING btree (token_sha256);

CREATE INDEX batch_steps_to_make ON communications.batch_steps USING btree (tenant_id, batch_id, first) WHERE (decided_at IS NULL);

CREATE INDEX batches_newest ON communications.batches USING btree (tenant_id, created_at DESC);

CREATE INDEX batches_running ON communications.batches USING btree (updated_at) WHERE (status = ANY (ARRAY['RUNNING'::text, 'COMPLETED'::text]));

CREATE INDEX channel_account_events_recent ON communications.channel_account_events USING btree (tenant_id, account_id, occurred_at DESC);

CREATE INDEX channel_account_history_recent ON communications.channel_account_history USING btree (tenant_id, account_id, at DESC);

CREATE INDEX channel_accounts_echoed ON communications.channel_accounts USING btree (id);

CREATE UNIQUE INDEX channel_accounts_external_account_key ON communications.channel_accounts USING btree (channel, external_account_id) WHERE (external_account_id IS NOT NULL);

CREATE INDEX channel_accounts_reply_domain ON communications.channel_accounts USING btree (lower((provider_config #>> '{public,reply_domain}'::text[]))) WHERE (channel = 'EMAIL'::text);

CREATE INDEX channel_accounts_resuming ON communications.channel_accounts USING btree (resume_at) WHERE ((status = 'SUSPENDED'::text) AND (resume_at IS NOT NULL));

CREATE INDEX channel_accounts_templates ON communications.channel_accounts USING btree (templates_tried_at NULLS FIRST) WHERE ((channel = 'WHATSAPP'::text) AND (status = 'ACTIVE'::text));

CREATE INDEX channel_accounts_verifying ON communications.channel_accounts USING btree (checked_at NULLS FIRST) WHERE ((status = 'VERIFYING'::text) AND (verify_until IS NOT NULL));

CREATE INDEX consents_current ON communications.consents USING btree (tenant_id, contact_id, channel, category, at DESC, id DESC);

CREATE INDEX contact_former_identities_contact ON communications.contact_former_identities USING btree (tenant_id, contact_id);

CREATE INDEX contact_identities_contact ON communications.contact_identities USING btree (tenant_id, contact_id);

CREATE INDEX contact_merges_kept ON communications.contact_merges USING btree (tenant_id, kept_id) WHERE (undone_at IS NULL);

CREATE INDEX contact_merges_merged ON communications.contact_merges USING btree (tenant_id, merged_id) WHERE (undone_at IS NULL);

CREATE UNIQUE INDEX contact_reviews_one_open ON communications.contact_reviews USING btree (tenant_id, contact_a, contact_b) WHERE (resolution IS NULL);

CREATE INDEX contact_reviews_open_a ON communications.contact_reviews USING btree (tenant_id, contact_a) WHERE (resolution IS NULL);

CREATE INDEX contact_reviews_open_b ON communications.contact_reviews USING btree (tenant_id, contact_b) WHERE (resolution IS NULL);

CREATE UNIQUE INDEX contacts_driver_key ON communications.contacts USING btree (tenant_id, driver_id) WHERE (driver_id IS NOT NULL);

CREATE UNIQUE INDEX contacts_passenger_profile_key ON communications.contacts USING btree (tenant_id, passenger_profile_id) WHERE (passenger_profile_id IS NOT NULL);

CREATE UNIQUE INDEX contacts_vendor_key ON communications.contacts USING btree (tenant_id, vendor_id) WHERE (vendor_id IS NOT NULL);

CREATE INDEX conversation_events_conversation ON communications.conversation_events USING btree (tenant_id, conversation_id, at, id);

CREATE INDEX conversations_assignee ON communications.conversations USING btree (tenant_id, assigned_to, status, last_message_at DESC, id DESC);

CREATE INDEX conversations_contact ON communications.conversations USING btree (tenant_id, contact_id, created_at DESC);

CREATE INDEX conversations_due_to_wake ON communications.conversations USING btree (snoozed_until) WHERE ((status = 'SNOOZED'::text) AND (snoozed_until IS NOT NULL));

CREATE INDEX conversations_list ON communications.conversations USING btree (tenant_id, status, last_message_at DESC, id DESC);

CREATE UNIQUE INDEX conversations_one_live_per_contact ON communications.conversations USING btree (tenant_id, contact_id) WHERE (status <> 'RESOLVED'::text);

CREATE INDEX conversations_unassigned ON communications.conversations USING btree (tenant_id, status, last_message_at DESC, id DESC) WHERE (assigned_to IS NULL);

CREATE INDEX conversations_unread_by_holder ON communications.conversations USING btree (tenant_id, assigned_to, last_message_at DESC, id DESC) WHERE ((status = 'OPEN'::text) AND holder_unread);

CREATE INDEX message_fallbacks_due ON communications.message_fallbacks USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX message_media_due ON communications.message_media USING btree (due_at) WHERE (state = 'PENDING'::text);

CREATE INDEX message_media_expires ON communications.message_media USING btree (expires_at) WHERE (state = 'PENDING'::text);

CREATE INDEX message_prices_days ON communications.message_prices USING btree (tenant_id, at);

CREATE INDEX message_prices_recorded ON communications.message_prices USING btree (recorded_at);

CREATE INDEX message_reactions_contact ON communications.message_reactions USING btree (tenant_id, contact_id);

CREATE INDEX message_revisions_contact ON communications.message_revisions USING btree (tenant_id, contact_id);

CREATE INDEX message_revisions_target ON communications.message_revisions USING btree (tenant_id, account_id, target_external_id, at);

CREATE INDEX message_status_events_message ON communications.message_status_events USING btree (tenant_id, message_id);

CREATE INDEX message_status_events_waiting ON communications.message_status_events USING btree (tenant_id, account_id, external_message_id) WHERE (message_id IS NULL);

CREATE INDEX message_status_events_waiting_since ON communications.message_status_events USING btree (received_at) WHERE (message_id IS NULL);

CREATE INDEX messages_answers_latest ON communications.messages USING btree (created_at) WHERE ((reply_to IS NOT NULL) AND (replied_to IS NULL));

CREATE INDEX messages_answers_waiting ON communications.messages USING btree (tenant_id, account_id, reply_to) WHERE ((reply_to IS NOT NULL) AND (replied_to IS NULL));

CREATE INDEX messages_due ON communications.messages USING btree (due_at) WHERE (queue_status = 'QUEUED'::text);

CREATE INDEX messages_ended_in_vain ON communications.messages USING btree (tenant_id, COALESCE(failed_at, expired_at)) WHERE (queue_status = ANY (ARRAY['FAILED'::text, 'EXPIRED'::text]));

CREATE INDEX messages_expiring ON communications.messages USING btree (expires_at) WHERE (queue_status = 'QUEUED'::text);

CREATE INDEX messages_external_at_aws ON communications.messages USING btree (external_message_id) WHERE ((channel = ANY (ARRAY['EMAIL'::text, 'SMS'::text])) AND (direction = 'OUTBOUND'::text) AND (external_message_id IS NOT NULL));

CREATE UNIQUE INDEX messages_external_key ON communications.messages USING btree (tenant_id, account_id, external_message_id) WHERE (external_message_id IS NOT NULL);

CREATE UNIQUE INDEX messages_fallback_of_key ON communications.messages USING btree (tenant_id, fallback_of) WHERE (fallback_of IS NOT NULL);

CREATE INDEX messages_fallbacks_made ON communications.messages USING btree (created_at) WHERE (fallback_of IS NOT NULL);

CREATE UNIQUE INDEX messages_idempotency_key ON communications.messages USING btree (tenant_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX messages_leased ON communications.messages USING btree (lease_until) WHERE (queue_status = 'SENDING'::text);

CREATE UNIQUE INDEX messages_one_replay ON communications.messages USING btree (tenant_id, replay_of) WHERE (replay_of IS NOT NULL);

CREATE INDEX messages_rfc_message_id ON communications.messages USING btree (tenant_id, rfc_message_id) WHERE (rfc_message_id IS NOT NULL);

CREATE UNIQUE INDEX messages_run_recipient_key ON communications.messages USING btree (tenant_id, run_id, contact_id, step) WHERE (run_id IS NOT NULL);

CREATE INDEX messages_thread ON communications.messages USING btree (tenant_id, conversation_id, thread_at DESC, id DESC) WHERE (conversation_id IS NOT NULL);

CREATE INDEX messages_to_address ON communications.messages USING btree (tenant_id, lower(address)) WHERE ((direction = 'OUTBOUND'::text) AND (channel = ANY (ARRAY['EMAIL'::text, 'SMS'::text])));

CREATE INDEX messages_uncertain ON communications.messages USING btree (tenant_id, id) WHERE (queue_status = 'UNCERTAIN'::text);

CREATE INDEX messages_unsent_in_conversation ON communications.messages USING btree (tenant_id, conversation_id, lane, id) WHERE ((queue_status = ANY (ARRAY['QUEUED'::text, 'SENDING'::text])) AND (conversation_id IS NOT NULL));

CREATE INDEX messages_unthreaded ON communications.messages USING btree (tenant_id, contact_id) WHERE (conversation_id IS NULL);

CREATE INDEX messages_waiting ON communications.messages USING btree (tenant_id, account_id, lane, due_at) WHERE ((queue_status = 'QUEUED'::text) AND (hint_at = '-infinity'::timestamp with time zone));

CREATE UNIQUE INDEX notification_templates_one_published ON communications.notification_templates USING btree (tenant_id, trigger_event, channel, locale) WHERE (status = 'PUBLISHED'::text);

CREATE INDEX quarantine_early_reports ON communications.quarantine USING btree (first_seen_at) WHERE ((reason = 'UNKNOWN_MESSAGE'::text) AND (replayed_at IS NULL) AND (replays < 12));

CREATE INDEX read_receipts_message ON communications.read_receipts USING btree (tenant_id, message_id);

CREATE INDEX repairs_message ON communications.repairs USING btree (tenant_id, message_id, at);

CREATE INDEX trigger_runs_beside ON communications.trigger_runs USING btree (tenant_id, beside_run_id) WHERE (beside_run_id IS NOT NULL);

CREATE INDEX trigger_runs_waiting ON communications.trigger_runs USING btree (deadline_at) WHERE (status = 'HANDED_OVER'::text);

CREATE INDEX whatsapp_windows_contact ON communications.whatsapp_windows USING btree (tenant_id, contact_id);

CREATE TRIGGER append_only BEFORE UPDATE ON communications.channel_account_events FOR EACH ROW EXECUTE FUNCTION communications.reject_update();

CREATE TRIGGER append_only BEFORE UPDATE ON communications.channel_account_history FOR EACH ROW EXECUTE FUNCTION communications.reject_update();

CREATE TRIGGER append_only BEFORE UPDATE ON communications.consents FOR EACH ROW EXECUTE FUNCTION communications.reject_update();

CREATE TRIGGER append_only BEFORE UPDATE ON communications.conversation_events FOR EACH ROW EXECUTE FUNCTION communications.reject_update();

CREATE TRIGGER asleep BEFORE UPDATE OF lease_until ON communications.messages FOR EACH ROW WHEN (((new.quiet_hours IS NOT NULL) AND (old.status = 'QUEUED'::text) AND (new.status = ANY (ARRAY['SENDING'::text, 'SIMULATED'::text])))) EXECUTE FUNCTION communications.stay_asleep();

CREATE TRIGGER asleep_fallback BEFORE INSERT ON communications.messages FOR EACH ROW WHEN ((new.fallback_of IS NOT NULL)) EXECUTE FUNCTION communications.open_asleep();

CREATE TRIGGER begin_settings AFTER INSERT ON communications.channel_accounts FOR EACH ROW EXECUTE FUNCTION communications.begin_settings();

CREATE TRIGGER cap_sms BEFORE UPDATE OF lease_until ON communications.messages FOR EACH ROW WHEN (((new.channel = 'SMS'::text) AND (new.direction = 'OUTBOUND'::text) AND (((new.status = 'SENDING'::text) AND (old.status = 'QUEUED'::text)) OR ((old.status = 'SENDING'::text) AND ((new.status = 'QUEUED'::text) OR ((new.status = 'FAILED'::text) AND (new.external_message_id IS NULL))))))) EXECUTE FUNCTION communications.cap_sms();

CREATE TRIGGER check_message BEFORE UPDATE ON communications.messages FOR EACH ROW EXECUTE FUNCTION communications.check_message();

CREATE TRIGGER check_message_begins BEFORE INSERT ON communications.messages FOR EACH ROW WHEN ((((new.lease_until IS NULL) AND (new.fallback_reason IS NULL) AND communications.begins_as_most(new.direction, new.channel, new.status, new.sender_kind, new.lane, new.category, new.attempts, new.deferrals, (new.units)::integer)) IS NOT TRUE)) EXECUTE FUNCTION communications.check_message();

CREATE TRIGGER check_transition BEFORE UPDATE OF status ON communications.channel_accounts FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION communications.check_channel_account_transition();

CREATE TRIGGER check_transition BEFORE UPDATE OF status ON communications.conversations FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION communications.check_conversation_transition();

CREATE TRIGGER correct_sms_spend AFTER INSERT OR UPDATE ON communications.message_prices FOR EACH ROW WHEN (((new.micros IS NOT NULL) AND (new.currency = 'USD'::text))) EXECUTE FUNCTION communications.correct_sms_spend();

CREATE TRIGGER learn_contact_insert BEFORE INSERT ON communications.conversations FOR EACH ROW EXECUTE FUNCTION communications.learn_contact();

CREATE TRIGGER learn_contact_update BEFORE UPDATE OF contact_id ON communications.conversations FOR EACH ROW WHEN ((old.contact_id IS DISTINCT FROM new.contact_id)) EXECUTE FUNCTION communications.learn_contact();

CREATE TRIGGER learn_trigger BEFORE INSERT ON communications.messages FOR EACH ROW WHEN (((new.run_id IS NOT NULL) AND (new.trigger_event IS NULL))) EXECUTE FUNCTION communications.learn_trigger();

CREATE TRIGGER meet_neighbours_insert BEFORE INSERT ON communications.messages FOR EACH ROW WHEN (((new.external_message_id IS NOT NULL) OR (new.reply_to IS NOT NULL))) EXECUTE FUNCTION communications.meet_neighbours();

CREATE TRIGGER meet_neighbours_update BEFORE UPDATE OF external_message_id ON communications.messages FOR EACH ROW WHEN (((new.external_message_id IS NOT NULL) AND (old.external_message_id IS DISTINCT FROM new.external_message_id))) EXECUTE FUNCTION communications.meet_neighbours();

CREATE TRIGGER protect_identifiers BEFORE UPDATE OF identifiers ON communications.contacts FOR EACH ROW WHEN ((old.identifiers IS DISTINCT FROM new.identifiers)) EXECUTE FUNCTION communications.protect_contact_identifiers();

CREATE TRIGGER recall_readers BEFORE UPDATE OF inbound_count ON communications.conversations FOR EACH ROW WHEN ((old.inbound_count IS DISTINCT FROM new.inbound_count)) EXECUTE FUNCTION communications.recall_readers();

CREATE TRIGGER record_history BEFORE UPDATE ON communications.channel_accounts FOR EACH ROW WHEN (((old.status IS DISTINCT FROM new.status) OR (old.mode IS DISTINCT FROM new.mode) OR (old.provider_config IS DISTINCT FROM new.provider_config) OR (new.acted_by IS NOT NULL))) EXECUTE FUNCTION communications.record_account_history();

CREATE TRIGGER refresh_identifiers_delete AFTER DELETE ON communications.contact_identities REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION communications.refresh_contact_identifiers();

CREATE TRIGGER refresh_identifiers_insert AFTER INSERT ON communications.contact_identities REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION communications.refresh_faces_that_lack();

CREATE TRIGGER refresh_identifiers_update AFTER UPDATE ON communications.contact_identities REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION communications.refresh_contact_identifiers_moved();

CREATE TRIGGER rests_with_run BEFORE UPDATE OF status ON communications.messages FOR EACH ROW WHEN (((new.run_id IS NOT NULL) AND (old.queue_status IS NOT NULL) AND (new.status = 'QUEUED'::text))) EXECUTE FUNCTION communications.rest_with_run();

CREATE TRIGGER rests_with_run_fallback BEFORE INSERT ON communications.messages FOR EACH ROW WHEN (((new.run_id IS NOT NULL) AND (new.fallback_of IS NOT NULL))) EXECUTE FUNCTION communications.rest_with_run();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.batches FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.channel_accounts FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.contacts FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.conversation_read_cursors FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.conversations FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.notification_rules FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.sms_limits FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER set_updated_at BEFORE UPDATE ON communications.tenant_settings FOR EACH ROW EXECUTE FUNCTION communications.set_updated_at();

CREATE TRIGGER share_mask BEFORE UPDATE OF merged_into ON communications.contacts FOR EACH ROW WHEN ((old.merged_into IS DISTINCT FROM new.merged_into)) EXECUTE FUNCTION communications.share_mask();

CREATE TRIGGER show_changed_file AFTER UPDATE ON communications.message_media FOR EACH ROW WHEN ((((((((old.ordinal IS DISTINCT FROM new.ordinal) OR (old.kind IS DISTINCT FROM new.kind)) OR (old.mime_type IS DISTINCT FROM new.mime_type)) OR (old.filename IS DISTINCT FROM new.filename)) OR (old.size_bytes IS DISTINCT FROM new.size_bytes)) OR (old.state IS DISTINCT FROM new.state)) OR (old.reason IS DISTINCT FROM new.reason))) EXECUTE FUNCTION communications.show_changed_file();

CREATE TRIGGER show_new_files AFTER INSERT ON communications.message_media REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION communications.show_new_files();

CREATE TRIGGER show_reactions_insert AFTER INSERT ON communications.message_reactions REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION communications.show_reactions();

CREATE TRIGGER show_reactions_update AFTER UPDATE ON communications.message_reactions REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION communications.show_reactions();

CREATE TRIGGER stamp_resolution BEFORE UPDATE OF status ON communications.conversations FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION communications.stamp_resolution();

CREATE TRIGGER sync_integrations AFTER INSERT OR DELETE ON communications.channel_accounts FOR EACH ROW EXECUTE FUNCTION communications.sync_integrations();

CREATE TRIGGER sync_integrations_changed AFTER UPDATE ON communications.channel_accounts FOR EACH ROW WHEN (((((((((old.provider IS DISTINCT FROM new.provider) OR (old.channel IS DISTINCT FROM new.channel)) OR (old.status IS DISTINCT FROM new.status)) OR (old.status_reason IS DISTINCT FROM new.status_reason)) OR (old.display_name IS DISTINCT FROM new.display_name)) OR (old.sender IS DISTINCT FROM new.sender)) OR (old.mode IS DISTINCT FROM new.mode)) OR (old.send_health IS DISTINCT FROM new.send_health))) EXECUTE FUNCTION communications.sync_integrations();

CREATE TRIGGER tell_conversations AFTER UPDATE ON communications.contacts FOR EACH ROW WHEN (((old.display_name IS DISTINCT FROM new.display_name) OR (old.kind IS DISTINCT FROM new.kind))) EXECUTE FUNCTION communications.tell_conversations();

CREATE TRIGGER tell_readers_delete AFTER DELETE ON communications.conversation_read_cursors REFERENCING OLD TABLE AS marked FOR EACH STATEMENT EXECUTE FUNCTION communications.tell_readers();

CREATE TRIGGER tell_readers_insert AFTER INSERT ON communications.conversation_read_cursors REFERENCING NEW TABLE AS marked FOR EACH STATEMENT EXECUTE FUNCTION communications.tell_readers();

CREATE TRIGGER tell_readers_update AFTER UPDATE ON communications.conversation_read_cursors REFERENCING NEW TABLE AS marked FOR EACH STATEMENT EXECUTE FUNCTION communications.tell_readers();

CREATE TRIGGER verified_once BEFORE INSERT OR UPDATE ON communications.channel_accounts FOR EACH ROW WHEN (((new.status = 'ACTIVE'::text) AND (new.verified_at IS NULL))) EXECUTE FUNCTION communications.verified_once();

ALTER TABLE ONLY communications.batch_recipients
    ADD CONSTRAINT batch_recipients_tenant_id_batch_id_fkey FOREIGN KEY (tenant_id, batch_id) REFERENCES communications.batches(tenant_id, id);

ALTER TABLE ONLY communications.batch_steps
    ADD CONSTRAINT batch_steps_tenant_id_batch_id_fkey FOREIGN KEY (tenant_id, batch_id) REFERENCES communications.batches(tenant_id, id);

ALTER TABLE ONLY communications.breakers
    ADD CONSTRAINT breakers_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.channel_account_events
    ADD CONSTRAINT channel_account_events_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.channel_account_history
    ADD CONSTRAINT channel_account_history_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.channel_provisioning_steps
    ADD CONSTRAINT channel_provisioning_steps_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.consents
    ADD CONSTRAINT consents_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.contact_former_identities
    ADD CONSTRAINT contact_former_identities_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.contact_identities
    ADD CONSTRAINT contact_identities_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.contact_merges
    ADD CONSTRAINT contact_merges_tenant_id_kept_id_fkey FOREIGN KEY (tenant_id, kept_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.contact_merges
    ADD CONSTRAINT contact_merges_tenant_id_merged_id_fkey FOREIGN KEY (tenant_id, merged_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.contact_reviews
    ADD CONSTRAINT contact_reviews_tenant_id_contact_a_fkey FOREIGN KEY (tenant_id, contact_a) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.contact_reviews
    ADD CONSTRAINT contact_reviews_tenant_id_contact_b_fkey FOREIGN KEY (tenant_id, contact_b) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.conversation_events
    ADD CONSTRAINT conversation_events_tenant_id_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id) REFERENCES communications.conversations(tenant_id, id);

ALTER TABLE ONLY communications.conversation_read_cursors
    ADD CONSTRAINT conversation_read_cursors_tenant_id_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id) REFERENCES communications.conversations(tenant_id, id);

ALTER TABLE ONLY communications.conversations
    ADD CONSTRAINT conversations_continues_fkey FOREIGN KEY (tenant_id, continues) REFERENCES communications.conversations(tenant_id, id);

ALTER TABLE ONLY communications.conversations
    ADD CONSTRAINT conversations_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.message_attempts
    ADD CONSTRAINT message_attempts_tenant_id_message_id_fkey FOREIGN KEY (tenant_id, message_id) REFERENCES communications.messages(tenant_id, id);

ALTER TABLE ONLY communications.message_fallbacks
    ADD CONSTRAINT message_fallbacks_tenant_id_message_id_fkey FOREIGN KEY (tenant_id, message_id) REFERENCES communications.messages(tenant_id, id);

ALTER TABLE ONLY communications.message_media
    ADD CONSTRAINT message_media_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.message_media
    ADD CONSTRAINT message_media_tenant_id_message_id_fkey FOREIGN KEY (tenant_id, message_id) REFERENCES communications.messages(tenant_id, id);

ALTER TABLE ONLY communications.message_reactions
    ADD CONSTRAINT message_reactions_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.message_reactions
    ADD CONSTRAINT message_reactions_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.message_revisions
    ADD CONSTRAINT message_revisions_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.message_revisions
    ADD CONSTRAINT message_revisions_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.messages
    ADD CONSTRAINT messages_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.messages
    ADD CONSTRAINT messages_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);

ALTER TABLE ONLY communications.messages
    ADD CONSTRAINT messages_tenant_id_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id) REFERENCES communications.conversations(tenant_id, id);

ALTER TABLE ONLY communications.messages
    ADD CONSTRAINT messages_tenant_id_fallback_of_fkey FOREIGN KEY (tenant_id, fallback_of) REFERENCES communications.messages(tenant_id, id);

ALTER TABLE ONLY communications.messages
    ADD CONSTRAINT messages_tenant_id_replay_of_fkey FOREIGN KEY (tenant_id, replay_of) REFERENCES communications.messages(tenant_id, id);

ALTER TABLE ONLY communications.messages
    ADD CONSTRAINT messages_tenant_id_run_id_fkey FOREIGN KEY (tenant_id, run_id) REFERENCES communications.trigger_runs(tenant_id, id);

ALTER TABLE ONLY communications.operator_integrations
    ADD CONSTRAINT operator_integrations_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY communications.read_receipts
    ADD CONSTRAINT read_receipts_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.read_receipts
    ADD CONSTRAINT read_receipts_tenant_id_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id) REFERENCES communications.conversations(tenant_id, id);

ALTER TABLE ONLY communications.repairs
    ADD CONSTRAINT repairs_tenant_id_message_id_fkey FOREIGN KEY (tenant_id, message_id) REFERENCES communications.messages(tenant_id, id);

ALTER TABLE ONLY communications.trigger_runs
    ADD CONSTRAINT trigger_runs_tenant_id_beside_run_id_fkey FOREIGN KEY (tenant_id, beside_run_id) REFERENCES communications.trigger_runs(tenant_id, id);

ALTER TABLE ONLY communications.whatsapp_windows
    ADD CONSTRAINT whatsapp_windows_tenant_id_account_id_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES communications.channel_accounts(tenant_id, id);

ALTER TABLE ONLY communications.whatsapp_windows
    ADD CONSTRAINT whatsapp_windows_tenant_id_contact_id_fkey FOREIGN KEY (tenant_id, contact_id) REFERENCES communications.contacts(tenant_id, id);
