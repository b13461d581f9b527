-- One thread per contact over all channels.
create table communications.conversations (
    tenant_id             uuid not null,
    id                    uuid not null,
    contact_id            uuid not null,
    status                text not null default 'OPEN' check (status in ('OPEN', 'SNOOZED', 'RESOLVED')),
    assigned_to           uuid,
    snoozed_until         timestamptz,
    -- Does the next inbound message wake it?
    snoozed_until_reply   boolean not null default true,
    last_message_at       timestamptz not null default now(),
    last_inbound_at       timestamptz,
    last_inbound_channel  text check (last_inbound_channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    last_inbound_account  uuid,
    preview               text not null default '',
    -- Counted by the inserting transaction, so that unread is a subtraction and never a count.
    inbound_count         bigint not null default 0 check (inbound_count >= 0),
    booking_id            uuid,
    trip_id               uuid,
    invoice_id            uuid,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id),
    constraint conversations_snooze_needs_an_end check
        (status <> 'SNOOZED' or snoozed_until is not null or snoozed_until_reply)
);

-- One person, one thread: two webhooks that both find none cannot both create one.
create unique index conversations_one_live_per_contact
    on communications.conversations (tenant_id, contact_id) where status <> 'RESOLVED';
create index conversations_contact on communications.conversations (tenant_id, contact_id, created_at desc);
-- The sidebar in its order; the wake-up in its own.
create index conversations_list on communications.conversations (tenant_id, status, last_message_at desc, id desc);
create index conversations_assignee on communications.conversations (tenant_id, assigned_to, status, last_message_at desc, id desc);
create index conversations_due_to_wake on communications.conversations (snoozed_until)
    where status = 'SNOOZED' and snoozed_until is not null;

create trigger set_updated_at before update on communications.conversations
    for each row execute function communications.set_updated_at();

create function communications.check_conversation_transition() returns trigger
    language plpgsql as
$$
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

create trigger check_transition before update of status on communications.conversations
    for each row when (old.status is distinct from new.status)
    execute function communications.check_conversation_transition();

-- Every change of a conversation's life: who, when, from what to what.
create table communications.conversation_events (
    tenant_id        uuid not null,
    id               uuid not null,
    conversation_id  uuid not null,
    kind             text not null check (kind in
                         ('OPENED', 'CLAIMED', 'RELEASED', 'REASSIGNED', 'RESOLVED', 'SNOOZED', 'REOPENED',
                          'MERGED', 'UNMERGED', 'NOTE_ADDED', 'LINKED')),
    from_value       text,
    to_value         text,
    actor_kind       text not null check (actor_kind in ('AGENT', 'SYSTEM', 'CONTACT')),
    actor_id         uuid,
    note             text,
    at               timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, conversation_id) references communications.conversations (tenant_id, id)
);

create index conversation_events_conversation
    on communications.conversation_events (tenant_id, conversation_id, at, id);

create trigger append_only before update on communications.conversation_events
    for each row execute function communications.reject_update();

-- How far each agent has read. inbound_seen is computed once, when the mark is set.
create table communications.conversation_read_cursors (
    tenant_id        uuid not null,
    conversation_id  uuid not null,
    user_id          uuid not null,
    last_read_at     timestamptz not null,
    inbound_seen     bigint not null default 0 check (inbound_seen >= 0),
    updated_at       timestamptz not null default now(),
    primary key (tenant_id, conversation_id, user_id),
    foreign key (tenant_id, conversation_id) references communications.conversations (tenant_id, id)
);

create trigger set_updated_at before update on communications.conversation_read_cursors
    for each row execute function communications.set_updated_at();

-- Hasura computed field: inbound messages that the session's user has not read. Never raises, because one row's error
-- would break the whole multiplexed subscription.
create function communications.conversation_unread_count(
    conversation communications.conversations, hasura_session json
) returns bigint
    language sql stable
    return greatest(0, conversation.inbound_count - coalesce((
        select c.inbound_seen
          from communications.conversation_read_cursors c
         where c.tenant_id = conversation.tenant_id
           and c.conversation_id = conversation.id
           and c.user_id::text = lower(hasura_session ->> 'x-hasura-user-id')), 0));

-- Until when WhatsApp lets us write free-form, from the provider's own timestamps.
create table communications.whatsapp_windows (
    tenant_id   uuid not null,
    account_id  uuid not null,
    contact_id  uuid not null,
    open_until  timestamptz not null,
    primary key (tenant_id, account_id, contact_id),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id)
);
