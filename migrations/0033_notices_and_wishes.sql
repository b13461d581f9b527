-- Notices of providers that decide something are outranked only by what decides the same, and every no is written down.

-- What a notice about an account decides, of which the newest counts: STATUS, QUALITY, TIER, NAME; null is nothing.
alter table communications.channel_account_events
    add column decides text check (decides in ('STATUS', 'QUALITY', 'TIER', 'NAME'));

-- Those from before, once; a clock ahead of ours must not outlast a later notice. What they were read as is in shared/providers
-- (whatsapp/webhook/account.rs).
alter table communications.channel_account_events disable trigger append_only;
update communications.channel_account_events
   set occurred_at = least(occurred_at, received_at),
       decides = case
           when field = 'account_update'
                and (event in ('ACCOUNT_DELETED', 'PARTNER_REMOVED', 'PARTNER_APP_UNINSTALLED', 'ACCOUNT_OFFBOARDED', 'ACCOUNT_RECONNECTED')
                     or event = 'DISABLED_UPDATE'
                        and raw #>> '{changes,0,value,ban_info,waba_ban_state}' in ('DISABLE', 'REINSTATE')) then 'STATUS'
           when field = 'phone_number_quality_update' and event in ('FLAGGED', 'UNFLAGGED') then 'QUALITY'
           when field = 'phone_number_quality_update' or field = 'business_capability_update' and event <> field then 'TIER'
           when field = 'phone_number_name_update' and event = 'APPROVED' then 'NAME' end;
alter table communications.channel_account_events enable trigger append_only;
update communications.whatsapp_templates
   set status_at = case when status_at > now() then now() else status_at end,
       category_at = case when category_at > now() then now() else category_at end,
       quality_at = case when quality_at > now() then now() else quality_at end
 where greatest(status_at, category_at, quality_at) > now();

-- {"field", "event", "change", "word", "alert", "at", "raw", "raw_hash"}: kept once for each account that it is about, and what it means
-- happens with it. `change` is SUSPENDED (word: why), REINSTATED, QUALITY, TIER, NAME or none. One that comes after a newer one which
-- decided the same is kept and changes nothing; what decides nothing outranks nothing. Those of one payload count in their order.
create or replace function communications.store_account_notices(p jsonb) returns integer
    language plpgsql
as $$
declare
    v_alerts integer;
begin
    with said as (
        select v.*, r.n,
               -- A clock ahead of ours must not outlast a later notice. In whole seconds, as Meta counts: of one second the last to
               -- come is the newest.
               date_trunc('second', least(coalesce(v.at, now()), now())) as happened,
               case when v.change in ('SUSPENDED', 'REINSTATED') then 'STATUS' else v.change end as decides
          from jsonb_array_elements(p) with ordinality as r (notice, n)
         cross join jsonb_to_record(r.notice) as v (tenant_id uuid, account_id uuid, field text, event text, change text, word text,
                    alert boolean, at timestamptz, raw jsonb, raw_hash text)
         where r.notice ->> 'kind' = 'ACCOUNT'),
    about as (
        select distinct on (tenant_id, account_id, raw_hash) * from said order by tenant_id, account_id, raw_hash, n),
    kept as (
        insert into communications.channel_account_events
            (tenant_id, id, account_id, field, event, alert, decides, occurred_at, raw, raw_hash)
        select tenant_id, communications.uuid_v7(), account_id, field, event, alert, decides, happened, raw, decode(raw_hash, 'hex')
          from about
        on conflict on constraint channel_account_events_key do nothing
        returning tenant_id, account_id, alert, raw_hash),
    -- The newest of each kind of change, unless a newer one was here before.
    effective as (
        select distinct on (b.tenant_id, b.account_id, b.decides) b.*
          from about b
          join kept k on k.tenant_id = b.tenant_id and k.account_id = b.account_id and k.raw_hash = decode(b.raw_hash, 'hex')
         where b.decides is not null
           and not exists (select from communications.channel_account_events newer
                            where newer.tenant_id = b.tenant_id and newer.account_id = b.account_id
                              and newer.decides = b.decides and newer.occurred_at > b.happened)
         order by b.tenant_id, b.account_id, b.decides, b.happened desc, b.n desc),
    changes as (
        select e.tenant_id, e.account_id,
               max(e.change) filter (where e.decides = 'STATUS') as state,
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

-- Passages of functions that stay as they are otherwise. inbound_load says each account's number, by which the reader finds whom a
-- notice is about. And a report's no is a row also where nobody had said yes: a merge, and a yes from before that comes late, must find
-- it. The same no twice is one. mail_load says which of a mail's domains are whose: the others' part of the mail is nobody's.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select x.name, x.old, x.new, p.oid
          from (values
                ('inbound_load',
                 'a.id as account_id
                  from',
                 'a.id as account_id, a.sender
                  from'),
                ('apply_effects',
                 'and communications.consent_allows(m.tenant_id, m.contact_id, m.channel, c.category)',
                 'and coalesce((select known.granted from communications.consents known
                               where known.tenant_id = m.tenant_id and known.contact_id = m.contact_id
                                 and known.channel = m.channel and known.category = c.category
                               order by known.at desc, known.id desc limit 1), true)'),
                ('mail_load',
                 'over (partition by c.tenant_id) as alone',
                 'over (partition by c.tenant_id) as alone,
               array_agg(c.domain) over (partition by c.tenant_id) as domains'),
                ('mail_load',
                 '''alone'', o.alone,',
                 '''alone'', o.alone,
               ''domains'', to_jsonb(o.domains),'),
                ('store_template_notices', 'coalesce(v.at, now()) as at', 'least(coalesce(v.at, now()), now()) as at'))
               as x (name, old, new)
          left join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := replace(pg_get_functiondef(f.oid), f.old, f.new);
        if v_new is null or v_new = pg_get_functiondef(f.oid) then
            raise exception 'nothing to replace in %', f.name;
        end if;
        execute v_new;
    end loop;
end
$$;
