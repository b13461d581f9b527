-- An automatic answer to a mail that arrived is no failure of it.
do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('project_reports', 'coalesce(m.external_message_id = any(b.failed), true) as counts)',
             'coalesce(m.external_message_id = any(b.failed), true)
                                    -- What SES says of an automatic answer, too, and of no other.
                                    and not (b.code = ''Bounce/Transient/General''
                                             and (m.status in (''DELIVERED'', ''READ'') or b.delivered_at is not null)) as counts)'))
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
