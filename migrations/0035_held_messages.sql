-- What is held keeps its time; what is cancelled stays cancelled; a batch that is resumed is judged by what it sends from then on.

alter table communications.messages
    -- When it was due before its batch was paused.
    add column held_due_at timestamptz;

alter table communications.batches
    add column resumed_at timestamptz;

-- What waits of a batch is held, or let go again for the time that it had. A message that is being sent is past holding.
create or replace function communications.hold_run(p_tenant uuid, p_run uuid, p_hold boolean) returns bigint
    language plpgsql
as $$
declare
    v_rows bigint;
begin
    update communications.messages m
       set due_at = case when p_hold then 'infinity'::timestamptz else greatest(m.held_due_at, now()) end,
           held_due_at = case when p_hold then m.due_at end,
           hint_at = '-infinity', slot_at = null
     where m.tenant_id = p_tenant and m.run_id = p_run and m.status = 'QUEUED'
       and (m.due_at = 'infinity') <> p_hold;
    get diagnostics v_rows = row_count;
    return v_rows;
end
$$;

-- As before; and a run that waits for an orchestrator is over, so that neither it nor the clock carries it out.
create or replace function communications.cancel_run(p_tenant uuid, p_run uuid, out cancelled bigint, out too_late bigint)
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
    update communications.trigger_runs r
       set cancelled_at = coalesce(r.cancelled_at, now()),
           status = case r.status when 'HANDED_OVER' then 'COMPLETED' else r.status end,
           answer = case r.status when 'HANDED_OVER' then r.answer || '{"status": "COMPLETED"}' else r.answer end
     where r.tenant_id = p_tenant and r.id = p_run;
end
$$;
