//! A young installation: a session keeps the plans that it made while the tables were empty, and nobody has analyzed them since.

use crate::webhook::ana;
use comms_tests::world::World;
use sqlx::{PgConnection, Row};

/// Rows of `messages` that the session has looked at so far.
async fn messages_read(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select (idx_tup_fetch + seq_tup_read)::bigint from pg_stat_xact_user_tables
          where schemaname = 'communications' and relname = 'messages'",
    )
    .fetch_one(conn)
    .await
    .unwrap()
}

/// Two texts of somebody known by the long way, and two reports of messages that there are.
async fn some_more(conn: &mut PgConnection, round: &str) -> (i64, i64) {
    let stored = sqlx::query(
        "with rows as (
             select n, c.tenant_id, c.id as contact_id, a.id as account_id, a.external_account_id as number, a.waba_id
               from communications.contacts c
               join communications.channel_accounts a on a.tenant_id = c.tenant_id and a.channel = 'WHATSAPP'
              cross join generate_series(1, 2) n)
         select (communications.inbound_store(jsonb_build_object('messages', jsonb_agg(jsonb_build_object(
                    'id', gen_random_uuid(), 'tenant_id', tenant_id, 'account_id', account_id, 'channel', 'WHATSAPP',
                    'contact_id', contact_id, 'direction', 'INBOUND', 'wakes', true, 'opens_window', true, 'address', '+34600111222',
                    'content', '{}'::jsonb, 'body', '', 'preview', '', 'external_message_id', $1 || n, 'media', '[]'::jsonb,
                    'sent_at', now())))) ->> 'messages')::bigint,
                (communications.inbound_statuses(jsonb_build_object('channel', 'WHATSAPP', 'reports', jsonb_agg(jsonb_build_object(
                    'id', gen_random_uuid(), 'number', number, 'waba_id', waba_id, 'external_message_id', 'wamid.sent.' || n,
                    'status', 'DELIVERED', 'provider_status', $1, 'occurred_at', now(), 'raw', '{}'::jsonb)))) ->> 'new')::bigint
           from rows",
    )
    .bind(round)
    .fetch_one(conn)
    .await
    .unwrap();
    (stored.get(0), stored.get(1))
}

#[tokio::test]
async fn what_came_before_is_not_read_again_with_everything_that_comes() {
    let world = World::new().await;
    world.customer_writes(&ana("first")).await;
    let mut tx = world.pool.begin().await.unwrap();
    assert_eq!(some_more(&mut tx, "early").await, (2, 2));
    // Two thousand sent messages, without triggers: none is born as sent.
    sqlx::raw_sql(
        "set local session_replication_role = replica;
         insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body, status, lane, category,
              attempts, external_message_id, sent_at)
         select c.tenant_id, gen_random_uuid(), 'OUTBOUND', 'WHATSAPP', a.id, c.contact_id, c.id, 'SYSTEM', '', '{}', '', 'SENT',
                'TRANSACTIONAL', 'TRANSACTIONAL', 1, 'wamid.sent.' || n, now()
           from communications.conversations c
           join communications.channel_accounts a on a.tenant_id = c.tenant_id and a.channel = 'WHATSAPP'
          cross join generate_series(1, 2000) n;
         set local session_replication_role = origin",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    let before = messages_read(&mut tx).await;
    assert_eq!(some_more(&mut tx, "late").await, (2, 2));
    let read = messages_read(&mut tx).await - before;
    assert!(
        (1..100).contains(&read),
        "{read} messages are read for four"
    );
}

/// A mail looks up what waits for it and what is the same mail, and reads neither all mails nor all that wait for another.
#[tokio::test]
async fn a_mail_is_not_looked_for_among_all_mails_that_came_before() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world.customer_writes(&ana("first")).await;
    let mut tx = world.pool.begin().await.unwrap();
    let mails = "select communications.inbound_store(jsonb_build_object('messages', jsonb_agg(jsonb_build_object(
                    'id', gen_random_uuid(), 'tenant_id', c.tenant_id, 'account_id', a.id, 'channel', 'EMAIL', 'contact_id', c.id,
                    'direction', 'INBOUND', 'wakes', true, 'address', 'ana@example.org', 'content', '{}'::jsonb, 'body', 'x', 'preview', 'x',
                    'external_message_id', $1 || n, 'rfc_message_id', $1 || n || '@mail.example', 'reply_to', $1 || n || '@nowhere.example',
                    'media', '[]'::jsonb, 'sent_at', now()))))
                   from communications.contacts c
                   join communications.channel_accounts a on a.tenant_id = c.tenant_id and a.channel = 'EMAIL'
                  cross join generate_series(1, 3) n";
    // Often enough for a plan to be kept.
    for round in 0..4 {
        sqlx::query(mails)
            .bind(format!("early{round}-"))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    sqlx::raw_sql(
        "set local session_replication_role = replica;
         insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body, status,
              external_message_id, rfc_message_id, reply_to)
         select m.tenant_id, gen_random_uuid(), 'INBOUND', 'EMAIL', m.account_id, m.contact_id, m.conversation_id, 'CONTACT', '', '{}', '',
                'DELIVERED', 'mail-' || n, n || '@mail.example', n || '@nowhere.example'
           from (select * from communications.messages where channel = 'EMAIL' limit 1) m cross join generate_series(1, 2000) n;
         set local session_replication_role = origin",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    let before = messages_read(&mut tx).await;
    sqlx::query(mails)
        .bind("late-")
        .execute(&mut *tx)
        .await
        .unwrap();
    let read = messages_read(&mut tx).await - before;
    assert!(read < 100, "{read} messages are read for three mails");
}
