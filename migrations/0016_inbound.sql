-- What customers and providers tell us, in full: what stands beside a message, reactions, edits and deletions, files, the
-- prices of ours, templates and accounts at the provider, addresses that are not to be written to, and doubts about who
-- somebody is.

alter table communications.messages
    -- What stands beside the content: forwarded, referral, referred_product, group_id.
    add column context jsonb,
    -- EMAIL: the Message-ID header without its brackets; what an answer's References name.
    add column rfc_message_id text,
    -- The customer changed it, or deleted it for everybody; earlier wordings stand in message_revisions.
    add column edited_at timestamptz,
    add column revoked_at timestamptz,
    -- INBOUND: it came while its contact was blocked. In the thread, and nobody's unread.
    add column muted boolean not null default false;

create index messages_rfc_message_id on communications.messages (tenant_id, rfc_message_id) where rfc_message_id is not null;
-- Reports of AWS may name the message and nothing else: neither account nor tenant.
create index messages_external_at_aws on communications.messages (external_message_id)
    where channel in ('EMAIL', 'SMS') and direction = 'OUTBOUND' and external_message_id is not null;

-- Whose an account is that a provider echoes, and whose the domain that a mail was sent to.
create index channel_accounts_echoed on communications.channel_accounts (id);
create index channel_accounts_reply_domain on communications.channel_accounts (lower(provider_config #>> '{public,reply_domain}'))
    where channel = 'EMAIL';

-- The newest reaction of each person to each message, also to one that is not here (yet). An empty emoji is one that was
-- taken away: kept, so that an older one that comes late does not bring it back.
create table communications.message_reactions (
    tenant_id            uuid not null,
    account_id           uuid not null,
    -- The provider's id of the message reacted to.
    target_external_id   text not null,
    contact_id           uuid not null,
    -- CONTACT, or AGENT for us in the phone app.
    actor_kind           text not null check (actor_kind in ('CONTACT', 'AGENT')),
    emoji                text not null,
    external_message_id  text not null,
    at                   timestamptz not null,
    primary key (tenant_id, account_id, target_external_id, contact_id, actor_kind),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id)
);

-- Edits and deletions, in their order by `at`; one that comes before its message waits here. Only whoever wrote a message may
-- change it. ORIGINAL is the wording that the first change replaced.
create table communications.message_revisions (
    tenant_id            uuid not null,
    account_id           uuid not null,
    -- The provider's id of the change; for ORIGINAL that of the message.
    external_message_id  text not null,
    target_external_id   text not null,
    contact_id           uuid not null,
    actor_kind           text not null check (actor_kind in ('CONTACT', 'AGENT')),
    kind                 text not null check (kind in ('ORIGINAL', 'EDIT', 'REVOKE')),
    content              jsonb,
    body                 text,
    at                   timestamptz not null,
    received_at          timestamptz not null default now(),
    primary key (tenant_id, account_id, external_message_id),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id)
);

create index message_revisions_target
    on communications.message_revisions (tenant_id, account_id, target_external_id, at);

