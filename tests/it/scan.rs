//! The schedules: sleepers wake, lost hints are published again, and only what repairing did not help is an alarm.

use crate::intake::trip;
use comms_simulator::{Inbound, StatusReport};
use comms_tests::world::World;
use futures_util::future::join_all;

#[tokio::test]
async fn conversations_past_their_time_wake_once_however_many_wake_them() {
    let world = World::new().await;
    for sender in 0..3 {
        world
            .customer_writes(&Inbound::text(&format!("3460011122{sender}"), "hola"))
            .await;
    }
    world
        .execute(
            "update communications.conversations c set status = 'SNOOZED', snoozed_until = now() + n * interval '1 hour'
               from (select id, row_number() over (order by id) - 2 as n from communications.conversations) r where r.id = c.id",
        )
        .await;
    let database = world.database();
    let woken: i64 = join_all((0..4).map(|_| snooze_wakeup::handle(&database)))
        .await
        .into_iter()
        .map(|summary| summary.unwrap().woken)
        .sum();
    assert_eq!(
        woken, 2,
        "one was due an hour ago, one is due now, one in an hour"
    );
    assert_eq!(
        world
            .scalar::<i64>(
                "select count(*) from communications.conversations where status = 'SNOOZED'"
            )
            .await,
        1
    );
    assert_eq!(world.scalar::<i64>("select count(*) from communications.conversation_events where kind = 'REOPENED' and actor_kind = 'SYSTEM'").await, 2);
}

#[tokio::test]
async fn a_lost_hint_is_published_again_and_the_repair_is_written_down() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    assert_eq!(world.take_hints().await.len(), 2);
    assert_eq!(
        stuck_scan::handle(&world.scan)
            .await
            .unwrap()
            .repaired
            .republished,
        0,
        "the hint is young"
    );
    world
        .execute("update communications.messages set hint_at = now() - interval '2 minutes'")
        .await;
    assert_eq!(
        stuck_scan::handle(&world.scan)
            .await
            .unwrap()
            .repaired
            .republished,
        2
    );
    assert_eq!(
        stuck_scan::handle(&world.scan)
            .await
            .unwrap()
            .repaired
            .republished,
        0,
        "once"
    );
    let response = dispatch_worker::handle(
        &world.worker,
        comms_tests::calls::sqs(&world.take_hints().await),
    )
    .await;
    assert!(response.batch_item_failures.is_empty());
    assert_eq!(world.outbound().await, ["SENT", "SENT"]);
    assert_eq!(
        world
            .scalar::<i64>("select count(*) from communications.repairs where kind = 'HINT_LOST'")
            .await,
        2
    );
}

#[tokio::test]
async fn what_is_due_later_is_published_when_its_time_comes() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    world.take_hints().await;
    world.execute("update communications.messages set due_at = now() + interval '2 hours', hint_at = '-infinity'").await;
    assert_eq!(
        stuck_scan::handle(&world.scan)
            .await
            .unwrap()
            .repaired
            .released,
        0
    );
    world
        .execute("update communications.messages set due_at = now()")
        .await;
    assert_eq!(
        stuck_scan::handle(&world.scan)
            .await
            .unwrap()
            .repaired
            .released,
        2
    );
    assert_eq!(world.count("repairs").await, 0, "releasing is no repair");
}

#[tokio::test]
async fn only_what_is_queued_and_five_minutes_late_is_an_alarm() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    assert_eq!(stuck_scan::handle(&world.scan).await.unwrap().overdue, 0);
    world
        .execute("update communications.messages set due_at = now() - interval '6 minutes'")
        .await;
    assert_eq!(stuck_scan::handle(&world.scan).await.unwrap().overdue, 2);
    world
        .execute("update communications.messages set expires_at = now() - interval '1 second'")
        .await;
    let summary = stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!((summary.repaired.expired, summary.overdue), (2, 0));
    assert_eq!(world.outbound().await, ["EXPIRED", "EXPIRED"]);
}

#[tokio::test]
async fn messages_of_a_parked_account_are_not_published_in_vain() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED'")
        .await;
    world
        .execute("update communications.messages set hint_at = '-infinity'")
        .await;
    assert_eq!(
        stuck_scan::handle(&world.scan)
            .await
            .unwrap()
            .repaired
            .republished,
        0
    );
}

#[tokio::test]
async fn a_status_that_waited_finds_its_message() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    let report = StatusReport::new("wamid.LATE", "delivered", "34600111222");
    let webhook = world
        .simulator
        .builder()
        .status(&world.iberia.number(), &report)
        .build();
    world.meta_posts(world.iberia.tenant, &webhook).await;
    world
        .execute(
            "update communications.messages set status = 'SENDING', attempts = 1, lease_until = now() + interval '45 seconds' where address = '+34600111222'",
        )
        .await;
    world.execute("update communications.messages set status = 'SENT', lease_until = null, external_message_id = 'wamid.LATE' where status = 'SENDING'").await;
    assert_eq!(
        stuck_scan::handle(&world.scan)
            .await
            .unwrap()
            .repaired
            .matched,
        1
    );
    assert!(world.outbound().await.contains(&"DELIVERED".to_owned()));
}
