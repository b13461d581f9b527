-- Read receipts and typing to the contact. At WhatsApp the one cannot be shown without the other, so one policy holds for both.
alter table communications.channel_accounts
    add column read_receipts text not null default 'NEVER' check (read_receipts in ('NEVER', 'ON_READ', 'ON_REPLY'));

comment on column communications.channel_accounts.read_receipts is
    'When the provider is told that the contact''s messages were read: NEVER, ON_READ by the assignee, ON_REPLY.';

-- How far a contact was told, on each account that a conversation came in by. A receipt is for all messages before it as well.
create table communications.read_receipts (
    tenant_id        uuid not null,
    conversation_id  uuid not null,
    account_id       uuid not null,
    message_id       uuid not null,
    -- The message's place in the thread: a receipt never goes back.
    thread_at        timestamptz not null,
    -- Taken by a worker, which calls once. A receipt that was lost in that call is not given again; the next one is for it too.
    given_at         timestamptz,
    -- Until when typing is worth showing; null when that was done.
    typing_until     timestamptz,
    typed_at         timestamptz,
    primary key (tenant_id, conversation_id, account_id),
    foreign key (tenant_id, conversation_id) references communications.conversations (tenant_id, id),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id)
);

create index read_receipts_message on communications.read_receipts (tenant_id, message_id);
