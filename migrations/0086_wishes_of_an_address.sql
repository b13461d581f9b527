-- People who share a mailbox or a phone are contacts of their own, but whoever reads STOP there reads everything that comes there: a no from an
-- address is one of every contact whom we have written to at it, unless they gave it up or had refused already. START gives the others back
-- what was taken at that address, and nothing that they refused themselves. And one after the other: what was refused by itself in the same
-- payload stays refused when START comes after it.
alter table communications.consents add address text;
comment on column communications.consents.address is 'Where it was said, of mails and texts, in lower case.';

create index messages_to_address on communications.messages (tenant_id, lower(address))
    where direction = 'OUTBOUND' and channel in ('EMAIL', 'SMS');

alter function communications.note_wishes(jsonb) rename to note_wishes_at_once;

do $$
declare
    v_old text := pg_get_functiondef('communications.note_wishes_at_once'::regproc);
    v_new text;
    f     record;
begin
    for f in
        select * from (values
            ('category, granted, basis, source, at)', 'category, granted, basis, source, address, at)'),
            ('c.granted, w.basis, w.source,', 'c.granted, w.basis, w.source, lower(w.address),'),
            ('basis text, source text, at timestamptz)', 'basis text, source text, at timestamptz, address text)'),
            -- For the others, what bounced or was complained about elsewhere is not forgotten.
            ('as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz)
      join', 'as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, basis text, address text)
      join'),
            ('and s.address = i.value and s.at < w.at', 'and s.address = i.value and s.at < w.at
       and (w.basis <> ''said at their address'' or lower(s.address) = lower(w.address))')) as x (old, new)
    loop
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in note_wishes_at_once: %', f.old;
        end if;
        v_old := v_new;
    end loop;
    execute v_new;
end
$$;

-- [{"tenant_id", "contact_id", "channel", "wish", "basis", "source", "at", "address"}]; "address", of mails and texts, is where they are read.
create function communications.note_wishes(p jsonb) returns void
    language plpgsql
as $$
declare
    v_wish    jsonb;
    v_tenant  uuid;
    v_contact uuid;
    v_channel text;
    v_address text;
    v_at      timestamptz;
    v_others  uuid[];
begin
    for v_wish in
        select w.value from jsonb_array_elements(p) with ordinality as w (value, n)
         order by (w.value ->> 'at')::timestamptz, w.n
    loop
        perform communications.note_wishes_at_once(jsonb_build_array(v_wish));
        v_tenant := v_wish ->> 'tenant_id';
        v_contact := v_wish ->> 'contact_id';
        v_channel := v_wish ->> 'channel';
        v_address := lower(v_wish ->> 'address');
        v_at := least((v_wish ->> 'at')::timestamptz, now());
        continue when v_address is null or v_channel not in ('EMAIL', 'SMS');

        select array_agg(distinct communications.living_contact(v_tenant, m.contact_id)) into v_others
          from (select distinct m.contact_id from communications.messages m
                 where m.tenant_id = v_tenant and lower(m.address) = v_address
                   and m.direction = 'OUTBOUND' and m.channel in ('EMAIL', 'SMS') and m.channel = v_channel) m;
        continue when v_others is null;
        -- Locked as merges lock, before anything is looked at.
        perform from communications.contacts c
          where c.tenant_id = v_tenant and c.id = any(v_others) order by c.id for no key update;
        select array_agg(o.id) into v_others
          from unnest(v_others) as o (id)
         where o.id <> v_contact
           and not exists (select from communications.contact_former_identities f
                            where f.tenant_id = v_tenant and f.contact_id = o.id and lower(f.value) in (v_address, ltrim(v_address, '+'))
                              and not exists (select from communications.contact_identities again
                                               where again.tenant_id = v_tenant and again.contact_id = o.id and again.value = f.value));
        continue when v_others is null;

        if v_wish ->> 'wish' in ('STOP', 'STOP_MARKETING') then
            -- Whoever has refused already keeps their own no; and a no that comes late does not outlast the yes that was said after it.
            insert into communications.consents
                (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
            select v_tenant, communications.uuid_v7(), o.id, v_channel, c.category, false, 'said at their address', v_wish ->> 'source',
                   v_address, v_at
              from unnest(v_others) as o (id)
             cross join unnest(case v_wish ->> 'wish' when 'STOP' then array ['OTP', 'TRANSACTIONAL', 'MARKETING']
                                                      else array ['MARKETING'] end) as c (category)
             where coalesce((select k.granted from communications.consents k
                              where k.tenant_id = v_tenant and k.contact_id = o.id and k.channel = v_channel and k.category = c.category
                              order by k.at desc, k.id desc limit 1), true)
               and not coalesce((select k.granted from communications.consents k
                                  where k.tenant_id = v_tenant and k.contact_id = v_contact and k.channel = v_channel
                                    and k.category = c.category and k.at > v_at
                                  order by k.at desc, k.id desc limit 1), false)
             order by o.id, c.category;
        else
            perform communications.note_wishes_at_once(jsonb_agg(
                        v_wish || jsonb_build_object('contact_id', o.id, 'basis', 'said at their address')))
               from unnest(v_others) as o (id)
              cross join lateral (
                    select k.granted, k.address from communications.consents k
                     where k.tenant_id = v_tenant and k.contact_id = o.id and k.channel = v_channel
                       and k.category = case v_wish ->> 'wish' when 'START' then 'TRANSACTIONAL' else 'MARKETING' end
                     order by k.at desc, k.id desc limit 1) said
              where not said.granted and said.address = v_address
                -- What was not there is not given back.
                and (v_wish ->> 'wish' = 'START'
                     or (select k.granted from communications.consents k
                          where k.tenant_id = v_tenant and k.contact_id = o.id and k.channel = v_channel and k.category = 'MARKETING'
                            and (k.granted or k.address is distinct from v_address)
                          order by k.at desc, k.id desc limit 1))
             having count(*) > 0;
        end if;
    end loop;
end
$$;

-- The list that AWS looks at for a text by a sender id or a pool is the AWS account's: a stop on it may have been said to any tenant.
do $$
declare
    v_old text := pg_get_functiondef('communications.apply_effects'::regproc);
    v_new text;
    f     record;
begin
    for f in
        select * from (values
            ('where e.effect in (''OPT_OUT'', ''OPT_OUT_MARKETING'')
       and coalesce(',
             'where e.effect in (''OPT_OUT'', ''OPT_OUT_MARKETING'')
       and not exists (select from communications.channel_accounts a
                        where a.tenant_id = m.tenant_id and a.id = m.account_id
                          and a.provider = ''EUM_SMS'' and coalesce(a.external_account_id, '''') not like ''+%'')
       and coalesce('),
            ('category, granted, basis, source, at)', 'category, granted, basis, source, address, at)'),
            ('''opt-out'', ''provider'', least(e.at, now())',
             '''opt-out'', ''provider'', case when m.channel in (''EMAIL'', ''SMS'') then lower(m.address) end, least(e.at, now())')) as x (old, new)
    loop
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in apply_effects: %', f.old;
        end if;
        v_old := v_new;
    end loop;
    execute v_new;
end
$$;
