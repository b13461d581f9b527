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

/// Quiet in two hours, in every zone of the test's people.
const LATER: &str = "update communications.notification_rules
        set quiet_hours = jsonb_build_object('from', to_char(now() at time zone 'UTC' + interval '2 hours', 'HH24:MI'),
                                             'to', to_char(now() at time zone 'UTC' + interval '3 hours', 'HH24:MI'),
                                             'action', 'HOLD')
      where trigger_event in ('TRIP_CANCELLED', 'TRIP_BOARDING')";

/// The hours go by: what was planned by day is looked at by night, half an hour before its end.
pub async fn night_falls(world: &World) {
    world
        .execute(
            "update communications.messages
                set quiet_hours = quiet_hours || jsonb_build_object('from', to_char(now() at time zone 'UTC' - interval '1 hour', 'HH24:MI'),
                                                                    'to', to_char(now() at time zone 'UTC' + interval '30 minutes', 'HH24:MI'))",
        )
        .await;
}

/// By day, with a night to come.
pub async fn by_day(world: &World) {
    world.execute(LATER).await;
    world
        .execute("update operations.passenger_profiles set timezone = 'UTC'")
        .await;
    world
        .execute("update communications.tenant_settings set timezone = 'UTC'")
        .await;
}

async fn cancelled_by_day(world: &World) -> Host<'_> {
    let host = Host::of(world).await;
    by_day(world).await;
    let change = host
        .changes("trips", host.trip, "status = 'CANCELLED'")
        .await;
    host.reports("trip_cancelled", &change).await;
    assert_eq!(
        world
            .count("messages where due_at <= now() and quiet_hours ->> 'zone' = 'UTC'")
            .await,
        2,
        "planned for now"
    );
    host
}

const UNTIL_MORNING: &str = "messages where status = 'QUEUED' and due_at between now() + interval '28 minutes' and now() + interval '31 minutes'";

#[tokio::test]
async fn what_was_planned_by_day_does_not_leave_by_night() {
    let world = World::new().await;
    cancelled_by_day(&world).await;
    night_falls(&world).await;
    world.hints_are_followed().await;
    world.step_dispatch().await;
    assert_eq!(world.count(UNTIL_MORNING).await, 2);
    assert_eq!(world.count("rate_buckets").await, 0, "no slot was taken");
    assert_eq!(world.count("message_attempts").await, 0);
    assert_eq!(world.count("messages where attempts > 0").await, 0);
    assert!(world.simulator.calls().is_empty());
    // The morning.
    world
        .execute("update communications.messages set quiet_hours = quiet_hours || '{\"from\": \"00:00\", \"to\": \"00:00\"}'")
        .await;
    world.time_passes(31).await;
    stuck_scan::handle(&world.scan).await.unwrap();
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["SENT", "SENT"]);
}

/// A tripped breaker lets one message try, and a sender has a slot for each: neither is for who sleeps.
#[tokio::test]
async fn who_sleeps_takes_nothing_from_who_is_awake() {
    let world = World::new().await;
    cancelled_by_day(&world).await;
    night_falls(&world).await;
    // The later of the two is awake; the breaker's time is over.
    world
        .execute("update communications.messages set quiet_hours = null where id = (select max(id::text)::uuid from communications.messages)")
        .await;
    world
        .execute(
            "insert into communications.breakers (tenant_id, account_id, failures, open_until)
             select distinct tenant_id, account_id, 5, now() - interval '1 second' from communications.messages",
        )
        .await;
    world.hints_are_followed().await;
    assert_eq!(world.outbound().await, ["QUEUED", "SENT"]);
    assert_eq!(world.count(UNTIL_MORNING).await, 1);
    assert_eq!(world.count("breakers").await, 0, "its success closed it");
}

#[tokio::test]
async fn what_would_be_too_old_in_the_morning_or_is_dropped_ends() {
    let world = World::new().await;
    cancelled_by_day(&world).await;
    night_falls(&world).await;
    world
        .execute("update communications.messages set expires_at = now() + interval '20 minutes' where address = '+34600111222'")
        .await;
    world
        .execute("update communications.messages set quiet_hours = quiet_hours || '{\"action\": \"DROP\"}' where address <> '+34600111222'")
        .await;
    world.hints_are_followed().await;
    assert_eq!(
        world
            .count("messages where status = 'EXPIRED' and failed_code = 'quiet-hours' and expired_at is not null and attempts = 0")
            .await,
        2
    );
    assert_eq!(world.count("message_fallbacks").await, 0);
    assert!(world.simulator.calls().is_empty());
}

/// The next channel's turn comes by night: it is its turn in the morning.
#[tokio::test]
async fn a_fallback_that_opens_by_night_waits_for_the_morning() {
    let world = World::new().await;
    cancelled_by_day(&world).await;
    world.hints_are_followed().await;
    assert_eq!(world.outbound().await, ["SENT", "SENT"]);
    night_falls(&world).await;
    world
        .execute("update communications.messages set quiet_hours = quiet_hours || '{\"action\": \"DROP\"}' where address <> '+34600111222'")
        .await;
    world.time_passes(6).await;
    stuck_scan::handle(&world.scan).await.unwrap();
    world.hints_are_followed().await;
    let fallbacks = format!(
        "{UNTIL_MORNING} and fallback_of is not null and channel = 'SMS' and attempts = 0 and deferrals = 0"
    );
    assert_eq!(world.count(&fallbacks).await, 1, "held, and not dropped");
    assert_eq!(world.count("messages").await, 3, "dropped, and not opened");
    assert_eq!(
        world.simulator.calls().len(),
        2,
        "and nothing more has left"
    );
}
