-- What a payload with many statuses costs. Attributing them wrote the payload anew, as JSON; prices and aliases read it again and looked
-- up in the log what the same transaction had just written; and all aliases went the long way, known or not.

-- Reports that a payload brings are read once, into arrays: row n of each is one report. `p` is as before: [{"id", "tenant_id",
-- "account_id", "external_message_id", "status", "provider_status", "correlation_id", "occurred_at", "failure_code", "failure_reason",
-- "effect", "raw", "price", "aliases"}, ...]; p_tenants and p_accounts are the owners of its elements, in their order, where these do not
-- name them: as many as elements, because a number has one owner. → {"new": how many were not known before, "waiting": how many of these are about no message that is known, "parked"}.
create function communications.record_reports_of(p jsonb, p_tenants uuid[], p_accounts uuid[]) returns jsonb
    language plpgsql
as $$
declare
    v_tenants   uuid[];
    v_reports   uuid[];
    v_accounts  uuid[];
    v_externals text[];
    v_ids       uuid[];
    v_statuses  text[];
    v_words     text[];
    v_codes     text[];
    v_reasons   text[];
    v_at        timestamptz[];
    v_effects   text[];
    v_raw       jsonb[];
    v_prices    jsonb[];
    v_contacts  uuid[];
    v_addresses text[];
    v_aliases   jsonb[];
    v_logged    uuid[];
    v_unknown   jsonb;
    v_parked    jsonb := '[]';
begin
    select array_agg(r.tenant_id), array_agg(r.id), array_agg(r.account_id), array_agg(r.external_message_id),
           array_agg(coalesce(by_echo.id, by_id.id)), array_agg(r.status), array_agg(r.provider_status), array_agg(r.failure_code),
           array_agg(r.failure_reason), array_agg(r.occurred_at), array_agg(coalesce(r.effect, '')), array_agg(r.raw),
           array_agg(r.price), array_agg(coalesce(by_echo.contact_id, by_id.contact_id)),
           array_agg(coalesce(by_echo.address, by_id.address)), array_agg(r.aliases)
      into v_tenants, v_reports, v_accounts, v_externals, v_ids, v_statuses, v_words, v_codes, v_reasons, v_at, v_effects, v_raw,
           v_prices, v_contacts, v_addresses, v_aliases
      from (select coalesce(s.owner, s.tenant_id) as tenant_id, coalesce(s.owner_account, s.account_id) as account_id, s.id,
                   s.external_message_id, s.status, s.provider_status, s.correlation_id, s.occurred_at, s.failure_code,
                   s.failure_reason, s.effect, s.raw, s.price, s.aliases
              from rows from (
                       jsonb_to_recordset(p) as (
                           id uuid, tenant_id uuid, account_id uuid, external_message_id text, status text, provider_status text,
                           correlation_id uuid, occurred_at timestamptz, failure_code text, failure_reason text, effect text, raw jsonb,
                           price jsonb, aliases jsonb),
                       unnest(p_tenants), unnest(p_accounts))
                   as s (id, tenant_id, account_id, external_message_id, status, provider_status, correlation_id, occurred_at,
                         failure_code, failure_reason, effect, raw, price, aliases, owner, owner_account)) r
      left join communications.messages by_echo
        on by_echo.tenant_id = r.tenant_id and by_echo.id = r.correlation_id
       and by_echo.account_id = r.account_id and by_echo.direction = 'OUTBOUND'
      left join communications.messages by_id
        -- A null is not looked for.
        on by_id.tenant_id = r.tenant_id and by_id.account_id = r.account_id and by_id.direction = 'OUTBOUND'
       and by_id.external_message_id = case when by_echo.id is null then r.external_message_id end;

    with logged as (
        insert into communications.message_status_events
            (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, failure_code,
             failure_reason, occurred_at, effect, raw, price)
        select r.tenant_id, r.id, r.account_id, r.external_message_id, r.message_id, r.status, r.provider_status, r.code, r.reason,
               r.at, r.effect, r.raw, case when r.message_id is null then r.price end
          from unnest(v_tenants, v_reports, v_accounts, v_externals, v_ids, v_statuses, v_words, v_codes, v_reasons, v_at, v_effects,
                      v_raw, v_prices)
               as r (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, code, reason, at, effect,
                     raw, price)
        on conflict on constraint message_status_events_key do nothing
        returning id)
    select array_agg(l.id) into v_logged from logged l;

    if v_logged is null then
        return jsonb_build_object('new', 0, 'waiting', 0, 'parked', v_parked);
    end if;

    -- On with what is new and about a message that is known: nearly always all.
    if cardinality(v_logged) < cardinality(v_reports) or array_position(v_ids, null) is not null then
        select array_agg(r.tenant_id), array_agg(r.message_id), array_agg(r.account_id), array_agg(r.status),
               array_agg(r.external_message_id), array_agg(r.at), array_agg(r.code), array_agg(r.reason), array_agg(r.effect),
               array_agg(r.price), array_agg(r.contact_id), array_agg(r.address), array_agg(r.aliases)
          into v_tenants, v_ids, v_accounts, v_statuses, v_externals, v_at, v_codes, v_reasons, v_effects, v_prices, v_contacts,
               v_addresses, v_aliases
          from unnest(v_tenants, v_reports, v_ids, v_accounts, v_statuses, v_externals, v_at, v_codes, v_reasons, v_effects, v_prices,
                      v_contacts, v_addresses, v_aliases)
               as r (tenant_id, id, message_id, account_id, status, external_message_id, at, code, reason, effect, price, contact_id,
                     address, aliases)
         where r.message_id is not null and r.id = any (v_logged);
        if v_ids is null then
            return jsonb_build_object('new', cardinality(v_logged), 'waiting', cardinality(v_logged), 'parked', v_parked);
        end if;
    end if;

    perform communications.project_reports(v_tenants, v_ids, v_statuses, v_externals, v_at, v_codes, v_reasons);

    if exists (select from unnest(v_effects) as e (effect) where e.effect <> '') then
        perform communications.apply_reported(v_tenants, v_ids, v_codes, v_effects);
        select coalesce(jsonb_agg(e.id), '[]') into v_parked
          from unnest(v_ids, v_effects) as e (id, effect) where e.effect = 'PARK_HOLD';
    end if;

    perform communications.store_prices(v_tenants, v_ids, v_accounts, v_at, v_prices)
      where exists (select from unnest(v_prices) as c (price) where jsonb_typeof(c.price) = 'object');

    -- Whose aliases are all known needs nothing.
    select jsonb_agg(jsonb_build_object(
               'tenant_id', s.tenant_id, 'contact_id', s.contact_id, 'address', s.address, 'aliases', s.aliases))
      into v_unknown
      from unnest(v_tenants, v_contacts, v_addresses, v_aliases) as s (tenant_id, contact_id, address, aliases)
     where exists (select from jsonb_array_elements(nullif(s.aliases, 'null')) as a
                    where not exists (select from communications.contact_identities i
                                       where i.tenant_id = s.tenant_id and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
                                         and i.contact_id = s.contact_id));
    if v_unknown is not null then
        perform communications.learn_aliases(v_unknown);
    end if;

    return jsonb_build_object('new', cardinality(v_logged), 'waiting', cardinality(v_logged) - cardinality(v_ids), 'parked', v_parked);
