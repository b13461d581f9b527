//! What is asked about one person or one mail reads their rows, however many others there are: by the session's own statistics.

use crate::people::{NEW, OLD, contact_of, see, writes};
use comms_tests::world::World;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

/// So many of others, for each question.
const OTHERS: i32 = 3000;
/// What may be read for an answer, of a table.
const FEW: i64 = 100;

async fn read_so_far(session: &mut PgConnection, table: &str) -> i64 {
    sqlx::query_scalar(
        "select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_xact_user_tables
          where schemaname = 'communications' and relname = $1",
    )
    .bind(table)
    .fetch_one(session)
    .await
    .unwrap()
}

/// Rows that the answer took, by an index or without one. Nothing is kept.
async fn rows_read(world: &World, table: &str, function: &str, argument: &Value) -> i64 {
    let mut tx = world.pool.begin().await.unwrap();
    let before = read_so_far(&mut tx, table).await;
    sqlx::query(AssertSqlSafe(format!(
        "select communications.{function}($1)"
    )))
    .bind(argument)
    .execute(&mut *tx)
    .await
    .unwrap();
    let after = read_so_far(&mut tx, table).await;
    tx.rollback().await.unwrap();
    after - before
}

#[tokio::test]
async fn other_peoples_rows_are_not_read() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    see(&world, &writes(1, NEW, "")).await;
    see(&world, &writes(2, OLD, "")).await;
    // Many of the first one, and one of each of the second.
    for rows in [
        "insert into communications.messages (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind,
                address, content, body, status, lane, category, external_message_id, rfc_message_id)
         select v.tenant_id, gen_random_uuid(), 'OUTBOUND', 'EMAIL', a.id, v.contact_id, v.id, 'AGENT', 'x@example.org', '{\"type\": \"email\"}',
                'x', 'QUEUED', 'INTERACTIVE', 'SERVICE', concat('ses-', v.nth, n), concat(v.nth, n, '@example.org')
           from (select *, row_number() over (order by id) as nth from communications.conversations) v
           join communications.channel_accounts a on a.tenant_id = v.tenant_id and a.channel = 'EMAIL'
          cross join lateral generate_series(1, case v.nth when 1 then $1 else 1 end) n",
        "insert into communications.suppressions (tenant_id, channel, address, reason, source, at)
         select tenant_id, 'SMS', value, 'BOUNCE', 'provider', '2026-01-01'::timestamptz from communications.contact_identities
          where value = '+34600111222'
         union all
         select tenant_id, 'SMS', '+3460' || lpad(n::text, 7, '0'), 'BOUNCE', 'provider', '2026-01-01'
           from communications.contacts, generate_series(1, $1) n on conflict do nothing",
        "insert into communications.contact_former_identities (tenant_id, kind, scope, value, contact_id, until)
         select c.tenant_id, 'phone', '', concat('+346', c.nth, lpad(n::text, 7, '0')), c.id, now()
           from (select *, row_number() over (order by id) as nth from communications.contacts) c
          cross join lateral generate_series(1, case c.nth when 1 then $1 else 1 end) n",
    ] {
        sqlx::query(rows)
            .bind(OTHERS)
            .execute(&world.pool)
            .await
            .unwrap();
    }
    world.execute("analyze").await;
    let tenant = world.iberia.tenant;
    let contact = contact_of(&world, "wa_id", OLD).await;
    let mail = json!({"recipients": [{"domain": world.iberia.mail_domain()}], "answers": ["ses-21", "21@example.org"],
                      "aliases": [["email", "", "ana@example.org"]]});
    let start = json!({"wishes": [{"tenant_id": tenant, "contact_id": contact, "channel": "SMS", "wish": "START", "basis": "said so",
                                   "source": "message", "at": "2026-11-01T10:00:00Z", "address": "+34600111222"}]});
    let learnt = json!([{"tenant_id": tenant, "contact_id": contact, "address": "+34600111222",
                         "aliases": [["phone", "", "+34600111222"], ["bsuid", "", "ES.1"]]}]);
    for (table, function, argument) in [
        ("messages", "mail_load", mail),
        ("suppressions", "inbound_store", start),
        ("contact_former_identities", "learn_aliases", learnt),
    ] {
        let read = rows_read(&world, table, function, &argument).await;
        assert!((1..FEW).contains(&read), "{function}: {read} of {table}");
    }
}
