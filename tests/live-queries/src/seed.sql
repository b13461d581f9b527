-- Five tenants' inboxes as they are after a year: `:conversations` of them in all, a multiple of a hundred, and ten messages each.
--
-- Of each tenant's conversations 5 % are OPEN and 1 % SNOOZED. Of these 60 % are assigned to its forty agents, a third of them to the
-- first one. The number of messages has a long tail: one thread in sixty has more than fifty, a few have hundreds. Half of what is open
-- is read: by its holder, and by each agent of what nobody holds. But the first agent has read all of nobody's, and all but twenty of
-- their own, which is the hardest case for the badge.
--
-- Rows lie in the order in which they would have been written, so that neither an inbox nor a thread lies together. Triggers and foreign
-- keys are off and indexes are made afterwards: what is written here keeps their rules by construction, but a message cannot be born as
-- READ, and ten million of them would each be asked.

-- → Accounts
set session_replication_role = replica;
set synchronous_commit = off;
set work_mem = '256MB';
set maintenance_work_mem = '1GB';
select setseed(0.42);

-- An id that begins with the time of its making, like the service's own.
create function pg_temp.id_at(at timestamptz, what text) returns uuid
    language sql immutable
    return (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(what), 1, 3) || '8'
            || substr(md5(what), 4, 15))::uuid;

insert into communications.tenant_settings (tenant_id, name, default_locale, timezone)
select ('0192f000-0000-7000-8000-00000000a00' || t)::uuid, 'Operator ' || t, 'es', 'Europe/Madrid' from generate_series(1, 5) t;

insert into communications.channel_accounts
    (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, waba_id, provider_config)
select ('0192f000-0000-7000-8000-00000000a00' || t)::uuid, ('0192f000-0000-7000-8000-00000000b00' || t)::uuid, 'WHATSAPP', 'META', 'ACTIVE',
       'Operator ' || t, '+3491100000' || t, '90000000000000' || t, '80000000000000' || t, '{"public": {}, "secrets": []}'
  from generate_series(1, 5) t;

insert into communications.trigger_runs (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, answer)
select s.tenant_id, ('0192f000-0000-7000-8000-' || lpad(to_hex(r), 12, '0'))::uuid, 'seed', r::text, '\x00', 'TRIP_DELAYED', 'COMPLETED', '{}'
  from communications.tenant_settings s, generate_series(1, :conversations / 100) r
 where s.name like 'Operator _';

create table communications.seed_indexes as
select format('%I.%I', schemaname, indexname) as name, indexdef
  from pg_indexes
 where schemaname = 'communications'
   and tablename in ('contacts', 'conversations', 'messages', 'conversation_read_cursors', 'conversation_events', 'message_media')
   and not exists (select from pg_constraint c where c.conindid = format('%I.%I', schemaname, indexname)::regclass);
do $$
begin
    execute (select 'drop index ' || string_agg(name, ', ') from communications.seed_indexes);
end
$$;

-- What is decided about each conversation: `n` is its place in the order of creation, `agent` its holder's number, `behind` how many
-- inbound messages the holder has not read. A conversation that is
-- live was written to in the last five days, the others until six days after their beginning.
create unlogged table communications.seed_conversations as
with rolled as (
    select n, random() as life, random() as held,
           greatest(1, round(exp(1.8 + sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))))::integer as messages
      from generate_series(0, :conversations - 1) n
), decided as (
    select n, messages, now() - (1 - n::float8 / :conversations) * interval '1 year' as born,
           case when life < 0.05 then 'OPEN' when life < 0.06 then 'SNOOZED' else 'RESOLVED' end as status,
           case when life >= 0.06 or held between 0.2 and 0.6 then floor(random() * 40)::integer when held < 0.2 then 0 end as agent
      from rolled
)
select n, ('0192f000-0000-7000-8000-00000000a00' || 1 + n % 5)::uuid as tenant_id,
       ('0192f000-0000-7000-8000-00000000b00' || 1 + n % 5)::uuid as account_id,
       pg_temp.id_at(born, 'c' || n) as id, pg_temp.id_at(born, 'p' || n) as contact_id, status, agent,
       ('0192f000-0000-7000-8000-000e0' || 1 + n % 5 || lpad(agent::text, 6, '0'))::uuid as assigned_to,
       messages, (messages + 1) / 2 as inbound, born,
       case when status = 'RESOLVED' then greatest(born, least(now() - interval '5 days', born + random() * interval '6 days'))
            else now() - random() * interval '5 days' end as last_message_at,
       case when status = 'RESOLVED' then 0
            when agent = 0 then (row_number() over (partition by n % 5, agent, status order by md5(n::text)) <= 20)::integer
            when random() < 0.5 then least((messages + 1) / 2, 1 + floor(random() * 3)::integer)
            else 0 end as behind
  from decided;

