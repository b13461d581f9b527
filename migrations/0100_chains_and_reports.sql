-- A message that replaces another is not sent once that one has arrived: also one that was being sent then, was refused, and waits for its next
-- try.
create function communications.is_reached_before(p_tenant uuid, p_message uuid) returns boolean
    language sql stable as $$
    select exists (select from communications.chain_of(p_tenant, p_message) earlier
                     join communications.messages next on next.tenant_id = p_tenant and next.fallback_of = earlier.id
                    where earlier.place < 0
                      and (earlier.status = 'READ' or earlier.status = 'DELIVERED' and next.fallback_reason <> 'NOT_READ'));
$$;
comment on function communications.is_reached_before(uuid, uuid) is
    'Has one of the messages that this one replaces, at whatever remove, arrived after all, as far as the next one waited for it?';

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('claim_messages', $f$               case when m.expires_at <= now() then 'EXPIRED'
$f$,
$f$               case when m.expires_at <= now() then 'EXPIRED'
                    when m.fallback_of is not null and communications.is_reached_before(m.tenant_id, m.id) then 'REACHED'
$f$),
            ('claim_messages', $f$                    when g.next = 'CLOSED' then 'EXPIRED'
$f$,
$f$                    when g.next = 'CLOSED' then 'EXPIRED'
                    when g.next = 'REACHED' then 'CANCELLED'
$f$),
            ('claim_messages', $f$               failed_code = case v.next when 'CLOSED' then 'window-closed'
$f$,
$f$               failed_code = case v.next when 'CLOSED' then 'window-closed'
                                         when 'REACHED' then 'reached'
$f$),
            ('claim_messages', $f$               failed_reason = case v.next when 'CLOSED' then 'more than 24 hours since the contact wrote'
$f$,
$f$               failed_reason = case v.next when 'CLOSED' then 'more than 24 hours since the contact wrote'
                                           when 'REACHED' then 'the message before it arrived after all'
$f$)) as x (name, old, new)
    loop
        v_old := pg_get_functiondef(('communications.' || f.name)::regproc);
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', f.name, f.old;
        end if;
        execute v_new;
    end loop;
end
$$;

-- Resuming waits for what is being decided just now, as pausing does: it rested after all otherwise, and nobody woke it. What a report says to
-- have failed is the send before, and tells nothing of a message that waits for the next.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('hold_run', $f$      where m.tenant_id = p_tenant and m.run_id = p_run and p_hold
$f$,
$f$      where m.tenant_id = p_tenant and m.run_id = p_run
$f$),
            ('project_reports', $f$         where m.attempts > 0 and m.status not in ('SUPPRESSED', 'SIMULATED', 'CANCELLED', 'EXPIRED')
$f$,
$f$         where m.attempts > 0 and m.status not in ('SUPPRESSED', 'SIMULATED', 'CANCELLED', 'EXPIRED')
           and not (m.status = 'QUEUED' and b.status_else is null)
$f$)) as x (name, old, new)
    loop
        v_old := pg_get_functiondef(('communications.' || f.name)::regproc);
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', f.name, f.old;
        end if;
        execute v_new;
    end loop;
end
$$;
