-- What Hasura asks every second, within a bound: the unread count by its mark's whole key, the badge by an index of what is unread.

-- By the whole key of the mark. As text it was looked for among all agents' marks of the conversation. What is no UUID has read nothing:
-- one bad token must not break the statement that others share.
create function communications.session_user_id(hasura_session json) returns uuid
    language sql immutable
    return case when hasura_session ->> 'x-hasura-user-id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                then (hasura_session ->> 'x-hasura-user-id')::uuid end;

create or replace function communications.conversation_unread_count(
    conversation communications.conversations, hasura_session json
) returns bigint
    language sql stable
    return greatest(0, conversation.inbound_count - coalesce((
        select c.inbound_seen
          from communications.conversation_read_cursors c
         where c.tenant_id = conversation.tenant_id
           and c.conversation_id = conversation.id
           and c.user_id = communications.session_user_id(hasura_session)), 0));

-- Who has read everything that came: what conversation_read_cursors says, beside what it is about, so that the badge asks no mark. An index
-- holds what is unread by its holder and nothing else.
alter table communications.conversations
    add column seen_by uuid[] not null default '{}',
    add column holder_unread boolean generated always as (assigned_to is not null and inbound_count > 0 and not assigned_to = any (seen_by)) stored;

update communications.conversations c
   set seen_by = array(select r.user_id from communications.conversation_read_cursors r
                        where r.tenant_id = c.tenant_id and r.conversation_id = c.id and r.inbound_seen >= c.inbound_count);

create function communications.recall_readers() returns trigger
    language plpgsql as
$$
begin
    -- Nobody has seen what comes now. Merges take away, and give back what was read.
    if new.inbound_count > old.inbound_count and old.inbound_count > 0 then
        new.seen_by := '{}';
    else
        new.seen_by := array(select r.user_id from communications.conversation_read_cursors r
                              where r.tenant_id = new.tenant_id and r.conversation_id = new.id and r.inbound_seen >= new.inbound_count
                              order by r.user_id);
    end if;
    return new;
end
$$;

create trigger recall_readers before update of inbound_count on communications.conversations
    for each row when (old.inbound_count is distinct from new.inbound_count)
    execute function communications.recall_readers();

create function communications.tell_readers() returns trigger
    language plpgsql as
$$
begin
    update communications.conversations c
       set seen_by = n.readers
      from (select k.tenant_id, k.id,
                   array(select r.user_id from communications.conversation_read_cursors r
                          where r.tenant_id = k.tenant_id and r.conversation_id = k.id and r.inbound_seen >= k.inbound_count
                          order by r.user_id) as readers
              from (select distinct tenant_id, conversation_id from marked) m
              join communications.conversations k on k.tenant_id = m.tenant_id and k.id = m.conversation_id
             order by k.tenant_id, k.id
               for update of k) n
     where c.tenant_id = n.tenant_id and c.id = n.id and c.seen_by <> n.readers;
    return null;
end
$$;

create trigger tell_readers_insert after insert on communications.conversation_read_cursors
    referencing new table as marked for each statement execute function communications.tell_readers();
create trigger tell_readers_update after update on communications.conversation_read_cursors
    referencing new table as marked for each statement execute function communications.tell_readers();
create trigger tell_readers_delete after delete on communications.conversation_read_cursors
    referencing old table as marked for each statement execute function communications.tell_readers();

create index conversations_unread_by_holder on communications.conversations (tenant_id, assigned_to, last_message_at desc, id desc)
    where status = 'OPEN' and holder_unread;
-- Nobody's in the order of the list. conversations_assignee cannot give it: Postgres takes `= x` for one value, but not `is null`.
create index conversations_unassigned on communications.conversations (tenant_id, status, last_message_at desc, id desc)
    where assigned_to is null;

-- Hasura computed field: how many open conversations, of the session's user or of nobody, have something unread; 100 is "99+". Of
-- nobody's the newest 200 are looked at, so that its cost has a bound for whoever has read them all.
create function communications.tenant_unread_conversations(settings communications.tenant_settings, hasura_session json) returns bigint
    language sql stable
    return (
        with me as materialized (select communications.session_user_id(hasura_session) as id)
        select count(*)
          from ((select from communications.conversations c
                  where c.tenant_id = settings.tenant_id and c.assigned_to = (select id from me)
                    and c.status = 'OPEN' and c.holder_unread
                  limit 100)
                union all
                (select from (select c.inbound_count, c.seen_by
                                from communications.conversations c
                               where c.tenant_id = settings.tenant_id and c.assigned_to is null and c.status = 'OPEN'
                               order by c.last_message_at desc, c.id desc
                               limit 200) c
                  where c.inbound_count > 0 and not (select id from me) = any (c.seen_by)
                  limit 100)
                limit 100) u);

-- The badge hangs on the tenant's settings, so whoever has a channel has settings: the defaults.
create function communications.begin_settings() returns trigger
    language plpgsql as
$$
begin
    insert into communications.tenant_settings (tenant_id, name) values (new.tenant_id, new.display_name) on conflict do nothing;
    return null;
end
$$;

create trigger begin_settings after insert on communications.channel_accounts
    for each row execute function communications.begin_settings();

insert into communications.tenant_settings (tenant_id, name)
select distinct on (tenant_id) tenant_id, display_name from communications.channel_accounts order by tenant_id, created_at
on conflict do nothing;
