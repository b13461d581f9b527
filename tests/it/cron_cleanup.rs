//! `clean_event_log`: what is over and old goes from Hasura's log, nothing else does, and where it may not look it says so.

use crate::cron::{called, tick};
use crate::delivery::engine::{Engine, sandbox};
use comms_core::event_log::{self, Backlog};
use comms_core::platform::Database;
use comms_core::platform::config::Secret;
use comms_tests::calls;
use comms_tests::world::{HASURA_SECRET, World};
use serde_json::{Value, json};
use sqlx::ConnectOptions;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hasura.md");

/// An event of so many days ago by its name, with two calls of that day.
async fn logged(engine: &mut Engine, id: &str, days: i64, state: &str) {
    let sql = format!(
        "insert into hdb_catalog.event_log (id, schema_name, table_name, trigger_name, payload, created_at)
         values ('{id}', 'operations', 'trips', 'trip_delayed', '{{}}', now() - interval '{days} days');
         update hdb_catalog.event_log set {state} where id = '{id}';
         insert into hdb_catalog.event_invocation_logs (event_id, status, created_at)
         select '{id}', 200, now() - interval '{days} days' from generate_series(1, 2)"
    );
    engine.run(&sql).await;
}

async fn left(world: &World) -> Vec<String> {
    sqlx::query_scalar("select id from hdb_catalog.event_log order by id")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

async fn clean(world: &World, payload: Value) -> (u16, Value) {
    called(world, &tick("clean_event_log", &payload)).await
}

fn done(events: i64, invocations: i64, more: bool, given_up: i64) -> (u16, Value) {
    let deleted = json!({"events": events, "invocations": invocations, "more": more});
    (
        200,
        json!({"outcome": "done", "deleted": deleted, "given_up": given_up}),
    )
}

#[tokio::test]
async fn what_is_over_and_old_goes_and_nothing_else_does() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    for (id, days, state) in [
        ("delivered, old", 15, "delivered = true"),
        ("given up, old", 15, "error = true"),
        ("delivered, young", 13, "delivered = true"),
        ("given up, young", 13, "error = true"),
        ("waiting, old", 400, "tries = 3"),
        ("in flight, old", 15, "locked = now()"),
        ("archived, old", 15, "delivered = true, archived = true"),
        (
            "archived, given up, old",
            15,
            "error = true, archived = true",
        ),
        (
            "of the host, old",
            15,
            "delivered = true, trigger_name = 'the_hosts'",
        ),
    ] {
        logged(&mut engine, id, days, state).await;
    }
    engine
        .run(
            "insert into hdb_catalog.event_invocation_logs (event_id, created_at)
              values ('long gone', now() - interval '15 days'), ('gone', now())",
        )
        .await;
    assert_eq!(clean(&world, json!({})).await, done(2, 5, false, 1));
    let kept = [
        "archived, given up, old",
        "archived, old",
        "delivered, young",
        "given up, young",
        "in flight, old",
        "of the host, old",
        "waiting, old",
    ];
    assert_eq!(left(&world).await, kept);
    let calls: i64 = world
        .scalar("select count(*) from hdb_catalog.event_invocation_logs")
        .await;
    assert_eq!(calls, 2 * 7 + 1);
    // The same tick again; then with a shorter memory, and the host's.
    assert_eq!(clean(&world, json!({})).await, done(0, 0, false, 1));
    let payload = json!({"days": 1, "also": ["the_hosts"]});
    assert_eq!(clean(&world, payload).await, done(3, 6, false, 0));
}

#[tokio::test]
async fn a_payload_that_is_wrong_is_refused_by_its_member_and_deletes_nothing() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    logged(&mut engine, "old", 400, "delivered = true").await;
    for (payload, message) in [
        (json!({"days": 0}), "payload: days must be 1 to 365"),
        (json!({"days": 366}), "payload: days must be 1 to 365"),
        (json!({"days": -14}), "payload: days must be 1 to 365"),
        (
            json!({"days": "14"}),
            "payload: invalid type: string, expected i32",
        ),
        (
            json!({"day": 14}),
            "payload: unknown field `day`, expected `days` or `also`",
        ),
        (
            json!({"also": "all"}),
            "payload: invalid type: string, expected a sequence",
        ),
    ] {
        let (status, body) = clean(&world, payload.clone()).await;
        assert_eq!(
            (status, body["message"].as_str().unwrap()),
            (400, message),
            "{payload}"
        );
    }
    assert_eq!(
        clean(&world, json!({"days": 365})).await,
        done(1, 2, false, 0)
    );
}

#[tokio::test]
async fn cleaners_at_once_share_the_work_and_leave_what_another_holds() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let many = "insert into hdb_catalog.event_log (id, schema_name, table_name, trigger_name, payload, delivered, created_at)
                select 'e' || n, 'operations', 'trips', 'trip_delayed', '{}', true, now() - interval '20 days'
                  from generate_series(1, 4000) n;
                insert into hdb_catalog.event_invocation_logs (event_id, created_at)
                select id, created_at from hdb_catalog.event_log";
    engine.run(many).await;
    let mut redelivery = world.pool.begin().await.unwrap();
    sqlx::query("update hdb_catalog.event_log set delivered = false, tries = 0 where id = 'e7'")
        .execute(&mut *redelivery)
        .await
        .unwrap();
    let (one, two) = futures_util::join!(clean(&world, json!({})), clean(&world, json!({})));
    redelivery.commit().await.unwrap();
    let of = |answer: &(u16, Value), what: &str| answer.1["deleted"][what].as_i64().unwrap();
    assert_eq!(of(&one, "events") + of(&two, "events"), 3999);
    assert_eq!(of(&one, "invocations") + of(&two, "invocations"), 3999);
    assert_eq!(left(&world).await, ["e7"]);
}

