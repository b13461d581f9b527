-- People who share a mailbox or a phone are contacts of their own, but whoever reads STOP there reads everything that comes there: a wish from
-- an address is one of every contact whom we have written to at it, unless it is an address that they gave up. START gives the others back
-- what was taken there, and nothing that they refused themselves. And one after the other: what was refused by itself in the same payload stays
-- refused when START comes after it.
create index messages_to_address on communications.messages (tenant_id, lower(address))
    where direction = 'OUTBOUND' and channel in ('EMAIL', 'SMS');

alter function communications.note_wishes(jsonb) rename to note_wishes_at_once;

-- What was refused elsewhere than at the address is not forgotten for the others.
do $$
declare
    v_old text := pg_get_functiondef('communications.note_wishes_at_once'::regproc);
    v_new text := replace(replace(v_old,
        'as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz)
      join',
        'as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz, basis text, address text)
      join'),
        'and s.address = i.value and s.at < w.at',
        'and s.address = i.value and s.at < w.at
       and (w.basis <> ''said at their address'' or lower(s.address) = lower(w.address))');
begin
    if v_new !~ 'basis text, address text' or v_new !~ 'lower\(s.address\) = lower\(w.address\)' then
        raise exception 'nothing to replace in note_wishes_at_once';
    end if;
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
    v_channel text;
    v_address text;
    v_others  uuid[];
begin
    for v_wish in
        select w.value from jsonb_array_elements(p) with ordinality as w (value, n)
         order by (w.value ->> 'at')::timestamptz, w.n
    loop
        perform communications.note_wishes_at_once(jsonb_build_array(v_wish));
        v_tenant := v_wish ->> 'tenant_id';
        v_channel := v_wish ->> 'channel';
        v_address := lower(v_wish ->> 'address');
        continue when v_address is null or v_channel not in ('EMAIL', 'SMS');

        select array_agg(distinct communications.living_contact(v_tenant, m.contact_id)) into v_others
          from (select distinct m.contact_id from communications.messages m
                 where m.tenant_id = v_tenant and lower(m.address) = v_address
                   and m.direction = 'OUTBOUND' and m.channel in ('EMAIL', 'SMS') and m.channel = v_channel) m;
        continue when v_others is null;

        -- Locked as merges lock, before anything is looked at.
        perform from communications.contacts c
          where c.tenant_id = v_tenant and c.id = any(v_others) order by c.id for no key update;
        perform communications.note_wishes_at_once(jsonb_agg(
                    v_wish || jsonb_build_object('contact_id', o.id, 'basis', 'said at their address')))
           from unnest(v_others) as o (id)
          where o.id <> (v_wish ->> 'contact_id')::uuid
            and not exists (select from communications.contact_former_identities f
                             where f.tenant_id = v_tenant and f.contact_id = o.id and lower(f.value) in (v_address, ltrim(v_address, '+'))
                               and not exists (select from communications.contact_identities again
                                                where again.tenant_id = v_tenant and again.contact_id = o.id and again.value = f.value))
            and (v_wish ->> 'wish' not in ('START', 'START_MARKETING')
                 or (select said.basis from communications.consents said
                      where said.tenant_id = v_tenant and said.contact_id = o.id and said.channel = v_channel
                        and said.category = case v_wish ->> 'wish' when 'START' then 'TRANSACTIONAL' else 'MARKETING' end
                      order by said.at desc, said.id desc limit 1) = 'said at their address')
         having count(*) > 0;
    end loop;
end
$$;

-- The list that AWS looks at for a text by a sender id or a pool is the AWS account's: a stop on it may have been said to any tenant.
do $$
declare
    v_old text := pg_get_functiondef('communications.apply_effects'::regproc);
    v_new text := replace(v_old, 'where e.effect in (''OPT_OUT'', ''OPT_OUT_MARKETING'')
       and coalesce(',
     'where e.effect in (''OPT_OUT'', ''OPT_OUT_MARKETING'')
       and not exists (select from communications.channel_accounts a
                        where a.tenant_id = m.tenant_id and a.id = m.account_id
                          and a.provider = ''EUM_SMS'' and coalesce(a.external_account_id, '''') not like ''+%'')
       and coalesce(');
begin
    if v_new = v_old then
        raise exception 'nothing to replace in apply_effects';
    end if;
    execute v_new;
end
$$;
