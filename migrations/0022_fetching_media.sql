-- Fetching files: claim, settle, and what the scan does for those that nobody looks at. One call each, JSON in and out.

-- How long after the nth attempt the next one is due.
create function communications.media_wait(p_attempts integer) returns interval
    language sql immutable
as $$
    select (array ['10 seconds', '1 minute', '5 minutes', '30 minutes', '2 hours', '6 hours']::interval[])
           [least(greatest(p_attempts, 1), 6)];
$$;

-- Takes one file that is due, whatever the state of its account. {"tenant_id", "media_id", "lease_seconds"} → all that fetching
-- needs, or null: not there, not this tenant's, not due, held by another worker, or finished.
--
-- The next attempt is put into the row before this one begins. Whoever settles says better; whoever dies has said enough.
create function communications.claim_media(p jsonb) returns jsonb
    language sql
as $$
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

-- Ends an attempt: {"tenant_id", "media_id", "fence", "state", "reason", "wait_seconds", "size_bytes", "sha256", "mime_type",
-- "storage_key", "health", "code"}. PENDING is tried again after media_wait, or after wait_seconds if that is longer. A stale
-- fence changes nothing. Health is what the answer says about the account's credentials for files, and about nothing else of
-- it; every change but the first success is an event. Answers {"settled", "hint_in", "health"}: seconds to the next attempt
-- where a delayed hint reaches that far, and the health if it changed.
create function communications.settle_media(p jsonb) returns jsonb
    language sql
as $$
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

-- The two below are the scan's and know no tenant. {"limit", "hint_lost_seconds"} → [[tenant id, media id], ...]: due, and
-- nobody will look at it, because its hint was lost or never sent. Marks them as hinted; what was lost is written down.
create function communications.rehint_media(p jsonb) returns jsonb
    language sql
as $$
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

-- {"limit"} → how many files the provider forgot before we had them. One that a worker holds is left to it.
create function communications.expire_media(p jsonb) returns jsonb
    language sql
as $$
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

-- {"overdue_seconds"} → {"overdue", "failing"}: what an operator must know, because repairing does not help it.
create function communications.media_gauges(p jsonb) returns jsonb
    language sql stable
as $$
    select jsonb_build_object(
        'overdue', count(*) filter (where f.due_at < now() - (p ->> 'overdue_seconds')::float8 * interval '1 second'),
        'failing', count(distinct (f.tenant_id, f.account_id)) filter (where a.media_health = 'FAILING'))
      from communications.message_media f
      join communications.channel_accounts a on a.tenant_id = f.tenant_id and a.id = f.account_id
     where f.state = 'PENDING';
$$;
