//! An account's life as people and providers move it: who did it is written down, what is queued waits, and the Backoffice's row follows.

use crate::flow::{account, hinted, scan, status, tally};
use crate::parking::five;
use comms_simulator::Inbound;
use comms_tests::seed::Operator;
use comms_tests::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

const STATES: [&str; 6] = [
    "PENDING",
    "VERIFYING",
    "ACTIVE",
    "SUSPENDED",
    "REAUTH_REQUIRED",
    "DISABLED",
];

/// docs/channel-provisioning-protocol.md.
const MOVES: [(&str, &str); 15] = [
    ("PENDING", "VERIFYING"),
    ("PENDING", "DISABLED"),
    ("VERIFYING", "ACTIVE"),
    ("VERIFYING", "PENDING"),
    ("VERIFYING", "DISABLED"),
    ("ACTIVE", "SUSPENDED"),
    ("ACTIVE", "REAUTH_REQUIRED"),
    ("ACTIVE", "DISABLED"),
    ("SUSPENDED", "ACTIVE"),
    ("SUSPENDED", "REAUTH_REQUIRED"),
    ("SUSPENDED", "DISABLED"),
    ("REAUTH_REQUIRED", "ACTIVE"),
    ("REAUTH_REQUIRED", "SUSPENDED"),
    ("REAUTH_REQUIRED", "DISABLED"),
    ("DISABLED", "VERIFYING"),
];

fn which(operator: &Operator) -> Value {
    json!({"channel_account_id": operator.account})
}

/// (what, before, after, reason, by whom), the oldest first.
async fn history(
    world: &World,
    operator: &Operator,
) -> Vec<(
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
)> {
    sqlx::query_as(
        "select what, before, after, reason, by_kind || coalesce(' ' || by_user::text, '')
           from communications.channel_account_history where account_id = $1 order by at, id",
    )
    .bind(operator.account)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

async fn integration(world: &World, operator: &Operator, provider: &str) -> Value {
    sqlx::query_scalar(
        "select to_jsonb(i) - 'updated_at' - 'status_changed_at' from communications.operator_integrations i
          where tenant_id = $1 and provider = $2",
    )
    .bind(operator.tenant)
    .bind(provider)
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// Every pair of states, by plain SQL.
#[tokio::test]
async fn exactly_the_moves_of_the_table_are_possible() {
    let world = World::new().await;
    let mut possible = BTreeSet::new();
    for from in STATES {
        for to in STATES.iter().filter(|to| **to != from) {
            let mut tx = world.pool.begin().await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
                "alter table communications.channel_accounts disable trigger check_transition;
                 update communications.channel_accounts set status = '{from}';
                 alter table communications.channel_accounts enable trigger check_transition"
            )))
            .execute(&mut *tx)
            .await
            .unwrap();
            let moved = sqlx::query("update communications.channel_accounts set status = $1")
                .bind(to)
                .execute(&mut *tx)
                .await;
            if moved.is_ok() {
                possible.insert((from, *to));
            }
            tx.rollback().await.unwrap();
        }
    }
    assert_eq!(possible, BTreeSet::from(MOVES));
}

#[tokio::test]
async fn a_disabled_account_parks_what_is_queued_takes_in_what_comes_and_goes_on_when_resumed() {
    let world = World::new().await;
    let iberia = &world.iberia;
    let jobs = five(&world).await;
    let disabled = world
        .administers(
            iberia,
            "disableChannel",
            &json!({"channel_account_id": iberia.account, "reason": "moving house"}),
        )
        .await
        .unwrap();
    assert_eq!(disabled["status"], "DISABLED");
    hinted(&world).await;
    scan(&world).await;
    hinted(&world).await;
    for job in &jobs {
        assert_eq!(status(&world, job).await, "QUEUED");
    }
    let health = world
        .administers(iberia, "channelHealth", &which(iberia))
        .await
        .unwrap();
    assert_eq!(
        (
            &health["status"],
            &health["status_reason"],
            &health["waiting"],
            &health["credential_versions"]
        ),
        (
            &json!("DISABLED"),
            &json!("moving house"),
            &json!(5),
            &json!([1])
        )
    );
    let came = world
        .customer_writes(&Inbound::text("34600111222", "¿hay alguien?"))
        .await;
    assert_eq!(came.status(), 200);
    assert_eq!(world.count("messages where direction = 'INBOUND'").await, 1);

    let resumed = world
        .administers(iberia, "resumeChannel", &which(iberia))
        .await
        .unwrap();
    assert_eq!(resumed["status"], "ACTIVE");
    // The resuming announced them itself; those with a later slot are for a second from now.
    assert!(!world.take_hints().await.is_empty());
    let announced = world.count("messages where hint_at > '-infinity'").await;
    assert_eq!(announced, 5);
    hinted(&world).await;
    assert_eq!(tally(&world).await["SENT"], 5);
    let by = format!("USER {}", iberia.agent);
    let told: Vec<_> = history(&world, iberia)
        .await
        .into_iter()
        .map(|(_, before, after, reason, who)| (before.unwrap(), after.unwrap(), reason, who))
        .collect();
    let step = |before: &str, after: &str, reason: Option<&str>| {
        (
            before.to_owned(),
            after.to_owned(),
            reason.map(ToOwned::to_owned),
            by.clone(),
        )
    };
    assert_eq!(
        told,
        [
            step("ACTIVE", "DISABLED", Some("moving house")),
            step("DISABLED", "VERIFYING", None),
            step("VERIFYING", "ACTIVE", None),
        ]
    );
}

