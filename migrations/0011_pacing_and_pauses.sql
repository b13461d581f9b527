-- What holds messages back: the rate that a sender may have, and pauses that a provider or its faults impose.

-- A bucket of the generic cell rate algorithm: tat, the theoretical arrival time, is when the next slot is free.
-- Reserving n slots moves it by n steps and answers when each is, so that nobody asks twice.
--   SHARED   80 % of what the sender (or the provider) may do
--   RESERVE  the other 20 %: the interactive lane's, and at a provider also the tenants' that have no backlog
--   PAIR     one sender to one recipient (subject)
-- A provider's own bucket, shared by all tenants, belongs to the platform and has the provider as its subject.
create table communications.rate_buckets (
    tenant_id   uuid not null,
    account_id  uuid not null,
    kind        text not null check (kind in ('SHARED', 'RESERVE', 'PAIR')),
    subject     text not null default '',
    tat         timestamptz not null,
    -- Seconds from slot to slot, as of the newest reservation.
    step        double precision not null check (step > 0),
    primary key (tenant_id, account_id, kind, subject)
) with (fillfactor = 50);

-- What a provider takes from all tenants together, in messages (SMS: parts) a second: SES's MaxSendRate of the AWS
-- account, the SMS rate of the AWS account. Meta limits each number and has no row. Set it to what the account has.
create table communications.provider_limits (
    provider         text primary key check (provider in ('SES', 'SNS', 'EUM_SMS')),
    rate_per_second  double precision not null check (rate_per_second > 0)
);

insert into communications.provider_limits (provider, rate_per_second) values ('SES', 14), ('SNS', 20), ('EUM_SMS', 20);

-- Slots a second of one sender: what the account says, else what its provider gives at the start. Meta's 80 counts what
-- comes in as well, so a tenth stays free.
create function communications.sender_rate(provider text, throughput_per_second integer) returns double precision
    language sql immutable parallel safe
    return case provider
        when 'META' then 0.9 * coalesce(throughput_per_second, 80)
        when 'SES' then coalesce(throughput_per_second, 14)
        else coalesce(throughput_per_second, 20) end;

-- An account that must not send until open_until: after a throttle, or after five faults of the provider in a row. Then one
-- message tries; if it fares no better, the pause is twice as long. A success deletes the row.
create table communications.breakers (
    tenant_id   uuid not null,
    account_id  uuid not null,
    failures    integer not null default 0,
    -- Throttles one after the other: each makes the pause twice as long.
    throttles   integer not null default 0,
    open_until  timestamptz,
    -- The one message that tries when the time is over.
    probe_id    uuid,
    primary key (tenant_id, account_id),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id)
);

alter table communications.channel_accounts
    -- Suspended by ourselves on a provider's hold: when to let one message try. Null: a person decides.
    add column resume_at timestamptz;

create index channel_accounts_resuming on communications.channel_accounts (resume_at)
    where status = 'SUSPENDED' and resume_at is not null;

alter table communications.messages
    -- Slots that it takes: the parts of an SMS, else one.
    add column units smallint not null default 1 check (units between 1 and 20),
    -- Its reserved slot. Without one it must ask before it is sent.
    add column slot_at timestamptz,
    -- Why fallback_of was not enough.
    add column fallback_reason text check (fallback_reason in ('FAILED', 'NOT_DELIVERED', 'NOT_READ'));

-- A message that is sent again is sent again once; the copy can be sent again in its turn.
drop index communications.messages_replays;
create unique index messages_one_replay on communications.messages (tenant_id, replay_of) where replay_of is not null;

-- hint_at = '-infinity': no hint is out, somebody must release it (a settle on its account, or the scan).
create index messages_waiting on communications.messages (tenant_id, account_id, lane, due_at)
    where status = 'QUEUED' and hint_at = '-infinity';

alter table communications.message_attempts
    -- Which sender was tried: a message may move to another one.
    add column account_id uuid;

-- The fallbacks of the last day, without reading all that was ever sent.
create index messages_fallbacks_sent on communications.messages (sent_at) where fallback_of is not null;

-- Reports that reached people twice: a receipt that came after the fallback had gone out.
create view communications.double_reaches as
    select first.tenant_id, first.id as message_id, first.channel, second.id as fallback_id,
           second.channel as fallback_channel, second.fallback_reason, first.delivered_at, second.sent_at
      from communications.messages second
      join communications.messages first on first.tenant_id = second.tenant_id and first.id = second.fallback_of
     where second.fallback_of is not null and first.status in ('DELIVERED', 'READ') and second.status in ('SENT', 'DELIVERED', 'READ')
       and (second.fallback_reason <> 'NOT_READ' or first.status = 'READ');

-- UUIDv7 for rows that are made by a statement from other rows; all others are made by the service.
create function communications.uuid_v7() returns uuid
    language sql volatile parallel safe
    return encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid;

-- As before, and whoever makes the account something else than SUSPENDED ends its own time to resume.
create or replace function communications.check_channel_account_transition() returns trigger
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
    if new.status <> 'SUSPENDED' then
        new.resume_at := null;
    end if;
    return new;
end
$$;
