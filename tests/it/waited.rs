//! Who has waited for somebody decides by what they have written; and nobody waits who only points to a row.

use crate::merges::{ANA, ANNA, of, two};
use crate::parted::commits_when_awaited;
use crate::people::{see, writes};
use crate::planted;
use crate::webhook::ana;
use comms_core::model::ContactId;
use comms_simulator::Inbound;
use comms_tests::world::World;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

fn call(function: &str, argument: &Value) -> String {
    let argument = argument.to_string().replace('\'', "''");
    format!("select communications.{function}('{argument}')")
}

/// The second begins before the first has ended, and waits for it.
async fn behind(world: &World, first: &str, second: &str) {
    let mut tx = world.database().begin().await.unwrap();
    sqlx::query(AssertSqlSafe(first.to_owned()))
        .execute(tx.conn())
        .await
        .unwrap();
    let second = sqlx::query(AssertSqlSafe(second.to_owned())).execute(&world.pool);
    let (done, ()) = tokio::join!(second, commits_when_awaited(world, tx));
    done.unwrap();
}

async fn account(world: &World) -> Uuid {
    world
        .scalar("select id from communications.channel_accounts where external_account_id = '100000000000001'")
        .await
}

/// The ban is over, by a notice that was written later and is stored first.
#[tokio::test]
async fn an_older_notice_does_not_outrank_the_one_that_it_waited_for() {
    let world = World::new().await;
    world
        .execute(
            "update communications.channel_accounts set status = 'SUSPENDED', status_reason = 'provider: ban', quality = 'YELLOW'
              where external_account_id = '100000000000001'",
        )
        .await;
    let account = account(&world).await;
    let notice = |change: &str, word: &str, at: &str| {
        json!({"kind": "ACCOUNT", "tenant_id": world.iberia.tenant, "account_id": account, "field": "x", "event": change,
               "change": change, "word": word, "alert": false, "at": at, "raw": {}, "raw_hash": format!("{:032x}", Uuid::now_v7().as_u128())})
    };
    let newer = [
        notice("REINSTATED", "", "2026-11-01T10:05:00Z"),
        notice("QUALITY", "GREEN", "2026-11-01T10:05:00Z"),
    ];
    let older = [
        notice("SUSPENDED", "ban", "2026-11-01T10:00:00Z"),
        notice("QUALITY", "RED", "2026-11-01T10:00:00Z"),
    ];
    let told = |notices: &[Value]| call("store_account_notices", &json!(notices));
    behind(&world, &told(&newer), &told(&older)).await;
    let left: (String, Option<String>) = sqlx::query_as(
        "select status, quality from communications.channel_accounts where external_account_id = '100000000000001'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(left, ("ACTIVE".to_owned(), Some("GREEN".to_owned())));
}

/// Two who learn of one contact, by ids that have nothing in common.
#[tokio::test]
async fn all_aliases_stand_in_the_contact_that_two_learn_of_at_once() {
    let world = World::new().await;
    see(&world, &writes(1, ANA, "ES.1")).await;
    let contact = of(&world, ANA).await;
    let learn = |kind: &str, value: &str| {
        let alias = json!({"tenant_id": world.iberia.tenant, "contact_id": contact, "kind": kind, "scope": "", "value": value});
        call("people_store", &json!({"aliases": [alias]}))
    };
    behind(
        &world,
        &learn("parent_bsuid", "ES.ENT.1"),
        &learn("email", "ana@example.com"),
    )
    .await;
    let kinds: Value = world
        .scalar("select jsonb_agg(k order by k) from communications.contacts, jsonb_object_keys(identifiers) k")
        .await;
    assert_eq!(
        kinds,
        json!(["bsuid", "email", "parent_bsuid", "phone", "wa_id"])
    );
}

/// It goes to whom they have become.
#[tokio::test]
async fn a_copy_made_during_a_merge_is_the_kept_ones() {
    let world = World::new().await;
    let message = planted::one(&world).await;
    planted::end_all(&world, "FAILED", "RETRYABLE", "500").await;
    see(&world, &writes(1, ANNA, "")).await;
    let kept = of(&world, ANNA).await;
    let merged: ContactId = world
        .scalar("select contact_id from communications.messages where direction = 'OUTBOUND'")
        .await;
    let merge = json!({"tenant_id": world.iberia.tenant, "merge_id": Uuid::now_v7(), "kept_id": kept, "merged_id": merged,
                       "by": world.iberia.agent});
    let account = account(&world).await;
    let copy = format!(
        "select communications.copy_messages('{}', array['{message}'::uuid], array['{account}'::uuid], now())",
        world.iberia.tenant
    );
    behind(&world, &call("merge_contacts", &merge), &copy).await;
    let copied: ContactId = world
        .scalar("select contact_id from communications.messages where replay_of is not null")
        .await;
    assert_eq!(copied, kept);
}

/// What was said last is what was said while the edit waited.
#[tokio::test]
async fn an_edit_that_has_waited_is_not_what_was_said_last() {
    let world = World::new().await;
    assert_eq!(world.customer_writes(&ana("Hola")).await.status(), 200);
    let answer =
        "with thread as (update communications.conversations set preview = 'Buenas' returning *)
                  insert into communications.messages (tenant_id, id, direction, channel, account_id, contact_id, conversation_id,
                         sender_kind, address, content, body, status, lane, category, provider_timestamp)
                  select m.tenant_id, communications.uuid_v7(), 'OUTBOUND', m.channel, m.account_id, m.contact_id, thread.id, 'AGENT',
                         m.address, '{\"type\": \"text\"}', 'Buenas', 'QUEUED', 'INTERACTIVE', 'SERVICE', m.thread_at + interval '1 minute'
                    from communications.messages m cross join thread where m.direction = 'INBOUND'";
    let edit: Value = world
        .scalar(
            "select jsonb_build_array(jsonb_build_object('tenant_id', tenant_id, 'account_id', account_id, 'external_message_id', 'wamid.E',
                    'target', external_message_id, 'contact_id', contact_id, 'actor_kind', 'CONTACT', 'kind', 'EDIT', 'at', now(),
                    'content', '{\"type\": \"text\", \"body\": \"Hola otra vez\"}'::jsonb, 'body', 'Hola otra vez'))
               from communications.messages",
        )
        .await;
    behind(&world, answer, &call("store_revisions", &edit)).await;
    let shown: (String, String) = sqlx::query_as(
        "select v.preview, m.body from communications.conversations v join communications.messages m on m.conversation_id = v.id
          where m.direction = 'INBOUND'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(shown, ("Buenas".to_owned(), "Hola otra vez".to_owned()));
}

