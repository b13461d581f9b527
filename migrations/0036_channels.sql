-- How accounts come to be and who moved them: steps of provisioning that can be taken again, the history of every account, and the
-- Backoffice's view of it all. docs/channel-provisioning-protocol.md is the contract.

alter table communications.channel_accounts
    -- Who connected it; null for what was there before.
    add column created_by uuid,
    -- Whose doing a change is, said by the statement that makes it. The history takes it; it does not stay.
    add column acted_by uuid,
    -- What somebody says they own at the provider. external_account_id is what was proven: two tenants may say the same.
    add column requested_external_id text,
    -- One attempt at a time: what an older one still does is not written any more. An attempt that died frees the account by itself.
    add column attempt_id uuid,
    add column attempt_until timestamptz,
    -- Until when the provider must have verified what was registered.
    add column verify_until timestamptz,
    -- When it was ACTIVE first. What was only said to be somebody's takes in nothing by it.
    add column verified_at timestamptz,
    -- Looked at by the upkeep last.
    add column checked_at timestamptz,
    add constraint channel_accounts_requested_key unique (tenant_id, channel, requested_external_id),
    add constraint channel_accounts_attempt check ((attempt_id is null) = (attempt_until is null));

create index channel_accounts_verifying on communications.channel_accounts (checked_at nulls first)
    where status = 'VERIFYING' and verify_until is not null;

update communications.channel_accounts set verified_at = status_changed_at where status not in ('PENDING', 'VERIFYING');

create function communications.verified_once() returns trigger
    language plpgsql as
$$
begin
    new.verified_at := now();
    return new;
end
$$;

create trigger verified_once before insert or update on communications.channel_accounts
    for each row when (new.status = 'ACTIVE' and new.verified_at is null) execute function communications.verified_once();

-- Mail for a domain comes to whom it was proven for (0023).
do $$
declare
    v_old text := pg_get_functiondef('communications.mail_load(jsonb)'::regprocedure);
    v_new text := replace(v_old, 'on a.channel = ''EMAIL''', 'on a.channel = ''EMAIL'' and a.verified_at is not null');
begin
    if v_new = v_old then
        raise exception 'nothing to replace in mail_load';
    end if;
    execute v_new;
end
$$;

-- A step of an account's provisioning, as it stands. What failed says why and what to do; neither holds a secret or an address.
create table communications.channel_provisioning_steps (
    tenant_id    uuid not null,
    account_id   uuid not null,
    step         text not null,
    ordinal      smallint not null,
    -- WAITING: for the provider, or for somebody's DNS.
    state        text not null default 'PENDING' check (state in ('PENDING', 'WAITING', 'DONE', 'FAILED')),
    tries        integer not null default 0,
    error_class  text,
    error_code   text,
    cause        text,
    cure         text,
    tried_by     uuid,
    tried_at     timestamptz,
    done_at      timestamptz,
    primary key (tenant_id, account_id, step),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    constraint channel_provisioning_steps_failed check ((state = 'FAILED') = (error_class is not null and cause is not null and cure is not null)),
    constraint channel_provisioning_steps_done check (state <> 'DONE' or done_at is not null)
);

-- Every change of an account's state, mode or credentials: from what, to what, why, and whose doing it was.
create table communications.channel_account_history (
    tenant_id   uuid not null,
    id          uuid not null default communications.uuid_v7(),
    account_id  uuid not null,
    what        text not null check (what in ('STATUS', 'MODE', 'CREDENTIALS')),
    -- Credentials are told by their version.
    before      text,
    after       text,
    reason      text,
    by_kind     text not null check (by_kind in ('USER', 'PROVIDER', 'SYSTEM')),
    by_user     uuid,
    at          timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id),
    constraint channel_account_history_user check ((by_kind = 'USER') = (by_user is not null))
);

create index channel_account_history_recent on communications.channel_account_history (tenant_id, account_id, at desc);

create trigger append_only before update on communications.channel_account_history
    for each row execute function communications.reject_update();

-- Who is USER where the statement names one. Else what stops an account is the provider's word, and so is its taking that back; the
-- rest is our own: a time that is over, a cap that is reached.
create function communications.record_account_history() returns trigger
    language plpgsql as
$$
declare
    v_kind text := case
        when new.acted_by is not null then 'USER'
        when new.status is distinct from old.status and new.status in ('SUSPENDED', 'REAUTH_REQUIRED')
             and coalesce(new.status_reason, '') not like 'spend-cap:%' then 'PROVIDER'
        when old.status = 'SUSPENDED' and new.status = 'ACTIVE' and old.status_reason like 'provider: %' then 'PROVIDER'
        else 'SYSTEM' end;
    v_before text := old.provider_config #>> '{secrets,0,version}';
    v_after text := new.provider_config #>> '{secrets,0,version}';
begin
    if new.status is distinct from old.status then
        insert into communications.channel_account_history (tenant_id, account_id, what, before, after, reason, by_kind, by_user)
        values (new.tenant_id, new.id, 'STATUS', old.status, new.status, new.status_reason, v_kind, new.acted_by);
    end if;
    if new.mode is distinct from old.mode then
        insert into communications.channel_account_history (tenant_id, account_id, what, before, after, by_kind, by_user)
        values (new.tenant_id, new.id, 'MODE', old.mode, new.mode, case when new.acted_by is null then 'SYSTEM' else 'USER' end, new.acted_by);
    end if;
    if v_before is distinct from v_after then
        insert into communications.channel_account_history (tenant_id, account_id, what, before, after, by_kind, by_user)
        values (new.tenant_id, new.id, 'CREDENTIALS', v_before, v_after, case when new.acted_by is null then 'SYSTEM' else 'USER' end,
                new.acted_by);
    end if;
    new.acted_by := null;
    return new;