#[tokio::test]
async fn a_log_that_nobody_ever_cleaned_is_cleaned_in_bounded_runs() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let years = "insert into hdb_catalog.event_log (schema_name, table_name, trigger_name, payload, delivered, created_at)
                 select 'operations', 'trips', 'trip_delayed', '{\"op\": \"UPDATE\"}', true, now() - interval '300 days'
                   from generate_series(1, 25000)";
    engine.run(years).await;
    assert_eq!(clean(&world, json!({})).await, done(20_000, 0, true, 0));
    assert_eq!(clean(&world, json!({})).await, done(5_000, 0, false, 0));
}

#[tokio::test]
async fn without_a_log_or_the_right_to_it_the_answer_says_so_and_asks_for_no_retry() {
    let world = World::new().await;
    let (status, answer) = clean(&world, json!({})).await;
    assert_eq!(
        (status, answer),
        (
            200,
            json!({"outcome": "skipped", "reason": "there is no hdb_catalog in this database: Hasura has no event trigger on it"})
        )
    );
    stuck_scan::handle(&world.scan).await.unwrap();

    let mut engine = Engine::new(&world).await;
    logged(&mut engine, "old", 15, "delivered = true").await;
    let role = format!("cleaner_{}", uuid::Uuid::now_v7().simple());
    engine.run(&format!("create role {role}")).await;
    let limited = sandbox(&world, database_as(&world, &role));
    let call = || {
        calls::from_hasura(
            "/api/hasura/cron",
            HASURA_SECRET,
            &tick("clean_event_log", &json!({})),
        )
    };
    let refused = hasura_events::handle(&limited, call()).await;
    assert_eq!(refused.status(), 200);
    assert_eq!(
        refused.body().as_str(),
        r#"{"outcome":"skipped","reason":"the service's role may not use hdb_catalog: docs/hasura.md has the grants"}"#
    );
    // The grants as they are documented, and no more.
    engine
        .run(&documented_grants().replace("communications_service", &role))
        .await;
    let cleaned = hasura_events::handle(&limited, call()).await;
    assert_eq!(
        serde_json::from_str::<Value>(cleaned.body()).unwrap(),
        done(1, 2, false, 0).1
    );
    let late = event_log::backlog(&database_as(&world, &role), &["trip_delayed"]).await;
    assert_eq!(late.unwrap(), Backlog::default());
    engine
        .run(&format!("drop owned by {role}; drop role {role}"))
        .await;
}

/// The first block of SQL that speaks of the service's role in the engine's schema.
fn documented_grants() -> String {
    let docs = std::fs::read_to_string(DOCS).unwrap();
    let mut blocks = docs
        .split("```sql")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    blocks
        .find(|block| block.contains("communications_service"))
        .unwrap()
        .to_owned()
}

/// As this role, by a setting of the session.
fn database_as(world: &World, role: &str) -> Database {
    let mut url = world.pool.connect_options().to_url_lossy();
    url.query_pairs_mut()
        .append_pair("options", &format!("-c role={role}"));
    Database::new(Secret::of("DATABASE_URL", String::from(url).into()))
}

#[tokio::test]
async fn what_hasura_has_not_brought_yet_is_seen_by_its_age() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let see = async || {
        event_log::backlog(&world.scan.database, &["trip_delayed"])
            .await
            .unwrap()
    };
    assert_eq!(see().await, Backlog::default());
    for (id, state) in [
        ("waiting", "created_at = now() - interval '20 minutes'"),
        (
            "retried",
            "created_at = now() - interval '10 minutes', next_retry_at = now() + interval '1 minute'",
        ),
        ("in flight", "locked = now()"),
        (
            "given up",
            "created_at = now() - interval '1 day', error = true",
        ),
        (
            "delivered",
            "created_at = now() - interval '1 day', delivered = true",
        ),
        (
            "archived",
            "created_at = now() - interval '1 day', archived = true",
        ),
        (
            "of the host",
            "created_at = now() - interval '1 day', trigger_name = 'the_hosts'",
        ),
    ] {
        logged(&mut engine, id, 0, state).await;
    }
    let Backlog {
        waiting,
        oldest_seconds,
    } = see().await;
    assert_eq!(waiting, 3);
    assert!((1200..1260).contains(&oldest_seconds), "{oldest_seconds}");
    let given_up = event_log::given_up(&world.scan.database, &["trip_delayed"]).await;
    assert_eq!(given_up.unwrap(), 1);
    stuck_scan::handle(&world.scan).await.unwrap();
    // Somebody has looked, and nobody is to hear of it any more.
    world
        .execute("update hdb_catalog.event_log set archived = true where error")
        .await;
    let given_up = event_log::given_up(&world.scan.database, &["trip_delayed"]).await;
    assert_eq!(given_up.unwrap(), 0);
}
