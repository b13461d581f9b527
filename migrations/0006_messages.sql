-- Every message both ways, and everything that happened to it.
--
-- A message exists when its row is committed; queues only carry hints at it. docs/notification-pipeline-protocol.md
-- has the state machine that check_message_transition() enforces for everybody, consoles included.
create table communications.messages (
    tenant_id            uuid not null,
    id                   uuid not null,
    direction            text not null check (direction in ('INBOUND', 'OUTBOUND')),
    channel              text not null check (channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    account_id           uuid not null,
    contact_id           uuid not null,
    -- Null for automated messages until the contact answers.
    conversation_id      uuid,
    sender_kind          text not null check (sender_kind in ('AGENT', 'SYSTEM', 'CONTACT')),
    sender_id            uuid,
    -- The one of the contact's addresses that this message uses.
    address              text not null,
    content              jsonb not null,
    body                 text not null default '',
    template_id          uuid,
    template_version     integer,
    variables            jsonb,
    status               text not null check (status in
                             ('QUEUED', 'SENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED', 'UNCERTAIN',
                              'SUPPRESSED', 'SIMULATED', 'CANCELLED', 'EXPIRED')),
    lane                 text check (lane in ('INTERACTIVE', 'TRANSACTIONAL', 'BULK')),
    category             text check (category in ('OTP', 'TRANSACTIONAL', 'MARKETING', 'SERVICE')),
    due_at               timestamptz not null default now(),
    expires_at           timestamptz,
    -- When the newest hint was, or will be, visible in the queue. The scan re-publishes what has none.
    hint_at              timestamptz not null default '-infinity',
    attempts             integer not null default 0 check (attempts >= 0),
    deferrals            integer not null default 0 check (deferrals >= 0),
    -- Rises with every claim: a worker that lost its lease cannot settle.
    fence                integer not null default 0,
    lease_until          timestamptz,
    external_message_id  text,
    -- The provider's id of the message answered, kept even when we do not have that message.
    reply_to             text,
    fallback_of          uuid,
    replay_of            uuid,
    run_id               uuid,
    step                 smallint not null default 0,
    idempotency_key      text,
    sent_at              timestamptz,
    delivered_at         timestamptz,
    read_at              timestamptz,
    failed_at            timestamptz,
    failed_code          text,
    failed_reason        text,
    -- INBOUND only: the provider's clock.
    provider_timestamp   timestamptz,
    -- The order that people see; arrival order stays in created_at.
    thread_at            timestamptz generated always as (coalesce(provider_timestamp, created_at)) stored,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id),
    foreign key (tenant_id, conversation_id) references communications.conversations (tenant_id, id),
    foreign key (tenant_id, run_id) references communications.trigger_runs (tenant_id, id),
    foreign key (tenant_id, fallback_of) references communications.messages (tenant_id, id),
    foreign key (tenant_id, replay_of) references communications.messages (tenant_id, id),
    constraint messages_external_key unique (tenant_id, account_id, external_message_id),
    constraint messages_idempotency_key unique (tenant_id, idempotency_key),
    constraint messages_run_recipient_key unique (tenant_id, run_id, contact_id, step),
    constraint messages_outbound_has_lane check (direction = 'INBOUND' or (lane is not null and category is not null)),
    constraint messages_inbound_is_delivered check (direction = 'OUTBOUND' or status = 'DELIVERED'),
    constraint messages_sending_has_lease check ((status = 'SENDING') = (lease_until is not null))
);

-- Partial, so that claim and scan cost what is due and not what ever was.
create index messages_due on communications.messages (due_at) where status = 'QUEUED';
create index messages_expiring on communications.messages (expires_at) where status = 'QUEUED';
create index messages_leased on communications.messages (lease_until) where status = 'SENDING';
create index messages_uncertain on communications.messages (updated_at) where status = 'UNCERTAIN';
create index messages_unsent_in_conversation on communications.messages (tenant_id, conversation_id, lane, id)
    where status in ('QUEUED', 'SENDING') and conversation_id is not null;
create index messages_thread on communications.messages (tenant_id, conversation_id, thread_at desc, id desc)
    where conversation_id is not null;
create index messages_fallbacks on communications.messages (tenant_id, fallback_of) where fallback_of is not null;
create index messages_replays on communications.messages (tenant_id, replay_of) where replay_of is not null;
create index messages_unthreaded on communications.messages (tenant_id, contact_id)
    where conversation_id is null;

create trigger set_updated_at before update on communications.messages
    for each row execute function communications.set_updated_at();

-- How far a delivery has come. The projection of statuses only ever rises in it, so duplicates and any order of arrival
-- end in the same row. A delivery outranks a reported failure: it is the stronger evidence.
create function communications.delivery_rank(status text) returns integer
    language sql immutable parallel safe
    return case status
        when 'SENT' then 1 when 'FAILED' then 2 when 'DELIVERED' then 3 when 'READ' then 4
        else 0 end;

-- What a provider's report makes of a message. Reports about what was never called, or was ended by us, change nothing.
create function communications.projected_status(current text, attempts integer, reported text) returns text
    language sql immutable parallel safe
    return case
        when attempts = 0 then current
        when current not in ('QUEUED', 'SENDING', 'UNCERTAIN', 'SENT', 'FAILED', 'DELIVERED', 'READ') then current
        when current = 'QUEUED' and reported = 'FAILED' then current
        when communications.delivery_rank(reported) > communications.delivery_rank(current) then reported
        else current end;

