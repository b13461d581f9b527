-- A line that nobody is to notice is not what the list shows.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('store_messages', $f$               (array_agg(r.preview order by r.sent_at desc, r.id desc))[1] as preview,
               case when bool_or(r.written)$f$,
$f$               (array_agg(r.preview order by r.sent_at desc, r.id desc) filter (where r.muted is not true))[1] as preview,
               case when bool_or(r.written)$f$),
            ('store_messages', $f$                   (array_agg(r.preview order by r.sent_at desc, r.id desc))[1] as preview,
                   case when bool_or(r.written)$f$,
$f$                   (array_agg(r.preview order by r.sent_at desc, r.id desc) filter (where r.muted is not true))[1] as preview,
                   least(max(r.sent_at), now()) as at,
                   case when bool_or(r.written)$f$),
            ('store_messages', $f$preview = case when a.last_at >= c.last_message_at then a.preview else c.preview end$f$,
$f$preview = case when a.last_at >= c.last_message_at or c.preview = '' then coalesce(a.preview, c.preview) else c.preview end$f$),
            ('store_messages', $f$coalesce(a.last_at, a.inbound_at, now()), a.inbound_at, a.channel, a.account_id,
                   a.preview,$f$,
$f$coalesce(a.last_at, a.inbound_at, a.at), a.inbound_at, a.channel, a.account_id,
                   coalesce(a.preview, ''),$f$),
            ('recount_threads', $f$left((array_agg(m.body order by m.thread_at desc, m.id desc) filter (where not m.muted))[1], 200) as preview$f$,
$f$left((array_agg(case when m.revoked_at is not null then '[deleted]'
                                       when m.content ->> 'type' = 'email' and m.direction = 'INBOUND'
                                       then concat_ws(' – ', nullif(m.content ->> 'subject', ''), m.body) else m.body end
                                  order by m.thread_at desc, m.id desc) filter (where not m.muted))[1], 200) as preview$f$)) as x (name, old, new)
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

-- Undoing a merge: what the kept one wrote while they were one opens their window too, although the merged one wrote later.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('unmerge_contacts', $f$               case when w.open_until = (r.value ->> 'after')::timestamptz then (r.value ->> 'before')::timestamptz
                    else greatest((r.value ->> 'before')::timestamptz, wrote.open_until) end as restored
$f$,
$f$               greatest((r.value ->> 'before')::timestamptz, wrote.open_until) as restored
$f$),
            ('people_store', $f$        with seen as (
            select distinct on (tenant_id, contact_id) *
              from jsonb_to_recordset(p -> 'known')
                   as k (tenant_id uuid, contact_id uuid, name text, locale text, timezone text, profile uuid)
             order by tenant_id, contact_id)
$f$,
$f$        with seen as (
            select k.tenant_id, k.contact_id, k.name, k.locale, k.timezone,
                   -- One contact for a profile.
                   case when row_number() over (partition by k.tenant_id, k.profile order by k.n) = 1 then k.profile end as profile
              from (select k.tenant_id, k.contact_id, min(k.n) as n,
                           (array_agg(k.name order by k.n) filter (where k.name is not null))[1] as name,
                           (array_agg(k.locale order by k.n) filter (where k.locale is not null))[1] as locale,
                           (array_agg(k.timezone order by k.n) filter (where k.timezone is not null))[1] as timezone,
                           (array_agg(k.profile order by k.n) filter (where k.profile is not null))[1] as profile
                      from rows from (jsonb_to_recordset(p -> 'known')
                               as (tenant_id uuid, contact_id uuid, name text, locale text, timezone text, profile uuid))
                           with ordinality as k (tenant_id, contact_id, name, locale, timezone, profile, n)
                     group by k.tenant_id, k.contact_id) k)
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

-- A clock ahead of ours lets nobody write to whoever said stop.
create or replace function communications.opted_out(p_tenant uuid, p_contact uuid, p_channel text) returns boolean
    language sql stable
return exists (
    select from (
        select said.at
          from (select c.granted, c.at from communications.consents c
                 where c.tenant_id = p_tenant and c.contact_id = p_contact and c.channel = p_channel and c.category = 'TRANSACTIONAL'
                 order by c.at desc, c.id desc limit 1) said
         where not said.granted
         union all
        select w.refused_at
          from communications.contact_identities i
          join communications.address_wishes w
            on w.tenant_id = i.tenant_id and w.channel = p_channel and w.address = i.value
         where i.tenant_id = p_tenant and i.contact_id = p_contact
           and i.kind = case p_channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end
           and communications.address_refuses(p_tenant, p_contact, p_channel, 'TRANSACTIONAL', i.value)) no
     where not exists (
               select from communications.conversations v
                 join communications.messages m on m.tenant_id = v.tenant_id and m.conversation_id = v.id
                where v.tenant_id = p_tenant and v.contact_id = p_contact and m.direction = 'INBOUND' and m.channel = p_channel
                  and communications.is_written(m.content, m.context)
                  and least(m.thread_at, m.created_at) > least(no.at, now() - interval '24 hours')));

create function communications.is_given_back(p communications.consents) returns boolean
    language sql stable
return p.granted and p.category = 'MARKETING'
       and exists (select from communications.consents start
                    where start.tenant_id = p.tenant_id and start.contact_id = p.contact_id and start.channel = p.channel
                      and start.category = 'TRANSACTIONAL' and start.granted and start.at = p.at and start.source = p.source);
comment on function communications.is_given_back(communications.consents) is
    'Is it the yes to marketing that a START brought back, and not one of its own?';

-- "Stop promotions" that comes after the START that followed it: what START gave back was not there any more. A yes of somebody's own in
-- between stands.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('note_wishes', $f$    insert into communications.address_wishes as w
$f$,
$f$    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
    select distinct on (back.id) w.tenant_id, communications.uuid_v7(), w.contact_id, w.channel, 'MARKETING', false, w.basis, w.source,
           lower(w.address), back.at
      from jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, basis text, source text, at timestamptz,
                                       address text)
      join communications.consents back
        on back.tenant_id = w.tenant_id and back.contact_id = w.contact_id and back.channel = w.channel
       and back.category = 'MARKETING' and back.granted and back.at > w.at
     where w.wish = 'STOP_MARKETING' and communications.is_given_back(back)
       and not exists (select from communications.consents own
                        where own.tenant_id = back.tenant_id and own.contact_id = back.contact_id and own.channel = back.channel
                          and own.category = 'MARKETING' and own.granted and own.at > w.at and own.at <= back.at
                          and not communications.is_given_back(own))
       and not exists (select from communications.consents no
                        where no.tenant_id = back.tenant_id and no.contact_id = back.contact_id and no.channel = back.channel
                          and no.category = 'MARKETING' and not no.granted and no.at = back.at and no.id > back.id)
     order by back.id, w.at desc;

    insert into communications.address_wishes as w
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

-- Prices have said their time since 0050.
drop trigger said_first on communications.message_prices;
drop function communications.said_first();
