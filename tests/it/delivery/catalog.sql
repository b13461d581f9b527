-- What the engine makes in a source database, as far as events go: same names, columns, indexes and meanings, written anew.
create schema hdb_catalog;

create table hdb_catalog.event_log (
    id text primary key default gen_random_uuid()::text,
    schema_name text not null, table_name text not null, trigger_name text not null,
    payload jsonb not null,
    delivered boolean not null default false, error boolean not null default false, tries integer not null default 0,
    created_at timestamp default now(), locked timestamptz, next_retry_at timestamp, archived boolean not null default false);
create index event_log_trigger_name_idx on hdb_catalog.event_log (trigger_name);
create index event_log_fetch_events on hdb_catalog.event_log (locked nulls first, next_retry_at nulls first, created_at)
    where delivered = false and error = false and archived = false;

create table hdb_catalog.event_invocation_logs (
    id text primary key default gen_random_uuid()::text,
    trigger_name text, event_id text, status integer, request json, response json, created_at timestamp default now());
create index event_invocation_logs_event_id_idx on hdb_catalog.event_invocation_logs (event_id);

-- In the writing transaction, whoever writes. A setting that a transaction once had is empty afterwards and not absent.
create function hdb_catalog.insert_event_log(schema_name text, table_name text, trigger_name text, op text, row_data json)
returns text language sql as $$
    insert into hdb_catalog.event_log (schema_name, table_name, trigger_name, payload)
    values (schema_name, table_name, trigger_name, jsonb_build_object(
        'op', op, 'data', row_data,
        'session_variables', nullif(current_setting('hasura.user', true), '')::jsonb,
        'trace_context', nullif(current_setting('hasura.tracecontext', true), '')::jsonb))
    returning id
$$;
