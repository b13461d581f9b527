-- Of messages that fail for their account's own sake only what is new rings: the first of a day for each code.
create function communications.note_refusals(p_tenants uuid[], p_ids uuid[], p_codes text[], p_effects text[], p_at timestamptz[])
    returns table (tenant_id uuid, account_id uuid)
    language plpgsql as $$
#variable_conflict use_column
begin
    if not p_effects @> array ['NOTICE'] then
        return;
    end if;
    return query
    insert into communications.channel_account_events (tenant_id, id, account_id, field, event, alert, occurred_at, raw, raw_hash)
    select distinct on (m.tenant_id, m.account_id, n.raw_hash)
           m.tenant_id, communications.uuid_v7(), m.account_id, 'messages', e.code, true, n.at,
           jsonb_build_object('code', e.code, 'message_id', m.id), n.raw_hash
      from unnest(p_tenants, p_ids, p_codes, p_effects, p_at) as e (tenant_id, id, code, effect, at)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     cross join lateral (select least(coalesce(e.at, now()), now()) as at) t
     cross join lateral (select t.at, sha256(convert_to(concat_ws(' ', 'refused', e.code, (t.at at time zone 'UTC')::date), 'UTF8'))
                                as raw_hash) n
     where e.effect = 'NOTICE'
     order by m.tenant_id, m.account_id, n.raw_hash, n.at
    on conflict on constraint channel_account_events_key do nothing
    returning tenant_id, account_id;
end
$$;
comment on function communications.note_refusals(uuid[], uuid[], text[], text[], timestamptz[]) is
    'Notes that a provider refused messages for their account''s own sake, once a day for each account and code; answers what is new.';

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('apply_effects', $f$
    insert into communications.channel_account_events (tenant_id, id, account_id, field, event, alert, occurred_at, raw, raw_hash)
    select distinct on (m.tenant_id, m.account_id, n.raw_hash)
           m.tenant_id, communications.uuid_v7(), m.account_id, 'messages', e.code, true, n.at,
           jsonb_build_object('code', e.code, 'message_id', m.id), n.raw_hash
      from unnest(p_tenants, p_ids, p_codes, p_effects, p_at) as e (tenant_id, id, code, effect, at)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     cross join lateral (select least(coalesce(e.at, now()), now()) as at) t
     cross join lateral (select t.at, sha256(convert_to(concat_ws(' ', 'refused', e.code, (t.at at time zone 'UTC')::date), 'UTF8'))
                                as raw_hash) n
     where e.effect = 'NOTICE'
     order by m.tenant_id, m.account_id, n.raw_hash, n.at
    on conflict on constraint channel_account_events_key do nothing;
$f$,
''),
            ('record_reports_of', $f$        select coalesce(jsonb_agg(e.id) filter (where e.effect = 'PARK_HOLD' and communications.reported_hold(e.at) > now()), '[]'),
               count(*) filter (where e.effect = 'NOTICE')
          into v_parked, v_alerts
          from unnest(v_ids, v_effects, v_at) as e (id, effect, at);
$f$,
$f$        select count(*) into v_alerts from communications.note_refusals(v_tenants, v_ids, v_codes, v_effects, v_at);
        select coalesce(jsonb_agg(e.id), '[]') into v_parked
          from unnest(v_ids, v_effects, v_at) as e (id, effect, at)
         where e.effect = 'PARK_HOLD' and communications.reported_hold(e.at) > now();
$f$),
            ('settle_messages', $f$        perform communications.fail_over(p_tenants, p_ids);
$f$,
$f$        perform communications.fail_over(p_tenants, p_ids);
        return query select 'ALERT', n.tenant_id, n.account_id, '', null::double precision
                       from communications.note_refusals(p_tenants, p_ids, p_codes, p_effects, null) n;
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
