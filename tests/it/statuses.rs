//! The provider's reports, in any order and number, end in one row.

use crate::intake::trip;
use crate::planted;
use crate::wishes::failure_is_reported;
use comms_core::platform::clock;
use comms_simulator::{SignedWebhook, StatusReport, StatusStep};
use comms_tests::calls;
use comms_tests::world::{APP_SECRET, World};
use proptest::prelude::{ProptestConfig, Strategy};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn a_thousand_statuses_are_one_request() {
    let world = World::new().await;
    let number = world.iberia.number();
    let builder = (0..1000).fold(world.simulator.builder(), |builder, index| {
        builder.status(
            &number,
            &StatusReport::new(&format!("wamid.{index}"), "delivered", "34600111222"),
        )
    });
    let response = world
        .meta_posts(world.iberia.tenant, &builder.build())
        .await;
    assert_eq!(
        response.body().as_str(),
        r#"{"messages":0,"quarantined":0,"statuses":1000}"#
    );
    assert_eq!(
        world
            .scalar::<i64>(
                "select count(*) from communications.message_status_events where message_id is null"
            )
            .await,
        1000
    );
}

/// Reports of these messages in one payload, with price and both of the recipient's ids.
fn reports(world: &World, wamids: &[String], status: &str) -> SignedWebhook {
    let report = |wamid: &String| {
        json!({
            "id": wamid, "status": status, "timestamp": "1795428000", "recipient_id": "34600111222", "recipient_user_id": "ES.7",
            "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"},
        })
    };
    let statuses: Vec<_> = wamids.iter().map(report).collect();
    let body = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": world.iberia.waba_id, "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp", "statuses": statuses,
            "metadata": {"display_phone_number": "1", "phone_number_id": world.iberia.phone_number_id},
        }}]}],
    });
    calls::signed_by_meta(APP_SECRET, &body)
}

