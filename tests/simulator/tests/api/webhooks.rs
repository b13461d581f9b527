//! Webhooks: what is posted, how it is signed, and how often it is tried.

use crate::{Receiver, answer, number, start, text};
use comms_simulator::{DeliveryState, Inbound, Number, Script, StatusStep, sign};
use serde_json::{Value, json};

const ANA: &str = "+34600111222";

fn statuses(bodies: &[Value]) -> Vec<&str> {
    let first = "/entry/0/changes/0/value/statuses/0/status";
    bodies
        .iter()
        .map(|body| {
            body.pointer(first)
                .and_then(Value::as_str)
                .unwrap_or("none")
        })
        .collect()
}

#[tokio::test]
async fn statuses_follow_an_acceptance_in_order_signed_and_with_the_echo() {
    let (simulator, receiver) = (start().await, Receiver::default());
    let auto_statuses = vec!["sent".into(), "delivered".into(), "read".into()];
    let callback_url = Some(receiver.start().await);
    simulator
        .register(Number {
            callback_url,
            auto_statuses,
            ..number()
        })
        .expect("a number");
    let (_, body) = answer(&simulator, &text(ANA)).await;
    simulator.settled().await;

    let bodies = receiver.bodies();
    assert_eq!(statuses(&bodies), ["sent", "delivered", "read"]);
    let value = &bodies[0]["entry"][0]["changes"][0]["value"];
    assert_eq!(bodies[0]["entry"][0]["id"], "waba-1");
    assert_eq!(
        value["metadata"],
        json!({ "display_phone_number": "34911222333", "phone_number_id": "1065" })
    );
    let sent = &value["statuses"][0];
    assert_eq!(sent["id"], body["messages"][0]["id"]);
    assert_eq!(sent["recipient_id"], "34600111222");
    assert_eq!(sent["biz_opaque_callback_data"], "our-id");
    assert_eq!(sent["pricing"]["pricing_model"], "PMP");
    assert!(sent["timestamp"].is_string());
    for (signature, body) in receiver.seen.lock().expect("no panic").iter() {
        assert_eq!(*signature, sign("test_app_secret", body));
    }
}

#[tokio::test]
async fn scripts_change_order_and_outcome_of_the_statuses() {
    let (simulator, receiver) = (start().await, Receiver::default());
    let callback_url = Some(receiver.start().await);
    let auto_statuses = vec!["sent".into()];
    simulator
        .register(Number {
            callback_url,
            auto_statuses,
            ..number()
        })
        .expect("a number");
    simulator.script(Script::statuses(["read".into(), "sent".into()]));
    simulator.script(Script::statuses([]));
    simulator.script(Script {
        statuses_first: true,
        ..Script::statuses([StatusStep::failed(131_049)])
    });
    for _ in 0..2 {
        answer(&simulator, &text(ANA)).await;
        simulator.settled().await;
    }
    assert_eq!(statuses(&receiver.bodies()), ["read", "sent"]);

    answer(&simulator, &text(ANA)).await;
    let bodies = receiver.bodies();
    assert_eq!(
        statuses(&bodies),
        ["read", "sent", "failed"],
        "posted before the answer"
    );
    let value = &bodies[2]["entry"][0]["changes"][0]["value"];
    assert_eq!(value["statuses"][0]["errors"][0]["code"], 131_049);
    assert_eq!(value.get("contacts"), None);
}

