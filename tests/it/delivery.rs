//! Events on their way from a changed row to the passengers' phones, with everything that may go wrong between.
//!
//! Real triggers, a dispatcher by the engine's rules (`engine`), the function's own handler. What must hold: whoever is on
//! board is told exactly once for each time that the trip became late, nothing is lost, and what is overtaken tells nobody.

pub mod engine;
mod random;
pub mod trigger;

use crate::intake::trip;
use comms_tests::seed::Trip;
use comms_tests::world::{HASURA_SECRET, Moment, World, killed_at};
use engine::{Answer, Engine, Logged, answered, cut_off};
use serde_json::{Value, json};
use sqlx::Connection;
use std::collections::HashSet;

const DELIVERED: Logged = Logged {
    delivered: true,
    error: false,
    tries: 1,
    locked: false,
};

/// The staff changes the trip's status.
pub async fn becomes(world: &World, trip: &Trip, status: &str) {
    sqlx::query("update operations.trips set status = $2 where id = $1")
        .bind(trip.id)
        .bind(status)
        .execute(&world.pool)
        .await
        .unwrap();
}

/// Runs by their status, and messages.
pub async fn told(world: &World) -> (i64, i64, i64) {
    (
        world.count("trigger_runs where status = 'COMPLETED'").await,
        world.count("trigger_runs where status = 'STALE'").await,
        world.count("messages where direction = 'OUTBOUND'").await,
    )
}

#[tokio::test]
async fn an_event_is_written_by_whoever_writes_the_row_and_says_no_more_than_the_metadata_asks_for()
{
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let trip = trip(&world, &world.iberia).await;
    world
        .execute("update operations.trips set code = 'X', status = status")
        .await;
    let mut undone = world.pool.begin().await.unwrap();
    sqlx::query("update operations.trips set status = 'GONE'")
        .execute(&mut *undone)
        .await
        .unwrap();
    undone.rollback().await.unwrap();
    assert_eq!(engine.count("true").await, 0, "nothing that is listened to");

    trip.delay(&world.pool, 30).await.unwrap();
    // One connection: a setting of one transaction must not be there in the next.
    let mut staff = world.pool.acquire().await.unwrap();
    let mut tx = staff.begin().await.unwrap();
    for sql in [
        r#"set local "hasura.user" = '{"x-hasura-role": "operations"}'"#,
        "update operations.trips set status = 'BOARDING'",
    ] {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    sqlx::query("update operations.trips set status = 'DEPARTED'")
        .execute(&mut *staff)
        .await
        .unwrap();
    let events: Vec<Value> =
        sqlx::query_scalar("select payload from hdb_catalog.event_log order by created_at")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let row = |status: &str| json!({"id": trip.id, "tenant_id": trip.tenant, "status": status});
    let event = |user: Value, old: &str, new: &str| {
        json!({"op": "UPDATE", "session_variables": user, "trace_context": null,
               "data": {"old": row(old), "new": row(new)}})
    };
    assert_eq!(
        events,
        [
            event(Value::Null, "SCHEDULED", "DELAYED"),
            event(
                json!({"x-hasura-role": "operations"}),
                "DELAYED",
                "BOARDING"
            ),
            event(Value::Null, "BOARDING", "DEPARTED"),
        ]
    );
}

#[tokio::test]
async fn an_event_that_the_trip_has_overtaken_ends_as_stale_and_tells_nobody() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let trip = trip(&world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    becomes(&world, &trip, "BOARDING").await;
    engine.catches_up().await;
    assert_eq!(told(&world).await, (0, 1, 0));
    assert_eq!(engine.calls().await, [(Some(200), 2)]);
    // Late for a second time: an occurrence of its own.
    trip.delay(&world.pool, 60).await.unwrap();
    engine.catches_up().await;
    assert_eq!(told(&world).await, (1, 1, 2));
}

#[tokio::test]
async fn a_batch_of_hundreds_shared_by_two_engines_tells_everybody_once() {
    let world = World::new().await;
    let mut one = Engine::new(&world).await;
    let mut two = Engine::second(&world, one.trigger.clone()).await;
    let trip = trip(&world, &world.iberia).await;
    let template = trip.id;
    // A seat for Ana and Tom on each of 250 trips.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "create table operations.more as select gen_random_uuid() as id, gen_random_uuid() as booking from generate_series(1, 250);
         insert into operations.trips (id, tenant_id, code, origin, destination, departure_at, timezone)
         select m.id, t.tenant_id, t.code, t.origin, t.destination, t.departure_at, t.timezone
           from operations.more m, operations.trips t where t.id = '{template}';
         insert into operations.bookings (id, tenant_id, trip_id, reference, lead_passenger_profile_id)
         select m.booking, b.tenant_id, m.id, b.reference, b.lead_passenger_profile_id
           from operations.more m, operations.bookings b where b.trip_id = '{template}';
         insert into operations.booking_passengers (booking_id, tenant_id, passenger_profile_id)
         select m.booking, p.tenant_id, p.passenger_profile_id
           from operations.more m, operations.booking_passengers p
           join operations.bookings b on b.id = p.booking_id where b.trip_id = '{template}';
         update operations.trips set status = 'DELAYED' where id <> '{template}'"
    )))
    .execute(&world.pool)
    .await
    .unwrap();
    let (first, second) = (one.fetch().await, two.fetch().await);
    let ids: HashSet<&String> = first.iter().chain(&second).map(|event| &event.id).collect();
    assert_eq!((first.len(), second.len(), ids.len()), (100, 100, 200));
    // Both die with what they hold. Half an hour later others go on.
    assert_eq!(two.round().await, 50);
    assert_eq!(two.round().await, 0, "held by the dead");
    one.time_passes(31 * 60);
    two.time_passes(31 * 60);
    loop {
        let (a, b) = futures_util::join!(one.round(), two.round());
        if a + b == 0 {
            break;
        }
    }
    assert_eq!(told(&world).await, (250, 0, 500));
    assert_eq!(one.calls().await, [(Some(200), 250)]);
}

