-- Batches: one text to very many, fanned out step by step, each step and its checkpoint in one transaction.

create table communications.batches (
    tenant_id        uuid not null,
    id               uuid not null,
    source           text not null,
    idempotency_key  text not null,
    body_hash        bytea not null,
    trigger_event    text not null,
    -- What a NotificationRequest says, but for its recipients and its key.
    request          jsonb not null,
    -- OPEN takes recipients; RUNNING fans out and sends; STOPPED stopped itself. COMPLETED: everybody is decided about.
    status           text not null default 'OPEN'
                         check (status in ('OPEN', 'RUNNING', 'PAUSED', 'COMPLETED', 'CANCELLED', 'STOPPED')),
    status_reason    text,
    -- Its messages' run.
    run_id           uuid not null,
    recipients       integer not null default 0 check (recipients >= 0),
    -- Positions before it are decided about. The four add up to it, always.
    cursor           integer not null default 0 check (cursor between 0 and recipients),
    queued           integer not null default 0,
    suppressed       integer not null default 0,
    duplicates       integer not null default 0,
    skipped          integer not null default 0,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    fanned_out_at    timestamptz,
    primary key (tenant_id, id),
    constraint batches_key unique (tenant_id, source, idempotency_key),
    constraint batches_honest check (queued + suppressed + duplicates + skipped = cursor),
    constraint batches_done check (status <> 'COMPLETED' or cursor = recipients)
);

create index batches_running on communications.batches (updated_at) where status in ('RUNNING', 'COMPLETED');

-- The newest first, as people look at them.
create index batches_newest on communications.batches (tenant_id, created_at desc);

create trigger set_updated_at before update on communications.batches
    for each row execute function communications.set_updated_at();

create table communications.batch_recipients (
    tenant_id   uuid not null,
    batch_id    uuid not null,
    -- From 0, without gaps.
    position    integer not null check (position >= 0),
    -- As in a NotificationRequest's recipients.
    recipient   jsonb not null,
    outcome     text,
    reason      text,
    message_id  uuid,
    primary key (tenant_id, batch_id, position),
    foreign key (tenant_id, batch_id) references communications.batches (tenant_id, id)
) with (fillfactor = 85);

-- Puts recipients at the end. Taken one at a time under the batch's lock, so positions have no gaps.
create function communications.add_batch_recipients(p_tenant uuid, p_batch uuid, p_recipients jsonb[]) returns integer
    language plpgsql
as $$
declare
    v_from integer;
begin
    select b.recipients into v_from from communications.batches b
     where b.tenant_id = p_tenant and b.id = p_batch for no key update;
    insert into communications.batch_recipients (tenant_id, batch_id, position, recipient)
    select p_tenant, p_batch, v_from + r.place::integer - 1, r.recipient
      from unnest(p_recipients) with ordinality as r (recipient, place);
    update communications.batches b set recipients = v_from + cardinality(p_recipients)
     where b.tenant_id = p_tenant and b.id = p_batch;
    return v_from + cardinality(p_recipients);
end
$$;

-- What waits of a batch is held, or let go again. A message that is being sent is past holding.
create function communications.hold_run(p_tenant uuid, p_run uuid, p_hold boolean) returns bigint
    language plpgsql
as $$
declare
    v_rows bigint;
begin
    update communications.messages m
       set due_at = case when p_hold then 'infinity'::timestamptz else now() end,
           hint_at = '-infinity', slot_at = null
     where m.tenant_id = p_tenant and m.run_id = p_run and m.status = 'QUEUED'
       and (m.due_at = 'infinity') <> p_hold;
    get diagnostics v_rows = row_count;
    return v_rows;
end
$$;