#[tokio::test]
async fn disabling_and_resuming_twice_is_once() {
    let world = World::new().await;
    let iberia = &world.iberia;
    for action in [
        "disableChannel",
        "disableChannel",
        "resumeChannel",
        "resumeChannel",
    ] {
        world
            .administers(iberia, action, &which(iberia))
            .await
            .unwrap();
    }
    assert_eq!(history(&world, iberia).await.len(), 3);
}

#[tokio::test]
async fn what_a_provider_stopped_or_lost_its_credentials_is_not_resumed_by_hand() {
    let world = World::new().await;
    let iberia = &world.iberia;
    let resume = async || {
        world
            .administers(iberia, "resumeChannel", &which(iberia))
            .await
    };
    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED', status_reason = 'provider: DISABLED_UPDATE'")
        .await;
    assert_eq!(resume().await, Err("suspended-by-provider".to_owned()));
    // A hold of the pipeline's own is a person's to end.
    world
        .execute("update communications.channel_accounts set status_reason = '131048: spam'")
        .await;
    assert_eq!(resume().await.unwrap()["status"], "ACTIVE");
    world
        .execute("update communications.channel_accounts set status = 'REAUTH_REQUIRED'")
        .await;
    assert_eq!(resume().await, Err("connect-again".to_owned()));
    world
        .administers(iberia, "disableChannel", &which(iberia))
        .await
        .unwrap();
    assert_eq!(resume().await, Err("connect-again".to_owned()));
}

#[tokio::test]
async fn what_a_provider_stopped_is_not_resumed_by_way_of_disabling_it() {
    let world = World::new().await;
    let iberia = &world.iberia;
    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED', status_reason = 'provider: ses-reputation: paused'")
        .await;
    world
        .administers(iberia, "disableChannel", &which(iberia))
        .await
        .unwrap();
    let resumed = world
        .administers(iberia, "resumeChannel", &which(iberia))
        .await;
    assert_eq!(resumed, Err("suspended-by-provider".to_owned()));
}

/// Whoever lets it go on: here the scan.
#[tokio::test]
async fn a_channel_that_goes_on_is_not_failing_any_more() {
    let world = World::new().await;
    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED', resume_at = now(), send_health = 'FAILING'")
        .await;
    scan(&world).await;
    let again = "channel_accounts where status = 'ACTIVE' and send_health = 'UNKNOWN'";
    assert_eq!(
        world.count(again).await,
        world.count("channel_accounts").await
    );
}

#[tokio::test]
async fn a_ban_that_comes_while_an_account_is_disabled_holds_until_it_is_lifted() {
    let world = World::new().await;
    let iberia = &world.iberia;
    world
        .administers(iberia, "disableChannel", &which(iberia))
        .await
        .unwrap();
    let notice = |state: &str, at: i64| {
        json!({"object": "whatsapp_business_account", "entry": [{"id": iberia.waba_id, "time": at, "changes": [{
            "field": "account_update",
            "value": {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state, "waba_ban_date": "April 17, 2026"}}}]}]})
    };
    assert_eq!(
        world
            .meta_tells_the_app(&notice("DISABLE", 1_795_000_000))
            .await
            .status(),
        200
    );
    let refused = world
        .administers(iberia, "resumeChannel", &which(iberia))
        .await;
    assert_eq!(refused, Err("suspended-by-provider".to_owned()));
    assert_eq!(
        world
            .meta_tells_the_app(&notice("REINSTATE", 1_795_000_100))
            .await
            .status(),
        200
    );
    let resumed = world
        .administers(iberia, "resumeChannel", &which(iberia))
        .await;
    assert_eq!(resumed.unwrap()["status"], "ACTIVE");
}