#[tokio::test]
async fn an_engine_that_dies_after_its_call_calls_again_in_half_an_hour_and_nobody_hears_twice() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let trip = trip(&world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    let event = engine.fetch().await.remove(0);
    assert_eq!(
        answered(&world.events, engine.call(&event)).await.status,
        Some(200)
    );
    engine.time_passes(29 * 60);
    assert_eq!(engine.round().await, 0);
    engine.time_passes(2 * 60);
    assert_eq!(engine.round().await, 1);
    assert_eq!(told(&world).await, (1, 0, 2));
    assert_eq!(engine.only().await, DELIVERED);
}

/// A sandbox that dies at any of its waits leaves no answer; the next try makes up for it.
#[tokio::test]
async fn a_sandbox_that_is_killed_anywhere_is_called_again_and_nobody_hears_twice() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let (mut runs, mut deaths) = (0, 0);
    for moment in [Moment::Waiting, Moment::Waking] {
        for nth in 1.. {
            let trip = trip(&world, &world.iberia).await;
            trip.delay(&world.pool, 30).await.unwrap();
            runs += 1;
            let event = engine.fetch().await.remove(0);
            let call = answered(&world.events, engine.call(&event));
            let answer = killed_at(nth, moment, call).await;
            engine.mark(&event, answer.unwrap_or(Answer::NONE)).await;
            engine.catches_up().await;
            assert_eq!(told(&world).await, (runs, 0, 2 * runs), "{moment:?} {nth}");
            if answer.is_some() {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 20, "{deaths}");
}

#[tokio::test]
async fn while_the_database_is_away_an_event_comes_back_every_minute_and_is_not_lost() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let trip = trip(&world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    world.database_refuses_connections(true).await;
    world.connections_break().await;
    for minute in 1..=5 {
        assert_eq!(engine.round().await, 1, "minute {minute}");
        assert_eq!(engine.round().await, 0, "not before the interval");
        engine.time_passes(60);
    }
    world.database_refuses_connections(false).await;
    assert_eq!(engine.round().await, 1);
    assert_eq!(
        engine.only().await,
        Logged {
            tries: 6,
            ..DELIVERED
        }
    );
    assert_eq!(engine.calls().await, [(Some(200), 1), (Some(503), 5)]);
    assert_eq!(told(&world).await, (1, 0, 2));
}

#[tokio::test]
async fn what_is_given_up_after_an_hour_is_told_once_when_it_is_redelivered_by_hand() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let trip = trip(&world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    let away = cut_off(&world);
    let mut minutes = 0;
    loop {
        for event in engine.fetch().await {
            let answer = answered(&away, engine.call(&event)).await;
            assert_eq!(answer.status, Some(503));
            engine.mark(&event, answer).await;
        }
        if engine.count("error").await == 1 {
            break;
        }
        engine.time_passes(60);
        minutes += 1;
    }
    assert_eq!(minutes, 60, "the metadata's retry_conf survives an hour");
    engine.time_passes(3600);
    assert_eq!(engine.round().await, 0, "given up");
    let id = engine.ids().await.remove(0);
    for _ in 0..3 {
        engine.redeliver(&id).await;
        assert_eq!(engine.round().await, 1);
        assert_eq!(told(&world).await, (1, 0, 2));
    }
    assert_eq!(engine.only().await, DELIVERED);
}

#[tokio::test]
async fn a_wrong_secret_leaves_the_event_for_later() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let trip = trip(&world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    engine.secret = "the old secret";
    engine.round().await;
    assert_eq!(engine.calls().await, [(Some(401), 1)]);
    assert_eq!(engine.count("not delivered and not error").await, 1);
    assert_eq!(told(&world).await, (0, 0, 0));
    engine.secret = HASURA_SECRET;
    engine.time_passes(60);
    engine.round().await;
    assert_eq!(told(&world).await, (1, 0, 2));
}

/// The host has named a trigger of its own and sends it here: one event that this service cannot process.
async fn not_ours(world: &World) -> Engine {
    let mut engine = Engine::new(world).await;
    "trip_vanished".clone_into(&mut engine.trigger.name);
    let sql = engine.trigger.sql();
    engine.run(&sql).await;
    let trip = trip(world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    engine
}

#[tokio::test]
async fn what_can_never_be_processed_is_acknowledged_and_kept_for_people() {
    let world = World::new().await;
    let mut engine = not_ours(&world).await;
    assert_eq!(engine.round().await, 1);
    engine.time_passes(3600);
    assert_eq!(engine.round().await, 0, "acknowledged");
    assert_eq!(engine.calls().await, [(Some(200), 1)]);
    let kept: (String, String) =
        sqlx::query_as("select source, reason from communications.quarantine")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(
        kept,
        ("HASURA_EVENT".to_owned(), "UNUSABLE_EVENT".to_owned())
    );
    // Hasura fires it again; nothing else can.
    let replayed = world.replays(&json!({"reason": "UNUSABLE_EVENT"})).await;
    assert_eq!(replayed.kept[0].reason, "NOT_REPLAYABLE");
    assert_eq!(told(&world).await, (0, 0, 0));
}

/// Sixty refusals of one event are one thing to look at.
#[tokio::test]
async fn what_cannot_be_processed_is_kept_once_however_often_it_is_delivered() {
    let world = World::new().await;
    let mut engine = not_ours(&world).await;
    for tries in 0..3 {
        let event = engine.fetch().await.remove(0);
        assert_eq!(event.tries, tries);
        answered(&world.events, engine.call(&event)).await;
        // The answer is lost on its way back.
        engine.mark(&event, Answer::NONE).await;
        engine.time_passes(60);
    }
    let kept: (i64, i64) =
        sqlx::query_as("select count(*), sum(times_seen)::bigint from communications.quarantine")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(kept, (1, 3));
}

/// `Retry-After` goes before the interval and even after the last try, which is why the function never sends one (the
/// emulator fails a test in which it does): it can only come from something between, as a throttle.
#[tokio::test]
async fn a_throttle_between_us_is_waited_for() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    engine.trigger.retries = 0;
    let trip = trip(&world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    let throttled = Answer {
        status: Some(429),
        retry_after: Some(300),
    };
    for _ in 0..3 {
        let event = engine.fetch().await.remove(0);
        engine.mark(&event, throttled).await;
        engine.time_passes(299);
        assert!(engine.fetch().await.is_empty());
        engine.time_passes(1);
    }
    engine.round().await;
    assert_eq!(
        engine.only().await,
        Logged {
            tries: 4,
            ..DELIVERED
        }
    );
    assert_eq!(told(&world).await, (1, 0, 2));
}

#[tokio::test]
async fn whoever_presses_the_button_tells_them_again_and_a_repeat_of_that_press_does_not() {
    let world = World::new().await;
    let mut engine = Engine::new(&world).await;
    let trip = trip(&world, &world.iberia).await;
    trip.delay(&world.pool, 30).await.unwrap();
    engine.round().await;
    assert!(
        engine.invoke(trip.id.0).await.is_err(),
        "the example has no button"
    );
    engine.trigger.enable_manual = true;
    let pressed = engine.invoke(trip.id.0).await.unwrap();
    engine.round().await;
    engine.redeliver(&pressed).await;
    engine.round().await;
    assert_eq!(told(&world).await, (2, 0, 4));
    becomes(&world, &trip, "BOARDING").await;
    engine.invoke(trip.id.0).await.unwrap();
    engine.catches_up().await;
    assert_eq!(told(&world).await, (2, 0, 4), "it is not late any more");
}
