//! The worker is killed at every place where it waits, and what it leaves behind ends as promised.

use aws_lambda_events::sqs::SqsEvent;
use comms_simulator::Script;
use comms_tests::calls;
use comms_tests::seed::Traveller;
use comms_tests::world::{End, Moment, Reports, World, killed_at};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
    // How often it wakes differs from run to run, so that a walk may step over a place.
    for _walk in 0..5 {
        Box::pin(walk(&world, passengers, moment, reports, &mut left)).await;
        if surely(moment).iter().all(|what| left.contains(what)) {
            return;
        }
        world.forget_messages().await;
    }
    panic!("never killed with all of {:?}: {left:?}", surely(moment));
}

/// What a worker that goes to wait has just begun may be done before anybody looks; what it wakes for is done.
fn surely(moment: Moment) -> Vec<(String, usize)> {
    let places: &[(&str, usize)] = match moment {
        Moment::Waiting => &[("QUEUED", 0), ("SENDING", 0)],
        Moment::Waking => &[("QUEUED", 0), ("SENDING", 0), ("SENDING", 1), ("SENT", 1)],
    };
    let owned = |(status, accepted): &(&str, usize)| ((*status).to_owned(), *accepted);
    places.iter().map(owned).collect()
}

async fn walk(
    world: &World,
    passengers: usize,
    moment: Moment,
    reports: Reports,
    left: &mut BTreeSet<(String, usize)>,
) {
    for nth in 1.. {
        passengers_are_told(world, passengers).await;
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

/// Gives one event to whoever asks the Runtime API, and no answer to anything after that.
async fn one_invocation(listener: TcpListener, event: &SqsEvent) {
    let body = serde_json::to_string(event).unwrap();
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        assert!(connection.read_buf(&mut asked).await.unwrap() > 0);
    }
    assert!(asked.starts_with(b"GET /2018-06-01/runtime/invocation/next"));
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:000000000000:function:dispatch-worker\r\n\
         lambda-runtime-deadline-ms: 4102444800000\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(answer.as_bytes()).await.unwrap();
    std::future::pending::<()>().await;
}

/// The deployed program gets a batch and SIGKILL, when the provider has all of it and has not answered.
async fn a_process_dies_in_the_middle(world: &World) {
    passengers_are_told(world, 3).await;
    world.simulator.script(Script::delay(60_000).times(3));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut process = world.worker_process(&listener.local_addr().unwrap().to_string());
    let event = calls::batch(&world.queued().await);
    let fed = Box::pin(one_invocation(listener, &event));
    let called = Box::pin(world.simulator.wait_for_calls(3));
    let meeting = futures_util::future::select(fed, called);
    let met = tokio::time::timeout(Duration::from_secs(60), meeting).await;
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(met.is_ok(), "the program did not call the provider");
    assert_eq!(world.outbound().await, ["SENDING"; 3]);
    world.take_hints().await;
}

#[tokio::test]
async fn a_worker_process_that_is_killed_in_the_middle_has_sent_once_when_the_provider_reports() {
    let world = World::new().await;
    a_process_dies_in_the_middle(&world).await;
    for end in world.everything_ends(Reports::Posted).await {
        assert_sent(&end, Reports::Posted, 0);
    }
}

#[tokio::test]
async fn a_worker_process_that_is_killed_in_the_middle_has_sent_twice_at_most() {
    let world = World::new().await;
    a_process_dies_in_the_middle(&world).await;
    for end in world.everything_ends(Reports::Withheld).await {
        assert_eq!((end.status.as_str(), end.accepted), ("SENT", 2), "{end:?}");
    }
}
