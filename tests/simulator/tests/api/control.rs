//! The control API: the same things over HTTP, and errors that name the field.

use crate::{Receiver, TOKEN, answer, start, text};
use comms_simulator::Simulator;
use reqwest::Client;
use serde_json::{Value, json};

async fn post(simulator: &Simulator, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/_sim/{path}", simulator.url());
    let response = Client::new()
        .post(url)
        .json(body)
        .send()
        .await
        .expect("an answer");
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

async fn get(simulator: &Simulator, path: &str) -> (u16, Value) {
    let response = reqwest::get(format!("{}/_sim/{path}", simulator.url()))
        .await
        .expect("an answer");
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

fn number(callback_url: Option<&str>) -> Value {
    json!({
        "phone_number_id": "1065", "waba_id": "waba-1", "display_phone_number": "34911222333",
        "access_token": TOKEN, "callback_url": callback_url, "auto_statuses": ["sent", { "status": "delivered" }],
        "templates": [{ "name": "trip_delayed", "language": "es_ES", "parameters": 2 }],
    })
}

#[tokio::test]
async fn a_whole_conversation_over_http() {
    let (simulator, receiver) = (start().await, Receiver::default());
    assert_eq!(
        get(&simulator, "health").await,
        (200, json!({ "status": "ok" }))
    );
    let callback_url = receiver.start().await;
    assert_eq!(
        post(&simulator, "numbers", &number(Some(&callback_url)))
            .await
            .0,
        200
    );
    let script =
        json!({ "recipient": "34600111222", "answer": { "kind": "fail", "code": 131_026 } });
    assert_eq!(
        post(&simulator, "script", &script).await,
        (200, json!({ "queued": 1 }))
    );

    assert_eq!(answer(&simulator, &text("+34600111222")).await.0, 400);
    let (_, accepted) = answer(&simulator, &text("+34600111222")).await;
    let wamid = &accepted["messages"][0]["id"];
    let (_, calls) = get(&simulator, "calls?at_least=2").await;
    assert_eq!(calls[0]["code"], 131_026);
    assert_eq!(calls[1]["wamid"], *wamid);

    let more = json!({ "wamid": wamid, "statuses": ["read"] });
    assert_eq!(post(&simulator, "statuses", &more).await.0, 200);
    let inbound = json!({ "phone_number_id": "1065", "from": "34600111222", "profile_name": "Ana", "text": "hola" });
    let (status, written) = post(&simulator, "inbound", &inbound).await;
    assert_eq!(status, 200);
    assert!(written["id"].as_str().expect("an id").starts_with("wamid."));

    let (_, webhooks) = get(&simulator, "webhooks?settled=true").await;
    let webhooks = webhooks.as_array().expect("a list");
    assert_eq!(webhooks.len(), 4);
    assert!(
        webhooks
            .iter()
            .all(|webhook| webhook["state"] == "delivered")
    );
    assert_eq!(receiver.bodies().len(), 4);

    assert_eq!(post(&simulator, "reset", &json!({})).await.0, 200);
    assert_eq!(get(&simulator, "calls").await, (200, json!([])));
    assert_eq!(
        answer(&simulator, &text("+34600111222")).await.0,
        200,
        "numbers stay"
    );
}

#[tokio::test]
async fn wrong_bodies_are_answered_with_the_name_of_the_field() {
    let simulator = start().await;
    post(&simulator, "numbers", &number(None)).await;
    let mut elsewhere = number(Some("https://example.com"));
    let mut odd = number(None);
    odd["templates"][0]["parameters"] = json!("two");
    elsewhere["access_token"] = json!(TOKEN);
    let cases = [
        ("numbers", json!({}), "phone_number_id"),
        ("numbers", elsewhere, "callback_url"),
        ("numbers", odd, "templates[0].parameters"),
        ("script", json!({ "times": -1 }), "times"),
        ("script", json!({ "tiems": 1 }), "tiems"),
        ("script", json!({ "answer": { "kind": "fail" } }), "code"),
        (
            "inbound",
            json!({ "from": "1", "text": "t" }),
            "phone_number_id",
        ),
        (
            "inbound",
            json!({ "phone_number_id": "9", "from": "1", "text": "t" }),
            "phone_number_id",
        ),
        (
            "inbound",
            json!({ "phone_number_id": "1065", "text": "t" }),
            "from",
        ),
        (
            "inbound",
            json!({ "phone_number_id": "1065", "form": "1" }),
            "form",
        ),
        (
            "statuses",
            json!({ "wamid": "x", "statuses": ["sent"] }),
            "wamid",
        ),
        ("statuses", json!({ "wamid": "x" }), "statuses"),
    ];
    for (path, body, field) in cases {
        let (status, answer) = post(&simulator, path, &body).await;
        assert!((400..500).contains(&status), "{path} {body}");
        assert!(
            answer["error"].as_str().expect("a text").contains(field),
            "{answer}"
        );
    }
    assert_eq!(get(&simulator, "calls?at_least=many").await.0, 400);
}
