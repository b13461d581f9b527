-- What every message costs on its way out: it is updated twice, and each update writes an entry into every index that the
-- row is in and runs every trigger.

-- Keys hold only the rows that have them. As constraints they indexed the nulls as well: most messages have no idempotency
-- key of a caller, and until they are sent no id of a provider's. Names stay, so errors read the same.
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

-- An attempt is written before the call and finished after it, in place: nothing that is indexed changes.
alter table communications.message_attempts set (fillfactor = 70);

-- One trigger instead of two, and the usual ways first.
create or replace function communications.check_message_transition() returns trigger
    language plpgsql as
$$
begin
    new.updated_at := now();
    if old.status = new.status then
        return new;
    end if;
    if old.direction = 'OUTBOUND' and (
        case old.status
            when 'QUEUED' then new.status in ('SENDING', 'SUPPRESSED', 'SIMULATED', 'CANCELLED', 'EXPIRED')
            when 'SENDING' then new.status in ('SENT', 'QUEUED', 'FAILED', 'UNCERTAIN')
            when 'UNCERTAIN' then new.status in ('SENT', 'QUEUED', 'FAILED', 'CANCELLED', 'EXPIRED')
            when 'SENT' then new.status in ('DELIVERED', 'READ', 'FAILED')
            when 'DELIVERED' then new.status in ('READ', 'FAILED')
            else false end
        -- The provider's word about a message that it names: it may come before we settle, after we queued a doubtful
        -- send again, or after an earlier failure report.
        or (old.attempts > 0 and new.external_message_id is not null and
            case old.status
                when 'QUEUED' then new.status in ('SENT', 'DELIVERED', 'READ')
                when 'SENDING' then new.status in ('DELIVERED', 'READ')
                when 'UNCERTAIN' then new.status in ('DELIVERED', 'READ')
                when 'FAILED' then new.status in ('DELIVERED', 'READ')
                else false end)
    ) then
        return new;
    end if;
    raise exception 'an outbound message cannot go from % to %, an inbound one nowhere (this one is %)',
        old.status, new.status, old.direction
        using errcode = 'check_violation', constraint = 'messages_transition';
end
$$;

drop trigger set_updated_at on communications.messages;
drop trigger check_transition on communications.messages;
create trigger check_transition before update on communications.messages
    for each row execute function communications.check_message_transition();
