//! Runs that an orchestrator is to carry out: announced, taken up once, and gone on with where it does not answer.

use crate::program::Program;
use crate::triggers::host::Host;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use comms_core::automation::Orchestrator;
use comms_core::platform::config::Secret;
use comms_providers::http::client;
use comms_providers::orchestrator::{OrchestratorClient, SECRET_HEADER};
use comms_tests::calls;
use comms_tests::world::{HASURA_SECRET, World};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Hears what is announced, and with which secret.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<(String, Value)>>>);

impl Ear {
    async fn listen(&self) -> String {
        let heard = async |State(ear): State<Ear>, headers: HeaderMap, Json(body): Json<Value>| {
            let secret = headers[SECRET_HEADER].to_str().unwrap().to_owned();
            ear.0.lock().unwrap().push((secret, body));
        };
        let app = Router::new()
            .route("/webhook/runs/trip_boarding", post(heard))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook/runs", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "it plays n8n, which runs on")]
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }
}

fn orchestrator(url: &str) -> Orchestrator {
    Orchestrator {
        client: OrchestratorClient::new(client().unwrap(), url).unwrap(),
        secret: Secret::of("N8N_SECRET", "shh".to_owned().into()),
    }
}

/// A world whose events are announced there, and a boarding that hands over.
async fn boards(world: &mut World, url: &str) -> (Value, Uuid) {
    world.events.orchestrator = Some(orchestrator(url));
    world
        .execute("update communications.notification_rules set orchestrator = 'N8N' where trigger_event = 'TRIP_BOARDING'")
        .await;
    let host = Host::of(world).await;
    let change = host
        .changes("trips", host.trip, "status = 'BOARDING'")
        .await;
    (host.reports("trip_boarding", &change).await, host.trip)
}

/// What n8n answers with.
async fn carries_out(world: &World, run: &Value) -> (u16, Value) {
    world
        .execute(
            "insert into communications.api_clients (tenant_id, id, name, token_sha256, scopes)
             values (communications.platform_tenant(), communications.uuid_v7(), 'n8n', sha256('comms_n8n'), '{notifications:read,notifications:write}')
             on conflict do nothing",
        )
        .await;
    let request = json!({"tenant_id": world.iberia.tenant, "run_id": run, "idempotency_key": run, "trigger_event": "TRIP_BOARDING",
                         "context": {"trip_id": trip(world).await}, "channels": ["SMS"], "variables": {"trip": {"vehicle": "bus 9"}}});
    Program::with(world, "comms_n8n").asks(&request).await
}

async fn trip(world: &World) -> Uuid {
    world.scalar("select id from operations.trips").await
}

async fn overdue(world: &World) {
    world
        .execute("update communications.trigger_runs set deadline_at = now() - interval '1 second'")
        .await;
}

#[tokio::test]
async fn a_run_is_announced_and_carried_out_once_under_its_own_name() {
    let mut world = World::new().await;
    let ear = Ear::default();
    let url = ear.listen().await;
    let (answer, trip) = boards(&mut world, &url).await;
    assert_eq!(answer["run"]["status"], "HANDED_OVER");
    assert_eq!(world.count("messages").await, 0);
    let heard = ear.0.lock().unwrap().clone();
    let run = &answer["run"]["run_id"];
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].0, "shh");
    let told = &heard[0].1;
    assert_eq!(
        (&told["run_id"], &told["trigger_event"], &told["context"]),
        (run, &json!("TRIP_BOARDING"), &json!({"trip_id": trip}))
    );
    assert!(
        !told.to_string().contains("+34"),
        "ids, no addresses: {told}"
    );
    let (status, carried) = carries_out(&world, run).await;
    assert_eq!(
        (status, &carried["run_id"], &carried["status"]),
        (200, run, &json!("COMPLETED"))
    );
    assert_eq!(
        carries_out(&world, run).await.1,
        carried,
        "a step that n8n repeats"
    );
    overdue(&world).await;
    assert_eq!(
        timed_triggers::handle(&world.clock())
            .await
            .unwrap()
            .gone_on,
        0
    );
    let said: Vec<String> = sqlx::query_scalar(
        "select channel || ' ' || (body like '%bus 9%') from communications.messages",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        said,
        ["SMS true", "SMS true"],
        "what the orchestrator decided"
    );
    // Another tenant cannot take it up.
    let (status, _) = {
        sqlx::query("update communications.api_clients set tenant_id = $1")
            .bind(world.albion.tenant)
            .execute(&world.pool)
            .await
            .unwrap();
        carries_out(&world, run).await
    };
    assert_eq!(status, 403);
}

