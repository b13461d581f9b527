-- A notice of a template's words names its title and nothing of a picture, a film or a place that stands above it, nor what is neither head,
-- body, foot nor buttons: those stay as Meta's list had them.
do $$
declare
    v_old text := pg_get_functiondef('communications.store_template_notices'::regproc);
    v_new text := replace(v_old,
        'components = case when excluded.components_at >= coalesce(t.components_at, ''-infinity'') then excluded.components else t.components end',
        'components = case when excluded.components_at >= coalesce(t.components_at, ''-infinity'')
                             then coalesce((select jsonb_agg(c.value order by c.n)
                                              from jsonb_array_elements(case jsonb_typeof(t.components) when ''array'' then t.components end)
                                                   with ordinality as c (value, n)
                                             where c.value ->> ''type'' not in (''HEADER'', ''BODY'', ''FOOTER'', ''BUTTONS'')
                                                or c.value ->> ''type'' = ''HEADER'' and c.value ->> ''format'' <> ''TEXT''
                                               and not excluded.components @> ''[{"type": "HEADER"}]''), ''[]'')
                                  || excluded.components
                             else t.components end');
begin
    if v_new = v_old then
        raise exception 'nothing to replace in store_template_notices';
    end if;
    execute v_new;
end
$$;
