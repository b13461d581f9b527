-- Two contacts that are one person become one, and can be two again.
--
-- What is the merged contact's goes to the kept one; the merged row stays, points there (merged_into) and finds nobody. Two live
-- threads become one: the merged contact's is folded into the kept one's, so that nothing unread or unanswered goes out of sight.
-- contact_merges.moved holds what is needed to undo it exactly; what came since goes by its address to whose alias that is.
-- Merges are undone newest first.

-- Locks everything by which these contacts are found, in the order of everybody, and then the contacts.
create function communications.lock_contacts(p_tenant uuid, p_contacts uuid[]) returns void
    language plpgsql
as $$
declare
    v_locked bigint[] := '{}';
    v_more   bigint[];
begin
    -- Again, until nothing came while waiting.
    loop
        select array_agg(k.hash order by k.hash) into v_more
          from (select communications.person_lock(p_tenant::text, i.kind, i.scope, i.value) as hash
                  from communications.contact_identities i where i.tenant_id = p_tenant and i.contact_id = any(p_contacts)
                union
                select communications.person_lock(p_tenant::text, h.kind, h.scope, h.value)
                  from communications.contact_former_identities h where h.tenant_id = p_tenant and h.contact_id = any(p_contacts)
                union
                select communications.person_lock(p_tenant::text, 'profile', c.passenger_profile_id::text)
                  from communications.contacts c
                 where c.tenant_id = p_tenant and c.id = any(p_contacts) and c.passenger_profile_id is not null) k
         where k.hash <> all(v_locked);
        exit when v_more is null;
        perform pg_advisory_xact_lock(hash) from unnest(v_more) as hash;
        v_locked := v_locked || v_more;
    end loop;
    perform from communications.contacts c
      where c.tenant_id = p_tenant and c.id = any(p_contacts) order by c.id for no key update;
    perform from communications.conversations v
      where v.tenant_id = p_tenant and v.contact_id = any(p_contacts) order by v.id for update;
end
$$;

-- Their messages: in their threads, and in none.
create function communications.messages_of(p_tenant uuid, p_contact uuid) returns setof communications.messages
    language sql stable
as $$
    select m.* from communications.conversations v
      join communications.messages m on m.tenant_id = v.tenant_id and m.conversation_id = v.id
     where v.tenant_id = p_tenant and v.contact_id = p_contact and m.contact_id = p_contact
    union all
    select m.* from communications.messages m
     where m.tenant_id = p_tenant and m.contact_id = p_contact and m.conversation_id is null;
$$;

create function communications.inbound_until(p_tenant uuid, p_thread uuid, p_until timestamptz) returns bigint
    language sql stable
as $$
    select count(*) from communications.messages m
     where m.tenant_id = p_tenant and m.conversation_id = p_thread and m.direction = 'INBOUND' and not m.muted
       and m.thread_at <= p_until;
$$;

-- What a thread says of its messages in the list, from the messages.
create function communications.recount_threads(p_tenant uuid, p_threads uuid[]) returns void
    language sql
as $$
    update communications.conversations v
       set inbound_count = m.inbound,
           last_message_at = coalesce(m.last_at, v.last_message_at), preview = coalesce(m.preview, ''),
           last_inbound_at = m.inbound_at, last_inbound_channel = m.channel, last_inbound_account = m.account_id
      from unnest(p_threads) as t (id)
     cross join lateral (
           select count(*) filter (where m.direction = 'INBOUND' and not m.muted) as inbound,
                  least(max(m.thread_at) filter (where not m.muted), now()) as last_at,
                  left((array_agg(m.body order by m.thread_at desc, m.id desc) filter (where not m.muted))[1], 200) as preview,
                  case when bool_or(m.direction = 'INBOUND')
                       then least(max(m.thread_at) filter (where m.direction = 'INBOUND'), now()) end as inbound_at,
                  (array_agg(m.channel order by m.thread_at desc, m.id desc) filter (where m.direction = 'INBOUND'))[1] as channel,
                  (array_agg(m.account_id order by m.thread_at desc, m.id desc) filter (where m.direction = 'INBOUND'))[1] as account_id
             from communications.messages m
            where m.tenant_id = p_tenant and m.conversation_id = t.id) m
     where v.tenant_id = p_tenant and v.id = t.id;

    update communications.conversation_read_cursors r
       set inbound_seen = communications.inbound_until(p_tenant, r.conversation_id, r.last_read_at)
     where r.tenant_id = p_tenant and r.conversation_id = any(p_threads);
$$;

-- What a merge changes of a thread.
create function communications.thread_state(v communications.conversations) returns jsonb
    language sql stable
    return jsonb_build_object(
        'status', v.status, 'snoozed_until', v.snoozed_until, 'snoozed_until_reply', v.snoozed_until_reply,
        'assigned_to', v.assigned_to, 'booking_id', v.booking_id, 'trip_id', v.trip_id, 'invoice_id', v.invoice_id,
        'last_message_at', v.last_message_at, 'last_inbound_at', v.last_inbound_at,
        'last_inbound_channel', v.last_inbound_channel, 'last_inbound_account', v.last_inbound_account,
        'preview', v.preview, 'inbound_count', v.inbound_count);