create function communications.check_message_insert() returns trigger
    language plpgsql as
$$
begin
    if new.direction = 'OUTBOUND' and new.status not in ('QUEUED', 'SUPPRESSED') then
        raise exception 'an outbound message begins as QUEUED or SUPPRESSED, not as %', new.status
            using errcode = 'check_violation', constraint = 'messages_transition';
    end if;
    return new;
end
$$;

create trigger check_insert before insert on communications.messages
    for each row execute function communications.check_message_insert();

create function communications.check_message_transition() returns trigger
    language plpgsql as
$$
begin
    if old.direction = 'OUTBOUND' and (
        (old.status, new.status) in (
            ('QUEUED', 'SENDING'), ('QUEUED', 'SUPPRESSED'), ('QUEUED', 'SIMULATED'),
            ('QUEUED', 'CANCELLED'), ('QUEUED', 'EXPIRED'),
            ('SENDING', 'QUEUED'), ('SENDING', 'SENT'), ('SENDING', 'FAILED'), ('SENDING', 'UNCERTAIN'),
            ('UNCERTAIN', 'SENT'), ('UNCERTAIN', 'QUEUED'), ('UNCERTAIN', 'FAILED'),
            ('UNCERTAIN', 'CANCELLED'), ('UNCERTAIN', 'EXPIRED'),
            ('SENT', 'DELIVERED'), ('SENT', 'READ'), ('SENT', 'FAILED'),
            ('DELIVERED', 'READ'), ('DELIVERED', 'FAILED'))
        -- The provider's word about a message that it names: it may come before we settle, after we queued a doubtful
        -- send again, or after an earlier failure report.
        or (new.external_message_id is not null and (old.status, new.status) in (
            ('QUEUED', 'SENT'), ('QUEUED', 'DELIVERED'), ('QUEUED', 'READ'),
            ('SENDING', 'DELIVERED'), ('SENDING', 'READ'),
            ('UNCERTAIN', 'DELIVERED'), ('UNCERTAIN', 'READ'),
            ('FAILED', 'DELIVERED'), ('FAILED', 'READ'))
            and old.attempts > 0)
    ) then
        return new;
    end if;
    raise exception 'an outbound message cannot go from % to %, an inbound one nowhere (this one is %)',
        old.status, new.status, old.direction
        using errcode = 'check_violation', constraint = 'messages_transition';
end
$$;

create trigger check_transition before update of status on communications.messages
    for each row when (old.status is distinct from new.status)
    execute function communications.check_message_transition();

-- One row per claim, written before the call and finished after it. What began and never finished is what a crash
-- leaves behind.
create table communications.message_attempts (
    tenant_id            uuid not null,
    message_id           uuid not null,
    fence                integer not null,
    attempt              integer not null,
    started_at           timestamptz not null default now(),
    finished_at          timestamptz,
    class                text,
    provider_code        text,
    reason               text,
    external_message_id  text,
    primary key (tenant_id, message_id, fence),
    foreign key (tenant_id, message_id) references communications.messages (tenant_id, id)
);

-- What providers reported, word for word. The unique key is the provider's own event; message_id stays null while the
-- message that it is about is unknown.
create table communications.message_status_events (
    tenant_id            uuid not null,
    id                   uuid not null,
    account_id           uuid not null,
    external_message_id  text not null,
    message_id           uuid,
    -- Ours: SENT, DELIVERED, READ, FAILED or UNKNOWN.
    status               text not null check (status in ('SENT', 'DELIVERED', 'READ', 'FAILED', 'UNKNOWN')),
    provider_status      text not null,
    failure_code         text,
    failure_reason       text,
    occurred_at          timestamptz not null,
    received_at          timestamptz not null default now(),
    raw                  jsonb not null,
    primary key (tenant_id, id),
    constraint message_status_events_key unique (tenant_id, account_id, external_message_id, provider_status),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    foreign key (tenant_id, message_id) references communications.messages (tenant_id, id)
);

create index message_status_events_message on communications.message_status_events (tenant_id, message_id);
create index message_status_events_waiting
    on communications.message_status_events (tenant_id, account_id, external_message_id) where message_id is null;

-- What the scan found and did about it.
create table communications.repairs (
    tenant_id   uuid not null,
    id          uuid not null,
    kind        text not null,
    message_id  uuid not null,
    detail      jsonb not null default '{}',
    at          timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, message_id) references communications.messages (tenant_id, id)
);

create index repairs_message on communications.repairs (tenant_id, message_id, at);

-- Inbound payloads that could not be attributed or read. tenant_id is the platform's where no tenant may see it.
-- The hash makes a provider's seven days of retries one row.
create table communications.quarantine (
    tenant_id            uuid not null,
    id                   uuid not null,
    source               text not null,
    reason               text not null,
    external_account_id  text,
    -- Whose door it came through; says nothing about whose it is.
    path_tenant_id       uuid,
    payload              bytea not null,
    payload_hash         bytea not null,
    times_seen           integer not null default 1,
    first_seen_at        timestamptz not null default now(),
    last_seen_at         timestamptz not null default now(),
    replayed_at          timestamptz,
    primary key (tenant_id, id),
    constraint quarantine_payload_key unique (tenant_id, source, reason, payload_hash)
);
