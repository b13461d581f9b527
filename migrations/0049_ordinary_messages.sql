-- What begins as most messages do is not looked at by a function: a condition of the trigger costs less. Anything else is,
-- and check_message() says what is wrong with it. A new rule there is one of the condition as well.
drop trigger check_message on communications.messages;
create trigger check_message before update on communications.messages
    for each row execute function communications.check_message();
create trigger check_message_begins before insert on communications.messages
    for each row when ((
        new.channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')
        and new.lease_until is null and new.attempts = 0 and new.deferrals = 0 and new.units between 1 and 20
        and new.fallback_reason is null
        and case new.direction
            when 'OUTBOUND' then new.status in ('QUEUED', 'SUPPRESSED') and new.sender_kind in ('AGENT', 'SYSTEM')
                and new.lane in ('INTERACTIVE', 'TRANSACTIONAL', 'BULK')
                and new.category in ('OTP', 'TRANSACTIONAL', 'MARKETING', 'SERVICE')
            when 'INBOUND' then new.status = 'DELIVERED' and new.sender_kind = 'CONTACT' and new.lane is null and new.category is null
            end) is not true)
    execute function communications.check_message();
