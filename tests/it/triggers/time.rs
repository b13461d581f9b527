//! Triggers that a clock fires: everything that is due, however late the clock comes, once for each occurrence.

use super::host::Host;
use comms_core::automation::Fired;
use comms_tests::seed::Traveller;
use comms_tests::world::World;
use futures_util::future::join_all;

async fn clock(world: &World) -> Fired {
    timed_triggers::handle(&world.clock()).await.unwrap()
}

/// No hour of the test is quiet.
async fn awake(world: &World) {
    world
        .execute("update communications.notification_rules set quiet_hours = null")
        .await;
}

async fn leaves_in(world: &World, interval: &str) {
    let sql = format!("update operations.trips set departure_at = now() + interval '{interval}'");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_reminder_comes_in_its_time_once_however_often_the_clock_ticks() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    awake(&world).await;
    assert_eq!(clock(&world).await, Fired::default(), "thirty hours before");
    leaves_in(&world, "23 hours 59 minutes").await;
    let ticks = join_all((0..5).map(|_| clock(&world))).await;
    let runs: usize = ticks.iter().map(|fired| fired.messages).sum();
    assert_eq!(runs, 2, "{ticks:?}");
    let said = host.said().await;
    assert!(said[0].2.contains("¡Nos vemos a bordo!"), "{said:?}");
    assert_eq!(clock(&world).await, Fired::default());
}

#[tokio::test]
async fn an_outage_is_made_up_for_as_long_as_it_is_news() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    awake(&world).await;
    leaves_in(&world, "3 hours 10 minutes").await;
    clock(&world).await;
    assert!(
        host.said().await[0].2.contains("¡Nos vemos a bordo!"),
        "a day before, twenty hours late"
    );
    leaves_in(&world, "1 hour").await;
    clock(&world).await;
    let said = host.said().await;
    assert!(
        said[0].2.contains("sale a las"),
        "two hours before, and no other: {said:?}"
    );
    assert_eq!(said.len(), 2);
    leaves_in(&world, "5 minutes").await;
    assert_eq!(
        clock(&world).await.runs,
        0,
        "who is not there by then will not be"
    );
}

/// Whatever holds it up: nobody is reminded of a trip that has left, by no channel of the chain.
#[tokio::test]
async fn a_reminder_ends_with_the_moment_that_it_is_about() {
    let world = World::new().await;
    Host::of(&world).await;
    awake(&world).await;
    for left in ["4 hours", "90 minutes"] {
        leaves_in(&world, left).await;
        assert_eq!(clock(&world).await.messages, 2, "{left}");
        let ends: bool = world
            .scalar("select bool_and(m.expires_at <= t.departure_at) from communications.messages m, operations.trips t")
            .await;
        assert!(ends, "{left} before departure");
        // The provider is away until the trip has left.
        world.time_passes(4 * 60 + 1).await;
        stuck_scan::handle(&world.scan).await.unwrap();
        world.hints_are_followed().await;
        world.execute("delete from communications.repairs").await;
        world
            .execute("delete from communications.message_fallbacks")
            .await;
        let statuses = world.outbound().await;
        assert_eq!(statuses, ["EXPIRED", "EXPIRED"], "{left}");
        world.execute("delete from communications.messages").await;
    }
    assert!(world.simulator.calls().is_empty());
    // What is about the time after its moment is worth something until that is over.
    world.execute("update operations.invoices set status = 'ISSUED', due_at = now() - interval '29 days 12 hours'").await;
    clock(&world).await;
    let ends: bool = world
        .scalar("select bool_and(m.expires_at between now() + interval '11 hours' and now() + interval '12 hours') from communications.messages m")
        .await;
    assert!(ends);
}

/// The night ends after the trip has left: nothing is said.
#[tokio::test]
async fn a_reminder_is_not_held_beyond_the_departure() {
    let world = World::new().await;
    Host::of(&world).await;
    world
        .execute(
            "update communications.notification_rules
                set quiet_hours = jsonb_build_object('from', to_char(now() at time zone 'UTC' - interval '4 hours', 'HH24:MI'),
                                                     'to', to_char(now() at time zone 'UTC' + interval '6 hours', 'HH24:MI'),
                                                     'action', 'HOLD')
              where trigger_event = 'TRIP_REMINDER_24H'",
        )
        .await;
    world
        .execute("update operations.passenger_profiles set timezone = 'UTC'")
        .await;
    leaves_in(&world, "5 hours").await;
    let fired = clock(&world).await;
    assert_eq!((fired.runs, fired.messages), (1, 0));
    let outcomes: Vec<String> = world
        .scalar("select array_agg(r ->> 'outcome') from communications.trigger_runs, jsonb_array_elements(answer -> 'recipients') r")
        .await;
    assert_eq!(outcomes, ["QUIET_HOURS", "QUIET_HOURS"]);
    assert_eq!(world.count("messages").await, 0);
}

