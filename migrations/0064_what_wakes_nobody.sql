-- A notice of the provider's, or a mail that a machine wrote, opens no thread that waits for somebody where there was none.
do $$
declare
    v_old text := pg_get_functiondef('communications.store_messages'::regproc);
    v_new text;
begin
    for n in 1 .. 3 loop
        v_new := case n
            when 1 then replace(v_old, 'direction text, muted boolean, preview text, sent_at timestamptz)
             where r.id = any(v_ids)
               and not exists', 'direction text, wakes boolean, muted boolean, preview text, sent_at timestamptz)
             where r.id = any(v_ids)
               and not exists')
            when 2 then replace(v_old, 'count(*) filter (where r.direction = ''INBOUND'' and r.muted is not true) as inbound,
                   case when', 'count(*) filter (where r.direction = ''INBOUND'' and r.muted is not true) as inbound,
                   bool_or(r.wakes or r.direction = ''OUTBOUND'') as wakes,
                   case when')
            else replace(v_old, '-- Nothing but muted messages: a thread that waits for nobody.
            select a.tenant_id, communications.uuid_v7(), a.contact_id, case when a.last_at is null then',
                         '-- Nothing but muted messages, or such as wake nobody: a thread that waits for nobody.
            select a.tenant_id, communications.uuid_v7(), a.contact_id, case when a.last_at is null or not a.wakes then')
        end;
        if v_new = v_old then
            raise exception 'nothing to replace in store_messages: %', n;
        end if;
        v_old := v_new;
    end loop;
    execute v_new;
end
$$;
