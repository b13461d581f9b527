-- Who may ask for notifications by HTTP, and what may still be done about a run.

-- A program of a tenant's; the platform's own (n8n) belongs to nobody and names the tenant in each request.
create table communications.api_clients (
    tenant_id     uuid not null,
    id            uuid not null,
    name          text not null check (name <> ''),
    -- Of the whole token: it is random, so a plain hash says nothing of it.
    token_sha256  bytea not null check (octet_length(token_sha256) = 32),
    scopes        text[] not null check (
                      cardinality(scopes) > 0 and scopes <@ array['notifications:read', 'notifications:write', 'batches:write']),
    created_at    timestamptz not null default now(),
    created_by    uuid,
    disabled_at   timestamptz,
    primary key (tenant_id, id)
);

-- Deliberately without tenant_id: the token is what says the tenant.
create unique index api_clients_token_key on communications.api_clients (token_sha256);

alter table communications.trigger_runs
    add column cancelled_at timestamptz;

-- Everything of a run that has not left is CANCELLED, and no fallback opens any more. Locks messages before their fallbacks, as the
-- settle does. Answers how many were taken back, and how many had left or ended by themselves.
create function communications.cancel_run(p_tenant uuid, p_run uuid, out cancelled bigint, out too_late bigint)
    language plpgsql
as $$
begin
    perform 1 from communications.messages m
      where m.tenant_id = p_tenant and m.run_id = p_run
      order by m.id
        for no key update;
    delete from communications.message_fallbacks f
     using communications.messages m
     where m.tenant_id = p_tenant and m.run_id = p_run and f.tenant_id = m.tenant_id and f.message_id = m.id;
    update communications.messages m
       set status = 'CANCELLED', failed_code = 'cancelled', failed_reason = 'its run was cancelled'
     where m.tenant_id = p_tenant and m.run_id = p_run and m.status in ('QUEUED', 'UNCERTAIN');
    select count(*) filter (where m.status = 'CANCELLED' and m.failed_code = 'cancelled'),
           count(*) filter (where not (m.status = 'CANCELLED' and m.failed_code = 'cancelled') and m.status <> 'SUPPRESSED')
      into cancelled, too_late
      from communications.messages m
     where m.tenant_id = p_tenant and m.run_id = p_run;
    update communications.trigger_runs r set cancelled_at = coalesce(r.cancelled_at, now())
     where r.tenant_id = p_tenant and r.id = p_run;
end
$$;
