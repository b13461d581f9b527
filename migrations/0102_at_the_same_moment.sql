-- A change of a message and the message itself may come at the same moment, of people whom nothing in the two connects: a deletion by another
-- of somebody's ids, a reaction of another member of a group. Whoever makes a message known and whoever changes it hold its own lock.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('inbound_text', $f$               from jsonb_array_elements(p -> 'aliases') as s order by 1) k;

    -- All that$f$,
$f$               from jsonb_array_elements(p -> 'aliases') as s order by 1) k;
    perform pg_advisory_xact_lock(communications.reaction_lock(v_tenant, v_account, v_external));

    -- All that$f$),
            ('inbound_texts', $f$              cross join jsonb_array_elements(t.value -> 'aliases') as s order by 1) k;
$f$,
$f$              cross join jsonb_array_elements(t.value -> 'aliases') as s order by 1) k;
    perform pg_advisory_xact_lock(k.hash)
       from (select communications.reaction_lock(t.tenant_id, t.account_id, t.value ->> 'external_message_id') as hash
               from unnest(v_texts, v_tenants, v_accounts) as t (value, tenant_id, account_id) order by 1) k;
$f$),
            ('store_messages', $f$    p := communications.mute_blocked(p);
$f$,
$f$    p := communications.mute_blocked(p);
    perform pg_advisory_xact_lock(k.hash)
       from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, r.external_message_id) as hash
               from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, channel text, external_message_id text)
              where r.channel = 'WHATSAPP' order by 1) k;
$f$),
            ('store_revisions', $f$               from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, target text, actor_kind text)
              where r.actor_kind = 'AGENT' order by 1) l;
$f$,
$f$               from jsonb_to_recordset(p) as r (tenant_id uuid, account_id uuid, target text) order by 1) l;
$f$),
            ('meet_neighbours', $f$    -- What comes in and what reacts to it hold the locks of the same person.
$f$,
$f$    -- Whoever inserts it holds its lock already.
$f$),
            ('apply_revisions', $f$edited_at = case c.kind when 'EDIT' then c.at else m.edited_at end$f$,
$f$edited_at = case c.kind when 'EDIT' then c.at end$f$),
            ('meet_neighbours', $f$                    new.media := null;
                    new.revoked_at$f$,
$f$                    new.media := null;
                    new.edited_at := null;
                    new.revoked_at$f$)) as x (name, old, new)
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

-- What is said first in a thread that notices have begun is what was said last in it, whenever it was said.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('store_messages', $f$               last_message_at = greatest(c.last_message_at, a.last_at),
$f$,
$f$               last_message_at = case when c.preview = '' and c.inbound_count = 0 then coalesce(a.last_at, c.last_message_at)
                                      else greatest(c.last_message_at, a.last_at) end,
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

-- What the provider reports of a wish counts by its own time, as what people say does: whatever was known when it came.
create function communications.stop_what_was_given_back(p jsonb) returns void
    language sql as $$
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
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
$$;
comment on function communications.stop_what_was_given_back(jsonb) is
    'Of wishes as note_wishes takes them: each "stop promotions" stops what a later START gave back, unless somebody said yes in between.';

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('note_wishes', $f$    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
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
$f$,
$f$    perform communications.stop_what_was_given_back(p);
$f$),
            ('apply_effects', $f$       and coalesce((select known.granted from communications.consents known
                               where known.tenant_id = m.tenant_id and known.contact_id = m.contact_id
                                 and known.channel = m.channel and known.category = c.category
                               order by known.at desc, known.id desc limit 1), true)
     order by m.tenant_id, m.contact_id, m.channel, c.category, e.at desc nulls first;
$f$,
$f$       and case when e.at is null
                then coalesce((select known.granted from communications.consents known
                                where known.tenant_id = m.tenant_id and known.contact_id = m.contact_id
                                  and known.channel = m.channel and known.category = c.category
                                order by known.at desc, known.id desc limit 1), true)
                -- The same again.
                else not exists (select from communications.consents known
                                  where known.tenant_id = m.tenant_id and known.contact_id = m.contact_id
                                    and known.channel = m.channel and known.category = c.category and not known.granted
                                    and known.source = 'provider' and known.at = least(e.at, now())) end
     order by m.tenant_id, m.contact_id, m.channel, c.category, e.at desc nulls first;

    perform communications.stop_what_was_given_back(jsonb_agg(jsonb_build_object(
               'tenant_id', m.tenant_id, 'contact_id', m.contact_id, 'channel', m.channel, 'wish', 'STOP_MARKETING',
               'basis', 'opt-out', 'source', 'provider', 'at', e.at)))
       from unnest(p_tenants, p_ids, p_effects, p_at) as e (tenant_id, id, effect, at)
       join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.id
      where e.effect = 'OPT_OUT_MARKETING' and e.at is not null
     having count(*) > 0;
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
