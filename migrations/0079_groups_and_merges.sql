-- What was written to a group opens nobody's own window when a merge is undone, either.
do $$
declare
    v_old text := pg_get_functiondef('communications.unmerge_contacts'::regproc);
    v_new text;
begin
    v_new := replace(v_old, 'm.content ->> ''type'' is distinct from ''system''',
                     'm.content ->> ''type'' is distinct from ''system'' and not coalesce(m.context ? ''group_id'', false)');
    if v_new = v_old then
        raise exception 'nothing to replace in unmerge_contacts';
    end if;
    execute v_new;
end
$$;
