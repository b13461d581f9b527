//! One message that did not go out, sent again as a new one.

use crate::planted::{acts, doubt, end_all, fails, one};
use comms_core::model::MessageId;
use comms_simulator::Inbound;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};

async fn retry(world: &World, message: MessageId) -> Result<Value, String> {
    acts(world, "retryMessage", &json!({"message_id": message})).await
}

fn id(answer: &Value) -> MessageId {
    answer["message_id"].as_str().unwrap().parse().unwrap()
}

/// An agent's answer in a conversation that they hold, refused for good by the provider.
async fn failed_answer(world: &World) -> MessageId {
    world
        .customer_writes(&Inbound::text("34600111222", "hola"))
        .await;
    let conversation = world.only_conversation().await;
    let input = json!({"conversation_id": conversation});
    acts(world, "claimConversation", &input).await.unwrap();
    let input = json!({"conversation_id": conversation, "client_message_id": "m", "content": {"text": "A las tres."}});
    let sent = acts(world, "sendAgentMessage", &input).await.unwrap();
    world.simulator.script(fails(131_026));
    world.step_dispatch().await;
    id(&sent)
}

/// As for the words themselves: not to whoever said stop since and writes no more.
#[tokio::test]
async fn an_agents_words_are_not_sent_again_to_whoever_said_stop() {
    let world = World::new().await;
    let message = failed_answer(&world).await;
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
             select tenant_id, gen_random_uuid(), id, 'WHATSAPP', 'TRANSACTIONAL', false, 'said so', 'message', now() from communications.contacts",
        )
        .await;
    world
        .execute("update communications.messages set provider_timestamp = provider_timestamp - interval '2 days' where direction = 'INBOUND'")
        .await;
    assert_eq!(retry(&world, message).await, Err("opted-out".to_owned()));
    // Nor with many others, by whoever sends them again.
    let copied: String = sqlx::query_scalar(
        "with copy as (select message_id from communications.copy_messages(
             (select tenant_id from communications.messages where id = $1), array[$1],
             array[(select account_id from communications.messages where id = $1)], now()))
         select count(*)::text from copy",
    )
    .bind(message)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(copied, "1");
    assert_eq!(
        world
            .count("messages where status = 'SUPPRESSED' and replay_of is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn a_failed_message_goes_out_again_once() {
    let world = World::new().await;
    let message = one(&world).await;
    world.simulator.script(fails(131_026));
    world.step_dispatch().await;
    world.take_hints().await;
    let answers = join_all((0..20).map(|_| retry(&world, message))).await;
    let first = answers[0].clone().unwrap();
    assert_eq!(
        (&first["replay_of"], &first["status"]),
        (&json!(message), &json!("QUEUED"))
    );
    for answer in answers {
        assert_eq!(answer.unwrap(), first);
    }
    assert_eq!(world.take_hints().await.len(), 1);
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["FAILED", "SENT"]);
    assert_eq!(retry(&world, message).await.unwrap()["status"], "SENT");
    let alike: bool = world
        .scalar(
            "select (a.content, a.body, a.address, a.account_id, a.lane, a.category)
                  = (b.content, b.body, b.address, b.account_id, b.lane, b.category)
                    and date_bin('1 minute', a.expires_at - a.created_at + '30 seconds' + 'epoch'::timestamptz, 'epoch')
                      = date_bin('1 minute', b.expires_at - b.created_at + '30 seconds' + 'epoch'::timestamptz, 'epoch')
                    and b.attempts = 1 and b.run_id is null
               from communications.messages a join communications.messages b on b.replay_of = a.id",
        )
        .await;
    assert!(alike);
}

#[tokio::test]
async fn a_copy_that_failed_is_sent_again_in_its_turn() {
    let world = World::new().await;
    let message = one(&world).await;
    end_all(&world, "FAILED", "AUTH", "190").await;
    let copy = id(&retry(&world, message).await.unwrap());
    end_all(&world, "EXPIRED", "AUTH", "190").await;
    let again = retry(&world, copy).await.unwrap();
    assert_eq!(again["replay_of"], json!(copy));
    assert_eq!(id(&retry(&world, message).await.unwrap()), copy);
}

#[tokio::test]
async fn a_cancelled_message_goes_out_after_all_without_its_chain() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let message = one(&world).await;
    let input = json!({"message_id": message});
    acts(&world, "cancelMessage", &input).await.unwrap();
    retry(&world, message).await.unwrap();
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["CANCELLED", "SENT"]);
    assert_eq!(world.count("message_fallbacks").await, 0);
}

