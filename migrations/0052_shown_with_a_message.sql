-- What the thread shows beside a message stands in the message's row: its files, what people reacted, the message that it answers, and why it
-- was sent were four look-ups for each message, of which hardly one has any of them, and half of what a thread cost. Null where there is none.
--
-- What writes files and reactions, and then messages, waits until the triggers are there.
lock table communications.message_media, communications.message_reactions in share row exclusive mode;
alter table communications.messages
    -- [{"id", "kind", "mime_type", "filename", "size_bytes", "state", "reason"}], by their place; the first hundred.
    add column media jsonb,
    -- [{"emoji", "actor_kind", "at"}], the oldest first; the newest twenty that were not taken away.
    add column reactions jsonb,
    -- The message with the id `reply_to`, the provider's or of an email its own, as soon as it is here.
    add column replied_to uuid,
    -- That of the run, which never changes.
    add column trigger_event text,
    -- Nothing happens to a message here, so its updated_at stays.
    disable trigger user;

create function communications.files_of(p_tenant uuid, p_message uuid) returns jsonb
    language sql stable
    return (select jsonb_agg(jsonb_build_object('id', f.id, 'kind', f.kind, 'mime_type', f.mime_type, 'filename', f.filename,
                                                'size_bytes', f.size_bytes, 'state', f.state, 'reason', f.reason) order by f.ordinal)
              from (select * from communications.message_media f
                     where f.tenant_id = p_tenant and f.message_id = p_message
                     order by f.ordinal limit 100) f);

create function communications.reactions_to(p_tenant uuid, p_account uuid, p_target text) returns jsonb
    language sql stable
    return (select jsonb_agg(jsonb_build_object('emoji', r.emoji, 'actor_kind', r.actor_kind, 'at', r.at) order by r.at, r.contact_id, r.actor_kind)
              from (select * from communications.message_reactions r
                     where r.tenant_id = p_tenant and r.account_id = p_account and r.target_external_id = p_target and r.emoji <> ''
                     order by r.at desc, r.contact_id, r.actor_kind limit 20) r);

create function communications.mail_with(p_tenant uuid, p_rfc text) returns uuid
    language sql stable
    return (select m.id from communications.messages m where m.tenant_id = p_tenant and m.rfc_message_id = p_rfc order by m.id limit 1);

-- Those of all messages, in one pass.
with shown as (
    select m.tenant_id, m.id, case when f.message_id is not null then communications.files_of(m.tenant_id, m.id) end as media,
           case when r.target_external_id is not null
                then communications.reactions_to(m.tenant_id, m.account_id, m.external_message_id) end as reactions,
           coalesce(o.id, case when m.channel = 'EMAIL' then communications.mail_with(m.tenant_id, m.reply_to) end) as replied_to,
           t.trigger_event
      from communications.messages m
      left join (select distinct tenant_id, message_id from communications.message_media) f
        on f.tenant_id = m.tenant_id and f.message_id = m.id
      left join (select distinct tenant_id, account_id, target_external_id from communications.message_reactions where emoji <> '') r
        on r.tenant_id = m.tenant_id and r.account_id = m.account_id and r.target_external_id = m.external_message_id
      left join communications.messages o
        on o.tenant_id = m.tenant_id and o.account_id = m.account_id and o.external_message_id = m.reply_to
      left join communications.trigger_runs t on t.tenant_id = m.tenant_id and t.id = m.run_id)
update communications.messages m
   set media = s.media, reactions = s.reactions, replied_to = s.replied_to, trigger_event = s.trigger_event
  from shown s
 where m.tenant_id = s.tenant_id and m.id = s.id
   and num_nonnulls(s.media, s.reactions, s.replied_to, s.trigger_event) > 0;

alter table communications.messages enable trigger user;

-- Answers to what is not here: by what they wait for, and the latest of them. No other index names one of the columns: files and reactions
-- are heap-only updates.
create index messages_answers_waiting on communications.messages (tenant_id, account_id, reply_to)
    where reply_to is not null and replied_to is null;
create index messages_answers_latest on communications.messages (created_at)
    where reply_to is not null and replied_to is null;

-- Whoever queues very many says it, which costs a fifth of being told.
create function communications.learn_trigger() returns trigger
    language plpgsql
as $$
begin
    select r.trigger_event into new.trigger_event
      from communications.trigger_runs r
     where r.tenant_id = new.tenant_id and r.id = new.run_id;
    return new;
end
$$;

create trigger learn_trigger before insert on communications.messages
    for each row when (new.run_id is not null and new.trigger_event is null) execute function communications.learn_trigger();

create function communications.show_new_files() returns trigger
    language plpgsql
as $$
begin
    -- First, and by itself, here and below: the next statement sees what whoever held it has written.
    perform from communications.messages m
      join (select distinct tenant_id, message_id from changed) f on f.tenant_id = m.tenant_id and f.message_id = m.id
     order by m.tenant_id, m.id
       for no key update of m;
    update communications.messages m
       set media = communications.files_of(m.tenant_id, m.id)
      from (select distinct tenant_id, message_id from changed) f
     where m.tenant_id = f.tenant_id and m.id = f.message_id;
    return null;
end
$$;

create trigger show_new_files after insert on communications.message_media
    referencing new table as changed
    for each statement execute function communications.show_new_files();

create function communications.show_changed_file() returns trigger
    language plpgsql
as $$
begin
    perform from communications.messages m where m.tenant_id = new.tenant_id and m.id = new.message_id for no key update;
    update communications.messages m
       set media = communications.files_of(m.tenant_id, m.id)
     where m.tenant_id = new.tenant_id and m.id = new.message_id;
    return null;
