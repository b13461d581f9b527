-- A message that is sent again by hand or in bulk goes to the same person by the same rule: its copy is asked for quiet hours when it is
-- claimed, as the original was.
do $$
declare
    v_old text := pg_get_functiondef('communications.copy_messages'::regproc);
    v_new text;
begin
    v_new := replace(replace(v_old, 'units, replay_of)', 'units, replay_of, quiet_hours)'), 'm.units, m.id
', 'm.units, m.id, m.quiet_hours
');
    if length(v_new) <> length(v_old) + length(', quiet_hours') + length(', m.quiet_hours') then
        raise exception 'nothing to replace in copy_messages';
    end if;
    execute v_new;
end
$$;
