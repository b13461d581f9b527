-- Who reads STOP at a mailbox or a phone reads everything that comes there. 0086 wrote it down as a no of everybody whom we had written to
-- there: it had to find them, could not tell their own no from it, and a wish that came late met what others had said since. It is the
-- address's now: its last words of each kind by the clock of who said them, in whatever order they come. What somebody agrees to later
-- themselves counts more for them.
create table communications.address_wishes (
    tenant_id         uuid not null,
    channel           text not null check (channel in ('EMAIL', 'SMS')),
    -- In lower case.
    address           text not null check (address <> '' and address = lower(address)),
    stop_at           timestamptz,
    stop_marketing_at timestamptz,
    start_at          timestamptz,
    start_marketing_at timestamptz,
    -- Since when nothing is wanted there, and since when no marketing; null while it is. At one moment the no counts.
    refused_at        timestamptz generated always as
                          (case when stop_at >= coalesce(start_at, '-infinity') then stop_at end) stored,
    marketing_refused_at timestamptz generated always as
                          (greatest(case when stop_at >= coalesce(start_at, '-infinity') then stop_at end,
                                    case when stop_marketing_at >= coalesce(start_marketing_at, '-infinity')
                                         then stop_marketing_at end)) stored,
    primary key (tenant_id, channel, address)
);

-- Does whoever reads at this address want nothing of this category, and has this contact agreed to nothing since? The claim has it
-- written out.
create function communications.address_refuses(p_tenant uuid, p_contact uuid, p_channel text, p_category text, p_address text)
    returns boolean
    language sql stable parallel safe
return p_category <> 'SERVICE' and exists (
    select from communications.address_wishes w
     cross join lateral (select case p_category when 'MARKETING' then w.marketing_refused_at else w.refused_at end as at) said
     where w.tenant_id = p_tenant and w.channel = p_channel and w.address = lower(p_address) and said.at is not null
       and not exists (select from communications.consents c
                        where c.tenant_id = p_tenant and c.contact_id = p_contact and c.channel = p_channel and c.category = p_category
                          and c.granted and c.at > said.at));

-- [{"tenant_id", "contact_id", "channel", "wish", "basis", "source", "at", "address"}], all of one time; "address", of mails and texts, is
-- where they are read. The no counts.
create or replace function communications.note_wishes_at_once(p jsonb) returns void
    language sql
as $$
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
    select distinct on (w.tenant_id, w.contact_id, w.channel, c.category)
           w.tenant_id, communications.uuid_v7(), w.contact_id, w.channel, c.category, c.granted, w.basis, w.source, lower(w.address),
           -- A clock ahead of ours must not outlast a later wish.
           least(w.at, now())
      from jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, basis text, source text, at timestamptz,
                                       address text)
      join (values ('STOP', 'OTP', false), ('STOP', 'TRANSACTIONAL', false), ('STOP', 'MARKETING', false),
                   ('STOP_MARKETING', 'MARKETING', false), ('START_MARKETING', 'MARKETING', true),
                   ('START', 'OTP', true), ('START', 'TRANSACTIONAL', true), ('START', 'MARKETING', true))
           as c (wish, category, granted) on c.wish = w.wish
      -- The same again.
     where not exists (select from communications.consents known
                        where known.tenant_id = w.tenant_id and known.contact_id = w.contact_id and known.channel = w.channel
                          and known.category = c.category and known.granted = c.granted and known.source = w.source
                          and known.at = least(w.at, now()))
       -- What was there before a full stop, and nothing that was never agreed to.
       and (w.wish <> 'START' or c.category <> 'MARKETING'
            or (select before.granted from communications.consents before
                 where before.tenant_id = w.tenant_id and before.contact_id = w.contact_id
                   and before.channel = w.channel and before.category = 'MARKETING' and before.at <= w.at
                   and (before.granted
                        or not exists (select from communications.consents stop
                                        where stop.tenant_id = before.tenant_id and stop.contact_id = before.contact_id
                                          and stop.channel = before.channel and stop.category = 'TRANSACTIONAL'
                                          and not stop.granted and stop.at = before.at and stop.source = before.source))
                 order by before.at desc, before.id desc limit 1))
     order by w.tenant_id, w.contact_id, w.channel, c.category, c.granted;
$$;

create or replace function communications.note_wishes(p jsonb) returns void
    language plpgsql
as $$
declare
    v_wishes jsonb;