/// An insert that names a thread locks its key for as long as its transaction takes: of a batch, seconds.
#[tokio::test]
async fn nobody_who_writes_waits_for_who_only_points_to_their_thread() {
    let world = World::new().await;
    two(&world).await;
    let mut tx = world.database().begin().await.unwrap();
    sqlx::query("select from communications.conversations for key share")
        .execute(tx.conn())
        .await
        .unwrap();
    // One text; what takes the long way; and several at once.
    assert_eq!(
        world
            .customer_writes(&Inbound::text(ANA, "1"))
            .await
            .status(),
        200
    );
    assert_eq!(
        world
            .customer_writes(&Inbound::text(ANA, "STOP"))
            .await
            .status(),
        200
    );
    let (one, other) = (Inbound::text(ANA, "2"), Inbound::text(ANNA, "3"));
    let (one, other) = tokio::join!(world.customer_writes(&one), world.customer_writes(&other));
    assert_eq!(
        (one.status(), other.status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    assert_eq!(world.count("messages").await, 6);
    tx.rollback().await.unwrap();
}

/// What somebody decides about at this moment is woken with the rest of the batch.
#[tokio::test]
async fn resuming_wakes_what_was_in_doubt_while_it_rested() {
    let world = World::new().await;
    let message = planted::one(&world).await;
    let batch = Uuid::now_v7();
    let doubt = format!(
        "begin; set local session_replication_role = replica;
         insert into communications.batches (tenant_id, id, source, idempotency_key, body_hash, trigger_event, request, run_id, status)
         select tenant_id, '{batch}', 'test', 'x', '', 'x', '{{}}', run_id, 'PAUSED' from communications.messages;
         update communications.trigger_runs set source = 'batch', idempotency_key = '{batch}';
         update communications.messages set status = 'UNCERTAIN', attempts = 1, fence = 1; commit"
    );
    sqlx::raw_sql(AssertSqlSafe(doubt))
        .execute(&world.pool)
        .await
        .unwrap();
    let decided = format!(
        "update communications.messages set status = 'QUEUED', due_at = now() where id = '{message}'"
    );
    let resumed = "with awake as (update communications.batches set status = 'RUNNING' returning tenant_id)
                   select communications.hold_run(tenant_id, (select run_id from communications.messages), false) from awake";
    behind(&world, &decided, resumed).await;
    assert_eq!(
        world
            .count("messages where status = 'QUEUED' and due_at <= now() and held_due_at is null")
            .await,
        1
    );
}

/// Claims lock slots before a month's spending, settles the other way round.
#[tokio::test]
async fn a_settle_does_not_wait_for_who_gives_out_slots() {
    let world = World::new().await;
    let message = planted::one(&world).await;
    planted::more(&world, message, 1).await;
    world
        .execute("update communications.messages set hint_at = '-infinity' where run_id is null")
        .await;
    let claim = format!(
        "select communications.claim_messages(array['{}'::uuid], array['{message}'::uuid], 60)",
        world.iberia.tenant
    );
    sqlx::query(AssertSqlSafe(claim))
        .execute(&world.pool)
        .await
        .unwrap();
    let mut slots = world.pool.begin().await.unwrap();
    sqlx::query("select from communications.rate_buckets for update")
        .execute(&mut *slots)
        .await
        .unwrap();
    let settle = format!(
        "select kind from communications.settle_messages(array['{}'::uuid], array['{message}'::uuid], array[1], array['SENT'], array['ACCEPTED'],
                array[null], array[null], array['wamid.1'], array[0], array[false], array[''], array[0], array[null]::integer[], 900)",
        world.iberia.tenant
    );
    let mut session = world.pool.begin().await.unwrap();
    sqlx::query("set local lock_timeout = '5s'")
        .execute(&mut *session)
        .await
        .unwrap();
    let left: Vec<String> = sqlx::query_scalar(AssertSqlSafe(settle))
        .fetch_all(&mut *session)
        .await
        .unwrap();
    assert!(left.contains(&"WAITING".to_owned()), "{left:?}");
    session.commit().await.unwrap();
    slots.rollback().await.unwrap();
}

/// A deletion by another of somebody's ids, or somebody else's reaction in a group, while the message itself is on its way.
#[tokio::test]
async fn what_changes_a_message_waits_for_who_makes_it_known() {
    let world = World::new().await;
    two(&world).await;
    let (ana, other) = (of(&world, ANA).await, of(&world, ANNA).await);
    let (tenant, account) = (world.iberia.tenant, account(&world).await);
    for (n, way) in ["inbound_text", "inbound_texts", "store_messages"]
        .into_iter()
        .enumerate()
    {
        let id = format!("wamid.{way}");
        let text = json!({
            "number": world.iberia.phone_number_id, "waba_id": world.iberia.waba_id, "said": 1, "name": null, "id": Uuid::now_v7(),
            "aliases": [["wa_id", "", ANA]], "address": "+34600111222", "content": {"type": "text", "body": "hola"}, "body": "hola",
            "preview": "hola", "external_message_id": id, "reply_to": null, "context": null, "sent_at": "2026-11-01T10:00:00Z",
            "channel": "WHATSAPP", "tenant_id": tenant, "account_id": account, "contact_id": ana, "direction": "INBOUND", "wakes": true,
            "opens_window": true, "muted": false, "media": []
        });
        let arrives = match way {
            "inbound_text" => call(way, &text),
            "inbound_texts" => call(way, &json!({"channel": "WHATSAPP", "texts": [text]})),
            _ => call(way, &json!([text])),
        };
        let revoke = json!([{"tenant_id": tenant, "account_id": account, "external_message_id": format!("{id}-gone"), "target": id,
                             "contact_id": ana, "actor_kind": "CONTACT", "kind": "REVOKE", "content": null, "body": null,
                             "at": "2026-11-01T10:00:01Z"}]);
        let reaction = json!([{"tenant_id": tenant, "account_id": account, "external_message_id": format!("{id}-liked"), "target": id,
                               "contact_id": other, "actor_kind": "CONTACT", "emoji": "👍", "at": "2026-11-01T10:00:01Z"}]);
        let change = if n == 1 {
            call("store_reactions", &reaction)
        } else {
            call("store_revisions", &revoke)
        };
        behind(&world, &arrives, &change).await;
    }
    let changed: (i64, i64) = sqlx::query_as(
        "select count(*) filter (where revoked_at is not null), count(*) filter (where reactions is not null) from communications.messages",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(changed, (2, 1));
}