#[tokio::test]
async fn a_webhook_is_tried_until_200_and_at_most_eight_times() {
    let (simulator, receiver) = (start().await, Receiver::default());
    receiver
        .answers
        .lock()
        .expect("no panic")
        .extend([500, 503, 202]);
    let callback_url = Some(receiver.start().await);
    simulator
        .register(Number {
            callback_url,
            ..number()
        })
        .expect("a number");
    simulator
        .inbound("1065", &Inbound::text("34600111222", "hola"))
        .expect("a message");
    let deliveries = simulator.settled().await;
    let answers: Vec<_> = deliveries[0]
        .attempts
        .iter()
        .map(|attempt| attempt.http_status)
        .collect();
    assert_eq!(answers, [Some(500), Some(503), Some(202), Some(200)]);
    assert_eq!(deliveries[0].state, DeliveryState::Delivered);

    receiver.answers.lock().expect("no panic").extend([500; 20]);
    simulator
        .inbound("1065", &Inbound::text("34600111222", "hola"))
        .expect("a message");
    let deliveries = simulator.settled().await;
    assert_eq!(deliveries[1].attempts.len(), 8);
    assert_eq!(deliveries[1].state, DeliveryState::Failed);
}

#[tokio::test]
async fn without_a_callback_webhooks_are_held_until_taken() {
    let simulator = start().await;
    let auto_statuses = vec!["sent".into()];
    simulator
        .register(Number {
            auto_statuses,
            ..number()
        })
        .expect("a number");
    let (_, body) = answer(&simulator, &text(ANA)).await;
    let wamid = body["messages"][0]["id"].as_str().expect("an id");
    simulator
        .report(wamid, &["delivered".into()])
        .expect("a message");
    let taken = simulator.take_held();
    let bodies: Vec<Value> = taken
        .iter()
        .map(|held| serde_json::from_slice(&held.body).expect("JSON"))
        .collect();
    assert_eq!(statuses(&bodies), ["sent", "delivered"]);
    assert_eq!(taken[0].signature, sign("test_app_secret", &taken[0].body));
    assert_eq!(simulator.take_held(), []);
    assert!(simulator.report("wamid.unknown", &["sent".into()]).is_err());

    let status = simulator
        .signed_status(wamid, &"read".into())
        .expect("a message");
    let body: Value = serde_json::from_slice(&status.body).expect("JSON");
    assert_eq!(
        body["entry"][0]["changes"][0]["value"]["statuses"][0]["biz_opaque_callback_data"],
        "our-id"
    );
    assert_eq!(
        simulator.webhooks().len(),
        2,
        "a built webhook is not a delivery"
    );
}

#[tokio::test]
async fn an_inbound_message_has_what_meta_sends() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    let inbound = Inbound {
        user_id: Some("ES.1349".to_owned()),
        profile_name: Some("Ana Pérez".to_owned()),
        id: "wamid.in".to_owned(),
        timestamp: 1_763_900_000,
        reply_to: Some("wamid.ours".to_owned()),
        ..Inbound::text("34600111222", "¿a/b?")
    };
    let webhook = simulator
        .signed_inbound("1065", &inbound)
        .expect("a number");
    assert!(webhook.body.is_ascii());
    assert!(String::from_utf8_lossy(&webhook.body).contains(r"a\/b"));
    let body: Value = serde_json::from_slice(&webhook.body).expect("JSON");
    let value = &body["entry"][0]["changes"][0]["value"];
    assert_eq!(
        value["contacts"],
        json!([{ "wa_id": "34600111222", "user_id": "ES.1349", "profile": { "name": "Ana Pérez" } }])
    );
    assert_eq!(
        value["messages"],
        json!([{
            "from": "34600111222", "from_user_id": "ES.1349", "id": "wamid.in", "timestamp": "1763900000",
            "type": "text", "text": { "body": "¿a/b?" }, "context": { "id": "wamid.ours" },
        }])
    );
    assert!(simulator.signed_inbound("9", &inbound).is_err());
}

#[tokio::test]
async fn callbacks_elsewhere_are_refused() {
    let simulator = start().await;
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "http://127.0.0.1.example/",
        "ftp://localhost/",
        "x",
    ] {
        let refused = simulator.register(Number {
            callback_url: Some(url.to_owned()),
            ..number()
        });
        assert!(refused.expect_err(url).0.starts_with("callback_url: "));
    }
}
