-- What is sent for which event, how it reads, and what became of each request.

-- tenant_id is the platform's for defaults; a tenant's own row wins.
create table communications.notification_templates (
    tenant_id          uuid not null,
    id                 uuid not null,
    trigger_event      text not null,
    channel            text not null check (channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    locale             text not null check (locale ~ '^[a-z]{2,3}(-[A-Z]{2})?$'),
    version            integer not null check (version > 0),
    status             text not null default 'DRAFT' check (status in ('DRAFT', 'PUBLISHED', 'RETIRED')),
    subject            text,
    -- What people read; for WhatsApp the text of the approved template, for the thread and for fallbacks.
    body               text not null,
    html               text,
    -- {"name": "...", "language": "es", "body": ["{{ passenger.first_name }}", ...]}: parameters in template order.
    whatsapp_template  jsonb,
    -- Names that must be there: {"trip.code": "string", ...}.
    variable_schema    jsonb not null default '{}',
    created_at         timestamptz not null default now(),
    published_at       timestamptz,
    primary key (tenant_id, id),
    constraint notification_templates_version_key unique (tenant_id, trigger_event, channel, locale, version),
    constraint notification_templates_whatsapp check (channel <> 'WHATSAPP' or whatsapp_template is not null)
);

create unique index notification_templates_one_published
    on communications.notification_templates (tenant_id, trigger_event, channel, locale) where status = 'PUBLISHED';

-- The channel decision matrix. steps is ordered: [{"channel": "WHATSAPP"}, {"channel": "EMAIL", ...}].
create table communications.notification_rules (
    tenant_id      uuid not null,
    id             uuid not null,
    trigger_event  text not null,
    audience       text not null,
    steps          jsonb not null check (jsonb_typeof(steps) = 'array'),
    category       text not null check (category in ('OTP', 'TRANSACTIONAL', 'MARKETING', 'SERVICE')),
    lane           text not null check (lane in ('INTERACTIVE', 'TRANSACTIONAL', 'BULK')),
    quiet_hours    jsonb,
    -- How long a message of this rule is worth sending.
    expires_after  interval not null default '24 hours',
    orchestrator   text not null default 'NATIVE' check (orchestrator in ('NATIVE', 'N8N')),
    enabled        boolean not null default true,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint notification_rules_key unique (tenant_id, trigger_event, audience)
);

create trigger set_updated_at before update on communications.notification_rules
    for each row execute function communications.set_updated_at();

-- One row per accepted event or NotificationRequest. The key makes a repeat harmless, the hash makes a key that is
-- used for something else an error, and the stored answer makes the repeat's answer the first one's.
create table communications.trigger_runs (
    tenant_id        uuid not null,
    id               uuid not null,
    source           text not null,
    idempotency_key  text not null,
    body_hash        bytea not null,
    trigger_event    text not null,
    status           text not null check (status in ('COMPLETED', 'STALE', 'IGNORED')),
    -- {"trip_id": ..., "booking_id": ..., ...}
    context          jsonb not null default '{}',
    answer           jsonb not null,
    created_at       timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint trigger_runs_key unique (tenant_id, source, idempotency_key)
);