#[tokio::test]
async fn a_providers_word_and_our_own_are_told_apart_in_the_history() {
    let world = World::new().await;
    for change in [
        "update communications.channel_accounts set status = 'SUSPENDED', status_reason = 'provider: X'",
        "update communications.channel_accounts set status = 'ACTIVE', status_reason = null",
        "update communications.channel_accounts set status = 'SUSPENDED', status_reason = 'spend-cap: reached'",
        "update communications.channel_accounts set status = 'ACTIVE', status_reason = null",
        "update communications.channel_accounts set status = 'REAUTH_REQUIRED', status_reason = '190: expired'",
    ] {
        world.execute(change).await;
    }
    let who: Vec<String> = history(&world, &world.iberia)
        .await
        .into_iter()
        .map(|row| row.4)
        .collect();
    assert_eq!(
        who,
        ["PROVIDER", "PROVIDER", "SYSTEM", "SYSTEM", "PROVIDER"]
    );
    let rewritten = sqlx::query("update communications.channel_account_history set reason = 'x'")
        .execute(&world.pool)
        .await;
    assert!(rewritten.is_err(), "history is written once");
}

#[tokio::test]
async fn the_sandbox_is_entered_and_left_by_an_administrators_word() {
    let world = World::new().await;
    let iberia = &world.iberia;
    let set = async |sandbox: bool| {
        let input = json!({"channel_account_id": iberia.account, "sandbox": sandbox});
        world
            .administers(iberia, "setSandboxMode", &input)
            .await
            .unwrap()
    };
    assert_eq!(set(true).await["mode"], "SANDBOX");
    assert_eq!(set(true).await["mode"], "SANDBOX");
    five(&world).await;
    world.step_dispatch().await;
    assert_eq!(tally(&world).await["SIMULATED"], 5);
    assert_eq!(integration(&world, iberia, "META").await["mode"], "SANDBOX");
    assert_eq!(set(false).await["mode"], "LIVE");
    let told = history(&world, iberia).await;
    assert_eq!(told.iter().filter(|row| row.0 == "MODE").count(), 2);
}

#[tokio::test]
async fn no_action_touches_another_tenants_account_or_serves_who_is_no_administrator() {
    let world = World::new().await;
    let (iberia, albion) = (&world.iberia, &world.albion);
    let account = iberia.account;
    let calls = [
        ("channelHealth", which(iberia)),
        ("disableChannel", which(iberia)),
        ("resumeChannel", which(iberia)),
        (
            "setSandboxMode",
            json!({"channel_account_id": account, "sandbox": true}),
        ),
        (
            "sendTestMessage",
            json!({"channel_account_id": account, "to": "+34600111222", "client_message_id": "1"}),
        ),
    ];
    let before: Value = world
        .scalar(
            "select jsonb_agg(to_jsonb(a) order by a.id) from communications.channel_accounts a",
        )
        .await;
    for (action, input) in &calls {
        let foreign = world.administers(albion, action, input).await;
        assert_eq!(foreign, Err("not-found".to_owned()), "{action}");
        let agent = world
            .agent_acts(iberia.tenant, iberia.agent, action, input)
            .await;
        assert_eq!(agent, Err("forbidden".to_owned()), "{action}");
    }
    let after: Value = world
        .scalar(
            "select jsonb_agg(to_jsonb(a) order by a.id) from communications.channel_accounts a",
        )
        .await;
    assert_eq!(before, after);
    assert_eq!(world.count("messages").await, 0);
}

#[tokio::test]
async fn a_test_message_goes_the_way_of_all_messages_and_once() {
    let world = World::new().await;
    let iberia = &world.iberia;
    let mail = account(&world, iberia.tenant, "EMAIL", "SES").await;
    let test = json!({"channel_account_id": mail.account, "to": "Ana@example.org", "client_message_id": "t1"});
    let first = world
        .administers(iberia, "sendTestMessage", &test)
        .await
        .unwrap();
    let again = world
        .administers(iberia, "sendTestMessage", &test)
        .await
        .unwrap();
    assert_eq!(first["message_id"], again["message_id"]);
    hinted(&world).await;
    assert_eq!(tally(&world).await["SENT"], 1);

    let closed = json!({"channel_account_id": iberia.account, "to": "+34600111222", "client_message_id": "t2"});
    let refused = world.administers(iberia, "sendTestMessage", &closed).await;
    assert_eq!(refused, Err("window-closed".to_owned()));
    let template = json!({
        "channel_account_id": iberia.account, "to": "+34600111222", "client_message_id": "t2",
        "template": {"name": "trip_delayed", "language": "en", "body": ["a", "b", "c", "d", "e"]}
    });
    world
        .administers(iberia, "sendTestMessage", &template)
        .await
        .unwrap();
    hinted(&world).await;
    assert_eq!(tally(&world).await["SENT"], 2);
    world
        .administers(iberia, "disableChannel", &which(iberia))
        .await
        .unwrap();
    let parked = json!({"channel_account_id": iberia.account, "to": "+34600111222", "client_message_id": "t3"});
    let refused = world.administers(iberia, "sendTestMessage", &parked).await;
    assert_eq!(refused, Err("channel-unavailable".to_owned()));
}

