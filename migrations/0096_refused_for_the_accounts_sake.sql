-- What a provider refuses for the account's own sake (a payment method, a number that is not registered, a domain that is not verified) fails
-- one message after another until somebody mends the account: it is a notice about the account, once a day for each code.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('apply_effects', '     order by m.tenant_id, m.contact_id, m.channel, c.category, e.at desc nulls first;
',
'     order by m.tenant_id, m.contact_id, m.channel, c.category, e.at desc nulls first;

    insert into communications.channel_account_events (tenant_id, id, account_id, field, event, alert, occurred_at, raw, raw_hash)
    select distinct on (m.tenant_id, m.account_id, n.raw_hash)
           m.tenant_id, communications.uuid_v7(), m.account_id, ''messages'', e.code, true, n.at,
           jsonb_build_object(''code'', e.code, ''message_id'', m.id), n.raw_hash
      from unnest(p_tenants, p_ids, p_codes, p_effects, p_at) as e (tenant_id, id, code, effect, at)
      join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
     cross join lateral (select least(coalesce(e.at, now()), now()) as at) t
     cross join lateral (select t.at, sha256(convert_to(concat_ws('' '', ''refused'', e.code, (t.at at time zone ''UTC'')::date), ''UTF8''))
                                as raw_hash) n
     where e.effect = ''NOTICE''
     order by m.tenant_id, m.account_id, n.raw_hash, n.at
    on conflict on constraint channel_account_events_key do nothing;
'),
            ('record_reports_of', '    v_parked    jsonb := ''[]'';
', '    v_parked    jsonb := ''[]'';
    v_alerts    bigint := 0;
'),
            ('record_reports_of', '        select coalesce(jsonb_agg(e.id), ''[]'') into v_parked
          from unnest(v_ids, v_effects, v_at) as e (id, effect, at)
         where e.effect = ''PARK_HOLD'' and communications.reported_hold(e.at) > now();
', '        select coalesce(jsonb_agg(e.id) filter (where e.effect = ''PARK_HOLD'' and communications.reported_hold(e.at) > now()), ''[]''),
               count(*) filter (where e.effect = ''NOTICE'')
          into v_parked, v_alerts
          from unnest(v_ids, v_effects, v_at) as e (id, effect, at);
'),
            ('record_reports_of', 'return jsonb_build_object(''new'', cardinality(v_logged), ''waiting'', cardinality(v_logged) - cardinality(v_ids), ''parked'', v_parked);
end', 'return jsonb_build_object(
        ''new'', cardinality(v_logged), ''waiting'', cardinality(v_logged) - cardinality(v_ids), ''parked'', v_parked, ''alerts'', v_alerts);
end')) as x (name, old, new)
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
