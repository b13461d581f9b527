-- What a tenant's text messages may cost in a month: the sender is the platform's, and so is the bill.

-- Who may send by a sender id or a number of the platform's AWS account: the platform says so, for names of companies can be guessed. One
-- tenant for each, whatever the country.
create table communications.sms_senders (
    -- A sender id, or AWS's id of a number.
    identity    text primary key,
    tenant_id   uuid not null,
    -- ISO 3166-1, two letters.
    countries   text[] not null check (cardinality(countries) > 0),
    created_at  timestamptz not null default now()
);

-- A tenant without a row has no cap.
create table communications.sms_limits (
    tenant_id       uuid primary key,
    -- Millionths of a US dollar, as AWS bills.
    monthly_micros  bigint not null check (monthly_micros >= 0),
    -- What a part is taken to cost until the provider says what it did.
    part_micros     bigint not null check (part_micros > 0),
    updated_at      timestamptz not null default now()
);

create trigger set_updated_at before update on communications.sms_limits
    for each row execute function communications.set_updated_at();

-- Months are UTC's, by their first day.
create table communications.sms_spend (
    tenant_id  uuid not null,
    month      date not null,
    micros     bigint not null default 0,
    primary key (tenant_id, month)
);

create function communications.utc_month(at timestamptz) returns date
    language sql immutable parallel safe
    return date_trunc('month', at at time zone 'UTC')::date;

-- Adds to what was spent; answers false, and adds nothing, where that would be more than the tenant may.
create function communications.spend_on_sms(p_tenant uuid, p_month date, p_units integer) returns boolean
    language plpgsql as
$$
declare
    v_limit communications.sms_limits;
begin
    select * into v_limit from communications.sms_limits l where l.tenant_id = p_tenant;
    if not found then
        return true;
    end if;
    insert into communications.sms_spend (tenant_id, month) values (p_tenant, p_month) on conflict do nothing;
    update communications.sms_spend s
       set micros = s.micros + p_units * v_limit.part_micros
     where s.tenant_id = p_tenant and s.month = p_month
       and (p_units <= 0 or s.micros + p_units * v_limit.part_micros <= v_limit.monthly_micros);
    return found;
end
$$;

-- At the claim: what would go beyond the cap stays QUEUED and waits with its account, which is SUSPENDED until the next month, or until
-- somebody raises the cap and resumes it. What was claimed and not accepted costs nothing.
create function communications.cap_sms() returns trigger
    language plpgsql as
$$
begin
    if new.status = 'SENDING' then
        if not communications.spend_on_sms(new.tenant_id, communications.utc_month(now()), new.units) then
            new.status := 'QUEUED';
            new.attempts := old.attempts;
            new.lease_until := null;
            new.slot_at := null;
            new.hint_at := '-infinity';
            new.deferrals := old.deferrals + 1;
            update communications.channel_accounts a
               set status = 'SUSPENDED', status_reason = 'spend-cap: the month''s limit for text messages is reached',
                   resume_at = (communications.utc_month(now()) + interval '1 month') at time zone 'UTC'
             where a.tenant_id = new.tenant_id and a.channel = 'SMS' and a.status = 'ACTIVE';
        end if;
    else
        perform communications.spend_on_sms(new.tenant_id, communications.utc_month(now()), -new.units);
    end if;
    return new;
end
$$;

create trigger cap_sms before update of status on communications.messages
    for each row when (new.channel = 'SMS' and new.direction = 'OUTBOUND'
                       and (new.status = 'SENDING' and old.status = 'QUEUED'
                            or old.status = 'SENDING' and new.status in ('QUEUED', 'FAILED')))
    execute function communications.cap_sms();

-- The provider's price takes the place of what was assumed, and of what it said before.
create function communications.correct_sms_spend() returns trigger
    language plpgsql as
$$
begin
    update communications.sms_spend s
       set micros = s.micros + new.micros
                    - case when tg_op = 'UPDATE' and old.micros is not null then old.micros else m.units * l.part_micros end
      from communications.messages m, communications.sms_limits l
     where m.tenant_id = new.tenant_id and m.id = new.message_id and m.channel = 'SMS'
       and l.tenant_id = new.tenant_id
       and s.tenant_id = new.tenant_id and s.month = communications.utc_month(coalesce(m.sent_at, new.at));
    return null;
end
$$;

create trigger correct_sms_spend after insert or update on communications.message_prices
    for each row when (new.micros is not null and new.currency = 'USD') execute function communications.correct_sms_spend();
