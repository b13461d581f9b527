-- Consents count by when they were said, also where a merge or a report brings them, and undoing a merge invents none.

-- What changes its arguments is made anew: the last one is new, and whoever leaves it out means now.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select p.oid::regprocedure as name, pg_get_functiondef(p.oid) as old, x.was, x.becomes, x.signature
          from (values
                -- A report may come days after what it tells: whoever has said START meanwhile is not stopped by it.
                ('apply_effects',
                 array ['p_credentials integer[])',
                        'source)
    select distinct on (m.tenant_id, m.contact_id, m.channel, c.category)',
                        'false, ''opt-out'', ''provider''
      from unnest(p_tenants, p_ids, p_effects) as e (tenant_id, id, effect)',
                        'order by known.at desc, known.id desc limit 1), true);'],
                 array ['p_credentials integer[], p_at timestamptz[] default null)',
                        'source, at)
    select distinct on (m.tenant_id, m.contact_id, m.channel, c.category)',
                        'false, ''opt-out'', ''provider'', least(e.at, now())
      from unnest(p_tenants, p_ids, p_effects, p_at) as e (tenant_id, id, effect, at)',
                        'order by known.at desc, known.id desc limit 1), true)
     order by m.tenant_id, m.contact_id, m.channel, c.category, e.at desc nulls first;'],
                 true),
                ('apply_reported',
                 array ['p_effects text[])',
                        'array_agg(null::integer))
       from unnest(p_tenants, p_ids, p_codes, p_effects) as e (tenant_id, id, code, effect)'],
                 array ['p_effects text[], p_at timestamptz[] default null)',
                        'array_agg(null::integer),
               array_agg(e.at))
       from unnest(p_tenants, p_ids, p_codes, p_effects, p_at) as e (tenant_id, id, code, effect, at)'],
                 true),
                ('match_reports', array ['v_codes, v_effects);'], array ['v_codes, v_effects, v_at);'], false),
                ('record_reports_of', array ['v_codes, v_effects);'], array ['v_codes, v_effects, v_at);'], false),
                -- A yes of the merged contact is as old as it was. A no is as young as the yes that it ends.
                ('merge_contacts',
                 array ['basis, source)
        select v_tenant, communications.uuid_v7(), v_kept, m.channel, m.category, m.granted, ''merge'', ''merge''
'],
                 array ['basis, source, at)
        select v_tenant, communications.uuid_v7(), v_kept, m.channel, m.category, m.granted, ''merge'', ''merge'',
               greatest(m.at, k.at)
'],
                 false),
                ('unmerge_contacts',
                 array ['    -- A no said while they were one was said by either, so it holds for both.
',
                        '    -- What was done to a message goes with it.
'],
                 array ['    -- A no said while they were one was said by either, so it holds for both. A yes is theirs whose message said it; of one that
    -- the provider told nobody knows whose it is, so it holds for none.
',
                        '    with yes as (
        select s.id,
               exists (select from communications.messages_of(v_tenant, v_merged) m
                        where m.direction = ''INBOUND'' and m.channel = s.channel and m.thread_at = s.at) as of_merged,
               exists (select from communications.messages_of(v_tenant, v_kept) m
                        where m.direction = ''INBOUND'' and m.channel = s.channel and m.thread_at = s.at) as of_kept
          from communications.consents s
         where s.tenant_id = v_tenant and s.contact_id = v_kept and s.granted and s.source in (''message'', ''provider'')
           and not v_moved -> ''kept_consents'' @> to_jsonb(s.id)),
    theirs as (
        insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
        select v_tenant, communications.uuid_v7(), v_merged, s.channel, s.category, s.granted, s.basis, s.source, s.at
          from yes y join communications.consents s on s.tenant_id = v_tenant and s.id = y.id
         where y.of_merged and not y.of_kept)
    delete from communications.consents s
     using yes y where (y.of_merged or not y.of_kept) and s.tenant_id = v_tenant and s.id = y.id;

    -- What was done to a message goes with it.
'],
                 false)) as x (name, was, becomes, signature)
          join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := f.old;
        for n in 1 .. cardinality(f.was) loop
            if position(f.was[n] in v_new) = 0 then
                raise exception 'nothing to replace in %: %', f.name, f.was[n];
            end if;
            v_new := replace(v_new, f.was[n], f.becomes[n]);
        end loop;
        if f.signature then
            execute format('drop function %s', f.name);
        end if;
        execute v_new;
    end loop;
end
$$;

-- START gives back what STOP took: MARKETING where the last word about it that was no STOP is a yes. A STOP says no to all three at one
-- time; a no to MARKETING alone was meant, and START is none to it.
create or replace function communications.note_wishes(p jsonb) returns void
    language sql
as $$
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
    select distinct on (w.tenant_id, w.contact_id, w.channel, c.category, w.at)
           w.tenant_id, communications.uuid_v7(), w.contact_id, w.channel, c.category, c.granted, w.basis, w.source,
           -- A clock ahead of ours must not outlast a later wish.
           least(w.at, now())
      from jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, basis text, source text, at timestamptz)
      join (values ('STOP', 'OTP', false), ('STOP', 'TRANSACTIONAL', false), ('STOP', 'MARKETING', false),
                   ('STOP_MARKETING', 'MARKETING', false), ('START_MARKETING', 'MARKETING', true),
                   ('START', 'OTP', true), ('START', 'TRANSACTIONAL', true), ('START', 'MARKETING', true))
           as c (wish, category, granted) on c.wish = w.wish
     where not exists (select from communications.consents known
                        where known.tenant_id = w.tenant_id and known.contact_id = w.contact_id and known.channel = w.channel
                          and known.category = c.category and known.granted = c.granted and known.source = w.source
                          and known.at = least(w.at, now()))
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
     order by w.tenant_id, w.contact_id, w.channel, c.category, w.at, c.granted;
$$;
