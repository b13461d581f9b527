-- Notices of WhatsApp about a person, what they say in a group, absence notices and receipts are INBOUND rows that the person did not write to
-- us: none of them decides by which channel, account and address an answer goes, or says that somebody who had said STOP has written since.
create function communications.is_written(content jsonb, context jsonb) returns boolean
    language sql immutable parallel safe
    return (content ->> 'type') is distinct from 'system'
       and (context ->> 'automatic') is null and (context ->> 'group_id') is null;

create or replace function communications.opted_out(p_tenant uuid, p_contact uuid, p_channel text) returns boolean
    language sql stable
    return exists (
        select from (select c.granted, c.at from communications.consents c
                      where c.tenant_id = p_tenant and c.contact_id = p_contact and c.channel = p_channel and c.category = 'TRANSACTIONAL'
                      order by c.at desc, c.id desc limit 1) said
         where not said.granted
           and not exists (
               select from communications.conversations v
                 join communications.messages m on m.tenant_id = v.tenant_id and m.conversation_id = v.id
                where v.tenant_id = p_tenant and v.contact_id = p_contact and m.direction = 'INBOUND' and m.channel = p_channel
                  and communications.is_written(m.content, m.context)
                  -- A clock ahead of ours does not make the stop itself what was written after it.
                  and (least(m.thread_at, m.created_at) > said.at or m.thread_at > now() - interval '24 hours')));

do $$
declare
    f     record;
    v_old text;
    v_new text;
    v_of  text;
begin
    for f in
        select x.*, row_number() over (partition by x.name order by x.n desc) = 1 as last
          from (select *, row_number() over () as n from (values
            ('store_messages',
             'least(max(r.sent_at) filter (where r.direction = ''INBOUND''), now()) as inbound_at',
             'case when bool_or(r.written) then least(max(r.sent_at) filter (where r.written), now()) end as inbound_at'),
            ('store_messages',
             '(array_agg(r.channel order by r.sent_at desc, r.id desc) filter (where r.direction = ''INBOUND''))[1] as channel',
             '(array_agg(r.channel order by r.sent_at desc, r.id desc) filter (where r.written))[1] as channel'),
            ('store_messages',
             '(array_agg(r.account_id order by r.sent_at desc, r.id desc) filter (where r.direction = ''INBOUND''))[1] as account_id',
             '(array_agg(r.account_id order by r.sent_at desc, r.id desc) filter (where r.written))[1] as account_id'),
            ('store_messages',
             'from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid,
                                           direction text, wakes boolean, muted boolean, preview text, sent_at timestamptz)
         where r.id = any(v_ids)
         group by',
             'from (select s.*, s.direction = ''INBOUND'' and communications.is_written(s.content, s.context) as written
                  from jsonb_to_recordset(p) as s (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid, direction text,
                                                   wakes boolean, muted boolean, preview text, sent_at timestamptz, content jsonb,
                                                   context jsonb)) r
         where r.id = any(v_ids)
         group by'),
            ('store_messages',
             'from jsonb_to_recordset(p) as r (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid,
                                               direction text, wakes boolean, muted boolean, preview text, sent_at timestamptz)
             where r.id = any(v_ids)
               and not exists',
             'from (select s.*, s.direction = ''INBOUND'' and communications.is_written(s.content, s.context) as written
                      from jsonb_to_recordset(p) as s (id uuid, tenant_id uuid, account_id uuid, channel text, contact_id uuid,
                                                       direction text, wakes boolean, muted boolean, preview text, sent_at timestamptz,
                                                       content jsonb, context jsonb)) r
             where r.id = any(v_ids)
               and not exists'),
            ('store_messages', 'coalesce(a.last_at, a.inbound_at), a.inbound_at,', 'coalesce(a.last_at, a.inbound_at, now()), a.inbound_at,'),
            ('recount_threads', 'case when bool_or(m.direction = ''INBOUND'')
                       then least(max(m.thread_at) filter (where m.direction = ''INBOUND''), now()) end as inbound_at',
             'case when bool_or(m.written) then least(max(m.thread_at) filter (where m.written), now()) end as inbound_at'),
            ('recount_threads',
             '(array_agg(m.channel order by m.thread_at desc, m.id desc) filter (where m.direction = ''INBOUND''))[1] as channel',
             '(array_agg(m.channel order by m.thread_at desc, m.id desc) filter (where m.written))[1] as channel'),
            ('recount_threads',
             '(array_agg(m.account_id order by m.thread_at desc, m.id desc) filter (where m.direction = ''INBOUND''))[1] as account_id
             from communications.messages m
            where',
             '(array_agg(m.account_id order by m.thread_at desc, m.id desc) filter (where m.written))[1] as account_id
             from (select x.*, x.direction = ''INBOUND'' and communications.is_written(x.content, x.context) as written
                     from communications.messages x) m
            where')) as v (name, old, new)) x
         order by x.n
    loop
        if v_of is distinct from f.name then
            v_of := f.name;
            v_old := pg_get_functiondef(('communications.' || f.name)::regproc);
        end if;
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', f.name, f.old;
        end if;
        v_old := v_new;
        if f.last then
            execute v_new;
        end if;
    end loop;
end
$$;
