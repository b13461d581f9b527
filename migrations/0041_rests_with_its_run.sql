-- A run that is cancelled, or a batch that rests, is so for what is being sent as well: if its provider says that it was not accepted, it
-- is not tried again, or not before somebody resumes; and what it falls back to waits with the rest.

-- What comes back from a provider unsent, or out of doubt, is held with its batch, or CANCELLED with its run; what its attempts came to
-- stays in message_attempts. By its name after check_message, which lets nobody else make a CANCELLED of what is being sent.
create function communications.rest_with_run() returns trigger
    language plpgsql as
$$
declare
    v_cancelled boolean;
    v_rests boolean;
begin
    select r.cancelled_at is not null, b.status in ('PAUSED', 'STOPPED')
      into v_cancelled, v_rests
      from communications.trigger_runs r
      left join communications.batches b
        on b.tenant_id = r.tenant_id and b.id = case r.source when 'batch' then r.idempotency_key::uuid end
     where r.tenant_id = new.tenant_id and r.id = new.run_id;
    if v_cancelled and tg_op = 'UPDATE' then
        new.status := 'CANCELLED';
        new.failed_code := 'cancelled';
        new.failed_reason := 'its run was cancelled';
    elsif v_rests then
        new.held_due_at := new.due_at;
        new.due_at := 'infinity';
        new.hint_at := '-infinity';
    end if;
    return new;
end
$$;

create trigger rests_with_run before update of status on communications.messages
    for each row when (new.run_id is not null and old.status in ('SENDING', 'UNCERTAIN') and new.status = 'QUEUED')
    execute function communications.rest_with_run();

-- A cancelled run has no chains left that could open.
create trigger rests_with_run_fallback before insert on communications.messages
    for each row when (new.run_id is not null and new.fallback_of is not null)
    execute function communications.rest_with_run();

-- As before; and whoever settles one of its messages or opens a fallback of it has done so before, or finds that the batch rests.
create or replace function communications.hold_run(p_tenant uuid, p_run uuid, p_hold boolean) returns bigint
    language plpgsql
as $$
declare
    v_rows bigint;
begin
    perform 1 from communications.messages m
      where m.tenant_id = p_tenant and m.run_id = p_run and p_hold
        and (m.queue_status in ('QUEUED', 'SENDING', 'UNCERTAIN')
             or exists (select from communications.message_fallbacks f where f.tenant_id = m.tenant_id and f.message_id = m.id))
      order by m.id
        for no key update of m;
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

-- Moving to another sender makes a message due; what is held moves when its time comes.
do $$
declare
    v_old text := pg_get_functiondef('communications.fail_over(uuid[], uuid[])'::regprocedure);
    v_new text := replace(v_old, 'and m.status = ''QUEUED'' and m.channel in', 'and m.status = ''QUEUED'' and m.held_due_at is null and m.channel in');
begin
    if v_new = v_old then
        raise exception 'nothing to replace in fail_over';
    end if;
    execute v_new;
end
$$;
