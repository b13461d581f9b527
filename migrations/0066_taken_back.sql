-- A message that its writer took back shows no files either, and an edit that leaves the caption out takes it away.
do $$
declare
    v_old text;
    v_new text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('apply_revisions', 'then m.content || c.new_content', 'then (m.content - ''caption'') || c.new_content'),
            ('apply_revisions', 'edited_at = case c.kind', 'media = case when c.kind <> ''REVOKE'' then m.media end,
               edited_at = case c.kind'),
            ('show_new_files', 'and m.id = f.message_id;', 'and m.id = f.message_id and m.revoked_at is null;'),
            ('show_changed_file', 'and m.id = new.message_id;', 'and m.id = new.message_id and m.revoked_at is null;'))
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

update communications.messages set media = null where revoked_at is not null and media is not null;
