-- What is asleep takes nothing from those who are awake: no slot of its sender's, no pair, and not the one try that a tripped breaker
-- allows. One sleeper after another would have taken that, and nobody would have tried.
do $$
declare
    v_function constant regprocedure := 'communications.claim_messages(uuid[], uuid[], double precision)';
    f record;
    v_old text;
begin
    for f in
        select * from (values
            -- What is closed ends now, by night as well.
            ('then ''CLOSED''
                    else ''SENDING''',
             'then ''CLOSED''
                    when m.quiet_hours is not null and communications.quiet_now(m.quiet_hours) is not null then ''ASLEEP''
                    else ''SENDING'''),
            ('when g.next = ''CLOSED'' then ''EXPIRED''',
             'when g.next = ''CLOSED'' then ''EXPIRED''
                    -- The trigger asleep makes of it what the rule says.
                    when g.next = ''ASLEEP'' then ''SENDING'''),
            ('when g.next = ''PARKED'' then null',
             'when g.next in (''PARKED'', ''ASLEEP'') then null'),
            ('partition by g.tenant_id, g.account_id order by g.id',
             'partition by g.tenant_id, g.account_id, g.next order by g.id'))
            as x (old, new)
    loop
        v_old := pg_get_functiondef(v_function);
        if strpos(v_old, f.old) = 0 then
            raise exception 'nothing to replace in %', v_function;
        end if;
        execute replace(v_old, f.old, f.new);
    end loop;
end
$$;