end
$$;

create trigger record_history before update on communications.channel_accounts
    for each row when (old.status is distinct from new.status or old.mode is distinct from new.mode
                       or old.provider_config is distinct from new.provider_config or new.acted_by is not null)
    execute function communications.record_account_history();

-- The Backoffice's read model: one row for each tenant and provider that it has or had an account of. It shows the account that most
-- needs somebody: REAUTH_REQUIRED, SUSPENDED, ACTIVE, VERIFYING, PENDING, DISABLED, of several the oldest.
create table communications.operator_integrations (
    tenant_id          uuid not null,
    provider           text not null check (provider in ('META', 'SES', 'SNS', 'EUM_SMS', 'WEBCHAT')),
    channel            text not null check (channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    status             text not null check (status in
                           ('PENDING', 'VERIFYING', 'ACTIVE', 'SUSPENDED', 'REAUTH_REQUIRED', 'DISABLED')),
    status_reason      text,
    status_changed_at  timestamptz not null,
    account_id         uuid not null,
    display_name       text not null,
    sender             text not null,
    mode               text not null check (mode in ('LIVE', 'SANDBOX')),
    -- The worst of what the accounts that are not DISABLED know of their sending.
    health             text not null check (health in ('UNKNOWN', 'OK', 'FAILING')),
    accounts           integer not null,
    active_accounts    integer not null,
    -- Rises with every change: who has a lower one has an older row.
    version            bigint not null default 1,
    updated_at         timestamptz not null default now(),
    primary key (tenant_id, provider),
    foreign key (tenant_id, account_id) references communications.channel_accounts (tenant_id, id) deferrable initially deferred
);

-- In the transaction of the change. The row is locked before the accounts are read, so that of two who change two accounts of a tenant
-- the second sees what the first did.
create function communications.sync_integration(p_tenant uuid, p_provider text) returns void
    language plpgsql as
$$
begin
    insert into communications.operator_integrations
        (tenant_id, provider, channel, status, status_changed_at, account_id, display_name, sender, mode, health, accounts, active_accounts,
         version)
    select a.tenant_id, a.provider, a.channel, a.status, a.status_changed_at, a.id, a.display_name, a.sender, a.mode, a.send_health, 0, 0, 0
      from communications.channel_accounts a
     where a.tenant_id = p_tenant and a.provider = p_provider
     limit 1
    on conflict do nothing;
    perform from communications.operator_integrations i
      where i.tenant_id = p_tenant and i.provider = p_provider for update;

    update communications.operator_integrations i
       set channel = n.channel, status = n.status, status_reason = n.status_reason, status_changed_at = n.status_changed_at,
           account_id = n.id, display_name = n.display_name, sender = n.sender, mode = n.mode, health = n.health,
           accounts = n.accounts, active_accounts = n.active_accounts, version = i.version + 1, updated_at = now()
      from (select a.*,
                   count(*) over ()::integer as accounts,
                   (count(*) filter (where a.status = 'ACTIVE') over ())::integer as active_accounts,
                   case when bool_or(a.status <> 'DISABLED' and a.send_health = 'FAILING') over () then 'FAILING'
                        when bool_or(a.status <> 'DISABLED' and a.send_health = 'OK') over () then 'OK'
                        else 'UNKNOWN' end as health,
                   row_number() over (order by array_position(
                       array ['REAUTH_REQUIRED', 'SUSPENDED', 'ACTIVE', 'VERIFYING', 'PENDING', 'DISABLED'], a.status),
                       a.created_at, a.id) as place
              from communications.channel_accounts a
             where a.tenant_id = p_tenant and a.provider = p_provider) n
     where n.place = 1 and i.tenant_id = p_tenant and i.provider = p_provider
       and (i.channel, i.status, i.status_reason, i.status_changed_at, i.account_id, i.display_name, i.sender, i.mode, i.health,
            i.accounts, i.active_accounts)
           is distinct from
           (n.channel, n.status, n.status_reason, n.status_changed_at, n.id, n.display_name, n.sender, n.mode, n.health,
            n.accounts, n.active_accounts);
    -- The last account is gone.
    delete from communications.operator_integrations i
     where i.tenant_id = p_tenant and i.provider = p_provider
       and not exists (select from communications.channel_accounts a where a.tenant_id = p_tenant and a.provider = p_provider);
end
$$;

create function communications.sync_integrations() returns trigger
    language plpgsql as
$$
begin
    if tg_op <> 'INSERT' and (tg_op = 'DELETE' or old.provider is distinct from new.provider) then
        perform communications.sync_integration(old.tenant_id, old.provider);
    end if;
    if tg_op <> 'DELETE' then
        perform communications.sync_integration(new.tenant_id, new.provider);
    end if;
    return null;
end
$$;

create trigger sync_integrations after insert or delete on communications.channel_accounts
    for each row execute function communications.sync_integrations();
create trigger sync_integrations_changed after update on communications.channel_accounts
    for each row when ((old.provider, old.channel, old.status, old.status_reason, old.display_name, old.sender, old.mode, old.send_health)
                       is distinct from
                       (new.provider, new.channel, new.status, new.status_reason, new.display_name, new.sender, new.mode, new.send_health))
    execute function communications.sync_integrations();

select communications.sync_integration(tenant_id, provider)
  from (select distinct tenant_id, provider from communications.channel_accounts) a;