#[tokio::test]
async fn a_run_that_nobody_takes_up_goes_on_by_its_rule() {
    let mut world = World::new().await;
    let (answer, _) = boards(&mut world, "http://127.0.0.1:9/webhook/runs").await;
    assert_eq!(
        answer["run"]["status"], "HANDED_OVER",
        "nobody heard it, and Hasura need not come again"
    );
    assert_eq!(
        timed_triggers::handle(&world.clock())
            .await
            .unwrap()
            .gone_on,
        0,
        "not before its deadline"
    );
    overdue(&world).await;
    let (one, two) = (world.clock(), world.clock());
    let (one, two) = tokio::join!(timed_triggers::handle(&one), timed_triggers::handle(&two));
    assert_eq!(one.unwrap().gone_on + two.unwrap().gone_on, 1);
    assert_eq!(world.count("messages where channel = 'WHATSAPP'").await, 2);
    // The orchestrator comes after all: it gets the answer, and nobody is written to again.
    let (status, late) = carries_out(&world, &answer["run"]["run_id"]).await;
    assert_eq!(
        (status, late["recipients"].as_array().map(Vec::len)),
        (200, Some(2))
    );
    assert_eq!(world.count("messages").await, 2);
}

#[tokio::test]
async fn a_run_that_is_cancelled_is_carried_out_by_nobody() {
    let mut world = World::new().await;
    let (answer, _) = boards(&mut world, "http://127.0.0.1:9/webhook/runs").await;
    let run = &answer["run"]["run_id"];
    let path = format!("/api/notifications/{}/cancel", run.as_str().unwrap());
    let program = Program::all(&world).await;
    assert_eq!(program.calls("POST", &path, &Value::Null).await.0, 200);
    overdue(&world).await;
    let fired = timed_triggers::handle(&world.clock()).await.unwrap();
    assert_eq!(fired.gone_on, 0);
    let (status, late) = carries_out(&world, run).await;
    assert_eq!(
        (status, &late["recipients"], &late["status"]),
        (200, &json!([]), &json!("COMPLETED"))
    );
    assert_eq!(world.count("messages").await, 0);
}

/// Both at the same moment: one of them.
#[tokio::test]
async fn at_the_deadline_one_of_the_two_is_first() {
    let mut world = World::new().await;
    let (answer, _) = boards(&mut world, "http://127.0.0.1:9/webhook/runs").await;
    overdue(&world).await;
    let clock = world.clock();
    let run = &answer["run"]["run_id"];
    let (by_itself, carried) =
        tokio::join!(timed_triggers::handle(&clock), carries_out(&world, run));
    by_itself.unwrap();
    assert_eq!(carried.0, 200);
    assert_eq!(world.count("messages").await, 2);
}

#[tokio::test]
async fn the_same_event_again_is_announced_no_second_time() {
    let mut world = World::new().await;
    let ear = Ear::default();
    let url = ear.listen().await;
    let (answer, trip) = boards(&mut world, &url).await;
    let key: String = world
        .scalar("select idempotency_key from communications.trigger_runs")
        .await;
    let row: Value = sqlx::query_scalar("select to_jsonb(t) from operations.trips t where id = $1")
        .bind(trip)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let mut old = row.clone();
    old["status"] = json!("SCHEDULED");
    let body = calls::event_trigger(key.parse().unwrap(), "trip_boarding", &old, &row);
    let request = calls::from_hasura("/api/hasura/events", HASURA_SECRET, &body);
    let again: Value =
        serde_json::from_str(hasura_events::handle(&world.events, request).await.body()).unwrap();
    assert_eq!(again["run"], answer["run"]);
    assert_eq!(ear.0.lock().unwrap().len(), 1);
}