begin
    -- One time after the other: what START gives back depends on what was said before it.
    for v_wishes in
        select jsonb_agg(w.value) from jsonb_array_elements(p) as w (value)
         group by least((w.value ->> 'at')::timestamptz, now()) order by least((w.value ->> 'at')::timestamptz, now())
    loop
        perform communications.note_wishes_at_once(v_wishes);
    end loop;

    insert into communications.address_wishes as w
           (tenant_id, channel, address, stop_at, stop_marketing_at, start_at, start_marketing_at)
    select s.tenant_id, s.channel, lower(s.address), max(s.at) filter (where s.wish = 'STOP'),
           max(s.at) filter (where s.wish = 'STOP_MARKETING'), max(s.at) filter (where s.wish = 'START'),
           max(s.at) filter (where s.wish = 'START_MARKETING')
      from (select r.tenant_id, r.channel, r.address, r.wish, least(r.at, now()) as at
              from jsonb_to_recordset(p) as r (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, address text)
             where r.channel in ('EMAIL', 'SMS') and r.address <> ''
               -- Told late, by whoever has left the number since: of who has it now it says nothing.
               and not exists (select from communications.contact_former_identities f
                                where f.tenant_id = r.tenant_id and f.contact_id = r.contact_id and f.kind = 'phone'
                                  and f.value = r.address and f.until >= r.at)) s
     group by s.tenant_id, s.channel, lower(s.address)
     order by s.tenant_id, s.channel, lower(s.address)
    on conflict on constraint address_wishes_pkey do update
       set stop_at = greatest(w.stop_at, excluded.stop_at),
           stop_marketing_at = greatest(w.stop_marketing_at, excluded.stop_marketing_at),
           start_at = greatest(w.start_at, excluded.start_at),
           start_marketing_at = greatest(w.start_marketing_at, excluded.start_marketing_at);

    -- What bounced or was complained about: where it was said, and at every address of whoever said it.
    delete from communications.suppressions s
     using jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, address text)
     where w.wish = 'START' and s.tenant_id = w.tenant_id and s.channel = w.channel and s.at < w.at
       and s.address in (select lower(w.address)
                          union all
                         select i.value from communications.contact_identities i
                          where i.tenant_id = w.tenant_id and i.contact_id = w.contact_id
                            and i.kind = case w.channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end);
end
$$;

-- Whoever said stop gets answers to what they write, for a day or for as long as they go on after it; so does whoever is written to at an
-- address where it was said.
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
                  and (least(m.thread_at, m.created_at) > no.at or m.thread_at > now() - interval '24 hours')));

do $$
declare
    v_old text;
    v_new text;
    f     record;
begin
    for f in
        select * from (values
            ('claim_messages', '                    -- Nobody lives there, or whoever does has complained',
             '                    -- communications.address_refuses, written out.
                    when m.category <> ''SERVICE'' and m.channel in (''EMAIL'', ''SMS'') and exists (
                        select from communications.address_wishes w
                         cross join lateral (
                               select case m.category when ''MARKETING'' then w.marketing_refused_at else w.refused_at end as at) said
                         where w.tenant_id = m.tenant_id and w.channel = m.channel and w.address = lower(m.address) and said.at is not null
                           and not exists (select from communications.consents c
                                            where c.tenant_id = m.tenant_id and c.contact_id = m.contact_id and c.channel = m.channel
                                              and c.category = m.category and c.granted and c.at > said.at)) then ''SUPPRESSED''
                    -- Nobody lives there, or whoever does has complained'),
            ('replay_candidates', 'select m.id, m.channel, m.category, m.contact_id, m.account_id, m.content, tried.class',
             'select m.id, m.channel, m.category, m.contact_id, m.account_id, m.address, m.content, tried.class'),
            ('replay_candidates', 'when not communications.consent_allows(p_tenant, m.contact_id, m.channel, m.category) then ''NO_CONSENT''',
             'when not communications.consent_allows(p_tenant, m.contact_id, m.channel, m.category)
                        or communications.address_refuses(p_tenant, m.contact_id, m.channel, m.category, m.address) then ''NO_CONSENT'''),
            -- What was said at a number before was said by whoever had it.
            ('people_store', '        delete from communications.contact_identities i
         using jsonb_to_recordset(p -> ''given_up'')',
             '        update communications.address_wishes w
           set stop_at = case when w.stop_at > g.at then w.stop_at end,
               stop_marketing_at = case when w.stop_marketing_at > g.at then w.stop_marketing_at end,
               start_at = case when w.start_at > g.at then w.start_at end,
               start_marketing_at = case when w.start_marketing_at > g.at then w.start_marketing_at end
          from (select tenant_id, value, max(at) as at
                  from jsonb_to_recordset(p -> ''given_up'')
                       as g (tenant_id uuid, kind text, value text, at timestamptz, taken_over boolean)
                 where kind = ''phone'' and taken_over is not true
                 group by tenant_id, value) g
         where w.tenant_id = g.tenant_id and w.channel = ''SMS'' and w.address = g.value;
        delete from communications.contact_identities i
         using jsonb_to_recordset(p -> ''given_up'')')) as x (name, old, new)
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

-- What was said so far; of those who share an address only the address's.
insert into communications.address_wishes (tenant_id, channel, address, stop_at, stop_marketing_at, start_at)
select s.tenant_id, s.channel, s.address, max(s.at) filter (where s.wish = 'STOP'),
       max(s.at) filter (where s.wish = 'STOP_MARKETING'), max(s.at) filter (where s.wish = 'START')
  from (select c.tenant_id, c.channel, c.address, c.at,
               case when bool_or(c.category = 'TRANSACTIONAL' and not c.granted) then 'STOP'
                    when bool_or(c.category = 'TRANSACTIONAL' and c.granted) then 'START'
                    when bool_or(not c.granted) then 'STOP_MARKETING' end as wish
          from communications.consents c
         where c.address <> '' and c.channel in ('EMAIL', 'SMS') and c.basis not in ('opt-out', 'said at their address')
           -- Of whoever gave the number up since, it says nothing of who has it now.
           and not exists (select from communications.contact_former_identities f
                            where f.tenant_id = c.tenant_id and f.contact_id = c.contact_id and f.kind = 'phone' and f.value = c.address
                              and f.until >= c.at)
         group by c.tenant_id, c.contact_id, c.channel, c.address, c.at, c.source) s
 where s.wish is not null
 group by s.tenant_id, s.channel, s.address;

delete from communications.consents where basis = 'said at their address';
