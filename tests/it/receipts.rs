//! Read receipts and typing: the provider is told as often as the account's policy says, and of the newest message.

use crate::desk::{Desk, writes};
use comms_simulator::Receipt;
use comms_tests::calls;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};

async fn set_policy(desk: &Desk<'_>, policy: &str) -> (u16, Value) {
    let iberia = &desk.world.iberia;
    let input = json!({"channel_account_id": iberia.account, "read_receipts": policy});
    let admin = desk.administrator();
    let asked = admin.world.asks(
        admin.role,
        iberia.tenant,
        admin.user,
        "setReadReceipts",
        &input,
    );
    asked.await
}

/// What is in the queue, dispatched.
async fn work(world: &World) {
    let bodies = world.take_hints().await;
    let response = dispatch_worker::handle(&world.worker, calls::sqs(&bodies)).await;
    assert!(response.batch_item_failures.is_empty(), "{response:?}");
}

/// The ids in the order told, `+` where typing was shown as well.
fn told(world: &World) -> Vec<String> {
    let name = |receipt: Receipt| {
        format!(
            "{}{}",
            receipt.message_id,
            if receipt.typing { "+" } else { "" }
        )
    };
    world.simulator.receipts().into_iter().map(name).collect()
}

async fn newest(world: &World) -> String {
    world
        .scalar("select external_message_id from communications.messages where direction = 'INBOUND' order by thread_at desc, id desc limit 1")
        .await
}

#[tokio::test]
async fn nobody_is_told_unless_the_account_says_so() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    desk.does("markConversationRead", json!({})).await;
    assert_eq!(desk.does("setTyping", json!({})).await["shown"], false);
    desk.does(
        "sendAgentMessage",
        json!({"client_message_id": "1", "content": {"text": "voy"}}),
    )
    .await;
    work(&world).await;
    assert!(told(&world).is_empty());
    assert_eq!(world.simulator.calls().len(), 1, "the answer");
}

#[tokio::test]
async fn on_read_the_assignees_mark_is_told_once() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    assert_eq!(set_policy(&desk, "ON_READ").await.0, 200);
    let hola = newest(&world).await;
    desk.colleague()
        .does("markConversationRead", json!({}))
        .await;
    work(&world).await;
    assert!(told(&world).is_empty(), "a colleague only looked");
    join_all((0..5).map(|_| desk.does("markConversationRead", json!({})))).await;
    desk.does("markConversationUnread", json!({})).await;
    let bodies = world.take_hints().await;
    assert!(!bodies.is_empty());
    // The same hints twice, and twice at once.
    let twice = [bodies.clone(), bodies].concat();
    let (one, other) = (calls::sqs(&twice), calls::sqs(&twice));
    tokio::join!(
        dispatch_worker::handle(&world.worker, one),
        dispatch_worker::handle(&world.worker, other)
    );
    assert_eq!(told(&world), std::slice::from_ref(&hola));
    // Told of the newest, and an older mark goes back nowhere.
    writes(&world, "dos").await;
    let dos = newest(&world).await;
    desk.does("markConversationRead", json!({})).await;
    work(&world).await;
    let first: uuid::Uuid = world
        .scalar("select id from communications.messages where direction = 'INBOUND' order by thread_at, id limit 1")
        .await;
    desk.does("markConversationRead", json!({"up_to": first}))
        .await;
    work(&world).await;
    assert_eq!(told(&world), [hola, dos]);
}

#[tokio::test]
async fn on_reply_reading_is_the_agents_own_and_writing_is_not() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    set_policy(&desk, "ON_REPLY").await;
    let hola = newest(&world).await;
    desk.does("markConversationRead", json!({})).await;
    work(&world).await;
    assert!(told(&world).is_empty());
    // Whoever types says so every few seconds; the provider hears it once.
    for _ in 0..3 {
        assert_eq!(desk.does("setTyping", json!({})).await["shown"], true);
        work(&world).await;
    }
    assert_eq!(told(&world), [format!("{hola}+")]);
    world
        .execute(
            "update communications.read_receipts set typed_at = typed_at - interval '21 seconds'",
        )
        .await;
    desk.does("setTyping", json!({})).await;
    work(&world).await;
    desk.does(
        "sendAgentMessage",
        json!({"client_message_id": "1", "content": {"text": "voy"}}),
    )
    .await;
    work(&world).await;
    assert_eq!(
        told(&world),
        [format!("{hola}+"), format!("{hola}+")],
        "told before"
    );
    writes(&world, "gracias").await;
    let gracias = newest(&world).await;
    desk.does(
        "sendAgentMessage",
        json!({"client_message_id": "2", "content": {"text": "a ti"}}),
    )
    .await;
    work(&world).await;
    assert_eq!(told(&world).last(), Some(&gracias));
}

