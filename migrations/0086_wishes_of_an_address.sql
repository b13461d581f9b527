-- People who share a mailbox or a phone are contacts of their own, but whoever reads STOP there reads everything that comes there: a wish from
-- an address is one of every contact whom we have written to at it. And one after the other: what was refused by itself in the same payload
-- stays refused when START comes after it.
create index messages_to_address on communications.messages (tenant_id, lower(address))
    where direction = 'OUTBOUND' and channel in ('EMAIL', 'SMS');

alter function communications.note_wishes(jsonb) rename to note_wishes_at_once;

-- [{"tenant_id", "contact_id", "channel", "wish", "basis", "source", "at", "address"}]; "address", of mails and texts, is where they are read.
create function communications.note_wishes(p jsonb) returns void
    language plpgsql
as $$
declare
    v_wish jsonb;
begin
    for v_wish in
        select w.value from jsonb_array_elements(p) with ordinality as w (value, n)
         order by (w.value ->> 'at')::timestamptz, w.n
    loop
        perform communications.note_wishes_at_once(jsonb_build_array(v_wish));
        continue when v_wish ->> 'address' is null or v_wish ->> 'channel' not in ('EMAIL', 'SMS');
        perform communications.note_wishes_at_once(jsonb_agg(v_wish || jsonb_build_object('contact_id', c.id)))
           from (select c.id from communications.contacts c
                  where c.tenant_id = (v_wish ->> 'tenant_id')::uuid and c.id <> (v_wish ->> 'contact_id')::uuid
                    and c.id in (select communications.living_contact(m.tenant_id, m.contact_id)
                                   from communications.messages m
                                  where m.tenant_id = (v_wish ->> 'tenant_id')::uuid and lower(m.address) = lower(v_wish ->> 'address')
                                    and m.direction = 'OUTBOUND' and m.channel in ('EMAIL', 'SMS') and m.channel = v_wish ->> 'channel')
                  order by c.id
                    for no key update) c
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
