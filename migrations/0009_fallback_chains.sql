-- What a message falls back to, written with it, so that a fallback cannot fail late on a template or an address.

-- The rest of a message's chain: every later channel of the rule, rendered and addressed, in order. The message itself is
-- the step before steps[0]; when a fallback is made of steps[0], the remaining ones become that message's own row here.
--
-- A table of its own, because messages must stay narrow: most messages have no chain, a chain with HTML is many times the
-- message, and the claim never reads it.
create table communications.message_fallbacks (
    tenant_id   uuid not null,
    message_id  uuid not null,
    -- [{"channel", "account_id", "address", "content", "body", "template_id", "template_version",
    --   "not_delivered_within_seconds"?, "not_read_within_seconds"?}, ...]. The waits of steps[0] say when the message of
    -- this row counts as not having reached: so long after SENT without DELIVERED, or without READ. Whatever the waits,
    -- a permanent failure goes on to steps[0].
    steps       jsonb not null,
    -- When the first of those waits ends; null until the message is SENT, and where steps[0] has none.
    due_at      timestamptz,
    primary key (tenant_id, message_id),
    foreign key (tenant_id, message_id) references communications.messages (tenant_id, id),
    constraint message_fallbacks_steps check (jsonb_typeof(steps) = 'array' and steps <> '[]')
);

create index message_fallbacks_due on communications.message_fallbacks (due_at) where due_at is not null;

-- At most one fallback of a message, whoever makes it and however often. Nothing has written fallback_of before, so the
-- index is empty at its making.
create unique index messages_fallback_of_key on communications.messages (tenant_id, fallback_of)
    where fallback_of is not null;
drop index communications.messages_fallbacks;

-- The steps of a rule: [{"channel": "WHATSAPP"}, {"channel": "EMAIL", "not_delivered_within_seconds": 1800}, ...]. The waits
-- of a step say when to go on to it from the one before, so the first has none; null or absent means by permanent failure
-- only. Three days is as long as providers report. The service checks the same on reading and names the fault; here it keeps consoles from
-- storing what would stop a trigger.
--
-- Not valid: a rule that is older than this check must not stop the deployment. It is named when it is read.
alter table communications.notification_rules
    add constraint notification_rules_steps check (
        not jsonb_path_exists(steps, '$[*] ? (@.type() != "object")')
        and not coalesce(jsonb_path_exists(steps, '$[*] ? (!(@.channel == "WHATSAPP" || @.channel == "EMAIL"
                || @.channel == "SMS" || @.channel == "WEBCHAT"))', silent => true), false)
        and not coalesce(jsonb_path_exists(steps, '$[*].keyvalue() ? (!(@.key == "channel"
                || @.key == "not_delivered_within_seconds" || @.key == "not_read_within_seconds"))', silent => true), false)
        and not coalesce(jsonb_path_exists(steps, '$[*].keyvalue() ? (@.key != "channel" && @.value.type() != "null"
                && (@.value.type() != "number" || @.value < 1 || @.value > 259200 || @.value.floor() != @.value))',
                silent => true), false)
        and not coalesce(jsonb_path_exists(steps, '$[0].keyvalue() ? (@.key != "channel" && @.value.type() != "null")',
                silent => true), false)
    ) not valid;
