//! Connecting accounts over the control API, as the local stack does, and what a reset forgets.

use crate::{Receiver, start};
use comms_simulator::{Number, Review, Signup, Simulator, Waba, WabaNumber};
use reqwest::Client;
use serde_json::{Value, json};
use std::time::Duration;

async fn post(simulator: &Simulator, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", simulator.url());
    let response = Client::new()
        .post(url)
        .json(&body)
        .send()
        .await
        .expect("an answer");
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

async fn get(simulator: &Simulator, path: &str) -> Value {
    let url = format!("{}{path}", simulator.url());
    let response = reqwest::get(url).await.expect("an answer");
    response.json().await.expect("JSON")
}

fn waba() -> Value {
    json!({ "waba_id": "2000", "numbers": [{ "phone_number_id": "1065",
        "display_phone_number": "34911222333", "verified_name": "Iberia" }] })
}

/// What the code of a signup is exchanged for.
async fn exchanged(simulator: &Simulator) -> Value {
    let (_, signup) = post(simulator, "/_sim/signup", json!({ "waba_ids": ["2000"] })).await;
    let code = signup["code"].as_str().expect("a code").to_owned();
    let path = format!(
        "/v26.0/oauth/access_token?client_id=4815162342&client_secret=test_app_secret&code={code}"
    );
    get(simulator, &path).await
}

#[tokio::test]
async fn the_control_api_plants_signs_up_and_revokes() {
    let simulator = start().await;
    assert_eq!(post(&simulator, "/_sim/wabas", waba()).await.0, 200);
    let unknown = post(&simulator, "/_sim/signup", json!({ "waba_ids": ["9"] })).await;
    assert_eq!(unknown.0, 400);
    let answer = exchanged(&simulator).await;
    let token = answer["access_token"].as_str().expect("a token");
    let path =
        format!("/v26.0/debug_token?input_token={token}&access_token=4815162342|test_app_secret");
    assert_eq!(get(&simulator, &path).await["data"]["is_valid"], true);
    let (_, revoked) = post(
        &simulator,
        "/_sim/tokens/revoke",
        json!({ "waba_id": "2000" }),
    )
    .await;
    assert_eq!(revoked["revoked"], 1);
    assert_eq!(get(&simulator, &path).await["data"]["is_valid"], false);
    let neither = post(&simulator, "/_sim/tokens/revoke", json!({})).await;
    assert!(
        neither.0 == 400
            && neither.1["error"]
                .as_str()
                .is_some_and(|why| why.contains("token"))
    );
    let edges: Vec<Value> = get(&simulator, "/_sim/graph")
        .await
        .as_array()
        .expect("calls")
        .clone();
    assert_eq!(edges.len(), 3);
    assert_eq!(edges[0]["edge"], "access_token");
}

#[tokio::test]
async fn what_is_about_an_account_goes_to_the_app_whatever_the_override() {
    let simulator = start().await;
    let receiver = Receiver::default();
    let callback = receiver.start().await;
    let app = json!({ "callback_url": callback });
    assert_eq!(post(&simulator, "/_sim/app", app).await.0, 200);
    let elsewhere = json!({ "callback_url": "https://example.com/" });
    assert_eq!(post(&simulator, "/_sim/app", elsewhere).await.0, 400);
    post(&simulator, "/_sim/wabas", waba()).await;
    let answer = exchanged(&simulator).await;
    let token = answer["access_token"].as_str().expect("a token");
    let news = json!({ "waba_id": "2000", "field": "account_update", "value": { "event": "X" } });
    post(&simulator, "/_sim/announce", news.clone()).await;
    assert!(simulator.settled().await.is_empty(), "nobody is subscribed");

    let edge = |name: &str| format!("{}/v26.0/2000/{name}", simulator.url());
    let subscribed = Client::new()
        .post(edge("subscribed_apps"))
        .bearer_auth(token)
        .send()
        .await;
    assert_eq!(subscribed.expect("an answer").status(), 200);
    let template = json!({ "name": "hi", "language": "es", "category": "UTILITY",
        "components": [{ "type": "BODY", "text": "Hola" }] });
    let created = Client::new()
        .post(edge("message_templates"))
        .bearer_auth(token)
        .json(&template);
    assert_eq!(created.send().await.expect("an answer").status(), 200);
    let review = json!({ "waba_id": "2000", "name": "hi", "language": "es", "status": "APPROVED" });
    assert_eq!(
        post(&simulator, "/_sim/templates/review", review).await.0,
        200
    );
    simulator.settled().await;
    post(&simulator, "/_sim/announce", news).await;
    simulator.settled().await;
    let bodies = receiver.bodies();
    let fields: Vec<&Value> = bodies
        .iter()
        .map(|body| &body["entry"][0]["changes"][0]["field"])
        .collect();
    assert_eq!(fields, ["message_template_status_update", "account_update"]);
    assert!(bodies[0]["entry"][0]["time"].is_u64());
}

#[tokio::test]
async fn a_reset_forgets_accounts_and_keeps_numbers() {
    let simulator = start().await;
    simulator
        .register(Number::new("7", "w", "34900", "t"))
        .expect("a number");
    let numbers = [WabaNumber::new("1065", "34911222333", "Iberia")];
    simulator
        .plant(Waba::new("2000", numbers))
        .expect("an account");
    let stolen = Waba::new("3000", [WabaNumber::new("7", "34900", "Another's")]);
    assert!(simulator.plant(stolen).is_err());
    simulator.sign_up(Signup::of("2000")).expect("a code");
    simulator.pass(Duration::from_hours(1));
    simulator.reset();
    assert!(simulator.sign_up(Signup::of("2000")).is_err());
    assert!(
        simulator
            .review(&Review::status("2000", "a", "es", "APPROVED"))
            .is_err()
    );
    let inbound = comms_simulator::Inbound::text("34600", "hola");
    assert!(simulator.signed_inbound("1065", &inbound).is_err());
    assert!(simulator.signed_inbound("7", &inbound).is_ok());
}