#[tokio::test]
async fn the_backoffice_sees_the_account_that_needs_somebody() {
    let world = World::new().await;
    let iberia = &world.iberia;
    assert_eq!(
        integration(&world, iberia, "META").await,
        json!({
            "tenant_id": iberia.tenant, "provider": "META", "channel": "WHATSAPP", "status": "ACTIVE", "status_reason": null,
            "account_id": iberia.account, "display_name": iberia.name, "sender": format!("+{}", iberia.display_number), "mode": "LIVE",
            "health": "UNKNOWN", "accounts": 1, "active_accounts": 1, "version": 1
        })
    );
    let second = account(&world, iberia.tenant, "WHATSAPP", "META").await;
    world
        .execute("update communications.channel_accounts set status = 'REAUTH_REQUIRED', status_reason = '190: expired', send_health = 'FAILING' where display_name = 'x'")
        .await;
    let row = integration(&world, iberia, "META").await;
    assert_eq!(
        (
            &row["status"],
            &row["account_id"],
            &row["health"],
            &row["accounts"],
            &row["active_accounts"],
            &row["version"]
        ),
        (
            &json!("REAUTH_REQUIRED"),
            &json!(second.account),
            &json!("FAILING"),
            &json!(2),
            &json!(1),
            &json!(3)
        )
    );
    // What it does not show does not make it newer.
    world
        .execute("update communications.channel_accounts set quality = 'GREEN', throughput_per_second = 80")
        .await;
    assert_eq!(integration(&world, iberia, "META").await["version"], 3);
    world
        .execute("delete from communications.channel_account_history")
        .await;
    world
        .execute("delete from communications.channel_accounts where display_name = 'x'")
        .await;
    let row = integration(&world, iberia, "META").await;
    assert_eq!(
        (&row["status"], &row["accounts"]),
        (&json!("ACTIVE"), &json!(1))
    );
    assert_eq!(
        integration(&world, &world.albion, "META").await["version"],
        1
    );
}

#[tokio::test]
async fn the_backoffices_row_is_of_the_same_transaction_and_right_when_two_change_at_once() {
    let world = World::new().await;
    let iberia = &world.iberia;
    account(&world, iberia.tenant, "WHATSAPP", "META").await;
    let mut gone = world.pool.begin().await.unwrap();
    sqlx::query("update communications.channel_accounts set status = 'SUSPENDED'")
        .execute(&mut *gone)
        .await
        .unwrap();
    gone.rollback().await.unwrap();
    assert_eq!(
        integration(&world, iberia, "META").await["active_accounts"],
        2
    );

    let mut first = world.pool.begin().await.unwrap();
    let suspend = "update communications.channel_accounts set status = 'SUSPENDED' where tenant_id = $1 and (display_name = 'x') = $2";
    sqlx::query(suspend)
        .bind(iberia.tenant)
        .bind(true)
        .execute(&mut *first)
        .await
        .unwrap();
    let (pool, tenant) = (world.pool.clone(), iberia.tenant);
    let second = async move {
        sqlx::query(suspend)
            .bind(tenant)
            .bind(false)
            .execute(&pool)
            .await
            .unwrap();
    };
    let ((), ()) = tokio::join!(second, async { first.commit().await.unwrap() });
    assert_eq!(
        integration(&world, iberia, "META").await["active_accounts"],
        0
    );
}

#[tokio::test]
async fn two_tenants_cannot_have_one_number_and_may_both_say_that_they_do() {
    let world = World::new().await;
    let claim = "insert into communications.channel_accounts
            (tenant_id, id, channel, provider, display_name, sender, requested_external_id, external_account_id)
         values ($1, $2, 'WHATSAPP', 'META', 'x', 'x', '9', $3)";
    let insert = async |operator: &Operator, proven: Option<&str>| {
        sqlx::query(claim)
            .bind(operator.tenant)
            .bind(Uuid::now_v7())
            .bind(proven)
            .execute(&world.pool)
            .await
            .map(|_| ())
    };
    insert(&world.iberia, Some("9")).await.unwrap();
    insert(&world.albion, None).await.unwrap();
    let again = insert(&world.iberia, None).await.unwrap_err();
    assert_eq!(
        again.as_database_error().unwrap().constraint(),
        Some("channel_accounts_requested_key")
    );
    let stolen = sqlx::query("update communications.channel_accounts set external_account_id = '9' where requested_external_id = '9'")
        .execute(&world.pool)
        .await
        .unwrap_err();
    assert_eq!(
        stolen.as_database_error().unwrap().constraint(),
        Some("channel_accounts_external_account_key")
    );
}
