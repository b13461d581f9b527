-- What providers say that messages cost, in a table that billing can read. What they say again changes nothing, what they say anew does.

alter table communications.message_prices
    -- `at` is when the first said it, by which the message belongs to a day for good; said_at when the one that counts did.
    add column said_at timestamptz,
    add column recorded_at timestamptz not null default now();
update communications.message_prices set said_at = at, recorded_at = at;
alter table communications.message_prices alter column said_at set not null;

-- Whoever inserts a price without said_at says it now for the first time.
create function communications.said_first() returns trigger
    language plpgsql as
$$
begin
    new.said_at := coalesce(new.said_at, new.at);
    return new;
end
$$;

create trigger said_first before insert on communications.message_prices
    for each row execute function communications.said_first();

create index message_prices_recorded on communications.message_prices (recorded_at);
create index message_prices_days on communications.message_prices (tenant_id, at);

-- Messages with a price, by UTC day of their first one. micros: millionths of the currency; null where the provider names a category
-- and no amount (Meta). No row says that nothing was said, not that nothing was sent.
create table communications.usage_daily (
    tenant_id   uuid not null,
    day         date not null,
    channel     text not null check (channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    -- The provider's word, in upper case; where it has none, the message's own category.
    category    text not null,
    currency    text not null default '',
    messages    bigint not null,
    billable    bigint not null,
    units       bigint not null,
    micros      bigint,
    updated_at  timestamptz not null default now(),
    primary key (tenant_id, day, channel, category, currency)
);

-- How far prices have been counted.
create table communications.usage_progress (
    one         boolean primary key default true check (one),
    counted_to  timestamptz not null
);
insert into communications.usage_progress (counted_to) values ('-infinity');

-- Counts anew every day of a tenant of which a price was recorded since the last time, ten minutes before it included: no transaction
-- that writes one lives that long. Not more often than every p_every, and at most p_most prices at a time, the oldest first. Counting is
-- repeatable; two who count at once are in line. Answers how many days it counted.
create function communications.roll_up_usage(p_every interval, p_most integer) returns integer
    language plpgsql
as $$
declare
    v_last timestamptz;
    v_to   timestamptz;
    v_read integer;
    v_days integer;
begin
    select counted_to into v_last from communications.usage_progress for update;
    if v_last > now() - p_every then
        return 0;
    end if;
    select max(recorded_at), count(*) into v_to, v_read
      from (select recorded_at from communications.message_prices where recorded_at > v_last order by recorded_at limit p_most) p;
    if v_read < p_most then
        v_to := now();
    end if;
    with days as materialized (
        select distinct p.tenant_id, (p.at at time zone 'UTC')::date as day
          from communications.message_prices p
         where p.recorded_at > v_last - interval '10 minutes' and p.recorded_at <= v_to),
    counted as materialized (
        select d.tenant_id, d.day, m.channel, upper(coalesce(p.category, m.category, 'UNKNOWN')) as category,
               coalesce(p.currency, '') as currency,
               count(*) as messages, count(*) filter (where coalesce(p.billable, true)) as billable,
               coalesce(sum(coalesce(p.units, 1)), 0) as units, sum(p.micros) as micros
          from days d
          join communications.message_prices p
            on p.tenant_id = d.tenant_id
           and p.at >= d.day::timestamp at time zone 'UTC' and p.at < (d.day + 1)::timestamp at time zone 'UTC'
          join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.message_id
         group by 1, 2, 3, 4, 5),
    gone as (
        delete from communications.usage_daily u
         using days d
         where u.tenant_id = d.tenant_id and u.day = d.day
           and not exists (select from counted c where c.tenant_id = u.tenant_id and c.day = u.day and c.channel = u.channel
                              and c.category = u.category and c.currency = u.currency)),
    kept as (
        insert into communications.usage_daily as u (tenant_id, day, channel, category, currency, messages, billable, units, micros)
        select tenant_id, day, channel, category, currency, messages, billable, units, micros from counted
         order by tenant_id, day, channel, category, currency
        on conflict on constraint usage_daily_pkey do update
           set messages = excluded.messages, billable = excluded.billable, units = excluded.units, micros = excluded.micros,
               updated_at = now()
         where (u.messages, u.billable, u.units, u.micros)
               is distinct from (excluded.messages, excluded.billable, excluded.units, excluded.micros))
    select count(*) into v_days from days;
    update communications.usage_progress set counted_to = v_to;
    return v_days;
end
$$;

-- Once per message. Of two that differ the one said later counts; the day stays the first one's.
create or replace function communications.store_prices(
        p_tenants uuid[], p_ids uuid[], p_accounts uuid[], p_at timestamptz[], p_prices jsonb[]) returns void
    language sql
as $$
    insert into communications.message_prices as p
        (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at, said_at)
    select distinct on (m.tenant_id, m.message_id)
           m.tenant_id, m.message_id, m.account_id, c.category, c.model, c.kind, c.billable, c.units, c.micros, c.currency,
           min(m.at) over (partition by m.tenant_id, m.message_id), m.at
      from unnest(p_tenants, p_ids, p_accounts, p_at, p_prices) as m (tenant_id, message_id, account_id, at, price)
     cross join jsonb_to_record(m.price) as c (category text, model text, kind text, billable boolean, units integer,
                                               micros bigint, currency text)
     where jsonb_typeof(m.price) = 'object'
     order by m.tenant_id, m.message_id, m.at desc
    on conflict on constraint message_prices_pkey do update
       set category = excluded.category, model = excluded.model, kind = excluded.kind, billable = excluded.billable,
           units = excluded.units, micros = excluded.micros, currency = excluded.currency,
           said_at = excluded.said_at, recorded_at = now()
     where excluded.said_at >= p.said_at
       and (p.category, p.model, p.kind, p.billable, p.units, p.micros, p.currency)
           is distinct from (excluded.category, excluded.model, excluded.kind, excluded.billable, excluded.units, excluded.micros,
                             excluded.currency);
$$;

-- The way of a single report (0025): it looks at the price only where it is new, and there it does as above.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select x.old, x.new
          from (values
                ('p ->> ''price'' is not null and c.message_id is null as priced',
                 'p ->> ''price'' is not null
           and (c.message_id is null
                or c.said_at <= v_at
                   and (c.category, c.model, c.kind, c.billable, c.units, c.micros, c.currency)
                       is distinct from (p #>> ''{price,category}'', p #>> ''{price,model}'', p #>> ''{price,kind}'',
                                         (p #>> ''{price,billable}'')::boolean, (p #>> ''{price,units}'')::integer,
                                         (p #>> ''{price,micros}'')::bigint, p #>> ''{price,currency}'')) as priced'),
                ('insert into communications.message_prices
            (tenant_id, message_id, account_id, category, model, kind, billable, units, micros, currency, at)
        select v_this.tenant_id, v_this.id, v_this.account_id, c.category, c.model, c.kind, c.billable, c.units, c.micros, c.currency, v_at
          from jsonb_to_record(p -> ''price'') as c (category text, model text, kind text, billable boolean, units integer,
                                                   micros bigint, currency text)
        on conflict on constraint message_prices_pkey do nothing;',
                 'perform communications.store_prices(
            array [v_this.tenant_id], array [v_this.id], array [v_this.account_id], array [v_at], array [p -> ''price'']);')) as x (old, new)
    loop
        select replace(pg_get_functiondef(p.oid), f.old, f.new) into v_new
          from pg_proc p where p.pronamespace = 'communications'::regnamespace and p.proname = 'inbound_status';
        if v_new = (select pg_get_functiondef(p.oid) from pg_proc p
                     where p.pronamespace = 'communications'::regnamespace and p.proname = 'inbound_status') then
            raise exception 'nothing to replace in inbound_status';
        end if;
        execute v_new;
    end loop;
end
$$;
