-- A tenant's own sender on a channel: a WhatsApp number, an email domain, an SMS sender, a webchat site.
--
-- provider_config is {"public": {...}, "secrets": [envelope, ...]}: settings in clear, credentials sealed by KMS
-- (shared/core/src/channels/vault.rs). Two envelopes are live while credentials rotate, the newest first.
create table communications.channel_accounts (
    tenant_id             uuid not null,
    id                    uuid not null,
    channel               text not null check (channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    provider              text not null check (provider in ('META', 'SES', 'SNS', 'EUM_SMS', 'WEBCHAT')),
    status                text not null default 'PENDING' check (status in
                              ('PENDING', 'VERIFYING', 'ACTIVE', 'SUSPENDED', 'REAUTH_REQUIRED', 'DISABLED')),
    status_reason         text,
    status_changed_at     timestamptz not null default now(),
    display_name          text not null,
    -- What people see: the number in E.164, the domain, the sender id, the site.
    sender                text not null,
    -- What the provider calls it: phone_number_id at Meta, the identity at SES.
    external_account_id   text,
    -- Meta splits these (one number has not always one WABA), so they are kept apart.
    waba_id               text,
    waac_id               text,
    messaging_account_id  text,
    provider_config       jsonb not null default '{"public": {}, "secrets": []}',
    mode                  text not null default 'LIVE' check (mode in ('LIVE', 'SANDBOX')),
    throughput_per_second integer check (throughput_per_second > 0),
    messaging_tier        text,
    quality               text,
    -- Health by credential: an error about media says nothing about sending.
    send_health           text not null default 'UNKNOWN' check (send_health in ('UNKNOWN', 'OK', 'FAILING')),
    media_health          text not null default 'UNKNOWN' check (media_health in ('UNKNOWN', 'OK', 'FAILING')),
    template_health       text not null default 'UNKNOWN' check (template_health in ('UNKNOWN', 'OK', 'FAILING')),
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    primary key (tenant_id, id)
);

-- A number or a domain belongs to one tenant: deliberately without tenant_id. It is also the webhook's way in.
create unique index channel_accounts_external_account_key
    on communications.channel_accounts (channel, external_account_id) where external_account_id is not null;

create trigger set_updated_at before update on communications.channel_accounts
    for each row execute function communications.set_updated_at();

create function communications.check_channel_account_transition() returns trigger
    language plpgsql as
$$
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
    return new;
end
$$;

create trigger check_transition before update of status on communications.channel_accounts
    for each row when (old.status is distinct from new.status)
    execute function communications.check_channel_account_transition();
