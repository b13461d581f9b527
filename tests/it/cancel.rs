//! Taking a message back: it does not go out, or the answer says that it was too late.

use crate::planted::{acts, doubt, fails, more, one};
use comms_core::model::MessageId;
use comms_simulator::Inbound;
use comms_tests::calls;
use comms_tests::world::World;
use futures_util::{StreamExt, future::join, stream};
use serde_json::{Value, json};
use std::collections::HashSet;

async fn cancel(world: &World, message: MessageId) -> Result<Value, String> {
    acts(world, "cancelMessage", &json!({"message_id": message})).await
}

const WAITING: &str = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

fn answer(message: MessageId, cancelled: bool, status: &str, may_have_been_sent: bool) -> Value {
    json!({"message_id": message, "cancelled": cancelled, "status": status, "may_have_been_sent": may_have_been_sent})
}

#[tokio::test]
async fn a_cancelled_message_never_leaves_by_any_channel() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let message = one(&world).await;
    assert_eq!(world.count("message_fallbacks").await, 1);
    for _ in 0..2 {
        let answered = cancel(&world, message).await.unwrap();
        assert_eq!(answered, answer(message, true, "CANCELLED", false));
    }
    assert_eq!(world.count("message_fallbacks").await, 0);
    world.step_dispatch().await;
    assert!(world.simulator.calls().is_empty());
}

#[tokio::test]
async fn what_was_sent_cannot_be_taken_back_but_goes_no_further() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let message = one(&world).await;
    world.step_dispatch().await;
    for _ in 0..2 {
        let answered = cancel(&world, message).await.unwrap();
        assert_eq!(answered, answer(message, false, "SENT", true));
    }
    assert_eq!(world.count("message_fallbacks").await, 0);
}

#[tokio::test]
async fn a_message_that_fell_back_is_cancelled_where_it_is_now() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let message = one(&world).await;
    world.simulator.script(fails(131_026));
    world.step_dispatch().await;
    let email: MessageId = world
        .scalar("select id from communications.messages where channel = 'EMAIL'")
        .await;
    assert_eq!(world.count("message_fallbacks").await, 1, "the SMS");
    for id in [message, email] {
        let answered = cancel(&world, id).await.unwrap();
        assert_eq!(answered, answer(email, true, "CANCELLED", false));
    }
    assert_eq!(world.outbound().await, ["FAILED", "CANCELLED"]);
    assert_eq!(world.count("message_fallbacks").await, 0);
}

#[tokio::test]
async fn doubt_is_cancelled_with_the_word_that_it_may_have_been_sent() {
    let world = World::new().await;
    let message = one(&world).await;
    world.simulator.script(doubt());
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["UNCERTAIN"]);
    for _ in 0..2 {
        let answered = cancel(&world, message).await.unwrap();
        assert_eq!(answered, answer(message, true, "CANCELLED", true));
    }
    assert_eq!(world.simulator.calls().len(), 1);
}

#[tokio::test]
async fn a_message_that_waits_for_its_second_try_after_doubt_may_have_been_sent() {
    let world = World::new().await;
    let message = one(&world).await;
    world.simulator.script(doubt());
    world.step_dispatch().await;
    world
        .execute("update communications.messages set status = 'QUEUED'")
        .await;
    let answered = cancel(&world, message).await.unwrap();
    assert_eq!(answered, answer(message, true, "CANCELLED", true));
}

#[tokio::test]
async fn what_is_refused_was_not_sent() {
    let world = World::new().await;
    let message = one(&world).await;
    world.simulator.script(fails(131_016));
    world.step_dispatch().await;
    let answered = cancel(&world, message).await.unwrap();
    assert_eq!(answered, answer(message, true, "CANCELLED", false));
}

#[tokio::test]
async fn there_is_nothing_to_cancel_about_an_unknown_or_inbound_message() {
    let world = World::new().await;
    let unknown = cancel(&world, MessageId::generate()).await;
    assert_eq!(unknown.unwrap_err(), "not-found");
    world
        .customer_writes(&Inbound::text("34600111222", "hola"))
        .await;
    let inbound = world.scalar("select id from communications.messages").await;
    assert_eq!(cancel(&world, inbound).await.unwrap_err(), "conflict");
}

