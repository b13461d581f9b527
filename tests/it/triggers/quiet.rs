//! Quiet hours in the recipient's zone, through the days on which clocks change.

use super::host::Host;
use comms_tests::world::World;

/// Until when it is quiet, if it is: UTC in, UTC out.
async fn until(world: &World, zone: &str, from: &str, to: &str, at: &str) -> Option<String> {
    sqlx::query_scalar(
        "select to_char(communications.quiet_until($1, $2::text::time, $3::text::time, $4::text::timestamptz) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')",
    )
    .bind(zone)
    .bind(from)
    .bind(to)
    .bind(at)
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn quiet_hours_are_the_clocks_of_the_place() {
    let world = World::new().await;
    let night = ("21:00", "08:00");
    for (zone, (from, to), at, wanted) in [
        // Madrid is two hours ahead in summer, one in winter.
        ("Europe/Madrid", night, "2026-07-01 18:59Z", None),
        (
            "Europe/Madrid",
            night,
            "2026-07-01 19:00Z",
            Some("2026-07-02 06:00"),
        ),
        (
            "Europe/Madrid",
            night,
            "2026-07-02 05:59Z",
            Some("2026-07-02 06:00"),
        ),
        ("Europe/Madrid", night, "2026-07-02 06:00Z", None),
        // The night of 23 hours, and the one of 25.
        (
            "Europe/Madrid",
            night,
            "2026-03-28 20:00Z",
            Some("2026-03-29 06:00"),
        ),
        (
            "Europe/Madrid",
            night,
            "2026-10-24 19:00Z",
            Some("2026-10-25 07:00"),
        ),
        // An hour that does not exist: the one after it. One that comes twice: it ends with the second.
        (
            "Europe/Madrid",
            ("23:00", "02:30"),
            "2026-03-29 00:00Z",
            Some("2026-03-29 01:30"),
        ),
        (
            "Europe/Madrid",
            ("23:00", "02:30"),
            "2026-10-25 00:29Z",
            Some("2026-10-25 01:30"),
        ),
        // By day; half an hour's zone; the other side of the date line.
        (
            "Asia/Kolkata",
            ("13:00", "15:00"),
            "2026-05-05 08:00Z",
            Some("2026-05-05 09:30"),
        ),
        (
            "Asia/Kolkata",
            ("13:00", "15:00"),
            "2026-05-05 09:30Z",
            None,
        ),
        (
            "Pacific/Auckland",
            night,
            "2026-01-01 09:00Z",
            Some("2026-01-01 19:00"),
        ),
    ] {
        assert_eq!(
            until(&world, zone, from, to, at).await.as_deref(),
            wanted,
            "{zone} {from}-{to} {at}"
        );
    }
}

/// All hours but one minute are quiet in Ana's zone; it is never quiet in Tom's.
const ALWAYS: &str = "update communications.notification_rules
        set quiet_hours = jsonb_build_object('from', to_char(now() at time zone 'Europe/Madrid' - interval '1 hour', 'HH24:MI'),
                                             'to', to_char(now() at time zone 'Europe/Madrid' + interval '30 minutes', 'HH24:MI'),
                                             'action', 'HOLD')
      where trigger_event = 'TRIP_CANCELLED'";

#[tokio::test]
async fn who_sleeps_is_told_in_the_morning_and_who_is_awake_now() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    world.execute(ALWAYS).await;
    world
        .execute("update operations.passenger_profiles set timezone = 'Pacific/Auckland' where full_name = 'Tom Baker'")
        .await;
    let change = host
        .changes("trips", host.trip, "status = 'CANCELLED'")
        .await;
    let answer = host.reports("trip_cancelled", &change).await;
    let waits: Vec<bool> = sqlx::query_scalar(
        "select m.due_at > now() + interval '28 minutes' from communications.messages m join communications.contacts c
             on c.tenant_id = m.tenant_id and c.id = m.contact_id order by c.display_name",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(waits, [true, false], "{answer}");
    assert_eq!(world.take_hints().await.len(), 1);
    world.step_dispatch().await;
    assert_eq!(world.simulator.calls().len(), 1);
}

#[tokio::test]
async fn what_would_be_old_by_then_or_is_dropped_is_not_said() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    world.execute(ALWAYS).await;
    world
        .execute("update communications.notification_rules set expires_after = interval '20 minutes' where trigger_event = 'TRIP_CANCELLED'")
        .await;
    let change = host
        .changes("trips", host.trip, "status = 'CANCELLED'")
        .await;
    let outcomes = |answer: &serde_json::Value| {
        crate::intake::outcomes(answer)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let answer = host.reports("trip_cancelled", &change).await;
    // London is an hour behind: for Tom the hour ends before.
    assert_eq!(outcomes(&answer)[0], "QUIET_HOURS", "{answer}");
    world
        .execute(
            "update communications.notification_rules set expires_after = interval '24 hours',
                    quiet_hours = jsonb_set(quiet_hours, '{action}', '\"DROP\"') where trigger_event = 'TRIP_CANCELLED'",
        )
        .await;
    let answer = host.reports("trip_cancelled", &change).await;
    assert_eq!(outcomes(&answer)[0], "QUIET_HOURS", "{answer}");
    assert!(
        sqlx::query("update communications.notification_rules set category = 'OTP' where trigger_event = 'TRIP_CANCELLED'")
            .execute(&world.pool)
            .await
            .is_err(),
        "a code has no quiet hours"
    );
}

/// Who asks for an end gets it, however long the night is.
#[tokio::test]
async fn a_request_that_says_its_own_end_is_not_held_beyond_it() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    world.execute(ALWAYS).await;
    let program = crate::program::Program::all(&world).await;
    let asks = async |minutes: i32| {
        let end: String = sqlx::query_scalar(
            "select to_char(now() at time zone 'UTC' + $1 * interval '1 minute', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        )
        .bind(minutes)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        program
            .gets(&serde_json::json!({
                "idempotency_key": minutes.to_string(), "trigger_event": "TRIP_CANCELLED", "context": {"trip_id": host.trip},
                "recipients": [{"passenger_profile_id": host.ana}], "expires_at": end
            }))
            .await
    };
    let answer = asks(20).await;
    assert_eq!(
        crate::requests::outcomes(&answer),
        ["QUIET_HOURS"],
        "{answer}"
    );
    let answer = asks(40).await;
    assert_eq!(crate::requests::outcomes(&answer), ["QUEUED"], "{answer}");
    let (held, ends): (bool, bool) = sqlx::query_as(
        "select due_at > now() + interval '28 minutes', expires_at <= now() + interval '40 minutes' from communications.messages",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(
        held && ends,
        "held {held}, and ends when it was asked to {ends}"
    );
}
