//! What a queue may do to hints, all at its worst: one call for each message, in the order of its conversation.

use crate::faults::messages;
use comms_core::model::{DispatchMessageJob, MessageId, TenantId};
use comms_simulator::Inbound;
use comms_tests::calls;
use comms_tests::world::{End, Reports, World};
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test]
async fn the_same_batch_five_times_at_five_workers_is_one_call_a_message() {
    let world = World::new().await;
    let batch = calls::batch(&messages(&world, 10).await);
    let workers: Vec<_> = (0..5)
        .map(|_| world.another_worker(&world.simulator.url()))
        .collect();
    let handled = join_all(
        workers
            .iter()
            .map(|worker| dispatch_worker::handle(worker, batch.clone())),
    )
    .await;
    assert!(
        handled
            .iter()
            .all(|response| response.batch_item_failures.is_empty())
    );
    assert_eq!(world.simulator.calls().len(), 10);
    assert!(
        world
            .everything_ends(Reports::Withheld)
            .await
            .iter()
            .all(sent_once)
    );
}

#[tokio::test]
async fn a_queue_that_loses_everything_loses_no_message() {
    let world = World::new().await;
    messages(&world, 10).await;
    assert_eq!(world.take_hints().await.len(), 10);
    let ends = world.everything_ends(Reports::Withheld).await;
    assert_eq!(ends.len(), 10);
    assert!(ends.iter().all(sent_once), "{ends:?}");
}

fn sent_once(end: &End) -> bool {
    end.status == "SENT" && end.accepted == 1 && end.attempts == 1
}

/// The same order every time: Fisher and Yates with the numbers of Knuth's generator.
fn shuffled(mut hints: Vec<String>) -> Vec<String> {
    let mut state: u64 = 20_261_123;
    for last in (1..hints.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let pick = usize::try_from(state >> 33).unwrap() % (last + 1);
        hints.swap(last, pick);
    }
    hints
}

#[tokio::test]
async fn answers_arrive_in_the_order_they_were_written_in_whatever_the_queue_does() {
    type Reorder = fn(Vec<String>) -> Vec<String>;
    let reversed: Reorder = |hints| hints.into_iter().rev().collect();
    let doubled: Reorder = |hints| {
        hints
            .iter()
            .flat_map(|hint| [hint.clone(), hint.clone()])
            .rev()
            .collect()
    };
    for reorder in [reversed, shuffled, doubled] {
        let world = World::new().await;
        world
            .customer_writes(&Inbound::text("34600111222", "hola"))
            .await;
        let conversation = world.only_conversation().await;
        let act = async |action, input: Value| {
            let agent = world.iberia.agent;
            world
                .agent_acts(world.iberia.tenant, agent, action, &input)
                .await
                .unwrap()
        };
        act(
            "claimConversation",
            json!({"conversation_id": conversation}),
        )
        .await;
        let texts: Vec<String> = (1..=8).map(|nth| format!("respuesta {nth}")).collect();
        for (nth, text) in texts.iter().enumerate() {
            let input = json!({"conversation_id": conversation, "client_message_id": format!("c{nth}"), "content": {"text": text}});
            act("sendAgentMessage", input).await;
        }
        let hints = reorder(world.take_hints().await);
        // One record a batch is the worst that SQS may do, two workers beside each other.
        let other = world.another_worker(&world.simulator.url());
        for pair in hints.chunks(2) {
            let batch = |hint: &String| calls::sqs(std::slice::from_ref(hint));
            let first = dispatch_worker::handle(&world.worker, batch(&pair[0]));
            let second = dispatch_worker::handle(&other, batch(pair.last().unwrap()));
            futures_util::join!(first, second);
        }
        let ends = world.everything_ends(Reports::Withheld).await;
        assert!(ends.iter().all(sent_once), "{ends:?}");
        let sent: Vec<String> = world
            .simulator
            .calls()
            .iter()
            .map(|call| call.body["text"]["body"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(sent, texts);
    }
}

#[tokio::test]
async fn one_poison_record_costs_its_nine_neighbours_nothing() {
    let world = World::new().await;
    let job = |tenant| {
        json!({"v": 1, "tenant_id": tenant, "message_id": MessageId::generate()}).to_string()
    };
    let others = messages(&world, 1).await[0].message_id;
    let poisons = [
        ("no JSON", "{".to_owned(), true),
        ("empty", String::new(), true),
        (
            "another version",
            job(world.iberia.tenant).replace("\"v\":1", "\"v\":2"),
            true,
        ),
        ("no ids", r#"{"v":1}"#.to_owned(), true),
        (
            "a message that does not exist",
            job(world.iberia.tenant),
            false,
        ),
        (
            "a tenant that does not exist",
            job(TenantId::generate()),
            false,
        ),
        (
            "another tenant's message",
            DispatchMessageJob::new(world.albion.tenant, others).body(),
            false,
        ),
    ];
    for (what, poison, is_no_job) in poisons {
        world.forget_messages().await;
        let mut bodies: Vec<String> = messages(&world, 9)
            .await
            .iter()
            .map(DispatchMessageJob::body)
            .collect();
        bodies.insert(4, poison);
        let response = dispatch_worker::handle(&world.worker, calls::sqs(&bodies)).await;
        let failed: Vec<&str> = response
            .batch_item_failures
            .iter()
            .map(|failure| failure.item_identifier.as_str())
            .collect();
        let expected: &[&str] = if is_no_job { &["record-4"] } else { &[] };
        assert_eq!(failed, expected, "{what}");
        let ends = world.ends().await;
        assert!(
            ends.len() == 9 && ends.iter().all(sent_once),
            "{what}: {ends:?}"
        );
    }
}
