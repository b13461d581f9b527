-- The schema, and the little that is common to every table.
--
-- Every table carries tenant_id and every key contains it, so that no row can point into another tenant. Ids are
-- UUIDv7 made by the service: sequences would pin a pooled connection. Enumerations are text with a check: custom
-- types cost a catalogue query for each new connection and cannot drop a value.
create schema if not exists communications;

-- Platform-wide rows (default rules and templates, payloads that belong to nobody) live under the nil UUID, so that
-- keys need no nulls.
create function communications.platform_tenant() returns uuid
    language sql immutable parallel safe
    return '00000000-0000-0000-0000-000000000000'::uuid;

-- What an operator chose. A tenant without a row has the defaults; nothing waits for an insert here.
create table communications.tenant_settings (
    tenant_id       uuid primary key,
    name            text not null,
    default_locale  text not null default 'en',
    timezone        text not null default 'UTC',
    mode            text not null default 'LIVE' check (mode in ('LIVE', 'SANDBOX')),
    -- Must an agent claim a conversation before answering in it?
    claim_required  boolean not null default true,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now()
);

create function communications.set_updated_at() returns trigger
    language plpgsql as
$$
begin
    new.updated_at := now();
    return new;
end
$$;

create trigger set_updated_at before update on communications.tenant_settings
    for each row execute function communications.set_updated_at();

-- History is written once. Deleting stays possible, because retention and erasure must be.
create function communications.reject_update() returns trigger
    language plpgsql as
$$
begin
    raise exception '% is append-only', tg_table_name
        using errcode = 'restrict_violation', constraint = tg_table_name || '_append_only';
end
$$;