/// A reminder whose rule hands over, while n8n hangs: every occurrence is taken in, and not each of them waits for it.
#[tokio::test]
async fn a_clock_does_not_wait_for_an_orchestrator_that_hangs() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    // It takes the connection and never answers.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let mut clock = world.clock();
    clock.orchestrator = Some(orchestrator(&url));
    world
        .execute("update communications.notification_rules set orchestrator = 'N8N' where trigger_event = 'TRIP_REMINDER_24H'")
        .await;
    world
        .execute(
            "insert into operations.trips (id, tenant_id, code, origin, destination, departure_at)
             select communications.uuid_v7(), tenant_id, 'T' || n, origin, destination, departure_at from operations.trips, generate_series(1, 9) n",
        )
        .await;
    world
        .execute("update operations.trips set departure_at = now() + interval '20 hours'")
        .await;
    let fired = timed_triggers::handle(&clock).await.unwrap();
    assert_eq!((fired.runs, fired.messages), (10, 0));
    let (connection, _) = deaf.accept().await.unwrap();
    drop(connection);
    let second = futures_util::FutureExt::now_or_never(deaf.accept());
    assert!(second.is_none(), "asked once in this run of the clock");
    assert_eq!(
        world
            .count("trigger_runs where status = 'HANDED_OVER'")
            .await,
        10
    );
    overdue(&world).await;
    assert_eq!(timed_triggers::handle(&clock).await.unwrap().gone_on, 10);
    assert_eq!(host.said().await.len(), 2);
}

/// Whoever carries a reminder out, and however late: it ends with the departure.
#[tokio::test]
async fn a_reminder_that_is_handed_over_ends_with_its_departure() {
    let world = World::new().await;
    Host::of(&world).await;
    world
        .execute("update communications.notification_rules set orchestrator = 'N8N', quiet_hours = null where trigger_event = 'TRIP_REMINDER_24H'")
        .await;
    for by_itself in [true, false] {
        world
            .execute("update operations.trips set departure_at = departure_at - interval '1 minute' where departure_at < now() + interval '24 hours'")
            .await;
        world
            .execute("update operations.trips set departure_at = now() + interval '4 hours' where departure_at > now() + interval '24 hours'")
            .await;
        timed_triggers::handle(&world.clock()).await.unwrap();
        let run: Uuid = world
            .scalar("select id from communications.trigger_runs where status = 'HANDED_OVER'")
            .await;
        if by_itself {
            overdue(&world).await;
            let fired = timed_triggers::handle(&world.clock()).await.unwrap();
            assert_eq!(fired.gone_on, 1);
        } else {
            let request = json!({"run_id": run, "idempotency_key": run, "trigger_event": "TRIP_REMINDER_24H", "channels": ["SMS"],
                                 "context": {"trip_id": trip(&world).await}});
            Program::all(&world).await.gets(&request).await;
        }
        let ends: Vec<bool> = sqlx::query_scalar(
            "select m.expires_at <= now() + interval '4 hours' from communications.messages m where m.run_id = $1",
        )
        .bind(run)
        .fetch_all(&world.pool)
        .await
        .unwrap();
        assert_eq!(ends, [true, true], "by itself: {by_itself}");
    }
}

/// What became of the only run, by the clock, after its deadline.
async fn goes_on(world: &World) -> (String, i64) {
    overdue(world).await;
    timed_triggers::handle(&world.clock()).await.unwrap();
    let status = world
        .scalar("select status from communications.trigger_runs order by id desc limit 1")
        .await;
    (status, world.count("messages").await)
}

fn stale() -> (String, i64) {
    ("STALE".to_owned(), 0)
}

#[tokio::test]
async fn what_is_no_news_any_more_at_the_deadline_is_not_told() {
    let mut world = World::new().await;
    boards(&mut world, "http://127.0.0.1:9/webhook/runs").await;
    world
        .execute("update operations.trips set status = 'COMPLETED'")
        .await;
    assert_eq!(goes_on(&world).await, stale(), "they have arrived");
}

/// As old as it is at its deadline, so much less it is worth; a clock that was away for an hour tells of no boarding.
#[tokio::test]
async fn what_is_older_than_its_rule_says_is_not_told() {
    let mut world = World::new().await;
    boards(&mut world, "http://127.0.0.1:9/webhook/runs").await;
    world
        .execute(
            "update communications.trigger_runs set created_at = now() - interval '31 minutes'",
        )
        .await;
    assert_eq!(goes_on(&world).await, stale(), "worth half an hour");
    world
        .execute("update communications.trigger_runs set status = 'HANDED_OVER', created_at = now() - interval '20 minutes'")
        .await;
    assert_eq!(goes_on(&world).await, ("COMPLETED".to_owned(), 2));
    let left: bool = world
        .scalar("select bool_and(expires_at < now() + interval '11 minutes') from communications.messages")
        .await;
    assert!(left, "and not half an hour from now");
}