#[tokio::test]
async fn typing_that_comes_late_is_a_receipt_alone() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    set_policy(&desk, "ON_REPLY").await;
    desk.does("setTyping", json!({})).await;
    world
        .execute(
            "update communications.read_receipts set typing_until = now() - interval '1 second'",
        )
        .await;
    work(&world).await;
    assert_eq!(told(&world), [newest(&world).await]);
}

#[tokio::test]
async fn a_receipt_that_the_provider_does_not_take_is_over() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    set_policy(&desk, "ON_READ").await;
    desk.does("markConversationRead", json!({})).await;
    let bodies = world.take_hints().await;
    let away = world.another_worker("http://127.0.0.1:9/v26.0");
    let response = dispatch_worker::handle(&away, calls::sqs(&bodies)).await;
    assert!(response.batch_item_failures.is_empty(), "nothing to repeat");
    dispatch_worker::handle(&world.worker, calls::sqs(&bodies)).await;
    assert!(told(&world).is_empty());
    writes(&world, "dos").await;
    desk.does("markConversationRead", json!({})).await;
    work(&world).await;
    assert_eq!(
        told(&world),
        [newest(&world).await],
        "and for the one before"
    );
}

#[tokio::test]
async fn the_policy_is_the_administrators_and_whatsapps() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let (status, answer) = set_policy(&desk, "ON_READ").await;
    assert_eq!((status, &answer["read_receipts"]), (200, &json!("ON_READ")));
    let (status, answer) = set_policy(&desk, "SOMETIMES").await;
    assert_eq!(
        (status, &answer["extensions"]["code"]),
        (400, &json!("validation-failed"))
    );
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .starts_with("read_receipts"),
        "{answer}"
    );
    let account = world.iberia.account;
    let asks = async |role: &str, tenant, account| {
        let input = json!({"channel_account_id": account, "read_receipts": "NEVER"});
        let (_, answer) = world
            .asks(role, tenant, desk.user, "setReadReceipts", &input)
            .await;
        answer["extensions"]["code"].clone()
    };
    let iberia = world.iberia.tenant;
    assert_eq!(
        asks("dispatcher", iberia, json!(account)).await,
        "forbidden"
    );
    assert_eq!(
        asks("tenant_admin", world.albion.tenant, json!(account)).await,
        "not-found"
    );
    world.iberia.connect_email(&world.pool).await.unwrap();
    let email: uuid::Uuid = world
        .scalar("select id from communications.channel_accounts where channel = 'EMAIL'")
        .await;
    assert_eq!(
        asks("tenant_admin", iberia, json!(email)).await,
        "validation-failed"
    );
    let policies: Vec<String> = sqlx::query_scalar(
        "select distinct channel || ' ' || read_receipts from communications.channel_accounts order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        policies,
        ["EMAIL NEVER", "WHATSAPP NEVER", "WHATSAPP ON_READ"]
    );
}

#[tokio::test]
async fn only_who_may_answer_is_shown_typing() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    set_policy(&desk, "ON_REPLY").await;
    assert_eq!(desk.code("setTyping", json!({})).await, "claim-required");
    desk.does("claimConversation", json!({})).await;
    assert_eq!(
        desk.colleague().code("setTyping", json!({})).await,
        "conflict"
    );
    let input = json!({"conversation_id": desk.conversation});
    let other = world.albion.tenant;
    let (_, answer) = world
        .asks("dispatcher", other, desk.user, "setTyping", &input)
        .await;
    assert_eq!(answer["extensions"]["code"], "not-found");
    desk.does("resolveConversation", json!({})).await;
    assert_eq!(
        desk.code("setTyping", json!({})).await,
        "conversation-resolved"
    );
    work(&world).await;
    assert!(told(&world).is_empty());
}