end
$$;

create or replace function communications.record_reports(p jsonb) returns jsonb
    language plpgsql
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set join_collapse_limit = 1
    set plan_cache_mode = force_generic_plan
as $$
begin
    return communications.record_reports_of(p, null, null);
end
$$;

create or replace function communications.inbound_many_statuses(p jsonb) returns jsonb
    language plpgsql
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set join_collapse_limit = 1
    set plan_cache_mode = force_generic_plan
as $$
declare
    v_tenants  uuid[];
    v_accounts uuid[];
begin
    select array_agg(o.tenant_id order by r.n), array_agg(o.account_id order by r.n)
      into v_tenants, v_accounts
      from jsonb_array_elements(p -> 'reports') with ordinality as r (value, n)
      join communications.inbound_numbers(
               p ->> 'channel', (p ->> 'door')::uuid,
               array(select distinct e.value ->> 'number' from jsonb_array_elements(p -> 'reports') as e)) o
        on o.number = r.value ->> 'number'
       and (o.waba_id is null or r.value ->> 'waba_id' is null or r.value ->> 'waba_id' in (o.waba_id, o.messaging_account_id));
    if v_tenants is null or cardinality(v_tenants) < jsonb_array_length(p -> 'reports') then
        return null;
    end if;
    return communications.record_reports_of(p -> 'reports', v_tenants, v_accounts);
end
$$;

-- Prices name messages that their own statement has just read, as the log does (0025), and messages are never deleted: the foreign key
-- looked up each of them again. Whoever gives said_at needs no function to say it.
alter table communications.message_prices drop constraint message_prices_tenant_id_message_id_fkey;
drop trigger said_first on communications.message_prices;
create or replace function communications.said_first() returns trigger
    language plpgsql
as $$
begin
    new.said_at := new.at;
    return new;
end
$$;
create trigger said_first before insert on communications.message_prices
    for each row when (new.said_at is null) execute function communications.said_first();
