-- How long a call waits for what others have locked, its caller says, whoever shares the transaction: a process that serves many
-- requests at once must not stand still for one of them. Who meets a lock that lasts is refused, and nothing was written. Who says nothing
-- and shares is a function from before this.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select x.name, x.old, x.new, p.oid
          from (values
                -- Said by inbound_statuses, which calls it.
                ('inbound_many_statuses',
                 '    if p ? ''doors'' then
        perform set_config(''lock_timeout'', ''500ms'', true);
    end if;
',
                 ''),
                ('inbound_load',
                 'if p ? ''doors'' then
        perform set_config(''lock_timeout'', ''500ms'', true);',
                 'if p ?| ''{lock_timeout,doors}'' then
        perform set_config(''lock_timeout'', coalesce(p ->> ''lock_timeout'', ''500ms''), true);'),
                ('inbound_statuses',
                 'begin
',
                 'begin
    if p ?| ''{lock_timeout,doors}'' then
        perform set_config(''lock_timeout'', coalesce(p ->> ''lock_timeout'', ''500ms''), true);
    end if;
'),
                ('inbound_text',
                 'begin
',
                 'begin
    if p ? ''lock_timeout'' then
        perform set_config(''lock_timeout'', p ->> ''lock_timeout'', true);
    end if;
'),
                -- It locked all messages of the run, and what was reported of those that had left waited for it. What is being sent must
                -- not go back into the queue unseen, nor what has another way ahead of it take that: as hold_run (0041) has it.
                ('cancel_run',
                 'where m.tenant_id = p_tenant and m.run_id = p_run
      order by m.id',
                 'where m.tenant_id = p_tenant and m.run_id = p_run
       and (m.status in (''QUEUED'', ''SENDING'', ''UNCERTAIN'')
            or exists (select from communications.message_fallbacks f where f.tenant_id = m.tenant_id and f.message_id = m.id))
      order by m.id'))
               as x (name, old, new)
          left join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := replace(pg_get_functiondef(f.oid), f.old, f.new);
        if v_new is null or v_new = pg_get_functiondef(f.oid) then
            raise exception 'nothing to replace in %', f.name;
        end if;
        execute v_new;
    end loop;
end
$$;