#[tokio::test]
async fn a_reminder_of_what_has_changed_by_the_deadline_is_not_told() {
    let world = World::new().await;
    Host::of(&world).await;
    world
        .execute(
            "update communications.notification_rules set orchestrator = 'N8N', quiet_hours = null
              where trigger_event in ('TRIP_REMINDER_24H', 'BOOKING_PAYMENT_REMINDER')",
        )
        .await;
    let near = "update operations.trips set departure_at = now() + interval '20 hours'";
    let due = "update operations.bookings set balance_due_at = now() + interval '40 hours'";
    for (comes, changes) in [
        (near, "update operations.trips set status = 'CANCELLED'"),
        (
            "update operations.trips set status = 'SCHEDULED', departure_at = now() + interval '19 hours'",
            "update operations.trips set departure_at = now() + interval '50 hours'",
        ),
        (due, "update operations.bookings set balance_due = 0"),
        (
            "update operations.bookings set balance_due = 5, balance_due_at = now() + interval '39 hours'",
            "update operations.bookings set status = 'CANCELLED'",
        ),
    ] {
        world.execute(comes).await;
        let fired = timed_triggers::handle(&world.clock()).await.unwrap();
        assert_eq!(fired.runs, 1, "{comes}");
        world.execute(changes).await;
        assert_eq!(goes_on(&world).await, stale(), "{changes}");
    }
}

