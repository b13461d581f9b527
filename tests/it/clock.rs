//! The two nights of the year on which clocks are changed, and sessions that live in another zone.

use crate::faults::messages;
use comms_simulator::Script;
use comms_tests::seed::Traveller;
use comms_tests::world::{Reports, World};
use sqlx::AssertSqlSafe;

/// Every new connection to this world's database lives in this zone.
async fn sessions_live_in(world: &World, zone: &str) {
    let name: String = world.scalar("select current_database()::text").await;
    let sql = format!("alter database {name} set timezone = '{zone}'");
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&world.pool)
        .await
        .unwrap();
}

/// Departure, minutes late, zone of the trip, what its clock shows at the new departure.
const NIGHTS: [(&str, i32, &str, &str); 8] = [
    // Madrid, 25 October 2026: at 03:00 it is 02:00 once more.
    ("2026-10-25 00:30+00", 20, "Europe/Madrid", "02:50"),
    ("2026-10-25 00:30+00", 45, "Europe/Madrid", "02:15"),
    ("2026-10-25 00:30+00", 120, "Europe/Madrid", "03:30"),
    // The Canaries change in the same instant, an hour earlier by their clock.
    ("2026-10-25 00:30+00", 45, "Atlantic/Canary", "01:15"),
    // Madrid, 28 March 2027: at 02:00 it is 03:00.
    ("2027-03-28 00:30+00", 20, "Europe/Madrid", "01:50"),
    ("2027-03-28 00:30+00", 45, "Europe/Madrid", "03:15"),
    ("2027-03-28 00:30+00", 45, "Europe/London", "02:15"),
    ("2027-03-28 00:30+00", 45, "America/Bogota", "20:15"),
];

#[tokio::test]
async fn passengers_read_the_clock_of_the_trips_zone_on_the_nights_when_it_is_changed() {
    let world = World::new().await;
    for zone in ["UTC", "America/New_York", "Pacific/Auckland"] {
        sessions_live_in(&world, zone).await;
        // Connections of before have the old zone.
        world.connections_break().await;
        for (departure, late, of_trip, expected) in NIGHTS {
            let travellers = vec![Traveller::new("Ana", Some("+34600111222"), Some("en"))];
            let trip = world
                .iberia
                .schedule(&world.pool, "MAD-VLC-0030", travellers)
                .await
                .unwrap();
            sqlx::query("update operations.trips set departure_at = $2::text::timestamptz, timezone = $3 where id = $1")
                .bind(trip.id)
                .bind(departure)
                .bind(of_trip)
                .execute(&world.pool)
                .await
                .unwrap();
            let change = trip.delay(&world.pool, late).await.unwrap();
            let response = world.hasura_reports(uuid::Uuid::now_v7(), &change).await;
            assert_eq!(response.status(), 200, "{}", response.body());
            let body: String = world
                .scalar("select body from communications.messages order by id desc limit 1")
                .await;
            assert!(
                body.contains(expected),
                "{departure} + {late} in {of_trip}, seen from {zone}: {body}"
            );
        }
    }
}

/// What is due and what expires are instants: a session's zone, and a change of its clock in between, move neither.
#[tokio::test]
async fn waits_are_as_long_in_every_zone() {
    let world = World::new().await;
    // A zone whose offset is no whole hour, and changes by half an hour.
    sessions_live_in(&world, "Australia/Lord_Howe").await;
    world.connections_break().await;
    let jobs = messages(&world, 1).await;
    let lives: f64 = world
        .scalar("select extract(epoch from expires_at - created_at)::float8 from communications.messages")
        .await;
    assert!(
        (lives - 43_200.0).abs() < 1.0,
        "twelve hours by the rule: {lives}"
    );
    world.simulator.script(Script::fail(134_101));
    world.worker.dispatch(&jobs).await.unwrap();
    let wait: f64 = world
        .scalar("select extract(epoch from due_at - now())::float8 from communications.messages")
        .await;
    assert!(
        (595.0..=720.0).contains(&wait),
        "ten minutes by Meta's word: {wait}"
    );
    let ends = world.everything_ends(Reports::Withheld).await;
    assert_eq!((ends[0].status.as_str(), ends[0].accepted), ("SENT", 1));
}
