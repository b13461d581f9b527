//! The worker is killed at every place where it waits, and what it leaves behind ends as promised.

use comms_tests::calls;
use comms_tests::seed::Traveller;
use comms_tests::world::{End, Moment, Reports, World, killed_at};
use std::collections::BTreeSet;

/// A delay of a trip with so many passengers.
async fn passengers_are_told(world: &World, count: usize) {
    let phones = ["+34600111001", "+34600111002", "+34600111003"];
    let travellers = phones[..count]
        .iter()
        .map(|phone| Traveller::new("Ana García", Some(phone), Some("es")))
        .collect();
    let trip = world
        .iberia
        .schedule(&world.pool, "MAD-VLC-0815", travellers)
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
}

/// Kills at every place in turn, until the worker gets to its end. Each time all messages must end as sent.
async fn killed_everywhere(passengers: usize, moment: Moment, reports: Reports) {
    let world = World::new().await;
    let mut left = BTreeSet::new();
    for nth in 1.. {
        passengers_are_told(&world, passengers).await;
        let batch = calls::batch(&world.queued().await);
        let worker = world.another_worker(&world.simulator.url());
        let finished = killed_at(nth, moment, dispatch_worker::handle(&worker, batch)).await;
        drop(worker);
        left.extend(
            world
                .ends()
                .await
                .into_iter()
                .map(|end| (end.status, end.accepted)),
        );
        let ends = world.everything_ends(reports).await;
        assert_eq!(ends.len(), passengers, "killed at {nth}");
        for end in &ends {
            assert_sent(end, reports, nth);
        }
        if finished.is_some() {
            assert!(ends.iter().all(|end| end.accepted == 1));
            break;
        }
        world.forget_messages().await;
    }
    // What a worker that goes to wait has just begun may be done before anybody looks; what it wakes for is done.
    let surely: &[_] = match moment {
        Moment::Waiting => &[("QUEUED", 0), ("SENDING", 0)],
        Moment::Waking => &[("QUEUED", 0), ("SENDING", 0), ("SENDING", 1), ("SENT", 1)],
    };
    for (status, accepted) in surely {
        let what = ((*status).to_owned(), *accepted);
        assert!(left.contains(&what), "never killed with {what:?}: {left:?}");
    }
}

/// One crash costs one call more at most, and none where the provider reported.
fn assert_sent(end: &End, reports: Reports, nth: usize) {
    match reports {
        Reports::Posted => {
            assert!(
                ["DELIVERED", "READ"].contains(&end.status.as_str()),
                "killed at {nth}: {end:?}"
            );
            assert_eq!(end.accepted, 1, "killed at {nth}: {end:?}");
        }
        Reports::Withheld => {
            assert_eq!(end.status, "SENT", "killed at {nth}: {end:?}");
            assert!((1..=2).contains(&end.accepted), "killed at {nth}: {end:?}");
        }
    }
}

#[tokio::test]
async fn killed_as_it_waits_with_one_message_it_is_sent_twice_at_most() {
    Box::pin(killed_everywhere(1, Moment::Waiting, Reports::Withheld)).await;
}

#[tokio::test]
async fn killed_as_it_wakes_with_one_message_it_is_sent_once_when_the_provider_reports() {
    Box::pin(killed_everywhere(1, Moment::Waking, Reports::Posted)).await;
}

#[tokio::test]
async fn killed_as_it_waits_with_three_messages_each_is_sent_once_when_the_provider_reports() {
    Box::pin(killed_everywhere(3, Moment::Waiting, Reports::Posted)).await;
}

#[tokio::test]
async fn killed_as_it_wakes_with_three_messages_each_is_sent_twice_at_most() {
    Box::pin(killed_everywhere(3, Moment::Waking, Reports::Withheld)).await;
}
