//! Agents claim and answer: one winner, one message, nobody else's conversation.

use comms_core::model::{ConversationId, UserId};
use comms_simulator::Inbound;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};

pub async fn conversation(world: &World) -> ConversationId {
    assert_eq!(
        world
            .customer_writes(&Inbound::text("34600111222", "hola"))
            .await
            .status(),
        200
    );
    world.only_conversation().await
}

pub fn answer(conversation: ConversationId, id: &str, text: &str) -> Value {
    json!({"conversation_id": conversation, "client_message_id": id, "content": {"text": text}})
}

#[tokio::test]
async fn of_fifty_claimers_one_wins_and_the_others_learn_who() {
    let world = World::new().await;
    let input = json!({"conversation_id": conversation(&world).await});
    let agents: Vec<UserId> = (0..50).map(|_| UserId::generate()).collect();
    let claims = agents
        .iter()
        .map(|agent| world.agent_acts(world.iberia.tenant, *agent, "claimConversation", &input));
    let results = join_all(claims).await;
    let winners: Vec<&Value> = results.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert!(
        results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .all(|code| code == "conflict")
    );
    assert_eq!(
        world
            .scalar::<i64>(
                "select count(*) from communications.conversation_events where kind = 'CLAIMED'"
            )
            .await,
        1
    );
}

#[tokio::test]
async fn claiming_twice_answers_the_same() {
    let world = World::new().await;
    let input = json!({"conversation_id": conversation(&world).await});
    let claim = || {
        world.agent_acts(
            world.iberia.tenant,
            world.iberia.agent,
            "claimConversation",
            &input,
        )
    };
    let (first, second) = (claim().await.unwrap(), claim().await.unwrap());
    assert_eq!(first, second);
    assert_eq!(first["assigned_to"], json!(world.iberia.agent));
}

#[tokio::test]
async fn an_agents_answer_goes_out_once_in_the_interactive_lane() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let agent = world.iberia.agent;
    world
        .agent_acts(
            world.iberia.tenant,
            agent,
            "claimConversation",
            &json!({"conversation_id": id}),
        )
        .await
        .unwrap();
    let input = answer(id, "m1", "A las 15:30, Ana.");
    let sent = world
        .agent_acts(world.iberia.tenant, agent, "sendAgentMessage", &input)
        .await
        .unwrap();
    assert_eq!(sent["status"], "QUEUED");
    world.step_dispatch().await;
    let again = world
        .agent_acts(world.iberia.tenant, agent, "sendAgentMessage", &input)
        .await
        .unwrap();
    assert_eq!(
        (
            again["message_id"].clone(),
            again["status"].as_str().unwrap()
        ),
        (sent["message_id"].clone(), "SENT")
    );
    world.step_dispatch().await;
    let calls = world.simulator.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body["text"]["body"], "A las 15:30, Ana.");
    assert_eq!(
        world
            .scalar::<String>(
                "select lane from communications.messages where direction = 'OUTBOUND'"
            )
            .await,
        "INTERACTIVE"
    );

    let other = world
        .agent_acts(
            world.iberia.tenant,
            agent,
            "sendAgentMessage",
            &answer(id, "m1", "something else"),
        )
        .await;
    assert_eq!(other.unwrap_err(), "conflict");
}

#[tokio::test]
async fn the_same_click_twenty_times_at_once_is_one_message() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let agent = world.iberia.agent;
    world
        .agent_acts(
            world.iberia.tenant,
            agent,
            "claimConversation",
            &json!({"conversation_id": id}),
        )
        .await
        .unwrap();
    let input = answer(id, "m1", "hola");
    let results = join_all(
        (0..20).map(|_| world.agent_acts(world.iberia.tenant, agent, "sendAgentMessage", &input)),
    )
    .await;
    let ids: std::collections::HashSet<String> = results
        .into_iter()
        .map(|result| result.unwrap()["message_id"].to_string())
        .collect();
    assert_eq!((ids.len(), world.outbound().await.len()), (1, 1));
}

