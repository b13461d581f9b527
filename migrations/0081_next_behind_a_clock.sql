-- What ends wakes the next of its conversation that waits for nothing else: not the one that waits for a clock (0074).
do $$
declare
    v_old text := pg_get_functiondef('communications.follow_ups'::regproc);
    v_new text := replace(v_old, 'and m.queue_status in (''QUEUED'', ''SENDING'')
             order by m.id limit 1) first)', 'and m.queue_status in (''QUEUED'', ''SENDING'')
               and (m.queue_status = ''SENDING'' or m.due_at <= now() + interval ''250 milliseconds''
                    or m.fence > 0 and m.held_due_at is null
                       and (m.quiet_hours is null or communications.quiet_now(m.quiet_hours) is null))
             order by m.id limit 1) first)');
begin
    if v_new = v_old then
        raise exception 'nothing to replace in follow_ups';
    end if;
    execute v_new;
end
$$;