#[tokio::test]
async fn what_was_sent_or_may_be_is_not_sent_again() {
    let world = World::new().await;
    let message = one(&world).await;
    assert_eq!(retry(&world, message).await.unwrap_err(), "conflict");
    world.simulator.script(doubt());
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["UNCERTAIN"]);
    assert_eq!(retry(&world, message).await.unwrap_err(), "conflict");
    for status in ["SENT", "DELIVERED", "READ", "SUPPRESSED", "SIMULATED"] {
        world
            .execute(
                "update communications.messages set status = 'QUEUED' where status = 'UNCERTAIN'",
            )
            .await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "begin; set local session_replication_role = replica;
             update communications.messages set status = '{status}'; commit"
        )))
        .execute(&world.pool)
        .await
        .unwrap();
        let refused = retry(&world, message).await.unwrap_err();
        assert_eq!(refused, "conflict", "{status}");
    }
    assert_eq!(world.outbound().await.len(), 1);
    let unknown = retry(&world, MessageId::generate()).await;
    assert_eq!(unknown.unwrap_err(), "not-found");
}

#[tokio::test]
async fn an_agents_answer_needs_its_conversation_and_its_window() {
    let world = World::new().await;
    let message = failed_answer(&world).await;
    let (tenant, colleague) = (world.iberia.tenant, world.iberia.colleague);
    let input = json!({"message_id": message});
    let foreign = world
        .agent_acts(tenant, colleague, "retryMessage", &input)
        .await;
    assert_eq!(foreign.unwrap_err(), "conflict");
    world
        .execute("update communications.conversations set assigned_to = null")
        .await;
    assert_eq!(retry(&world, message).await.unwrap_err(), "claim-required");
    let conversation = json!({"conversation_id": world.only_conversation().await});
    acts(&world, "claimConversation", &conversation)
        .await
        .unwrap();
    world
        .execute(
            "update communications.whatsapp_windows set open_until = now() - interval '1 second'",
        )
        .await;
    assert_eq!(retry(&world, message).await.unwrap_err(), "window-closed");
    world
        .execute(
            "update communications.whatsapp_windows set open_until = now() + interval '1 hour'",
        )
        .await;
    world
        .execute("update communications.conversations set preview = ''")
        .await;
    retry(&world, message).await.unwrap();
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["FAILED", "SENT"]);
    let preview: String = world
        .scalar("select preview from communications.conversations")
        .await;
    assert_eq!(preview, "A las tres.");
}

#[tokio::test]
async fn a_resolved_conversation_gets_no_answer_again() {
    let world = World::new().await;
    let message = failed_answer(&world).await;
    let input = json!({"conversation_id": world.only_conversation().await});
    acts(&world, "resolveConversation", &input).await.unwrap();
    let refused = retry(&world, message).await.unwrap_err();
    assert_eq!(refused, "conversation-resolved");
}

#[tokio::test]
async fn a_chat_stays_with_its_number_and_an_email_moves_to_a_working_sender() {
    let world = World::new().await;
    let old = world.iberia.connect_email(&world.pool).await.unwrap();
    let message = one(&world).await;
    end_all(&world, "FAILED", "AUTH", "190").await;
    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED'")
        .await;
    let refused = retry(&world, message).await.unwrap_err();
    assert_eq!(refused, "channel-unavailable");

    // The same as an email of the account that is suspended, beside one that works.
    world
        .execute(
            "update communications.messages m set channel = 'EMAIL', account_id = a.id
               from communications.channel_accounts a where a.channel = 'EMAIL'",
        )
        .await;
    let refused = retry(&world, message).await.unwrap_err();
    assert_eq!(refused, "channel-unavailable");
    world
        .execute("update communications.channel_accounts set external_account_id = 'old.example' where channel = 'EMAIL'")
        .await;
    let new = world.iberia.connect_email(&world.pool).await.unwrap();
    let copy = id(&retry(&world, message).await.unwrap());
    let accounts: Vec<(MessageId, comms_core::model::AccountId)> =
        sqlx::query_as("select id, account_id from communications.messages order by id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(accounts, [(message, old), (copy, new)]);
}

#[tokio::test]
async fn who_has_refused_since_is_not_written_to() {
    let world = World::new().await;
    let message = one(&world).await;
    end_all(&world, "FAILED", "AUTH", "190").await;
    let contact = world.scalar("select id from communications.contacts").await;
    comms_tests::seed::opt_out(&world.pool, world.iberia.tenant, contact)
        .await
        .unwrap();
    retry(&world, message).await.unwrap();
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["FAILED", "SUPPRESSED"]);
    assert!(world.simulator.calls().is_empty());
}
