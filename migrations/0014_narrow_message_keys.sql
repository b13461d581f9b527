-- Keys of messages that hold only the rows that have them.
--
-- Every message is updated twice on its way out, and each update writes an entry into every index that the row is in. Most
-- messages have no idempotency key of a caller and, until they are sent, no id of a provider's: as constraints these keys
-- indexed the nulls as well. Names stay, so errors read the same.
alter table communications.messages
    drop constraint messages_external_key,
    drop constraint messages_idempotency_key,
    drop constraint messages_run_recipient_key;

create unique index messages_external_key on communications.messages (tenant_id, account_id, external_message_id)
    where external_message_id is not null;
create unique index messages_idempotency_key on communications.messages (tenant_id, idempotency_key)
    where idempotency_key is not null;
create unique index messages_run_recipient_key on communications.messages (tenant_id, run_id, contact_id, step)
    where run_id is not null;