-- A file that came with a message: the row with the message, the bytes when media-worker has fetched them.
--   PENDING   to be fetched at due_at
--   STORED    in the bucket under storage_key
--   REJECTED  fetched and refused: too large, not what its hash says, a type that is not let in
--   EXPIRED   the provider no longer has it
create table communications.message_media (
    tenant_id          uuid not null,
    id                 uuid not null,
    message_id         uuid not null,
    account_id         uuid not null,
    ordinal            smallint not null default 0,
    -- image, video, audio, document, sticker; attachment or inline for email.
    kind               text not null,
    -- META: an id at the provider. MAIL: a part of the raw mail in the mail bucket.
    source             text not null check (source in ('META', 'MAIL')),
    -- META: the media id. MAIL: the object's key and the part's number, `<key>#<n>`.
    source_ref         text not null,
    -- Where it lay when the message came.
    source_url         text,
    mime_type          text,
    filename           text,
    -- As the provider said it, hex or base64.
    declared_sha256    text,
    state              text not null default 'PENDING' check (state in ('PENDING', 'STORED', 'REJECTED', 'EXPIRED')),
    -- Why it is not there yet, or never will be: a word, without addresses.
    reason             text,
    attempts           integer not null default 0 check (attempts >= 0),
    fence              integer not null default 0,
    -- A claim moves it ahead, so that a file that kills its worker waits longer each time.
    due_at             timestamptz not null default now(),
    -- When the provider forgets it.
    expires_at         timestamptz not null,
    -- When its hint is or was to be seen; none is out: -infinity.
    hint_at            timestamptz not null default '-infinity',
    lease_until        timestamptz,
    -- Of what is stored; mime_type then says what the bytes are, and no longer what the sender called them.
    size_bytes         bigint check (size_bytes >= 0),
    sha256             bytea check (length(sha256) = 32),
    -- In the media bucket: `<tenant>/<yyyy>/<mm>/<id>`.
    storage_key        text,
    created_at         timestamptz not null default now(),
    stored_at          timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, message_id) references communications.messages (tenant_id, id),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    constraint message_media_place unique (tenant_id, message_id, ordinal),
    constraint message_media_stored check ((state = 'STORED') = (storage_key is not null)),
    constraint message_media_lease check (lease_until is null or state = 'PENDING')
);

create index message_media_due on communications.message_media (due_at) where state = 'PENDING';
create index message_media_expires on communications.message_media (expires_at) where state = 'PENDING';

-- What a message cost, as far as its provider said it: once per message.
create table communications.message_prices (
    tenant_id   uuid not null,
    message_id  uuid not null,
    account_id  uuid not null,
    -- The provider's words.
    category    text,
    model       text,
    kind        text,
    billable    boolean,
    units       integer,
    -- In millionths of the currency.
    micros      bigint,
    currency    text,
    at          timestamptz not null,
    primary key (tenant_id, message_id),
    foreign key (tenant_id, message_id) references communications.messages (tenant_id, id)
);

-- What a report means beyond its message, kept with it: a report that waits for its message has its effect when it is matched.
alter table communications.message_status_events
    add column effect text not null default '',
    -- As in message_prices; only while the report waits.
    add column price jsonb;

-- Addresses that are not to be written to, whoever has them: they bounced for good, or complained.
create table communications.suppressions (
    tenant_id   uuid not null,
    channel     text not null check (channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    -- As in messages.address.
    address     text not null check (address <> ''),
    -- BOUNCE, COMPLAINT, OPT_OUT, UNSUBSCRIBE: why.
    reason      text not null,
    source      text not null,
    at          timestamptz not null default now(),
    primary key (tenant_id, channel, address)
);

-- Templates as Meta has them. The newest notice wins for what it says; notices without a time count as of their arrival.
create table communications.whatsapp_templates (
    tenant_id             uuid not null,
    waba_id               text not null,
    name                  text not null,
    language              text not null,
    external_template_id  text,
    status                text,
    status_at             timestamptz,
    category              text,
    category_at           timestamptz,
    quality               text,
    quality_at            timestamptz,
    reason                text,
    components            jsonb,
    updated_at            timestamptz not null default now(),
    primary key (tenant_id, waba_id, name, language)
);

-- Everything that a provider said about an account, word for word: bans, quality, limits, names, security, faults beside
-- messages. What it means for the account stands in channel_accounts.
create table communications.channel_account_events (
    tenant_id    uuid not null,
    id           uuid not null,
    account_id   uuid not null,
    field        text not null,
    event        text not null,
    -- Should a person look?
    alert        boolean not null,
    occurred_at  timestamptz not null,
    received_at  timestamptz not null default now(),
    raw          jsonb not null,
    raw_hash     bytea not null,
    primary key (tenant_id, id),
    constraint channel_account_events_key unique (tenant_id, account_id, raw_hash),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id)
);

create index channel_account_events_recent on communications.channel_account_events (tenant_id, account_id, occurred_at desc);

create trigger append_only before update on communications.channel_account_events
    for each row execute function communications.reject_update();

