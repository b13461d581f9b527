-- What a provider says about templates and accounts. Elements: {"kind": "TEMPLATE" | "ACCOUNT", "tenant_id", "account_id", ...}.
-- Answers how many new ones a person should look at.
create function communications.store_notices(p jsonb) returns integer
    language plpgsql
as $$
begin
    if p @? '$[*] ? (@.kind == "TEMPLATE")' then
        perform communications.store_template_notices(p);
    end if;
    if p @? '$[*] ? (@.kind == "ACCOUNT")' then
        return communications.store_account_notices(p);
    end if;
    return 0;
end
$$;

-- {"waba_id", "name", "language", "template_id", "status", "category", "quality", "reason", "components", "at"}: for what it says,
-- the newest notice wins. Those of one payload count in their order.
create function communications.store_template_notices(p jsonb) returns void
    language sql
as $$
    insert into communications.whatsapp_templates as t
        (tenant_id, waba_id, name, language, external_template_id, status, status_at, category, category_at, quality, quality_at,
         reason, components)
    select n.tenant_id, n.waba_id, n.name, n.language, (array_agg(n.template_id order by n.n desc) filter (where n.template_id is not null))[1],
           (array_agg(n.status order by n.at desc, n.n desc) filter (where n.status is not null))[1],
           max(n.at) filter (where n.status is not null),
           (array_agg(n.category order by n.at desc, n.n desc) filter (where n.category is not null))[1],
           max(n.at) filter (where n.category is not null),
           (array_agg(n.quality order by n.at desc, n.n desc) filter (where n.quality is not null))[1],
           max(n.at) filter (where n.quality is not null),
           (array_agg(n.reason order by n.at desc, n.n desc) filter (where n.status is not null))[1],
           (array_agg(n.components order by n.at desc, n.n desc) filter (where n.components is not null))[1]
      from (select r.n, v.tenant_id, v.waba_id, v.name, v.language, v.template_id, v.status, v.category, v.quality, v.reason, v.components,
                   coalesce(v.at, now()) as at
              from jsonb_array_elements(p) with ordinality as r (notice, n)
             cross join jsonb_to_record(r.notice) as v (tenant_id uuid, waba_id text, name text, language text, template_id text,
                        status text, category text, quality text, reason text, components jsonb, at timestamptz)
             where r.notice ->> 'kind' = 'TEMPLATE') n
     group by n.tenant_id, n.waba_id, n.name, n.language
     order by n.tenant_id, n.waba_id, n.name, n.language
    on conflict on constraint whatsapp_templates_pkey do update
       set external_template_id = coalesce(excluded.external_template_id, t.external_template_id),
           status = case when excluded.status_at >= coalesce(t.status_at, '-infinity') then excluded.status else t.status end,
           reason = case when excluded.status_at >= coalesce(t.status_at, '-infinity') then excluded.reason else t.reason end,
           status_at = greatest(t.status_at, excluded.status_at),
           category = case when excluded.category_at >= coalesce(t.category_at, '-infinity') then excluded.category else t.category end,
           category_at = greatest(t.category_at, excluded.category_at),
           quality = case when excluded.quality_at >= coalesce(t.quality_at, '-infinity') then excluded.quality else t.quality end,
           quality_at = greatest(t.quality_at, excluded.quality_at),
           components = coalesce(excluded.components, t.components),
           updated_at = now();
$$;

-- {"field", "event", "display_phone_number", "change", "word", "alert", "at", "raw", "raw_hash"}: kept once for each account that it
-- is about, and what it means happens with it. `change` is SUSPENDED (word: why), REINSTATED, QUALITY, TIER, NAME or none. An older
-- notice of a field that comes after a newer one is kept and changes nothing.
create function communications.store_account_notices(p jsonb) returns integer
    language plpgsql
as $$
declare
    v_alerts integer;
begin
    with said as (
        select v.*, coalesce(v.at, now()) as happened
          from jsonb_array_elements(p) as r (notice)
         cross join jsonb_to_record(r.notice) as v (tenant_id uuid, account_id uuid, field text, event text, display_phone_number text,
                    change text, word text, alert boolean, at timestamptz, raw jsonb, raw_hash text)
         where r.notice ->> 'kind' = 'ACCOUNT'),
    about as (
        -- A business account's notice about one number is that number's.
        select distinct on (s.tenant_id, s.account_id, s.raw_hash) s.*
          from said s
          join communications.channel_accounts a on a.tenant_id = s.tenant_id and a.id = s.account_id
         where s.display_phone_number is null
            or regexp_replace(s.display_phone_number, '\D', '', 'g') = regexp_replace(a.sender, '\D', '', 'g')),
    kept as (
        insert into communications.channel_account_events
            (tenant_id, id, account_id, field, event, alert, occurred_at, raw, raw_hash)
        select tenant_id, communications.uuid_v7(), account_id, field, event, alert, happened, raw, decode(raw_hash, 'hex') from about
        on conflict on constraint channel_account_events_key do nothing
        returning tenant_id, account_id, field, occurred_at, alert, raw_hash),
    -- The newest of each kind of change, unless a newer one was here before.
    effective as (
        select distinct on (b.tenant_id, b.account_id, case when b.change in ('SUSPENDED', 'REINSTATED') then 'STATUS' else b.change end)
               b.*
          from about b
          join kept k on k.tenant_id = b.tenant_id and k.account_id = b.account_id and k.raw_hash = decode(b.raw_hash, 'hex')
         where b.change is not null
           and not exists (select from communications.channel_account_events newer
                            where newer.tenant_id = b.tenant_id and newer.account_id = b.account_id
                              and newer.field = b.field and newer.occurred_at > b.happened)
         order by b.tenant_id, b.account_id, case when b.change in ('SUSPENDED', 'REINSTATED') then 'STATUS' else b.change end,
                  b.happened desc),
    changes as (
        select e.tenant_id, e.account_id,
               max(e.change) filter (where e.change in ('SUSPENDED', 'REINSTATED')) as state,
               max(e.word) filter (where e.change = 'SUSPENDED') as reason,
               max(e.word) filter (where e.change = 'QUALITY') as quality,
               max(e.word) filter (where e.change = 'TIER') as tier,
               max(e.word) filter (where e.change = 'NAME') as name
          from effective e
         group by e.tenant_id, e.account_id
         order by e.tenant_id, e.account_id),
    changed as (
        update communications.channel_accounts a
           set status = case when c.state = 'SUSPENDED' and a.status in ('ACTIVE', 'REAUTH_REQUIRED') then 'SUSPENDED'
                             -- Only what a notice suspended is reinstated by one.
                             when c.state = 'REINSTATED' and a.status = 'SUSPENDED' and a.status_reason like 'provider: %' then 'ACTIVE'
                             else a.status end,
               status_reason = case when c.state = 'SUSPENDED' and a.status in ('ACTIVE', 'REAUTH_REQUIRED', 'SUSPENDED') then 'provider: ' || c.reason
                                    when c.state = 'REINSTATED' and a.status = 'SUSPENDED' and a.status_reason like 'provider: %' then null
                                    else a.status_reason end,
               -- A person's business now: what the pipeline suspended for a while does not try by itself any more.
               resume_at = case when c.state = 'SUSPENDED' then null else a.resume_at end,
               quality = coalesce(c.quality, a.quality),
               messaging_tier = coalesce(c.tier, a.messaging_tier),
               display_name = coalesce(c.name, a.display_name)
          from changes c
         where a.tenant_id = c.tenant_id and a.id = c.account_id)
    select count(*) filter (where alert) into v_alerts from kept;
    return coalesce(v_alerts, 0);
end
$$;
