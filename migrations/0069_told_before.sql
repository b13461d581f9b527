-- What is told late counts for when it was said: a notice from before the provider was asked itself changes nothing any more, and a hold that
-- a report tells of ends an hour after the report's own time.
alter table communications.channel_accounts
    -- When the provider was asked what the account is, while it was connected: what it told of before is out of date.
    add column asked_at timestamptz;

alter table communications.channel_account_events
    drop constraint channel_account_events_decides_check,
    add constraint channel_account_events_decides_check check (decides in ('STATUS', 'QUALITY', 'TIER', 'NAME', 'THROUGHPUT'));

do $$
declare
    v_old    text;
    v_new    text;
    v_change record;
begin
    for v_change in
        select * from (values
            ('store_account_notices', 'where b.decides is not null
', 'join communications.channel_accounts a on a.tenant_id = b.tenant_id and a.id = b.account_id
         where b.decides is not null
           and b.happened >= coalesce(date_trunc(''second'', a.asked_at), ''-infinity'')
'),
            ('store_account_notices', 'max(e.word) filter (where e.change = ''NAME'') as name',
             'max(e.word) filter (where e.change = ''NAME'') as name,
               max(e.word) filter (where e.change = ''THROUGHPUT'')::integer as throughput'),
            ('store_account_notices', 'display_name = coalesce(c.name, a.display_name)',
             'display_name = coalesce(c.name, a.display_name),
               throughput_per_second = coalesce(c.throughput, a.throughput_per_second)'),
            ('apply_reported', '               -- How long an account waits on a hold that only a report told of: an hour.
               array_agg(3600::float8),', '               -- How long an account waits on a hold that only a report told of: an hour from then.
               array_agg(extract(epoch from communications.reported_hold(e.at) - now())::float8),'),
            ('apply_reported', 'where e.effect not in ('''', ''BOUNCE'')', 'where e.effect not in ('''', ''BOUNCE'')
        and (e.effect <> ''PARK_HOLD'' or communications.reported_hold(e.at) > now())'),
            ('record_reports_of', 'from unnest(v_ids, v_effects) as e (id, effect) where e.effect = ''PARK_HOLD''',
             'from unnest(v_ids, v_effects, v_at) as e (id, effect, at)
         where e.effect = ''PARK_HOLD'' and communications.reported_hold(e.at) > now()'))
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

-- Until when an account waits on a hold that a report of this moment told of. A clock ahead of ours holds nobody longer.
create function communications.reported_hold(p_at timestamptz) returns timestamptz
    language sql stable parallel safe
    return least(coalesce(p_at, now()), now()) + interval '1 hour';

-- A business account is one tenant's. Whoever disabled its numbers before another tenant proved it hears of it no more.
update communications.channel_accounts a
   set external_account_id = null, waba_id = null, verified_at = null, status_reason = 'the number was connected elsewhere'
 where a.channel = 'WHATSAPP' and a.status = 'DISABLED'
   and exists (select from communications.channel_accounts o
                where o.channel = 'WHATSAPP' and o.waba_id = a.waba_id and o.tenant_id <> a.tenant_id
                  and o.external_account_id is not null and o.status <> 'DISABLED');
