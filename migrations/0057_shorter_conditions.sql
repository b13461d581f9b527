-- Every statement reads, plans and compiles anew the conditions of what it may fire and the checks of what it writes, and lists of words
-- cost it most: a text's row and a report's row were a fifth dearer for them than they are with the same words in a function, which is
-- compiled once for a session.

-- In the order in which a text takes them.
lock table communications.conversations, communications.messages, communications.message_status_events in access exclusive mode;

-- What is about the queue alone is asked where it can be true. A message in flight has a lease (messages_sending_has_lease), so whoever
-- makes it enter or leave SENDING names the lease, and so does the claim, which simulates.
drop trigger asleep on communications.messages;
create trigger asleep before update of lease_until on communications.messages
    for each row when (new.quiet_hours is not null and old.status = 'QUEUED' and new.status in ('SENDING', 'SIMULATED'))
    execute function communications.stay_asleep();
drop trigger cap_sms on communications.messages;
create trigger cap_sms before update of lease_until on communications.messages
    for each row when (new.channel = 'SMS' and new.direction = 'OUTBOUND'
                       and (new.status = 'SENDING' and old.status = 'QUEUED'
                            or old.status = 'SENDING' and new.status in ('QUEUED', 'FAILED')))
    execute function communications.cap_sms();
drop trigger rests_with_run on communications.messages;
create trigger rests_with_run before update of status on communications.messages
    for each row when (new.run_id is not null and old.queue_status is not null and new.status = 'QUEUED')
    execute function communications.rest_with_run();

-- What a message begins as, if it begins as most do. Anything else is looked at by check_message(), which says what is wrong with it: a new
-- rule there is one here as well. Null is not true.
create function communications.begins_as_most(
        p_direction text, p_channel text, p_status text, p_sender_kind text, p_lane text, p_category text, p_attempts integer,
        p_deferrals integer, p_units integer) returns boolean
    language plpgsql immutable parallel safe
as $$
begin
    return p_channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT') and p_attempts = 0 and p_deferrals = 0 and p_units between 1 and 20
       and case p_direction
           when 'OUTBOUND' then p_status in ('QUEUED', 'SUPPRESSED') and p_sender_kind in ('AGENT', 'SYSTEM')
               and p_lane in ('INTERACTIVE', 'TRANSACTIONAL', 'BULK')
               and p_category in ('OTP', 'TRANSACTIONAL', 'MARKETING', 'SERVICE')
           when 'INBOUND' then p_status = 'DELIVERED' and p_sender_kind = 'CONTACT' and p_lane is null and p_category is null
           end;
end
$$;
drop trigger check_message_begins on communications.messages;
create trigger check_message_begins before insert on communications.messages
    for each row when ((
        new.lease_until is null and new.fallback_reason is null
        and communications.begins_as_most(new.direction, new.channel, new.status, new.sender_kind, new.lane, new.category, new.attempts,
                                          new.deferrals, new.units)) is not true)
    execute function communications.check_message();

-- The same rules under the same names. Not validated: what is there passed the ones that they replace.
create function communications.is_reported(p_status text) returns boolean
    language plpgsql immutable parallel safe
as $$
begin
    return p_status in ('SENT', 'DELIVERED', 'READ', 'FAILED', 'UNKNOWN');
end
$$;
create function communications.is_conversation_status(p_status text) returns boolean
    language plpgsql immutable parallel safe
as $$
begin
    return p_status in ('OPEN', 'SNOOZED', 'RESOLVED');
end
$$;
create function communications.is_channel(p_channel text) returns boolean
    language plpgsql immutable parallel safe
as $$
begin
    return p_channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT');
end
$$;
alter table communications.message_status_events
    drop constraint message_status_events_status_check,
    add constraint message_status_events_status_check check (communications.is_reported(status)) not valid;
alter table communications.conversations
    drop constraint conversations_status_check,
    add constraint conversations_status_check check (communications.is_conversation_status(status)) not valid,
    drop constraint conversations_last_inbound_channel_check,
    add constraint conversations_last_inbound_channel_check check (communications.is_channel(last_inbound_channel)) not valid;

-- A message's first price is a row of its own; where somebody else says one in the same moment, the long way decides.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select x.name, x.old, x.new, p.oid
          from (values
                ('inbound_status',
                 '        perform communications.store_prices(
            array [v_this.tenant_id], array [v_this.id], array [v_this.account_id], array [v_at], array [p -> ''price'']);
',
                 '        insert into communications.message_prices
            (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at, said_at)
        values (v_this.tenant_id, v_this.id, v_this.account_id, p #>> ''{price,category}'', p #>> ''{price,model}'',
                p #>> ''{price,kind}'', (p #>> ''{price,billable}'')::boolean, (p #>> ''{price,units}'')::integer,
                (p #>> ''{price,micros}'')::bigint, p #>> ''{price,currency}'', v_at, v_at)
        on conflict on constraint message_prices_pkey do nothing;
        if not found then
            perform communications.store_prices(
                array [v_this.tenant_id], array [v_this.id], array [v_this.account_id], array [v_at], array [p -> ''price'']);
        end if;
'),
                -- As its condition said.
                ('rest_with_run',
                 'begin
',
                 'begin
    if tg_op = ''UPDATE'' and old.status not in (''SENDING'', ''UNCERTAIN'') then
        return new;
    end if;
'))
               as x (name, old, new)
          left join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := replace(pg_get_functiondef(f.oid), f.old, f.new);
        if v_new is null or v_new = pg_get_functiondef(f.oid) then
            raise exception 'nothing to replace in %', f.name;
        end if;
        execute v_new;
    end loop;
end
$$;