-- → Contacts and conversations
insert into communications.contacts (tenant_id, id, display_name, locale, timezone, created_at)
select tenant_id, contact_id, 'Passenger ' || n, 'es', 'Europe/Madrid', born from communications.seed_conversations order by n;

insert into communications.conversations
    (tenant_id, id, contact_id, contact_name, contact_kind, status, assigned_to, snoozed_until, last_message_at, last_inbound_at,
     last_inbound_channel, last_inbound_account, preview, inbound_count, seen_by, read_by, read_to, created_at, resolved_at)
select tenant_id, id, contact_id, 'Passenger ' || n, 'CUSTOMER', status, assigned_to, case when status = 'SNOOZED' then now() + interval '2 days' end,
       last_message_at, last_message_at, 'WHATSAPP', account_id,
       'Hola, mi viaje de Madrid a Valencia va con retraso y quiero saber si llego a mi conexión.', inbound,
       case when behind = 0 and agent is not null then array[assigned_to] else '{}' end,
       case when agent is not null then array[assigned_to::text] else '{}' end, case when agent is not null then array[inbound - behind] else '{}' end,
       born, case when status = 'RESOLVED' then last_message_at end
  from communications.seed_conversations order by n;

insert into communications.whatsapp_windows (tenant_id, account_id, contact_id, open_until)
select tenant_id, account_id, contact_id, now() + interval '10 years' from communications.seed_conversations where status <> 'RESOLVED';

insert into communications.conversation_events (tenant_id, id, conversation_id, kind, actor_kind, actor_id, at)
select c.tenant_id, pg_temp.id_at(at, kind || n), c.id, kind, case kind when 'OPENED' then 'CONTACT' else 'AGENT' end, c.assigned_to, at
  from communications.seed_conversations c
 cross join lateral (values ('OPENED', born), ('CLAIMED', born), ('RESOLVED', last_message_at)) e (kind, at)
 where kind = 'OPENED' or kind = 'CLAIMED' and agent is not null or kind = 'RESOLVED' and status = 'RESOLVED'
 order by at;

-- → Read marks
-- The holder of each conversation.
insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
select tenant_id, id, assigned_to, last_message_at - behind * interval '1 hour', inbound - behind
  from communications.seed_conversations where agent is not null order by n;

-- Of nobody's, each agent has read half to the end and a tenth to somewhere.
insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
select tenant_id, id, ('0192f000-0000-7000-8000-000e0' || 1 + n % 5 || lpad(a::text, 6, '0'))::uuid, last_message_at,
       case when a = 0 or r < 0.5 then inbound else inbound - 1 end
  from (select c.*, a, random() as r from communications.seed_conversations c, generate_series(0, 39) a where agent is null) c
 where a = 0 or r < 0.6
 order by n;

update communications.conversations c
   set seen_by = array(select r.user_id from communications.conversation_read_cursors r
                        where r.tenant_id = c.tenant_id and r.conversation_id = c.id and r.inbound_seen >= c.inbound_count),
       read_by = array(select r.user_id from communications.conversation_read_cursors r
                        where r.tenant_id = c.tenant_id and r.conversation_id = c.id order by r.user_id),
       read_to = array(select r.inbound_seen from communications.conversation_read_cursors r
                        where r.tenant_id = c.tenant_id and r.conversation_id = c.id order by r.user_id)
 where assigned_to is null;

-- → Messages
insert into communications.messages
    (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, sender_id, address, content, body, status,
     lane, category, attempts, fence, external_message_id, reply_to, replied_to, run_id, trigger_event, step, sent_at, delivered_at, read_at,
     provider_timestamp, due_at, created_at, media, reactions)