-- Evidence that two contacts may be one person, or one address two persons: nothing is merged until somebody decides.
create table communications.contact_reviews (
    tenant_id      uuid not null,
    id             uuid not null,
    -- The smaller id first.
    contact_a      uuid not null,
    contact_b      uuid not null,
    -- Which aliases pointed where: [{"kind": "phone", "value": "+34…", "contact_id": "…"}, …].
    evidence       jsonb not null,
    -- The evidence without its addresses, for whoever may not see them.
    kinds          jsonb not null generated always as (jsonb_path_query_array(evidence, '$[*].kind')) stored,
    times_seen     integer not null default 1,
    first_seen_at  timestamptz not null default now(),
    last_seen_at   timestamptz not null default now(),
    resolution     text check (resolution in ('MERGED', 'DISMISSED')),
    resolved_by    uuid,
    resolved_at    timestamptz,
    primary key (tenant_id, id),
    constraint contact_reviews_order check (contact_a < contact_b),
    foreign key (tenant_id, contact_a) references communications.contacts (tenant_id, id),
    foreign key (tenant_id, contact_b) references communications.contacts (tenant_id, id)
);

create unique index contact_reviews_one_open
    on communications.contact_reviews (tenant_id, contact_a, contact_b) where resolution is null;

-- Merges of contacts, and what each moved, so that it can be undone exactly.
create table communications.contact_merges (
    tenant_id    uuid not null,
    id           uuid not null,
    -- Who stays, and who was taken up.
    kept_id      uuid not null,
    merged_id    uuid not null,
    -- What moved, by table: rows' keys, and the values that were replaced.
    moved        jsonb not null,
    merged_by    uuid,
    merged_at    timestamptz not null default now(),
    undone_by    uuid,
    undone_at    timestamptz,
    primary key (tenant_id, id),
    constraint contact_merges_two check (kept_id <> merged_id),
    foreign key (tenant_id, kept_id) references communications.contacts (tenant_id, id),
    foreign key (tenant_id, merged_id) references communications.contacts (tenant_id, id)
);

create index contact_merges_kept on communications.contact_merges (tenant_id, kept_id) where undone_at is null;
create index contact_merges_merged on communications.contact_merges (tenant_id, merged_id) where undone_at is null;

alter table communications.contacts
    -- Taken up by another contact: whatever finds this one finds that.
    add column merged_into uuid,
    -- Heard, and wakes nobody: what comes from them is stored and is not unread.
    add column blocked_at timestamptz,
    add column blocked_by uuid;

-- The value of the alias that the contact was known by when this one was first seen: whom it goes with when a merge is undone.
alter table communications.contact_identities add column learned_from text;

-- Numbers that somebody had and gave up. They find nobody from then on and may be somebody else's; what was written before and
-- comes late is still theirs. Never an address.
create table communications.contact_former_identities (
    tenant_id      uuid not null,
    kind           text not null,
    scope          text not null default '',
    value          text not null,
    contact_id     uuid not null,
    -- By the provider's clock.
    until          timestamptz not null,
    first_seen_at  timestamptz not null default now(),
    primary key (tenant_id, kind, scope, value, until),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id)
);

create index contact_former_identities_contact on communications.contact_former_identities (tenant_id, contact_id);

-- Where a replayed quarantine row ended, and how often it was tried.
alter table communications.quarantine
    add column replays integer not null default 0,
    add column replay_error text;

-- Reports whose message was not there yet, which the scan tries again.
create index quarantine_early_reports on communications.quarantine (first_seen_at)
    where reason = 'UNKNOWN_MESSAGE' and replayed_at is null and replays < 12;

-- For how long after its end a thread is reopened by the next message; null: always. Later ones open a thread that continues it.
alter table communications.tenant_settings
    add column reopen_within_days integer check (reopen_within_days > 0);

alter table communications.conversations
    add column resolved_at timestamptz,
    add column continues uuid,
    add constraint conversations_continues_fkey foreign key (tenant_id, continues) references communications.conversations (tenant_id, id);

create function communications.stamp_resolution() returns trigger
    language plpgsql as
$$
begin
    new.resolved_at := case when new.status = 'RESOLVED' then now() end;
    return new;
end
$$;

create trigger stamp_resolution before update of status on communications.conversations
    for each row when (old.status is distinct from new.status)
    execute function communications.stamp_resolution();
