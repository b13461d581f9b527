-- Reports that never find a message (another program's number, messages from before) pile up; the scan looks at the new ones alone.
create index message_status_events_waiting_since on communications.message_status_events (received_at) where message_id is null;

-- Claims take an account's slots before a tenant's spending and a recipient's pace, settles the other way round: what waits for a slot gets its
-- turn in a transaction of its own, after the settle, which only says where something waits. The row goes as one without a lane, of which a
-- worker from before makes nothing.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('settle_messages', $f$    if exists (select from unnest(v_account_tenants, v_accounts) as a (tenant_id, account_id)
                join communications.messages m on m.tenant_id = a.tenant_id and m.account_id = a.account_id
                 and m.queue_status = 'QUEUED' and m.hint_at = '-infinity' and m.due_at <= now()) then
        return query select 'HINT', r.tenant_id, r.message_id, r.lane, r.hint_in
                       from communications.release_waiting(v_account_tenants, v_accounts, 0) r;
    end if;
$f$,
$f$    return query
        select 'WAITING', a.tenant_id, a.account_id, '', null::double precision
          from (select distinct a.tenant_id, a.account_id from unnest(v_account_tenants, v_accounts) as a (tenant_id, account_id)) a
         where exists (select from communications.messages m
                        where m.tenant_id = a.tenant_id and m.account_id = a.account_id
                          and m.queue_status = 'QUEUED' and m.hint_at = '-infinity' and m.due_at <= now());
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

-- A breaker that is open for longer stays so, a try is over with its own end alone, and goes to a message that may be sent.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('apply_effects', $f$           open_until = case when b.failures < 5 and b.failures + excluded.failures >= 5 then now() + interval '30 seconds'
$f$,
$f$           open_until = case when b.failures < 5 and b.failures + excluded.failures >= 5
                             then greatest(b.open_until, now() + interval '30 seconds')
$f$),
            ('apply_effects', $f$                             else b.open_until end,
           probe_id = null;
$f$,
$f$                             else b.open_until end,
           probe_id = case when b.probe_id <> all(p_ids) then b.probe_id end;
$f$),
            ('apply_effects', $f$                                                              * 2 ^ least(10, b.throttles)) * interval '1 second') end,
           probe_id = null;
$f$,
$f$                                                              * 2 ^ least(10, b.throttles)) * interval '1 second') end,
           probe_id = case when b.probe_id <> all(p_ids) then b.probe_id end;
$f$),
            ('claim_messages', $f$                 where d.next = 'SENDING' and d.tripped and d.open_until <= now()
$f$,
$f$                 where d.next = 'SENDING' and d.tripped and d.open_until <= now() and coalesce(d.pair_free <= now(), true)
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

-- Two deliveries of the same reports meet in one order.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('record_reports_of', $f$                     raw, price)
        on conflict on constraint message_status_events_key do nothing
$f$,
$f$                     raw, price)
         order by r.tenant_id, r.account_id, r.external_message_id, r.provider_status
        on conflict on constraint message_status_events_key do nothing
$f$),
            ('apply_reported', $f$               at = case when suppressions.reason = excluded.reason then greatest(suppressions.at, excluded.at) else excluded.at end
         -- COMPLAINT is the greater word.
         where excluded.reason >= suppressions.reason;
$f$,
$f$               at = greatest(suppressions.at, excluded.at)
         where suppressions.reason <> excluded.reason or suppressions.at < excluded.at;
$f$),
            ('apply_reported', $f$           set reason = excluded.reason,
$f$,
$f$           -- COMPLAINT is the greater word, and either counts from the later of the two.
           set reason = greatest(suppressions.reason, excluded.reason),
$f$),
            ('store_template_list', $f$coalesce(t.status_at, '-infinity') < p_at$f$,
$f$coalesce(greatest(t.status_at, t.category_at, t.quality_at, t.components_at), '-infinity') < p_at$f$),
            ('take_from_echo', $f$    update communications.message_prices p set message_id = p_ours where p.tenant_id = p_tenant and p.message_id = p_echo;
$f$,
$f$    -- What was said of either was said of the same message: ours stands where both have a price.
    delete from communications.message_prices p
     where p.tenant_id = p_tenant and p.message_id = p_echo
       and exists (select from communications.message_prices o where o.tenant_id = p_tenant and o.message_id = p_ours);
    update communications.message_prices p set message_id = p_ours where p.tenant_id = p_tenant and p.message_id = p_echo;
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

-- What the provider took over and then reports as failed costs what its price says: not given back a second time.
create or replace trigger cap_sms before update of lease_until on communications.messages
    for each row
    when (new.channel = 'SMS' and new.direction = 'OUTBOUND'
          and (new.status = 'SENDING' and old.status = 'QUEUED'
               or old.status = 'SENDING' and (new.status = 'QUEUED' or new.status = 'FAILED' and new.external_message_id is null)))
    execute function communications.cap_sms();