#[tokio::test]
async fn answers_leave_in_the_order_they_were_written() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let agent = world.iberia.agent;
    world
        .agent_acts(
            world.iberia.tenant,
            agent,
            "claimConversation",
            &json!({"conversation_id": id}),
        )
        .await
        .unwrap();
    for index in 0..3 {
        world
            .agent_acts(
                world.iberia.tenant,
                agent,
                "sendAgentMessage",
                &answer(id, &format!("m{index}"), &format!("{index}")),
            )
            .await
            .unwrap();
    }
    world.take_hints().await;
    world.simulator.script(comms_simulator::Script {
        answer: comms_simulator::Answer::Fail {
            code: 131_016,
            http_status: None,
            subcode: None,
            is_transient: false,
            retry_after: Some(60),
        },
        ..comms_simulator::Script::default()
    });
    world.step_dispatch().await;
    world.step_dispatch().await;
    assert_eq!(
        world.simulator.calls().len(),
        1,
        "the second waits for the first, which waits for its retry"
    );
    for _ in 0..3 {
        world
            .execute("update communications.messages set due_at = now() where status = 'QUEUED'")
            .await;
        world.step_dispatch().await;
    }
    let texts: Vec<String> = world
        .simulator
        .calls()
        .iter()
        .filter(|call| call.accepted)
        .map(|call| call.body["text"]["body"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts, ["0", "1", "2"]);
    assert!(
        !world.take_hints().await.is_empty(),
        "each settle wakes the next of its conversation"
    );
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_notification_in_the_same_thread() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let agent = world.iberia.agent;
    let input = json!({"conversation_id": id});
    world
        .agent_acts(world.iberia.tenant, agent, "claimConversation", &input)
        .await
        .unwrap();
    world
        .trip_is_delayed(&crate::intake::trip(&world, &world.iberia).await)
        .await;
    world.execute("update communications.messages set due_at = now() + interval '2 hours' where status = 'QUEUED'").await;
    let threaded = "messages where conversation_id is not null and lane = 'TRANSACTIONAL'";
    assert_eq!(
        world.count(threaded).await,
        1,
        "the notification is in the live thread"
    );
    world
        .agent_acts(
            world.iberia.tenant,
            agent,
            "sendAgentMessage",
            &answer(id, "m1", "hola"),
        )
        .await
        .unwrap();
    world.step_dispatch().await;
    assert_eq!(
        world
            .scalar::<String>(
                "select status from communications.messages where lane = 'INTERACTIVE'"
            )
            .await,
        "SENT"
    );
}

#[tokio::test]
async fn what_an_agent_may_not_do() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let (tenant, agent, colleague) = (
        world.iberia.tenant,
        world.iberia.agent,
        world.iberia.colleague,
    );
    let send = |user, text: &str| {
        let input = answer(id, "x", text);
        let world = &world;
        async move {
            world
                .agent_acts(tenant, user, "sendAgentMessage", &input)
                .await
                .unwrap_err()
        }
    };
    assert_eq!(send(agent, "hola").await, "claim-required");
    world
        .agent_acts(
            tenant,
            agent,
            "claimConversation",
            &json!({"conversation_id": id}),
        )
        .await
        .unwrap();
    assert_eq!(send(colleague, "hola").await, "conflict");
    assert_eq!(send(agent, "  ").await, "validation-failed");
    assert_eq!(send(agent, &"x".repeat(4097)).await, "validation-failed");
    world
        .execute(
            "update communications.whatsapp_windows set open_until = now() - interval '1 second'",
        )
        .await;
    assert_eq!(send(agent, "hola").await, "window-closed");
    world
        .execute(
            "update communications.whatsapp_windows set open_until = now() + interval '1 hour'",
        )
        .await;
    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED'")
        .await;
    assert_eq!(send(agent, "hola").await, "channel-unavailable");
    assert!(world.outbound().await.is_empty());
}

#[tokio::test]
async fn a_resolved_conversation_is_closed_to_answers_and_claims() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    let act = async |user, action: &str, input: Value| {
        world.agent_acts(tenant, user, action, &input).await
    };
    let input = json!({"conversation_id": id});
    act(agent, "claimConversation", input.clone())
        .await
        .unwrap();
    let foreign = act(world.iberia.colleague, "resolveConversation", input.clone()).await;
    assert_eq!(foreign.unwrap_err(), "conflict");
    for _ in 0..2 {
        let resolved = act(agent, "resolveConversation", input.clone())
            .await
            .unwrap();
        assert_eq!(resolved["status"], "RESOLVED");
    }
    let sent = act(agent, "sendAgentMessage", answer(id, "m", "hola")).await;
    assert_eq!(sent.unwrap_err(), "conversation-resolved");
    let claimed = act(agent, "claimConversation", input.clone()).await;
    assert_eq!(claimed.unwrap_err(), "conversation-resolved");
    let events = "conversation_events where kind = 'RESOLVED'";
    assert_eq!(
        (world.count(events).await, world.outbound().await.len()),
        (1, 0)
    );
}

#[tokio::test]
async fn an_administrator_resolves_what_another_holds() {
    let world = World::new().await;
    let input = json!({"conversation_id": conversation(&world).await, "note": "x"});
    let claim = json!({"conversation_id": world.only_conversation().await});
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    world
        .agent_acts(tenant, agent, "claimConversation", &claim)
        .await
        .unwrap();
    for (role, code) in [("admin", "forbidden"), ("dispatcher", "conflict")] {
        let refused = world
            .acts_as(
                role,
                tenant,
                world.iberia.colleague,
                "resolveConversation",
                &input,
            )
            .await;
        assert_eq!(refused.unwrap_err(), code, "{role}");
    }
    let resolved = world
        .acts_as(
            "tenant_admin",
            tenant,
            world.iberia.colleague,
            "resolveConversation",
            &input,
        )
        .await;
    assert_eq!(resolved.unwrap()["status"], "RESOLVED");
}