/// The provider's ids of one message and so many more of it, in the order of their own ids.
async fn sent(world: &World, more: i32) -> Vec<String> {
    let first = planted::one(world).await;
    planted::more(world, first, more).await;
    world.step_dispatch().await;
    sqlx::query_scalar(
        "select external_message_id from communications.messages where status = 'SENT' order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

/// What hangs on each of many reports is kept once, whatever the payload repeats and however often it comes.
#[tokio::test]
async fn many_reports_bring_prices_and_ids() {
    let world = World::new().await;
    let sent = sent(&world, 2).await;
    assert_eq!(sent.len(), 3);
    let repeated: Vec<String> = sent.iter().chain(&sent[..1]).cloned().collect();
    let webhook = reports(&world, &repeated, "delivered");
    for new in [3, 0] {
        let response = world.meta_posts(world.iberia.tenant, &webhook).await;
        let answer = format!(r#"{{"messages":0,"quarantined":0,"statuses":{new}}}"#);
        assert_eq!(response.body(), &answer);
        for (rows, from) in [
            (3, "message_status_events where status = 'DELIVERED'"),
            (3, "messages where status = 'DELIVERED'"),
            (3, "message_prices where category = 'utility' and billable"),
            (
                1,
                "contact_identities where kind = 'bsuid' and value = 'ES.7'",
            ),
        ] {
            assert_eq!(world.count(from).await, rows, "{from}");
        }
    }
}

/// Old, new and about nobody in one payload, the old one first and the unknown one between: each finds its own row.
#[tokio::test]
async fn of_many_reports_only_the_new_ones_count() {
    let world = World::new().await;
    let sent = sent(&world, 1).await;
    let old = reports(&world, &sent[..1], "delivered");
    world.meta_posts(world.iberia.tenant, &old).await;
    let mixed = [sent[0].clone(), "wamid.nobody".to_owned(), sent[1].clone()];
    let response = world
        .meta_posts(world.iberia.tenant, &reports(&world, &mixed, "delivered"))
        .await;
    assert_eq!(
        response.body(),
        r#"{"messages":0,"quarantined":0,"statuses":2}"#
    );
    let rows: Vec<(String, bool, bool)> = sqlx::query_as(
        "select e.external_message_id, m.external_message_id = e.external_message_id and m.status = 'DELIVERED'
                and exists (select from communications.message_prices c where c.message_id = m.id),
                e.price is not null
           from communications.message_status_events e
           left join communications.messages m on m.tenant_id = e.tenant_id and m.id = e.message_id
          order by m.id nulls last",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    // The price of what is not known waits with its report.
    assert_eq!(
        rows,
        [
            (sent[0].clone(), true, false),
            (sent[1].clone(), true, false),
            ("wamid.nobody".to_owned(), false, true)
        ]
    );
}

/// A merge holds the contact and wants the message; a report holds the message and must not want the contact.
#[tokio::test]
async fn a_report_does_not_wait_for_a_contact() {
    let world = World::new().await;
    planted::one(&world).await;
    world.step_dispatch().await;
    let wamid: String = world
        .scalar("select external_message_id from communications.messages")
        .await;
    let mut merge = world.pool.begin().await.unwrap();
    sqlx::raw_sql("select from communications.contacts for no key update")
        .execute(&mut *merge)
        .await
        .unwrap();
    let bsuids = "contact_identities where kind = 'bsuid'";
    let told = reports(&world, std::slice::from_ref(&wamid), "delivered");
    let response = timeout(
        Duration::from_secs(20),
        world.meta_posts(world.iberia.tenant, &told),
    )
    .await
    .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(world.outbound().await, ["DELIVERED"]);
    assert_eq!(world.count(bsuids).await, 0);
    merge.rollback().await.unwrap();
    let told = reports(&world, &[wamid], "read");
    world.meta_posts(world.iberia.tenant, &told).await;
    assert_eq!(world.count(bsuids).await, 1, "the next report teaches it");
}

/// Every permutation with repeats of what Meta may report ends in the same row.
#[test]
fn statuses_in_any_order_and_number_end_in_the_same_row() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let words = || proptest::sample::select(vec!["sent", "delivered", "read", "failed"]);
    let reports = proptest::collection::vec(words(), 1..6).prop_flat_map(|words| {
        (
            proptest::strategy::Just(words.clone()),
            proptest::strategy::Just(words).prop_shuffle(),
        )
    });
    runner
        .run(&reports, |(one, other)| {
            let (first, second) = runtime.block_on(async {
                (
                    final_row(&world, &one).await,
                    final_row(&world, &other).await,
                )
            });
            proptest::prop_assert_eq!(first, second, "{:?} and {:?}", one, other);
            Ok(())
        })
        .unwrap();
    runtime.block_on(async { drop(world) });
}

async fn final_row(world: &World, words: &[&str]) -> (String, bool, bool, bool) {
    world.execute("truncate communications.messages, communications.message_status_events, communications.trigger_runs cascade").await;
    world.simulator.reset();
    world
        .trip_is_delayed(&trip(world, &world.iberia).await)
        .await;
    world.step_dispatch().await;
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    for word in words {
        let step = if *word == "failed" {
            StatusStep::failed(131_026)
        } else {
            StatusStep::from(*word)
        };
        assert_eq!(world.provider_reports(&wamid, &step).await.status(), 200);
    }
    sqlx::query_as("select status, delivered_at is not null, read_at is not null, failed_code is not null from communications.messages where external_message_id = $1")
        .bind(wamid)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

/// The report that waits for the other's message does not see the other's report in the statement in which it waited.
#[tokio::test]
async fn a_failure_and_an_arrival_at_once_leave_the_warning() {
    let world = World::new().await;
    let wamids = sent(&world, 1).await;
    let mut failure = world.pool.begin().await.unwrap();
    for sql in [
        "insert into communications.message_status_events
                (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, failure_code, failure_reason, occurred_at, raw)
         select tenant_id, gen_random_uuid(), account_id, external_message_id, id, 'FAILED', 'failed', '131026', 'undeliverable', now(), '{}'
           from communications.messages where status = 'SENT'",
        "update communications.messages set status = 'FAILED', failed_at = now(), failed_code = '131026', failed_reason = 'undeliverable'
          where status = 'SENT'",
    ] {
        sqlx::query(sql).execute(&mut *failure).await.unwrap();
    }
    let ended = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while world.scalar::<i64>(waiting).await == 0 {}
        failure.commit().await.unwrap();
    };
    let delivered = reports(&world, &wamids, "delivered");
    let arrival = Box::pin(world.meta_posts(world.iberia.tenant, &delivered));
    let (answer, ()) = futures_util::future::join(arrival, ended).await;
    assert_eq!(answer.status(), 200);
    let rows: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "select status, failed_code, failed_reason from communications.messages order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let warned = (
        "DELIVERED".to_owned(),
        Some("131026".to_owned()),
        Some("undeliverable".to_owned()),
    );
    assert_eq!(rows, [warned.clone(), warned]);
}

/// It says how long from then nothing is to be sent, whenever it comes.
#[tokio::test]
async fn a_hold_that_is_told_of_late_ends_an_hour_after_it_was_said() {
    let world = World::new().await;
    let [first, second] = &sent(&world, 1).await[..] else {
        panic!("two messages");
    };
    let account = "select status from communications.channel_accounts where tenant_id = '0192f000-0000-7000-8000-00000000000a'";
    let now = clock::now().unix_timestamp();
    failure_is_reported(&world, first, 131_048, now - 3660).await;
    assert_eq!(world.scalar::<String>(account).await, "ACTIVE");
    assert_eq!(
        world.count("messages where failed_code = '131048'").await,
        1
    );

    failure_is_reported(&world, second, 131_048, now - 1800).await;
    assert_eq!(world.scalar::<String>(account).await, "SUSPENDED");
    let left: f64 = world
        .scalar(
            "select extract(epoch from resume_at - now())::float8 from communications.channel_accounts where status = 'SUSPENDED'",
        )
        .await;
    assert!((1700.0..=1800.0).contains(&left), "{left} s");
}

/// One message after another fails for it: a person hears of it once a day, and the account goes on.
#[tokio::test]
async fn what_fails_for_the_accounts_own_sake_is_a_notice_about_it() {
    let world = World::new().await;
    let [first, second] = &sent(&world, 1).await[..] else {
        panic!("two messages");
    };
    let notices = "channel_account_events e
                    where e.field = 'messages' and e.event = '131042' and e.alert and e.raw ->> 'code' = '131042'
                      and exists (select from communications.messages m
                                   where m.tenant_id = e.tenant_id and m.account_id = e.account_id and m.id::text = e.raw ->> 'message_id')";
    // In the middle of a day, by anybody's clock.
    let noon = clock::now().unix_timestamp() / 86_400 * 86_400 - 43_200;
    failure_is_reported(&world, first, 131_042, noon).await;
    failure_is_reported(&world, first, 131_042, noon).await;
    failure_is_reported(&world, second, 131_042, noon + 60).await;
    assert_eq!(
        world.count("messages where failed_code = '131042'").await,
        2
    );
    assert_eq!(world.count(notices).await, 1);
    assert_eq!(
        world
            .count("channel_accounts where status <> 'ACTIVE'")
            .await,
        0
    );
}

/// That the send before failed is known: what is reported of it is not the next send's end.
#[tokio::test]
async fn a_failure_of_the_send_before_leaves_alone_what_waits_for_the_next() {
    let world = World::new().await;
    let [wamid, _] = &sent(&world, 1).await[..] else {
        panic!("two messages");
    };
    // Nobody knew what had become of it, so it waits to be sent again.
    sqlx::raw_sql(
        "begin; set local session_replication_role = replica;
         update communications.messages set status = 'QUEUED', external_message_id = null, sent_at = null where direction = 'OUTBOUND'; commit",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let before: Value = row(&world).await;
    let failed = StatusStep::failed(131_026);
    assert_eq!(world.provider_reports(wamid, &failed).await.status(), 200);
    assert!(row(&world).await == before, "it has changed");
    assert_eq!(
        world
            .count("message_status_events where status = 'FAILED' and message_id is not null")
            .await,
        1
    );
}

async fn row(world: &World) -> Value {
    world
        .scalar("select jsonb_agg(to_jsonb(m) - 'updated_at' order by id) from communications.messages m")
        .await
}

/// Whose credentials they were, those of now or those before, a report does not say: people hear of it, and the account goes on until a send
/// is refused.
#[tokio::test]
async fn refused_credentials_that_a_report_tells_of_are_a_notice() {
    let world = World::new().await;
    let [first, second] = &sent(&world, 1).await[..] else {
        panic!("two messages");
    };
    let now = clock::now().unix_timestamp();
    failure_is_reported(&world, first, 190, now).await;
    failure_is_reported(&world, second, 10, now).await;
    let notices =
        "channel_account_events where alert and field = 'messages' and event in ('190', '10')";
    assert_eq!(world.count(notices).await, 2);
    assert_eq!(
        world
            .count("channel_accounts where status <> 'ACTIVE'")
            .await,
        0
    );
}