#[tokio::test]
async fn who_waited_behind_it_is_hinted_at_once() {
    let world = World::new().await;
    world
        .customer_writes(&Inbound::text("34600111222", "hola"))
        .await;
    let conversation = json!({"conversation_id": world.only_conversation().await});
    acts(&world, "claimConversation", &conversation)
        .await
        .unwrap();
    let mut written = Vec::new();
    for text in ["0", "1"] {
        let input = json!({"conversation_id": world.only_conversation().await, "client_message_id": text, "content": {"text": text}});
        let sent = acts(&world, "sendAgentMessage", &input).await.unwrap();
        written.push(sent["message_id"].as_str().unwrap().to_owned());
    }
    world.take_hints().await;
    cancel(&world, written[0].parse().unwrap()).await.unwrap();
    let hints = world.take_hints().await;
    assert_eq!(hints.len(), 1);
    assert!(hints[0].contains(&written[1]), "{}", hints[0]);
}

/// The worker begins at the first message and the cancels at the last, so that both win some and they meet in between, in each of
/// four rounds; whoever wins, the answer is what the provider saw.
#[tokio::test]
async fn every_answer_in_a_race_with_the_worker_is_true() {
    let world = World::new().await;
    let first = one(&world).await;
    more(&world, first, 199).await;
    world
        .execute("update communications.channel_accounts set throughput_per_second = 100000")
        .await;
    let jobs = world.queued().await;
    let worker = world.another_worker(&world.simulator.url());
    let mut answers = Vec::new();
    for round in jobs.chunks(50) {
        let claims = round
            .chunks(5)
            .map(|chunk| dispatch_worker::handle(&worker, calls::batch(chunk)));
        let claims = stream::iter(claims).buffer_unordered(2).count();
        // As many at once as there are connections.
        let cancels = round.iter().rev().map(|job| cancel(&world, job.message_id));
        let cancels = stream::iter(cancels)
            .buffer_unordered(2)
            .collect::<Vec<_>>();
        answers.extend(join(cancels, claims).await.0);
    }
    let called: HashSet<String> = world
        .simulator
        .calls()
        .into_iter()
        .filter_map(|call| call.correlation)
        .collect();
    let mut taken_back = 0;
    for answer in answers {
        let answer = answer.unwrap();
        let id = answer["message_id"].as_str().unwrap();
        let never = answer["cancelled"] == true && answer["may_have_been_sent"] == false;
        assert_eq!(!never, called.contains(id), "{answer}");
        taken_back += usize::from(never);
    }
    assert_eq!(world.simulator.calls().len() + taken_back, 200);
    assert!((1..200).contains(&taken_back), "no race: {taken_back}");
}

/// The message fails and the worker opens the next channel, but has not committed yet: the cancel waits for it, and then
/// takes back what was opened.
#[tokio::test]
async fn a_channel_that_opens_in_the_same_instant_is_cancelled_too() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let message = one(&world).await;
    world
        .execute("update communications.messages set status = 'SENDING', lease_until = now() + interval '45 seconds'")
        .await;
    let mut settle = world.pool.begin().await.unwrap();
    sqlx::query("update communications.messages set status = 'FAILED', lease_until = null, failed_at = now()")
        .execute(&mut *settle)
        .await
        .unwrap();
    sqlx::query("select communications.open_fallbacks(array [$1], array [$2], 'FAILED')")
        .bind(world.iberia.tenant)
        .bind(message)
        .execute(&mut *settle)
        .await
        .unwrap();
    let waited = async {
        while world.scalar::<i64>(WAITING).await == 0 {}
        settle.commit().await.unwrap();
    };
    let (answered, ()) = join(cancel(&world, message), waited).await;
    let email: MessageId = world
        .scalar("select id from communications.messages where channel = 'EMAIL'")
        .await;
    assert_eq!(answered.unwrap(), answer(email, true, "CANCELLED", false));
    assert_eq!(world.outbound().await, ["FAILED", "CANCELLED"]);
    assert_eq!(world.count("message_fallbacks").await, 0);
}
