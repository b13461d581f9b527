-- What a report of FAILED may and may not say about a message.

do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select p.oid::regprocedure as name, pg_get_functiondef(p.oid) as old, x.was, x.becomes
          from (values
                ('project_reports',
                 array ['    v_sent     timestamptz[];
begin',
                        '               (array_agg(r.external order by r.at))[1] as external,
',
                        'b.sent_at as new_sent,',
                        'b.failed_at as new_failed, b.code, b.reason
          from best b join communications.messages m on m.tenant_id = b.tenant_id and m.id = b.id
',
                        'projected_status(m.status, m.attempts, b.status) as projected, b.status as reported,',
                        '        returning m.tenant_id, m.id, m.status, m.sent_at)
    select array_agg(c.tenant_id), array_agg(c.id), array_agg(c.status), array_agg(c.sent_at)
      into v_tenants, v_ids, v_statuses, v_sent
      from changed c;
',
                        '    if v_ids is null then
        return;
    end if;
'],
                 array ['    v_sent     timestamptz[];
    v_doubted  boolean[];
begin',
                        '               (array_agg(r.external order by r.at))[1] as external,
               array_agg(r.external) filter (where r.status = ''FAILED'') as failed,
               (array_agg(r.status order by communications.delivery_rank(r.status) desc) filter (where r.status <> ''FAILED''))[1]
                   as status_else,
',
                        'case when f.counts or b.status_else is not null then b.sent_at end as new_sent,',
                        'case when f.counts then b.failed_at end as new_failed,
               case when f.counts then b.code end as code, case when f.counts then b.reason end as reason
          from best b join communications.messages m on m.tenant_id = b.tenant_id and m.id = b.id
         -- A message that was sent again has another id at the provider: that the earlier send failed says nothing about it.
         cross join lateral (select coalesce(m.external_message_id = any(b.failed), true) as counts) f
',
                        'projected_status(m.status, m.attempts, case when f.counts then b.status else b.status_else end) as projected,
               b.status as reported,',
                        '        returning m.tenant_id, m.id, m.status, m.sent_at, l.failed_at is not null as doubted)
    select array_agg(c.tenant_id), array_agg(c.id), array_agg(c.status), array_agg(c.sent_at), array_agg(c.doubted)
      into v_tenants, v_ids, v_statuses, v_sent, v_doubted
      from changed c;
',
                        '    if v_ids is null then
        return;
    end if;

    -- Whoever waited above for the FAILED of another transaction did not see its report there; this statement does.
    if true = any(v_doubted) then
        update communications.messages m
           set failed_at = e.failed_at, failed_code = e.code, failed_reason = e.reason
          from unnest(v_tenants, v_ids, v_doubted) as d (tenant_id, id, doubted)
         cross join lateral (
               select min(e.occurred_at) as failed_at, min(e.failure_code) as code, min(e.failure_reason) as reason
                 from communications.message_status_events e
                where e.tenant_id = d.tenant_id and e.message_id = d.id and e.status = ''FAILED'') e
         where d.doubted and m.tenant_id = d.tenant_id and m.id = d.id and m.failed_at is null and e.failed_at is not null;
    end if;
'])) as x (name, was, becomes)
          join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := f.old;
        for n in 1 .. cardinality(f.was) loop
            if position(f.was[n] in v_new) = 0 then
                raise exception 'nothing to replace in %: %', f.name, f.was[n];
            end if;
            v_new := replace(v_new, f.was[n], f.becomes[n]);
        end loop;
        execute v_new;
    end loop;
end
$$;
