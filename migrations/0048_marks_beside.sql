-- The unread count without a look-up: what conversation_read_cursors says stands in the conversation's row as well, and the function is one
-- expression, which Postgres writes into the statement. With a subquery in it, it was called for every row: half of what a list cost.
alter table communications.conversations
    -- Who has read something, and how many inbound messages each of them, in the same order. Text, because what is no UUID is to be
    -- found nowhere and not to break the statement.
    add column read_by text[] not null default '{}',
    add column read_to bigint[] not null default '{}';

update communications.conversations c
   set read_by = r.by, read_to = r.upto
  from (select tenant_id, conversation_id, array_agg(user_id::text order by user_id) as by, array_agg(inbound_seen order by user_id) as upto
          from communications.conversation_read_cursors group by tenant_id, conversation_id) r
 where r.tenant_id = c.tenant_id and r.conversation_id = c.id;

create or replace function communications.tell_readers() returns trigger
    language plpgsql as
$$
begin
    -- First, and by itself: the next statement sees the marks of whoever held it.
    perform from communications.conversations k
      join (select distinct tenant_id, conversation_id from marked) m on m.tenant_id = k.tenant_id and m.conversation_id = k.id
     order by k.tenant_id, k.id
       for no key update of k;
    update communications.conversations c
       set seen_by = n.seen_by, read_by = n.read_by, read_to = n.read_to
      from (select k.tenant_id, k.id, r.*
              from (select distinct tenant_id, conversation_id from marked) m
              join communications.conversations k on k.tenant_id = m.tenant_id and k.id = m.conversation_id
             cross join lateral (
                  select coalesce(array_agg(r.user_id order by r.user_id) filter (where r.inbound_seen >= k.inbound_count), '{}') as seen_by,
                         coalesce(array_agg(r.user_id::text order by r.user_id), '{}') as read_by,
                         coalesce(array_agg(r.inbound_seen order by r.user_id), '{}') as read_to
                    from communications.conversation_read_cursors r
                   where r.tenant_id = k.tenant_id and r.conversation_id = k.id) r) n
     where c.tenant_id = n.tenant_id and c.id = n.id
       and (c.seen_by, c.read_by, c.read_to) is distinct from (n.seen_by, n.read_by, n.read_to);
    return null;
end
$$;

create or replace function communications.conversation_unread_count(
    conversation communications.conversations, hasura_session json
) returns bigint
    language sql stable
    return greatest(0, conversation.inbound_count - coalesce(
        conversation.read_to[array_position(conversation.read_by, lower((hasura_session ->> 'x-hasura-user-id') collate "C"))], 0));