-- What a merge changes of the contact that stays.
create function communications.contact_state(c communications.contacts) returns jsonb
    language sql stable
    return jsonb_build_object(
        'display_name', c.display_name, 'locale', c.locale, 'timezone', c.timezone,
        'passenger_profile_id', c.passenger_profile_id, 'driver_id', c.driver_id, 'vendor_id', c.vendor_id,
        'blocked_at', c.blocked_at, 'blocked_by', c.blocked_by);

create function communications.cursors_of(p_tenant uuid, p_thread uuid) returns jsonb
    language sql stable
as $$
    select coalesce(jsonb_agg(jsonb_build_object('user_id', r.user_id, 'last_read_at', r.last_read_at, 'inbound_seen', r.inbound_seen)
                              order by r.user_id), '[]')
      from communications.conversation_read_cursors r where r.tenant_id = p_tenant and r.conversation_id = p_thread;
$$;

-- The merged contact's live thread goes into the kept one's. Unread stays unread: an agent has seen what they had seen in both.
create function communications.fold_thread(p_tenant uuid, p_into uuid, p_from uuid) returns void
    language plpgsql
as $$
begin
    with first as (
        select t.id, (select min(m.thread_at) - interval '1 microsecond' from communications.messages m
                       where m.tenant_id = p_tenant and m.conversation_id = t.id and m.direction = 'INBOUND' and not m.muted) as unread
          from unnest(array[p_into, p_from]) as t (id)),
    seen as (
        select u.user_id,
               (select min(coalesce(r.last_read_at, f.unread))
                  from first f
                  left join communications.conversation_read_cursors r
                    on r.tenant_id = p_tenant and r.conversation_id = f.id and r.user_id = u.user_id) as last_read_at
          from (select distinct r.user_id from communications.conversation_read_cursors r
                 where r.tenant_id = p_tenant and r.conversation_id in (p_into, p_from)) u)
    insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at)
    select p_tenant, p_into, user_id, last_read_at from seen
    on conflict (tenant_id, conversation_id, user_id) do update set last_read_at = excluded.last_read_at;

    update communications.conversations k
       -- A question that waits in either waits in both.
       set status = case when m.status = 'OPEN' then 'OPEN' else k.status end,
           snoozed_until = case when m.status <> 'OPEN' then k.snoozed_until end,
           snoozed_until_reply = k.snoozed_until_reply or m.status = 'OPEN',
           assigned_to = coalesce(k.assigned_to, m.assigned_to),
           booking_id = coalesce(k.booking_id, m.booking_id), trip_id = coalesce(k.trip_id, m.trip_id),
           invoice_id = coalesce(k.invoice_id, m.invoice_id),
           preview = case when m.last_message_at > k.last_message_at then m.preview else k.preview end,
           last_message_at = greatest(k.last_message_at, m.last_message_at),
           last_inbound_channel = case when m.last_inbound_at > coalesce(k.last_inbound_at, '-infinity')
                                       then m.last_inbound_channel else k.last_inbound_channel end,
           last_inbound_account = case when m.last_inbound_at > coalesce(k.last_inbound_at, '-infinity')
                                       then m.last_inbound_account else k.last_inbound_account end,
           last_inbound_at = greatest(k.last_inbound_at, m.last_inbound_at),
           inbound_count = (select count(*) from communications.messages x
                             where x.tenant_id = p_tenant and x.conversation_id in (p_into, p_from)
                               and x.direction = 'INBOUND' and not x.muted)
      from communications.conversations m
     where k.tenant_id = p_tenant and k.id = p_into and m.tenant_id = p_tenant and m.id = p_from;
    update communications.conversations
       set status = 'RESOLVED', snoozed_until = null, snoozed_until_reply = true, inbound_count = 0
     where tenant_id = p_tenant and id = p_from;
end
$$;

-- {"tenant_id", "merge_id", "kept_id", "merged_id", "by"} → {"merge_id"} or {"refused": word, "contact_id"}. The same merge again
-- answers the first.
create function communications.merge_contacts(p jsonb) returns jsonb
    language plpgsql
as $$
#variable_conflict use_column
declare
    v_tenant   uuid := (p ->> 'tenant_id')::uuid;
    v_merge    uuid := (p ->> 'merge_id')::uuid;
    v_kept     uuid := (p ->> 'kept_id')::uuid;
    v_merged   uuid := (p ->> 'merged_id')::uuid;
    v_by       uuid := (p ->> 'by')::uuid;
    v_k        communications.contacts;
    v_m        communications.contacts;
    v_into     uuid;
    v_from     uuid;
    v_ids      uuid[];
    v_runs     jsonb;
    v_messages jsonb := '[]';
    v_moved    jsonb := '{}';
    v_some     jsonb;