#[tokio::test]
async fn a_trip_that_is_put_off_is_another_occurrence_and_a_late_one_is_not() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    awake(&world).await;
    leaves_in(&world, "20 hours").await;
    clock(&world).await;
    world
        .execute("update operations.trips set status = 'DELAYED', estimated_departure_at = departure_at + interval '2 hours'")
        .await;
    clock(&world).await;
    assert_eq!(host.said().await.len(), 2);
    leaves_in(&world, "22 hours").await;
    clock(&world).await;
    assert_eq!(host.said().await.len(), 2);
    world
        .execute("update operations.trips set status = 'CANCELLED'")
        .await;
    leaves_in(&world, "21 hours").await;
    assert_eq!(clock(&world).await.runs, 0);
}

#[tokio::test]
async fn balances_invoices_and_shifts_have_their_times() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    awake(&world).await;
    let names = async || -> Vec<String> {
        clock(&world).await;
        let said = host.said().await;
        said.into_iter()
            .map(|(name, channel, _)| format!("{name} {channel}"))
            .collect()
    };
    assert!(names().await.is_empty());
    world
        .execute("update operations.bookings set balance_due_at = now() + interval '47 hours'")
        .await;
    assert_eq!(names().await, ["Ana EMAIL"]);
    world.execute("update operations.invoices set status = 'ISSUED', due_at = now() - interval '1 minute'").await;
    assert_eq!(names().await, ["Ana EMAIL"]);
    world
        .execute("update operations.driver_shifts set starts_at = now() + interval '11 hours'")
        .await;
    assert_eq!(names().await, ["Rosa WHATSAPP"]);
    // Paid, and over: nothing.
    world.execute("update operations.bookings set balance_due = 0, balance_due_at = now() + interval '46 hours'").await;
    world
        .execute(
            "update operations.invoices set status = 'PAID', due_at = now() - interval '2 minutes'",
        )
        .await;
    world.execute("update operations.driver_shifts set status = 'DONE', starts_at = now() + interval '10 hours'").await;
    assert!(names().await.is_empty());
}

/// One tenant's broken rule, one view that the host lacks: everybody else is reminded.
#[tokio::test]
async fn what_is_broken_holds_up_nothing_else() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    awake(&world).await;
    world
        .execute("update operations.driver_shifts set starts_at = now() + interval '11 hours'")
        .await;
    leaves_in(&world, "20 hours").await;
    world
        .execute("drop view communications.domain_invoices")
        .await;
    world
        .execute(
            "alter table communications.notification_rules drop constraint notification_rules_steps;",
        )
        .await;
    sqlx::query(
        "insert into communications.notification_rules (tenant_id, id, trigger_event, audience, steps, category, lane)
         values ($1, communications.uuid_v7(), 'TRIP_REMINDER_24H', 'TRIP_PASSENGERS', '[{\"channel\": \"FAX\"}]', 'TRANSACTIONAL', 'TRANSACTIONAL')",
    )
    .bind(host.tenant())
    .execute(&world.pool)
    .await
    .unwrap();
    let fired = clock(&world).await;
    assert_eq!(
        (fired.unavailable, fired.failed, fired.messages),
        (1, 1, 1),
        "{fired:?}"
    );
    world.execute("delete from communications.notification_rules where tenant_id <> communications.platform_tenant()").await;
    assert_eq!(
        clock(&world).await.messages,
        2,
        "mended: the next tick makes up for it"
    );
}

/// More than a round of one tenant's trips cannot be read. Another tenant's is reminded of, and so is the one of theirs that can.
#[tokio::test]
async fn what_fails_by_the_hundred_holds_up_nobody() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    awake(&world).await;
    let eva = Traveller::new("Eva Ruiz", Some("+447700900456"), Some("en"));
    world
        .albion
        .schedule(&world.pool, "LHR-1", vec![eva])
        .await
        .unwrap();
    leaves_in(&world, "23 hours").await;
    world
        .execute(
            "insert into operations.trips (id, tenant_id, code, origin, destination, departure_at, timezone)
             select communications.uuid_v7(), tenant_id, 'X' || n, origin, destination, now() + interval '20 hours', 'Mars/Phobos'
               from operations.trips, generate_series(1, 510) n where code = 'MAD-VLC-0815'",
        )
        .await;
    let fired = clock(&world).await;
    assert_eq!((fired.messages, fired.failed), (3, 510), "{fired:?}");
    assert_eq!(host.said().await.len(), 3);
}

/// The same of what an orchestrator had.
#[tokio::test]
async fn what_cannot_go_on_holds_up_nobody() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    world
        .execute("update communications.notification_rules set orchestrator = 'N8N', quiet_hours = null where trigger_event = 'TRIP_REMINDER_24H'")
        .await;
    leaves_in(&world, "20 hours").await;
    assert_eq!(clock(&world).await.runs, 1);
    world
        .execute(
            "insert into communications.trigger_runs
                 (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, context, answer, hand_off, deadline_at)
             select tenant_id, communications.uuid_v7(), source, n::text, body_hash, trigger_event, status, context, answer, '{}',
                    now() - interval '1 hour'
               from communications.trigger_runs, generate_series(1, 510) n",
        )
        .await;
    world
        .execute(
            "update communications.trigger_runs set deadline_at = least(deadline_at, now() - interval '1 second')",
        )
        .await;
    assert_eq!(clock(&world).await.gone_on, 1);
    assert_eq!(host.said().await.len(), 2);
}
