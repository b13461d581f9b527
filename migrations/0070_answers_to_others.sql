-- A mail's answer is of the contact whom a message of ours went to; what another customer wrote names nobody.
do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('mail_load', 'm.contact_id, m.address, m.external_message_id
            from', 'm.contact_id, m.address, m.external_message_id, m.direction = ''OUTBOUND'' as ours
            from'))
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
