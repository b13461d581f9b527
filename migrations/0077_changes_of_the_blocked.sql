-- What a blocked contact changes or deletes is not shown in the list.
do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('apply_revisions', 'returning m.tenant_id, m.conversation_id, m.id, m.body, m.thread_at)',
             'returning m.tenant_id, m.conversation_id, m.id, m.body, m.thread_at, m.muted)'),
            ('apply_revisions', 'and v.id = c.conversation_id
', 'and v.id = c.conversation_id and c.muted is not true
'),
            ('apply_revisions', 'later.conversation_id = c.conversation_id
', 'later.conversation_id = c.conversation_id and later.muted is not true
'))
            as c (name, before, after)
    loop
        v_old := pg_get_functiondef(('communications.' || v_change.name)::regproc);
        v_new := replace(v_old, v_change.before, v_change.after);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', v_change.name, v_change.before;
        end if;
        execute v_new;
    end loop;
end
$$;