select tenant_id, message_id, direction, 'WHATSAPP', account_id, contact_id, id, sender,
       case sender when 'AGENT' then assigned_to end, '+34600' || lpad((n % 1000000)::text, 6, '0'),
       jsonb_build_object('type', 'text', 'body', body), body,
       case direction when 'INBOUND' then 'DELIVERED' else 'READ' end,
       case direction when 'OUTBOUND' then 'INTERACTIVE' end, case direction when 'OUTBOUND' then 'SERVICE' end,
       (direction = 'OUTBOUND')::integer, (direction = 'OUTBOUND')::integer,
       'wamid.HBgLMzQ2MDAwMDAwMDAVAgA' || md5(n || '.' || i),
       case when i % 20 = 7 then 'wamid.HBgLMzQ2MDAwMDAwMDAVAgA' || md5(n || '.' || i - 1) end,
       case when i % 20 = 7 then pg_temp.id_at(before, n || '.' || i - 1) end,
       case sender when 'SYSTEM' then ('0192f000-0000-7000-8000-' || lpad(to_hex(1 + (n + i) % (:conversations / 100)), 12, '0'))::uuid end,
       case sender when 'SYSTEM' then 'TRIP_DELAYED' end,
       case sender when 'SYSTEM' then i / 10 else 0 end,
       case direction when 'OUTBOUND' then at end, case direction when 'OUTBOUND' then at + interval '2 s' end,
       case direction when 'OUTBOUND' then at + interval '90 s' end, case direction when 'INBOUND' then at end, at, at,
       case body when '[image]' then jsonb_build_array(jsonb_build_object(
           'id', pg_temp.id_at(at, message_id::text), 'kind', 'image', 'mime_type', 'image/jpeg', 'filename', null, 'size_bytes', 123456,
           'state', 'STORED', 'reason', null)) end,
       case when direction = 'OUTBOUND' and left(md5(message_id::text), 2) < '08'
            then jsonb_build_array(jsonb_build_object('emoji', '👍', 'actor_kind', 'CONTACT', 'at', at)) end
  from (select *, pg_temp.id_at(at, n || '.' || i) as message_id, case i % 2 when 1 then 'INBOUND' else 'OUTBOUND' end as direction,
               case when i % 2 = 1 then 'CONTACT' when i % 10 = 4 then 'SYSTEM' else 'AGENT' end as sender,
               case when i % 20 = 3 then '[image]'
                    else left('Hola, mi viaje de Madrid a Valencia va con retraso y quiero saber si llego a mi conexión con Alicante.',
                              10 + (n * 31 + i * 17) % 90) end as body
          from (select c.*, i, last_message_at - (last_message_at - born) * (1 - i::float8 / messages) ^ 2 as at,
                       last_message_at - (last_message_at - born) * (1 - (i - 1)::float8 / messages) ^ 2 as before
                  from communications.seed_conversations c
                 cross join lateral generate_series(1, c.messages) i
                 order by at) m) m;

insert into communications.message_media
    (tenant_id, id, message_id, account_id, kind, source, source_ref, mime_type, state, attempts, expires_at, size_bytes, storage_key,
     created_at, stored_at)
select tenant_id, pg_temp.id_at(created_at, id::text), id, account_id, 'image', 'META', external_message_id, 'image/jpeg', 'STORED', 1,
       created_at + interval '7 days', 123456, tenant_id || '/2026/01/' || id, created_at, created_at
  from communications.messages where body = '[image]';

insert into communications.message_reactions
    (tenant_id, account_id, target_external_id, contact_id, actor_kind, emoji, external_message_id, at)
select tenant_id, account_id, external_message_id, contact_id, 'CONTACT', '👍', 'wamid.reaction.' || md5(id::text), created_at
  from communications.messages where direction = 'OUTBOUND' and left(md5(id::text), 2) < '08';

-- → Indexes
do $$
declare
    v_index text;
begin
    for v_index in select indexdef from communications.seed_indexes loop
        execute v_index;
    end loop;
end
$$;
drop table communications.seed_indexes, communications.seed_conversations;

reset session_replication_role;

-- → Statistics
vacuum (analyze);
