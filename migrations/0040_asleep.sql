-- Quiet hours hold a message whenever it would leave, and not only as of the moment at which it was planned: a batch is released for
-- hours, a retry waits for hours, and a fallback opens when its time comes.

alter table communications.messages
    -- {"zone", "from", "to", "action"}, the rule's, with the recipient's zone; null where the rule has none.
    add column quiet_hours jsonb;

-- Until when it is quiet, if it is quiet now.
create function communications.quiet_now(p_hours jsonb) returns timestamptz
    language sql stable
    return communications.quiet_until(p_hours ->> 'zone', (p_hours ->> 'from')::time, (p_hours ->> 'to')::time, now());

-- At the claim: it stays QUEUED until the end of its quiet hours, without an attempt. What the rule drops, and what would be too old by
-- then, ends as EXPIRED. By its name before all others, so that they see what becomes of it.
create function communications.stay_asleep() returns trigger
    language plpgsql as
$$
declare
    v_until timestamptz := communications.quiet_now(new.quiet_hours);
begin
    if v_until is null then
        return new;
    end if;
    new.attempts := old.attempts;
    new.lease_until := null;
    new.slot_at := null;
    if new.quiet_hours ->> 'action' = 'DROP' or v_until >= new.expires_at then
        new.status := 'EXPIRED';
        new.failed_code := 'quiet-hours';
        new.failed_reason := 'quiet hours, and too late after them';
    else
        new.status := 'QUEUED';
        new.due_at := v_until;
        new.hint_at := '-infinity';
        new.deferrals := old.deferrals + 1;
    end if;
    return new;
end
$$;

create trigger asleep before update of status on communications.messages
    for each row when (new.quiet_hours is not null and old.status = 'QUEUED' and new.status in ('SENDING', 'SIMULATED'))
    execute function communications.stay_asleep();

-- A fallback has the quiet hours of the message before it. One that opens in them is due at their end; where the rule drops what comes
-- by night, there is none.
create function communications.open_asleep() returns trigger
    language plpgsql as
$$
declare
    v_until timestamptz;
begin
    select m.quiet_hours into new.quiet_hours
      from communications.messages m where m.tenant_id = new.tenant_id and m.id = new.fallback_of;
    v_until := communications.quiet_now(new.quiet_hours);
    if v_until is not null then
        if new.quiet_hours ->> 'action' = 'DROP' then
            return null;
        end if;
        new.due_at := v_until;
        new.hint_at := '-infinity';
    end if;
    return new;
end
$$;

create trigger asleep_fallback before insert on communications.messages
    for each row when (new.fallback_of is not null) execute function communications.open_asleep();
