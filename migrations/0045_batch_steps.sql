-- Steps of one batch at the same time. What a step decided is one row: its outcomes used to be an update of each recipient's row, which
-- read all of the batch in every step.

-- Nobody makes a step of the old kind meanwhile.
lock table communications.batches, communications.batch_recipients in access exclusive mode;

-- A step's recipients, and what became of them. Whoever makes a step holds its row, which its death lets go.
create table communications.batch_steps (
    tenant_id    uuid not null,
    batch_id     uuid not null,
    -- Its recipients' positions, from the first to before the end.
    first        integer not null check (first >= 0),
    until        integer not null check (until > first),
    -- One for each of them, in their order; null until they are decided about, all at once.
    outcomes     text[],
    reasons      text[],
    message_ids  uuid[],
    decided_at   timestamptz,
    primary key (tenant_id, batch_id, first),
    foreign key (tenant_id, batch_id) references communications.batches (tenant_id, id),
    constraint batch_steps_whole check (
        decided_at is null and num_nulls(outcomes, reasons, message_ids) = 3
        or decided_at is not null and cardinality(outcomes) = until - first and cardinality(reasons) = until - first
           and cardinality(message_ids) = until - first)
);

create index batch_steps_to_make on communications.batch_steps (tenant_id, batch_id, first) where decided_at is null;

-- No more recipients come: the batch's steps, of so many recipients each.
create function communications.add_batch_steps(p_tenant uuid, p_batch uuid, p_size integer) returns void
    language sql
as $$
    insert into communications.batch_steps (tenant_id, batch_id, first, until)
    select b.tenant_id, b.id, n, least(n + p_size, b.recipients)
      from communications.batches b cross join generate_series(0, b.recipients - 1, p_size) as n
     where b.tenant_id = p_tenant and b.id = p_batch
    on conflict do nothing;
$$;

-- The steps of those that have started: what is decided, and what is not.
insert into communications.batch_steps (tenant_id, batch_id, first, until, outcomes, reasons, message_ids, decided_at)
select r.tenant_id, r.batch_id, min(r.position), max(r.position) + 1,
       case when r.decided then array_agg(r.outcome order by r.position) end,
       case when r.decided then array_agg(r.reason order by r.position) end,
       case when r.decided then array_agg(r.message_id order by r.position) end,
       case when r.decided then now() end
  from (select r.*, r.position < b.cursor as decided
          from communications.batches b
          join communications.batch_recipients r on r.tenant_id = b.tenant_id and r.batch_id = b.id
         where b.status <> 'OPEN') r
 group by r.tenant_id, r.batch_id, r.decided, r.position / 500;

alter table communications.batch_recipients
    drop column outcome,
    drop column reason,
    drop column message_id,
    reset (fillfactor);

comment on column communications.batches.cursor is 'How many are decided about, not which: steps end in any order.';

-- What became of each recipient; null while that is not decided.
create view communications.batch_outcomes as
    select r.tenant_id, r.batch_id, r.position, r.recipient, s.outcomes[r.position - s.first + 1] as outcome,
           s.reasons[r.position - s.first + 1] as reason, s.message_ids[r.position - s.first + 1] as message_id
      from communications.batch_recipients r
      left join communications.batch_steps s
        on s.tenant_id = r.tenant_id and s.batch_id = r.batch_id and r.position >= s.first and r.position < s.until;