begin
    perform communications.lock_contacts(v_tenant, array[v_kept, v_merged]);
    select * into v_k from communications.contacts where tenant_id = v_tenant and id = v_kept;
    select * into v_m from communications.contacts where tenant_id = v_tenant and id = v_merged;
    if v_k.id is null or v_m.id is null then
        return '{"refused": "not-found"}';
    elsif v_m.merged_into = v_kept then
        return (select jsonb_build_object('merge_id', g.id) from communications.contact_merges g
                 where g.tenant_id = v_tenant and g.kept_id = v_kept and g.merged_id = v_merged and g.undone_at is null);
    elsif v_k.merged_into is not null then
        return jsonb_build_object('refused', 'merged', 'contact_id', v_kept);
    elsif v_m.merged_into is not null then
        return jsonb_build_object('refused', 'merged', 'contact_id', v_merged);
    end if;

    select v.id into v_from
      from communications.conversations v
     where v.tenant_id = v_tenant and v.contact_id = v_merged and v.status <> 'RESOLVED';
    select v.id into v_into
      from communications.conversations v where v.tenant_id = v_tenant and v.contact_id = v_kept and v.status <> 'RESOLVED';

    -- What must not be taken for the merged contact's when it is undone.
    select jsonb_build_object(
               'kept_aliases', coalesce((select jsonb_agg(jsonb_build_array(i.kind, i.scope, i.value))
                                           from communications.contact_identities i
                                          where i.tenant_id = v_tenant and i.contact_id = v_kept), '[]'),
               'kept_consents', coalesce((select jsonb_agg(s.id) from communications.consents s
                                           where s.tenant_id = v_tenant and s.contact_id = v_kept), '[]'),
               'kept_messages', coalesce((
                   select jsonb_agg(m.id)
                     from communications.messages_of(v_tenant, v_kept) m
                    where m.address in (select i.value from communications.contact_identities i
                                         where i.tenant_id = v_tenant and i.contact_id = v_merged)), '[]'))
      into v_moved;

    if v_into is not null and v_from is not null then
        v_moved := v_moved || (
            select jsonb_build_object('fold', jsonb_build_object(
                       'into', v_into, 'from', v_from, 'before', communications.thread_state(k),
                       'cursors_before', communications.cursors_of(v_tenant, v_into), 'from_before', communications.thread_state(m)))
              from communications.conversations k, communications.conversations m
             where k.tenant_id = v_tenant and k.id = v_into and m.tenant_id = v_tenant and m.id = v_from);
        perform communications.fold_thread(v_tenant, v_into, v_from);
    end if;

    -- Both may have had messages of one run, which are told apart by their steps. Chains are short.
    select coalesce(jsonb_object_agg(k.run_id, k.past), '{}') into v_runs
      from (select k.run_id, (max(k.step) / 100 + 1) * 100 as past
              from (select distinct run_id from communications.messages_of(v_tenant, v_merged) where run_id is not null) m
              join communications.messages k
                on k.tenant_id = v_tenant and k.run_id = m.run_id and k.contact_id = v_kept
             group by k.run_id) k;

    -- Locked in the order that everybody locks messages in; again, for what a worker added while this waited.
    loop
        select array_agg(m.id) into v_ids from communications.messages_of(v_tenant, v_merged) m;
        exit when v_ids is null;
        with locked as (
            select m.id, m.conversation_id, m.run_id from communications.messages m
             where m.tenant_id = v_tenant and m.id = any(v_ids) order by m.id for no key update),
        changed as (
            update communications.messages m
               set contact_id = v_kept,
                   conversation_id = case when v_into is not null and m.conversation_id = v_from then v_into else m.conversation_id end,
                   step = m.step + coalesce((v_runs ->> m.run_id::text)::smallint, 0::smallint)
              from locked l
             where m.tenant_id = v_tenant and m.id = l.id
            returning m.id, l.conversation_id)
        select jsonb_agg(jsonb_build_array(id, conversation_id)) into v_some from changed;
        v_messages := v_messages || coalesce(v_some, '[]');
    end loop;
    v_moved := v_moved || jsonb_build_object('messages', v_messages, 'runs', v_runs);

    with changed as (
        update communications.contact_identities set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged returning kind, scope, value)
    select coalesce(jsonb_agg(jsonb_build_array(kind, scope, value)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('aliases', v_some);

    with changed as (
        update communications.contact_former_identities set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged returning kind, scope, value, until)
    select coalesce(jsonb_agg(jsonb_build_array(kind, scope, value, until)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('former', v_some);

    -- The emptied thread stays behind: it must not be taken for the newest one.
    with changed as (
        update communications.conversations set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged and (v_into is null or id is distinct from v_from) returning id)
    select coalesce(jsonb_agg(id), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('threads', v_some);
    insert into communications.conversation_events
           (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
    select v_tenant, communications.uuid_v7(), e.id, 'MERGED', e.before, e.after, 'AGENT', v_by
      from (select t::uuid as id, v_merged::text as before, v_kept::text as after from jsonb_array_elements_text(v_some) as t
            union all
            select x, v_from::text, v_into::text from unnest(array[v_from, v_into]) as x
             where v_into is not null and v_from is not null) e;

    if v_moved ? 'fold' then
        update communications.conversation_read_cursors r
           set inbound_seen = communications.inbound_until(v_tenant, v_into, r.last_read_at)
         where r.tenant_id = v_tenant and r.conversation_id = v_into;
        v_moved := jsonb_set(v_moved, '{fold}', (v_moved -> 'fold') || (
            select jsonb_build_object('after', communications.thread_state(k), 'cursors_after', communications.cursors_of(v_tenant, v_into))
              from communications.conversations k where k.tenant_id = v_tenant and k.id = v_into));
    end if;

    -- Whoever wrote last may be answered.
    select coalesce(jsonb_object_agg(w.account_id, jsonb_build_object('before', w.open_until)), '{}') into v_some
      from communications.whatsapp_windows w where w.tenant_id = v_tenant and w.contact_id = v_kept;
    insert into communications.whatsapp_windows as w (tenant_id, account_id, contact_id, open_until)
    select tenant_id, account_id, v_kept, open_until
      from communications.whatsapp_windows where tenant_id = v_tenant and contact_id = v_merged
    on conflict (tenant_id, account_id, contact_id) do update set open_until = greatest(w.open_until, excluded.open_until);
    v_moved := v_moved || jsonb_build_object('windows', coalesce((
        select jsonb_object_agg(w.account_id, coalesce(v_some -> w.account_id::text, '{}') || jsonb_build_object('after', w.open_until))
          from communications.whatsapp_windows w where w.tenant_id = v_tenant and w.contact_id = v_kept), '{}'));

    -- A no of either is a no; a yes holds where the other never said anything.
    with said as (
        insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
        select v_tenant, communications.uuid_v7(), v_kept, m.channel, m.category, m.granted, 'merge', 'merge'
          from communications.current_consents m
          left join communications.current_consents k
            on k.tenant_id = v_tenant and k.contact_id = v_kept and k.channel = m.channel and k.category = m.category
         where m.tenant_id = v_tenant and m.contact_id = v_merged and (k.granted is null or k.granted and not m.granted)
        returning id)
    select coalesce(jsonb_agg(id), '[]') into v_some from said;
    v_moved := v_moved || jsonb_build_object('consents', v_some);

    -- Where both reacted to one message, both stay.
    with changed as (
        update communications.message_reactions r set contact_id = v_kept
         where r.tenant_id = v_tenant and r.contact_id = v_merged
           and not exists (select from communications.message_reactions o
                            where o.tenant_id = v_tenant and o.account_id = r.account_id and o.contact_id = v_kept
                              and o.target_external_id = r.target_external_id and o.actor_kind = r.actor_kind)
        returning account_id, target_external_id, actor_kind)
    select coalesce(jsonb_agg(jsonb_build_array(account_id, target_external_id, actor_kind)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('reactions', v_some);
    with changed as (
        update communications.message_revisions set contact_id = v_kept
         where tenant_id = v_tenant and contact_id = v_merged returning account_id, external_message_id)
    select coalesce(jsonb_agg(jsonb_build_array(account_id, external_message_id)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('revisions', v_some);

    -- The question of this pair is answered, and what was asked of the merged contact is asked of the kept one.
    with open as (
        select r.id, r.contact_a, r.contact_b, case when r.contact_a = v_merged then r.contact_b else r.contact_a end as other
          from communications.contact_reviews r
         where r.tenant_id = v_tenant and r.resolution is null and v_merged in (r.contact_a, r.contact_b)),
    changed as (
        update communications.contact_reviews r
           set contact_a = case when o.answered then r.contact_a else least(v_kept, o.other) end,
               contact_b = case when o.answered then r.contact_b else greatest(v_kept, o.other) end,
               resolution = case when o.answered then 'MERGED' end,
               resolved_by = case when o.answered then v_by end, resolved_at = case when o.answered then now() end
          from (select o.*, o.other = v_kept or exists (
                           select from communications.contact_reviews k
                            where k.tenant_id = v_tenant and k.resolution is null
                              and k.contact_a = least(v_kept, o.other) and k.contact_b = greatest(v_kept, o.other)) as answered
                  from open o) o
         where r.tenant_id = v_tenant and r.id = o.id
        returning r.id, o.contact_a, o.contact_b)
    select coalesce(jsonb_agg(jsonb_build_array(id, contact_a, contact_b)), '[]') into v_some from changed;
    v_moved := v_moved || jsonb_build_object('reviews', v_some);

    -- One link for a contact: the merged one keeps its own where the kept one has another.
    v_moved := v_moved || jsonb_build_object(
        'contact_before', communications.contact_state(v_k), 'merged_before', communications.contact_state(v_m));
    update communications.contacts
       set merged_into = v_kept,
           passenger_profile_id = case when l.kept_linked then passenger_profile_id end,
           driver_id = case when l.kept_linked then driver_id end,
           vendor_id = case when l.kept_linked then vendor_id end
      from (select num_nonnulls(v_k.passenger_profile_id, v_k.driver_id, v_k.vendor_id) > 0 as kept_linked) l
     where tenant_id = v_tenant and id = v_merged;
    update communications.contacts
       set display_name = coalesce(display_name, v_m.display_name), locale = coalesce(locale, v_m.locale),
           timezone = coalesce(timezone, v_m.timezone),
           passenger_profile_id = case when l.kept_linked then passenger_profile_id else v_m.passenger_profile_id end,
           driver_id = case when l.kept_linked then driver_id else v_m.driver_id end,
           vendor_id = case when l.kept_linked then vendor_id else v_m.vendor_id end,
           blocked_by = case when blocked_at is null then v_m.blocked_by else blocked_by end,
           blocked_at = coalesce(blocked_at, v_m.blocked_at)
      from (select num_nonnulls(v_k.passenger_profile_id, v_k.driver_id, v_k.vendor_id) > 0 as kept_linked) l
     where tenant_id = v_tenant and id = v_kept;
    v_moved := v_moved || (select jsonb_build_object('contact_after', communications.contact_state(c))
                             from communications.contacts c where c.tenant_id = v_tenant and c.id = v_kept);

    -- By the clock: of two merges in their order, whenever their transactions began.
    insert into communications.contact_merges (tenant_id, id, kept_id, merged_id, moved, merged_by, merged_at)
    values (v_tenant, v_merge, v_kept, v_merged, v_moved, v_by, clock_timestamp());
    return jsonb_build_object('merge_id', v_merge);
end
$$;

-- A field is what it was before the merge, unless somebody changed it since.
create function communications.before_merge(p_now jsonb, p_before jsonb, p_after jsonb) returns jsonb
    language sql immutable
as $$
    select jsonb_object_agg(n.key, case when n.value = p_after -> n.key then p_before -> n.key else n.value end)
      from jsonb_each(p_now) as n;
$$;

-- {"tenant_id", "merge_id", "by"} → {"merge_id", "kept_id", "merged_id", "undone_at"} or {"refused": word, "merge_id"}. Undone again
-- answers the same.
create function communications.unmerge_contacts(p jsonb) returns jsonb
    language plpgsql
as $$
#variable_conflict use_column
declare
    v_tenant  uuid := (p ->> 'tenant_id')::uuid;
    v_merge   uuid := (p ->> 'merge_id')::uuid;
    v_by      uuid := (p ->> 'by')::uuid;
    v_g       communications.contact_merges;
    v_kept    uuid;
    v_merged  uuid;
    v_moved   jsonb;
    v_fold    jsonb;
    v_into    uuid;
    v_from    uuid;
    v_later   uuid;
    v_values  text[];
    v_ids     uuid[];
    v_strays  uuid[];
    v_homes   uuid[];
    v_touched uuid[] := '{}';
    v_state   jsonb;
    v_new     uuid;
    v_live    boolean;
    v_stays   boolean;
    v_owner   uuid;
begin
    select * into v_g from communications.contact_merges where tenant_id = v_tenant and id = v_merge;
    if v_g.id is null then
        return '{"refused": "not-found"}';
    end if;
    v_kept := v_g.kept_id;
    v_merged := v_g.merged_id;
    perform communications.lock_contacts(v_tenant, array[v_kept, v_merged]);
    select * into v_g from communications.contact_merges where tenant_id = v_tenant and id = v_merge for update;
    if v_g.undone_at is not null then
        return jsonb_build_object('merge_id', v_merge, 'kept_id', v_kept, 'merged_id', v_merged, 'undone_at', v_g.undone_at);
    end if;
    select g.id into v_later from communications.contact_merges g
     where g.tenant_id = v_tenant and g.undone_at is null and g.id <> v_merge and v_kept in (g.kept_id, g.merged_id)
       and g.merged_at > v_g.merged_at
     order by g.merged_at desc limit 1;
    if v_later is not null then
        return jsonb_build_object('refused', 'later-merge', 'merge_id', v_later);
    end if;
    v_moved := v_g.moved;
    v_fold := v_moved -> 'fold';
    v_into := (v_fold ->> 'into')::uuid;
    v_from := (v_fold ->> 'from')::uuid;

    -- Aliases: those that came, and those that were learned from them since.
    with recursive mine as (
        select i.kind, i.scope, i.value
          from jsonb_array_elements(v_moved -> 'aliases') as a
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2 and i.contact_id = v_kept
        union
        select i.kind, i.scope, i.value
          from mine
          join communications.contact_identities i
            on i.tenant_id = v_tenant and i.contact_id = v_kept and i.learned_from = mine.value
         where not v_moved -> 'kept_aliases' @> jsonb_build_array(jsonb_build_array(i.kind, i.scope, i.value))),
    back as (
        update communications.contact_identities i set contact_id = v_merged
          from mine m where i.tenant_id = v_tenant and i.kind = m.kind and i.scope = m.scope and i.value = m.value
        returning i.value)
    select coalesce(array_agg(value), '{}') into v_values from back;
    -- Also what they gave up since.
    with back as (
        update communications.contact_former_identities h set contact_id = v_merged
         where h.tenant_id = v_tenant and h.contact_id = v_kept
           and (exists (select from jsonb_array_elements(v_moved -> 'aliases') as a
                         where a ->> 0 = h.kind and a ->> 1 = h.scope and a ->> 2 = h.value)
                or exists (select from jsonb_array_elements(v_moved -> 'former') as a
                            where a ->> 0 = h.kind and a ->> 1 = h.scope and a ->> 2 = h.value
                              and (a ->> 3)::timestamptz = h.until))
        returning h.value)
    select v_values || coalesce(array_agg(value), '{}') into v_values from back;

    -- Messages of theirs: by the record, by their address, and what was sent in place of those.
    with recursive theirs as (
        select m.id from jsonb_array_elements(v_moved -> 'messages') as a
          join communications.messages m on m.tenant_id = v_tenant and m.id = (a ->> 0)::uuid
        union
        select m.id from communications.messages_of(v_tenant, v_kept) m
         where m.address = any(v_values) and not v_moved -> 'kept_messages' @> to_jsonb(m.id)
        union
        select m.id from theirs t
          join communications.messages m on m.tenant_id = v_tenant and t.id in (m.fallback_of, m.replay_of))
    select coalesce(array_agg(id), '{}') into v_ids from theirs;

    -- Threads go back; the folded one has its own life again.
    with back as (
        update communications.conversations v set contact_id = v_merged
          from jsonb_array_elements_text(v_moved -> 'threads') as t
         where v.tenant_id = v_tenant and v.id = t::uuid and v.contact_id = v_kept
        returning v.id)
    insert into communications.conversation_events (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
    select v_tenant, communications.uuid_v7(), id, 'UNMERGED', v_kept::text, v_merged::text, 'AGENT', v_by from back;
    if v_fold is not null then
        update communications.conversations set status = 'OPEN'
         where tenant_id = v_tenant and id = v_from and status = 'RESOLVED';
        insert into communications.conversation_events
               (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
        select v_tenant, communications.uuid_v7(), x, 'UNMERGED', v_into::text, v_from::text, 'AGENT', v_by
          from unnest(array[v_into, v_from]) as x;
    end if;

    -- Of the record: to where they were.
    perform from communications.messages m where m.tenant_id = v_tenant and m.id = any(v_ids) order by m.id for no key update;
    update communications.messages m
       set contact_id = v_merged, conversation_id = (a ->> 1)::uuid,
           step = m.step - coalesce((v_moved -> 'runs' ->> m.run_id::text)::smallint, 0::smallint)
      from jsonb_array_elements(v_moved -> 'messages') as a
     where m.tenant_id = v_tenant and m.id = (a ->> 0)::uuid;
    -- Of since: theirs.
    update communications.messages m
       set contact_id = v_merged,
           step = m.step - case when m.step >= (v_moved -> 'runs' ->> m.run_id::text)::smallint
                                then (v_moved -> 'runs' ->> m.run_id::text)::smallint else 0::smallint end
     where m.tenant_id = v_tenant and m.id = any(v_ids) and m.contact_id = v_kept;

    -- Whoever's message is in the other's thread now gets it into a thread of their own: the live one, else the last, else a new
    -- one; which is open, if the one that it leaves is.
    foreach v_owner in array array[v_merged, v_kept] loop
        select array_agg(m.id), bool_or(v.status <> 'RESOLVED' and m.direction = 'INBOUND' and not m.muted),
               array_agg(distinct v.id)
          into v_strays, v_live, v_homes
          from communications.conversations v
          join communications.messages m on m.tenant_id = v_tenant and m.conversation_id = v.id
         where v.tenant_id = v_tenant and v.contact_id in (v_kept, v_merged) and v.contact_id <> v_owner and m.contact_id = v_owner;
        continue when v_strays is null;
        v_touched := v_touched || v_homes;
        select v.id into v_new from communications.conversations v
         where v.tenant_id = v_tenant and v.contact_id = v_owner
         order by (v.status <> 'RESOLVED') desc, v.created_at desc, v.id desc limit 1;
        if v_new is null then
            v_new := communications.uuid_v7();
            insert into communications.conversations (tenant_id, id, contact_id, status)
            values (v_tenant, v_new, v_owner, case when v_live then 'OPEN' else 'RESOLVED' end);
            insert into communications.conversation_events
                   (tenant_id, id, conversation_id, kind, to_value, actor_kind, actor_id)
            values (v_tenant, communications.uuid_v7(), v_new, 'OPENED', case when v_live then 'OPEN' else 'RESOLVED' end, 'AGENT', v_by);
        elsif v_live then
            with woken as (
                update communications.conversations v
                   set status = 'OPEN', snoozed_until = null, snoozed_until_reply = true
                  from communications.conversations old
                 where v.tenant_id = v_tenant and v.id = v_new and v.status <> 'OPEN'
                   and old.tenant_id = v.tenant_id and old.id = v.id
                returning old.status as before)
            insert into communications.conversation_events
                   (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id)
            select v_tenant, communications.uuid_v7(), v_new, 'REOPENED', before, 'OPEN', 'AGENT', v_by from woken;
        end if;
        update communications.messages set conversation_id = v_new where tenant_id = v_tenant and id = any(v_strays);
        v_touched := v_touched || v_new;
    end loop;

    if v_fold is not null then
        select communications.thread_state(k) into v_state
          from communications.conversations k where k.tenant_id = v_tenant and k.id = v_into;
        -- Did anything come to the thread that stays, since?
        select count(*) > (v_fold -> 'before' ->> 'inbound_count')::bigint into v_stays
          from communications.messages m
         where m.tenant_id = v_tenant and m.conversation_id = v_into and m.direction = 'INBOUND' and not m.muted;
        if v_stays or (v_state -> 'inbound_count') <> (v_fold -> 'after' -> 'inbound_count')
                   or (v_state -> 'last_message_at') <> (v_fold -> 'after' -> 'last_message_at') then
            v_touched := v_touched || v_into;
        end if;
        v_state := communications.before_merge(v_state, v_fold -> 'before', v_fold -> 'after')
                   || case when v_stays then jsonb_build_object('status', v_state -> 'status', 'snoozed_until', v_state -> 'snoozed_until',
                                                                'snoozed_until_reply', v_state -> 'snoozed_until_reply')
                           else '{}' end;
        update communications.conversations k
           set status = s.status, snoozed_until = s.snoozed_until, snoozed_until_reply = s.snoozed_until_reply,
               assigned_to = s.assigned_to, booking_id = s.booking_id, trip_id = s.trip_id, invoice_id = s.invoice_id,
               last_message_at = s.last_message_at, last_inbound_at = s.last_inbound_at,
               last_inbound_channel = s.last_inbound_channel, last_inbound_account = s.last_inbound_account,
               preview = s.preview, inbound_count = s.inbound_count
          from jsonb_populate_record(null::communications.conversations, v_state) as s
         where k.tenant_id = v_tenant and k.id = v_into;
        -- The other one: as it was, awake if somebody wrote since.
        update communications.conversations m
           set status = case when v_from = any(v_touched) then m.status else s.status end,
               snoozed_until = case when v_from = any(v_touched) then m.snoozed_until else s.snoozed_until end,
               snoozed_until_reply = case when v_from = any(v_touched) then m.snoozed_until_reply else s.snoozed_until_reply end,
               inbound_count = s.inbound_count
          from jsonb_populate_record(null::communications.conversations, v_fold -> 'from_before') as s
         where m.tenant_id = v_tenant and m.id = v_from;

        -- Who has marked the joined thread since has seen both.
        with mark as (
            select now.user_id, now.last_read_at, was.last_read_at as before, was.inbound_seen as seen_before,
                   now.last_read_at is not distinct from made.last_read_at and now.inbound_seen = made.inbound_seen as untouched
              from communications.conversation_read_cursors now
              left join jsonb_to_recordset(v_fold -> 'cursors_after') as made (user_id uuid, last_read_at timestamptz, inbound_seen bigint)
                on made.user_id = now.user_id
              left join jsonb_to_recordset(v_fold -> 'cursors_before') as was (user_id uuid, last_read_at timestamptz, inbound_seen bigint)
                on was.user_id = now.user_id
             where now.tenant_id = v_tenant and now.conversation_id = v_into),
        gone as (
            delete from communications.conversation_read_cursors r using mark k
             where k.untouched and k.before is null
               and r.tenant_id = v_tenant and r.conversation_id = v_into and r.user_id = k.user_id),
        kept as (
            update communications.conversation_read_cursors r
               set last_read_at = case when k.untouched then k.before else k.last_read_at end,
                   inbound_seen = case when k.untouched then k.seen_before
                                       else communications.inbound_until(v_tenant, v_into, k.last_read_at) end
              from mark k
             where (k.before is not null or not k.untouched)
               and r.tenant_id = v_tenant and r.conversation_id = v_into and r.user_id = k.user_id)
        insert into communications.conversation_read_cursors as r (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
        select v_tenant, v_from, k.user_id, k.last_read_at, communications.inbound_until(v_tenant, v_from, k.last_read_at)
          from mark k where not k.untouched
        on conflict (tenant_id, conversation_id, user_id) do update
           set last_read_at = greatest(r.last_read_at, excluded.last_read_at),
               inbound_seen = communications.inbound_until(v_tenant, v_from, greatest(r.last_read_at, excluded.last_read_at));
    end if;
    if cardinality(v_touched) > 0 then
        perform communications.recount_threads(v_tenant, v_touched);
    end if;

    -- Windows: the kept one's as before, or by what they wrote since; the merged one's longer by what they wrote since.
    with wrote as (
        select c.id as contact_id, m.account_id, least(max(m.thread_at), now()) + interval '24 hours' as open_until
          from unnest(array[v_kept, v_merged]) as c (id)
         cross join lateral communications.messages_of(v_tenant, c.id) m
         where m.direction = 'INBOUND' and m.channel = 'WHATSAPP' and m.content ->> 'type' is distinct from 'system'
         group by c.id, m.account_id),
    kept as (
        select w.account_id, w.open_until,
               case when w.open_until = (r.value ->> 'after')::timestamptz then (r.value ->> 'before')::timestamptz
                    else greatest((r.value ->> 'before')::timestamptz, wrote.open_until) end as restored
          from communications.whatsapp_windows w
          left join jsonb_each(v_moved -> 'windows') as r on r.key = w.account_id::text
          left join wrote on wrote.contact_id = v_kept and wrote.account_id = w.account_id
         where w.tenant_id = v_tenant and w.contact_id = v_kept),
    closed as (
        delete from communications.whatsapp_windows w using kept k
         where k.restored is null and w.tenant_id = v_tenant and w.contact_id = v_kept and w.account_id = k.account_id),
    restored as (
        update communications.whatsapp_windows w set open_until = k.restored from kept k
         where k.restored <> k.open_until and w.tenant_id = v_tenant and w.contact_id = v_kept and w.account_id = k.account_id)
    insert into communications.whatsapp_windows as w (tenant_id, account_id, contact_id, open_until)
    select v_tenant, wrote.account_id, v_merged, wrote.open_until
      from wrote
     where wrote.contact_id = v_merged
       and exists (select from communications.messages_of(v_tenant, v_merged) m
                    where m.account_id = wrote.account_id and m.direction = 'INBOUND'
                      and not exists (select from jsonb_array_elements(v_moved -> 'messages') as a where a ->> 0 = m.id::text))
    on conflict (tenant_id, account_id, contact_id) do update set open_until = greatest(w.open_until, excluded.open_until);

    -- A no said while they were one was said by either, so it holds for both.
    delete from communications.consents s using jsonb_array_elements_text(v_moved -> 'consents') as c
     where s.tenant_id = v_tenant and s.id = c::uuid;
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
    select v_tenant, communications.uuid_v7(), v_merged, s.channel, s.category, false, s.basis, s.source, s.at
      from communications.consents s
     where s.tenant_id = v_tenant and s.contact_id = v_kept and not s.granted
       and not v_moved -> 'kept_consents' @> to_jsonb(s.id);

    -- What was done to a message goes with it.
    update communications.message_reactions r set contact_id = v_merged
     where r.tenant_id = v_tenant and r.contact_id = v_kept
       and (exists (select from jsonb_array_elements(v_moved -> 'reactions') as a
                     where a ->> 0 = r.account_id::text and a ->> 1 = r.target_external_id and a ->> 2 = r.actor_kind)
            or exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.account_id = r.account_id and m.external_message_id = r.target_external_id
                          and m.contact_id = v_merged))
       and not exists (select from communications.message_reactions o
                        where o.tenant_id = v_tenant and o.account_id = r.account_id and o.contact_id = v_merged
                          and o.target_external_id = r.target_external_id and o.actor_kind = r.actor_kind);
    update communications.message_revisions r set contact_id = v_merged
     where r.tenant_id = v_tenant and r.contact_id = v_kept
       and (exists (select from jsonb_array_elements(v_moved -> 'revisions') as a
                     where a ->> 0 = r.account_id::text and a ->> 1 = r.external_message_id)
            or exists (select from communications.messages m
                        where m.tenant_id = v_tenant and m.account_id = r.account_id and m.external_message_id = r.target_external_id
                          and m.contact_id = v_merged));

    update communications.contact_reviews r
       set contact_a = (a ->> 1)::uuid, contact_b = (a ->> 2)::uuid,
           resolution = case when r.resolution = 'MERGED' then null else r.resolution end,
           resolved_by = case when r.resolution = 'MERGED' then null else r.resolved_by end,
           resolved_at = case when r.resolution = 'MERGED' then null else r.resolved_at end
      from jsonb_array_elements(v_moved -> 'reviews') as a
     where r.tenant_id = v_tenant and r.id = (a ->> 0)::uuid;

    select communications.before_merge(communications.contact_state(c), v_moved -> 'contact_before', v_moved -> 'contact_after')
      into v_state from communications.contacts c where c.tenant_id = v_tenant and c.id = v_kept;
    update communications.contacts c
       set display_name = s.display_name, locale = s.locale, timezone = s.timezone,
           passenger_profile_id = s.passenger_profile_id, driver_id = s.driver_id, vendor_id = s.vendor_id,
           blocked_at = s.blocked_at, blocked_by = s.blocked_by
      from jsonb_populate_record(null::communications.contacts, v_state) as s
     where c.tenant_id = v_tenant and c.id = v_kept;
    -- A link that somebody else has by now stays theirs.
    update communications.contacts c
       set merged_into = null,
           passenger_profile_id = case when not exists (
               select from communications.contacts o
                where o.tenant_id = v_tenant and o.id <> v_merged and o.passenger_profile_id = s.passenger_profile_id)
               then s.passenger_profile_id end,
           driver_id = case when not exists (
               select from communications.contacts o where o.tenant_id = v_tenant and o.id <> v_merged and o.driver_id = s.driver_id)
               then s.driver_id end,
           vendor_id = case when not exists (
               select from communications.contacts o where o.tenant_id = v_tenant and o.id <> v_merged and o.vendor_id = s.vendor_id)
               then s.vendor_id end
      from jsonb_populate_record(null::communications.contacts, v_moved -> 'merged_before') as s
     where c.tenant_id = v_tenant and c.id = v_merged;

    update communications.contact_merges set undone_by = v_by, undone_at = now() where tenant_id = v_tenant and id = v_merge
    returning * into v_g;
    return jsonb_build_object('merge_id', v_merge, 'kept_id', v_kept, 'merged_id', v_merged, 'undone_at', v_g.undone_at);
end
$$;
