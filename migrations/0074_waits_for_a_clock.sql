-- Order holds among what is or was due. What waits for a clock (a time that was asked for, quiet hours, a batch that is held) holds back
-- nothing that is said after it: a cancelled trip is not told after the reminder of it.
do $$
declare
    v_old  text;
    v_new  text;
    v_name text;
begin
    foreach v_name in array array['claim_messages', 'release_waiting'] loop
        v_old := pg_get_functiondef(('communications.' || v_name)::regproc);
        v_new := replace(v_old, 'earlier.queue_status in (''QUEUED'', ''SENDING'') and earlier.id < m.id)',
            'earlier.queue_status in (''QUEUED'', ''SENDING'') and earlier.id < m.id
                  and (earlier.queue_status = ''SENDING'' or earlier.due_at <= now() + interval ''250 milliseconds''
                       -- It was due before, and waits for its next try, its slot or its sender.
                       or earlier.fence > 0 and earlier.held_due_at is null
                          and (earlier.quiet_hours is null or communications.quiet_now(earlier.quiet_hours) is null)))');
        if v_new = v_old then
            raise exception 'nothing to replace in %', v_name;
        end if;
        execute v_new;
    end loop;
end
$$;