end
$$;

-- What only its worker needs is not shown.
create trigger show_changed_file after update on communications.message_media
    for each row when ((old.ordinal, old.kind, old.mime_type, old.filename, old.size_bytes, old.state, old.reason)
                       is distinct from
                       (new.ordinal, new.kind, new.mime_type, new.filename, new.size_bytes, new.state, new.reason))
    execute function communications.show_changed_file();

-- For a reaction to what is not known yet and for what makes it known: both look for the other, so one of them waits.
create function communications.reaction_lock(p_tenant uuid, p_account uuid, p_external text) returns bigint
    language sql stable parallel safe
    return hashtextextended(array_to_string(array[p_tenant::text, p_account::text, p_external], '/'), 0);

create function communications.show_reactions() returns trigger
    language plpgsql
as $$
begin
    -- Whoever makes one of these known waits until this is committed, or has committed before the next statement.
    perform pg_advisory_xact_lock(k.hash)
       from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, r.target_external_id) as hash
               from changed r
              where not exists (select from communications.messages m
                                 where m.tenant_id = r.tenant_id and m.account_id = r.account_id
                                   and m.external_message_id = r.target_external_id)
              order by 1) k;
    perform from communications.messages m
      join (select distinct tenant_id, account_id, target_external_id from changed) r
        on r.tenant_id = m.tenant_id and r.account_id = m.account_id and r.target_external_id = m.external_message_id
     order by m.tenant_id, m.id
       for no key update of m;
    update communications.messages m
       set reactions = shown.reactions
      from (select distinct tenant_id, account_id, target_external_id from changed) r
     cross join lateral communications.reactions_to(r.tenant_id, r.account_id, r.target_external_id) as shown (reactions)
     where m.tenant_id = r.tenant_id and m.account_id = r.account_id and m.external_message_id = r.target_external_id
       and m.reactions is distinct from shown.reactions;
    return null;
end
$$;

create trigger show_reactions_insert after insert on communications.message_reactions
    referencing new table as changed
    for each statement execute function communications.show_reactions();
create trigger show_reactions_update after update on communications.message_reactions
    referencing new table as changed
    for each statement execute function communications.show_reactions();

-- What a message answers; and, when its own id becomes known, what reacted to it or answered it before. It waits for nobody's row: of an
-- answer that somebody holds, or that is not committed yet, find_answered takes care.
create function communications.meet_neighbours() returns trigger
    language plpgsql
as $$
begin
    if new.reply_to is not null and new.replied_to is null then
        select m.id into new.replied_to from communications.messages m
         where m.tenant_id = new.tenant_id and m.account_id = new.account_id and m.external_message_id = new.reply_to;
        if not found and new.channel = 'EMAIL' then
            new.replied_to := communications.mail_with(new.tenant_id, new.reply_to);
        end if;
    end if;
    if new.external_message_id is null then
        return new;
    end if;
    if tg_op = 'UPDATE' then
        perform pg_advisory_xact_lock(communications.reaction_lock(new.tenant_id, new.account_id, new.external_message_id));
        new.reactions := communications.reactions_to(new.tenant_id, new.account_id, new.external_message_id);
    -- What comes in and what reacts to it hold the locks of the same person.
    elsif exists (select from communications.message_reactions r
                   where r.tenant_id = new.tenant_id and r.account_id = new.account_id
                     and r.target_external_id = new.external_message_id) then
        new.reactions := communications.reactions_to(new.tenant_id, new.account_id, new.external_message_id);
    end if;
    if exists (select from communications.messages m
                where m.tenant_id = new.tenant_id and m.account_id = new.account_id
                  and m.reply_to = new.external_message_id and m.replied_to is null) then
        update communications.messages m set replied_to = new.id
         where (m.tenant_id, m.id) in (select a.tenant_id, a.id from communications.messages a
                                        where a.tenant_id = new.tenant_id and a.account_id = new.account_id
                                          and a.reply_to = new.external_message_id and a.replied_to is null
                                          for no key update skip locked);
    end if;
    return new;
end
$$;

create trigger meet_neighbours_insert before insert on communications.messages
    for each row when (new.external_message_id is not null or new.reply_to is not null)
    execute function communications.meet_neighbours();
create trigger meet_neighbours_update before update of external_message_id on communications.messages
    for each row when (new.external_message_id is not null and old.external_message_id is distinct from new.external_message_id)
    execute function communications.meet_neighbours();

-- The answers of the last hour whose message is here by now: the two were written at the same time, and neither saw the other. How many.
create function communications.find_answered(p_most integer) returns integer
    language plpgsql
    set enable_seqscan = off
as $$
declare
    v_found integer;
begin
    with late as (
        select a.tenant_id, a.id, m.id as answered
          from communications.messages a
          join communications.messages m
            on m.tenant_id = a.tenant_id and m.account_id = a.account_id and m.external_message_id = a.reply_to
         where a.reply_to is not null and a.replied_to is null and a.created_at > now() - interval '1 hour'
         order by a.created_at
         limit p_most
           for no key update of a skip locked)
    update communications.messages m set replied_to = l.answered
      from late l
     where m.tenant_id = l.tenant_id and m.id = l.id;
    get diagnostics v_found = row_count;
    return v_found;
end
$$;

-- The thread was all that asked them.
drop view communications.thread_files, communications.thread_reactions, communications.thread_answers, communications.thread_runs;
