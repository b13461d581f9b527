-- What a report says of an address counts from when it happened, not from when it was taken in: a bounce or a complaint that is told late (a
-- backlog, a dead-letter queue, a message that was not known yet) outlasts neither a START nor a mail that came after it. A complaint
-- says more than a bounce that is known already, and of two the later counts. And the list that SNS looks at for a plain text is the AWS account's, as that of a
-- sender id or a pool is (0086): a stop on it may have been said to any tenant. A short code has a list of its own like any number.

-- The contact who was written to, and the one whose address it is.
create function communications.who_reads(p_tenant uuid, p_contact uuid, p_channel text, p_address text) returns setof uuid
    language sql stable
as $$
    select p_contact
    union
    select i.contact_id from communications.contact_identities i
     where i.tenant_id = p_tenant and i.kind = case p_channel when 'EMAIL' then 'email' when 'SMS' then 'phone' end
       and i.scope = '' and i.value = lower(p_address);
$$;

-- Whom a message came from or went to: a mail whose answers go elsewhere says it in its context.
create function communications.alias_of_message(direction text, address text, context jsonb) returns text
    language sql immutable parallel safe
return case when direction = 'INBOUND' then coalesce(context ->> 'from', address) else address end;

do $$
declare
    v_old text;
    v_new text;
    f     record;
begin
    for f in
        select * from (values
            ('apply_reported', 'suppressions (tenant_id, channel, address, reason, source)', 'suppressions (tenant_id, channel, address, reason, source, at)'),
            ('apply_reported', 'e.effect, ''provider''
          from unnest(p_tenants, p_ids, p_effects) as e (tenant_id, id, effect)',
             'e.effect, ''provider'', least(coalesce(e.at, now()), now())
          from unnest(p_tenants, p_ids, p_effects, p_at) as e (tenant_id, id, effect, at)'),
            ('apply_reported', 'and m.address <> ''''
         order by m.tenant_id, m.channel, m.address, e.effect desc
        on conflict on constraint suppressions_pkey do nothing;',
             'and m.address <> ''''
           and case e.effect
               when ''COMPLAINT'' then not exists (
                   select from communications.who_reads(m.tenant_id, m.contact_id, m.channel, m.address) who
                     join communications.consents c
                       on c.tenant_id = m.tenant_id and c.contact_id = who and c.channel = m.channel
                    where c.category = ''TRANSACTIONAL'' and c.granted and c.at > e.at)
               else not exists (
                   select from communications.who_reads(m.tenant_id, m.contact_id, m.channel, m.address) who
                    cross join lateral communications.messages_of(m.tenant_id, who) later
                    where later.direction = ''INBOUND'' and later.channel = m.channel and lower(communications.alias_of_message(later.direction, later.address, later.context)) = lower(m.address)
                      and communications.is_written(later.content, later.context) and later.thread_at > e.at) end
         order by m.tenant_id, m.channel, m.address, e.effect desc, e.at desc
        on conflict on constraint suppressions_pkey do update
           set reason = excluded.reason,
               at = case when suppressions.reason = excluded.reason then greatest(suppressions.at, excluded.at) else excluded.at end
         -- COMPLAINT is the greater word.
         where excluded.reason >= suppressions.reason;'),
            ('apply_effects', 'and a.provider = ''EUM_SMS'' and coalesce(a.external_account_id, '''') not like ''+%'')',
             'and (a.provider = ''SNS''
                               or a.provider = ''EUM_SMS'' and coalesce(a.external_account_id, '''') !~ ''^[+]?[0-9]+$''))')) as x (name, old, new)
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
