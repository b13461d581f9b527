-- Of a template's words the newest count as well, whichever came last; and what Meta announces of it is seen, until its status is heard again.
alter table communications.whatsapp_templates add column components_at timestamptz;

do $$
declare
    v_text text := pg_get_functiondef('communications.store_template_notices'::regproc);
    v_old text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('reason, components)', 'reason, components, components_at)'),
            ('(array_agg(n.reason order by n.at desc, n.n desc) filter (where n.status is not null))[1],',
             '(array_agg(n.reason order by n.at desc, n.n desc) filter (where n.status is not null or n.reason is not null))[1],'),
            ('filter (where n.components is not null))[1]',
             'filter (where n.components is not null))[1],
           max(n.at) filter (where n.components is not null)'),
            ('then excluded.reason else t.reason end',
             'then excluded.reason
                         when excluded.status_at is null then coalesce(excluded.reason, t.reason)
                         else t.reason end'),
            ('components = coalesce(excluded.components, t.components),',
             'components = case when excluded.components_at >= coalesce(t.components_at, ''-infinity'') then excluded.components else t.components end,
           components_at = greatest(t.components_at, excluded.components_at),'))
            as c (before, after)
    loop
        v_old := v_text;
        v_text := replace(v_old, v_change.before, v_change.after);
        if v_text = v_old then
            raise exception 'nothing to replace in store_template_notices: %', v_change.before;
        end if;
    end loop;
    execute v_text;
end
$$;
