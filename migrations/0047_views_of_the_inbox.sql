-- What the live queries reach beside a message or a conversation. The engine repeats a table's filter in every child of every row, and the
-- tenant's is a JSON value to be parsed each time: half of what a thread cost. A relationship carries the tenant as well, so nothing but
-- relationships may lead here. Of a table that cannot be said: the engine's Relay API gives any row by its primary key, whichever root
-- fields are closed. A view has none (docs/hasura.md).
create view communications.thread_files as
select tenant_id, message_id, id, ordinal, kind, mime_type, filename, size_bytes, state, reason
  from communications.message_media;

create view communications.thread_reactions as
select tenant_id, account_id, target_external_id, emoji, actor_kind, at
  from communications.message_reactions
 where emoji <> '';

create view communications.thread_answers as
select tenant_id, account_id, external_message_id, id
  from communications.messages;

create view communications.thread_runs as
select tenant_id, id, trigger_event, created_at
  from communications.trigger_runs;

create view communications.listed_contacts as
select tenant_id, id, kind, display_name
  from communications.contacts;