/// An incident that is handed over: its run, and what asks for the driver as the workflow does, by SMS alone.
async fn incident(world: &World) -> (Uuid, Value, Value) {
    let host = Host::of(world).await;
    world
        .execute("update communications.notification_rules set orchestrator = 'N8N' where trigger_event = 'INCIDENT_CREATED'")
        .await;
    let row = host.row("incidents", host.incident).await;
    let answer = host.reports("incident_created", &(Value::Null, row)).await;
    let run = answer["run"]["run_id"].clone();
    let base =
        json!({"trigger_event": "INCIDENT_CREATED", "context": {"incident_id": host.incident}});
    let with = |more: Value| {
        let mut request = base.clone();
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let driver = with(
        json!({"beside": run, "idempotency_key": "driver", "audience": "DRIVER", "channels": ["SMS"]}),
    );
    let everybody = with(
        json!({"run_id": run, "idempotency_key": run, "audience": "TRIP_PASSENGERS", "channels": ["WHATSAPP", "SMS"]}),
    );
    (run.as_str().unwrap().parse().unwrap(), everybody, driver)
}

/// What Rosa is written to on, at once and if that does not reach her.
async fn rosa_hears(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "select m.channel from communications.messages m where m.address = '+34600333444'
         union all
         select s ->> 'channel' from communications.message_fallbacks f, jsonb_array_elements(f.steps) s
          where s ->> 'address' = '+34600333444' order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn whoever_is_told_beside_a_run_hears_of_it_once_whichever_comes_first() {
    // The workflow is in time: the passengers by the run, the driver beside it.
    let world = World::new().await;
    let (run, everybody, driver) = incident(&world).await;
    let program = Program::all(&world).await;
    program.gets(&driver).await;
    program.gets(&everybody).await;
    assert_eq!(rosa_hears(&world).await, ["SMS"]);
    assert_eq!(world.count("messages where step = 0").await, 3);
    let again = json!({"beside": run, "idempotency_key": "again", "trigger_event": "INCIDENT_CREATED", "context": driver["context"],
                       "audience": "TRIP_PASSENGERS", "channels": ["SMS"]});
    let answer = program.gets(&again).await;
    assert_eq!(
        crate::requests::outcomes(&answer),
        ["DUPLICATE", "DUPLICATE"],
        "the run may yet fall back to it"
    );
    assert_eq!(
        answer["recipients"][0]["skipped"][0]["reason"],
        "ALREADY_TOLD"
    );

    // It comes after the deadline: the run has gone on, and has told her.
    let world = World::new().await;
    let (_, _, driver) = incident(&world).await;
    overdue(&world).await;
    timed_triggers::handle(&world.clock()).await.unwrap();
    let heard = rosa_hears(&world).await;
    let answer = Program::all(&world).await.gets(&driver).await;
    assert_eq!(crate::requests::outcomes(&answer), ["DUPLICATE"]);
    assert_eq!(rosa_hears(&world).await, heard);

    // It told the driver and died: the run goes on with the others.
    let world = World::new().await;
    let (_, _, driver) = incident(&world).await;
    Program::all(&world).await.gets(&driver).await;
    overdue(&world).await;
    timed_triggers::handle(&world.clock()).await.unwrap();
    assert_eq!(rosa_hears(&world).await, ["SMS"]);
    assert_eq!(world.count("messages where step = 0").await, 3);
}

#[tokio::test]
async fn only_a_run_of_ones_own_can_be_added_to() {
    let world = World::new().await;
    let (run, everybody, mut driver) = incident(&world).await;
    let program = Program::all(&world).await;
    let mut both = everybody.clone();
    both["beside"] = json!(run);
    let (status, answer) = program.asks(&both).await;
    assert_eq!(
        (status, &answer["extensions"]["field"]),
        (400, &json!("beside"))
    );
    driver["beside"] = json!(Uuid::now_v7());
    let (status, answer) = program.asks(&driver).await;
    assert_eq!(
        (status, &answer["extensions"]["field"]),
        (404, &json!("beside"))
    );
    driver["beside"] = json!(run);
    sqlx::query("update communications.trigger_runs set tenant_id = $1")
        .bind(world.albion.tenant)
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(program.asks(&driver).await.0, 404, "another tenant's");
}

/// How it was on board is asked two hours later, whoever asks.
#[tokio::test]
async fn what_is_told_later_is_told_later_by_an_orchestrator_too() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    world
        .execute("update communications.notification_rules set orchestrator = 'N8N', quiet_hours = null where trigger_event = 'TRIP_COMPLETED_FEEDBACK'")
        .await;
    for by_itself in [true, false] {
        host.changes("trips", host.trip, "status = 'SCHEDULED'")
            .await;
        let change = host
            .changes("trips", host.trip, "status = 'COMPLETED'")
            .await;
        let answer = host.reports("trip_completed_feedback", &change).await;
        let run = &answer["run"]["run_id"];
        if by_itself {
            overdue(&world).await;
            timed_triggers::handle(&world.clock()).await.unwrap();
        } else {
            let request = json!({"run_id": run, "idempotency_key": run, "trigger_event": "TRIP_COMPLETED_FEEDBACK",
                                 "context": {"trip_id": host.trip}});
            Program::all(&world).await.gets(&request).await;
        }
        let later: Vec<bool> = sqlx::query_scalar(
            "select due_at between now() + interval '119 minutes' and now() + interval '120 minutes'
               from communications.messages where run_id = $1",
        )
        .bind(run.as_str().unwrap().parse::<Uuid>().unwrap())
        .fetch_all(&world.pool)
        .await
        .unwrap();
        assert_eq!(later, [true, true], "by itself: {by_itself}");
    }
}

/// A token that may not read learns nothing of a run by naming it, but what it did itself.
#[tokio::test]
async fn whoever_may_not_read_is_told_only_of_what_they_carried_out() {
    let mut world = World::new().await;
    let (answer, trip) = boards(&mut world, "http://127.0.0.1:9/webhook/runs").await;
    let run = &answer["run"]["run_id"];
    let request = json!({"run_id": run, "idempotency_key": run, "trigger_event": "TRIP_BOARDING", "context": {"trip_id": trip}});
    let writes = ["notifications:write"];
    let (first, other) = (
        Program::of(&world, &writes).await,
        Program::of(&world, &writes).await,
    );
    let carried = first.gets(&request).await;
    assert_eq!(carried["recipients"].as_array().unwrap().len(), 2);
    assert_eq!(first.gets(&request).await, carried, "a repeat of its own");
    let told = other.gets(&request).await;
    assert_eq!(
        (&told["status"], &told["recipients"]),
        (&json!("COMPLETED"), &json!([]))
    );
    assert_eq!(Program::all(&world).await.gets(&request).await, carried);
}

#[tokio::test]
async fn an_orchestrator_that_comes_after_the_moment_tells_nobody() {
    let world = World::new().await;
    Host::of(&world).await;
    world
        .execute("update communications.notification_rules set orchestrator = 'N8N', quiet_hours = null where trigger_event = 'TRIP_REMINDER_2H'")
        .await;
    world
        .execute("update operations.trips set departure_at = now() + interval '1 hour'")
        .await;
    timed_triggers::handle(&world.clock()).await.unwrap();
    world
        .execute("update communications.trigger_runs set hand_off = jsonb_set(hand_off, '{not_after}', to_jsonb(now() - interval '1 second'))")
        .await;
    let run: Uuid = world
        .scalar("select id from communications.trigger_runs")
        .await;
    let request = json!({"run_id": run, "idempotency_key": run, "trigger_event": "TRIP_REMINDER_2H",
                         "context": {"trip_id": trip(&world).await}});
    let answer = Program::all(&world).await.gets(&request).await;
    assert_eq!(
        (&answer["status"], world.count("messages").await),
        (&json!("STALE"), 0)
    );
}
