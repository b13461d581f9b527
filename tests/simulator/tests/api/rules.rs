//! The provider's rules: what is accepted, and with which code the rest is refused.

use crate::{answer, number, start, text};
use comms_simulator::{Inbound, Number, PairRate, Template, TemplateState};
use reqwest::Client;
use serde_json::{Value, json};

#[tokio::test]
async fn an_accepted_text_is_answered_as_meta_does_and_kept() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    let (status, body) = answer(&simulator, &text("+34600111222")).await;
    assert_eq!(status, 200);
    assert_eq!(body["messaging_product"], "whatsapp");
    assert_eq!(
        body["contacts"],
        json!([{ "input": "+34600111222", "wa_id": "34600111222" }])
    );
    let wamid = body["messages"][0]["id"].as_str().expect("an id");
    assert!(wamid.starts_with("wamid."));

    let calls = simulator.calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert!(call.accepted);
    assert_eq!(call.wamid.as_deref(), Some(wamid));
    assert_eq!(
        (call.kind.as_str(), call.to.as_deref()),
        ("text", Some("+34600111222"))
    );
    assert_eq!(call.correlation.as_deref(), Some("our-id"));
    assert_eq!((call.code, call.http_status), (None, Some(200)));
}

#[tokio::test]
async fn user_ids_and_templates_are_accepted() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    let mut body = template("trip_delayed", "es_ES", &["Ana", "42"]);
    body.as_object_mut().expect("an object").remove("to");
    body["recipient"] = json!("ES.1349");
    let (status, answer) = answer(&simulator, &body).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["contacts"],
        json!([{ "input": "ES.1349", "user_id": "ES.1349" }])
    );
    assert_eq!(answer["messages"][0]["message_status"], "accepted");
}

#[tokio::test]
async fn tokens_and_numbers_are_checked_first() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    let post = async |path: &str, token: Option<&str>| {
        let mut request = Client::new()
            .post(format!("{}{path}", simulator.url()))
            .json(&text("+34600111222"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let body: Value = response.json().await.expect("JSON");
        (
            status,
            body["error"]["code"].as_i64(),
            body["error"]["error_subcode"].as_i64(),
        )
    };
    assert_eq!(
        post("/v26.0/1065/messages", None).await,
        (401, Some(190), None)
    );
    assert_eq!(
        post("/v26.0/1065/messages", Some("other")).await,
        (401, Some(190), None)
    );
    assert_eq!(
        post("/v26.0/9999/messages", Some(crate::TOKEN)).await,
        (400, Some(100), Some(33))
    );
    assert_eq!(
        post("/26/1065/messages", Some(crate::TOKEN)).await,
        (400, Some(2500), None)
    );
    assert_eq!(
        simulator.calls().len(),
        3,
        "refused calls are counted, wrong paths are not"
    );
}

#[tokio::test]
async fn each_broken_rule_has_its_code() {
    let simulator = start().await;
    let mut known = number();
    let with_state = |name, state| Template {
        state,
        ..Template::new(name, "es", 0)
    };
    known
        .templates
        .push(with_state("paused", TemplateState::Paused));
    known
        .templates
        .push(with_state("disabled", TemplateState::Disabled));
    simulator.register(known).expect("a number");

    let changed = |pointer: &str, value: Value| {
        let mut body = text("+34600111222");
        *body.pointer_mut(pointer).expect("a member") = value;
        body
    };
    let long = "a".repeat(1020);
    let cases = [
        (json!(null), 100),
        (changed("/messaging_product", json!("sms")), 100),
        (changed("/to", json!(null)), 100),
        (changed("/to", json!("34600111222")), 131_009),
        (changed("/to", json!("+34911222333")), 131_021),
        (changed("/type", json!("hologram")), 100),
        (changed("/type", json!("image")), 131_008),
        (changed("/text", json!(null)), 131_008),
        (changed("/text/body", json!("")), 131_008),
        (changed("/text/body", json!("ñ".repeat(4097))), 100),
        (
            changed("/biz_opaque_callback_data", json!("x".repeat(513))),
            100,
        ),
        (template("trip_delayed", "es", &["a", "b"]), 132_001),
        (template("other", "es_ES", &[]), 132_001),
        (template("trip_delayed", "es_ES", &["a"]), 132_000),
        (template("trip_delayed", "es_ES", &["a", "b\nc"]), 132_018),
        (template("trip_delayed", "es_ES", &["a", "b\tc"]), 132_018),
        (
            template("trip_delayed", "es_ES", &["a", "b     c"]),
            132_018,
        ),
        (template("trip_delayed", "es_ES", &["a", ""]), 131_008),
        (
            template("trip_delayed", "es_ES", &[&long, "12345"]),
            132_005,
        ),
        (template("paused", "es", &[]), 132_015),
        (template("disabled", "es", &[]), 132_016),
    ];
    for (body, code) in &cases {
        let (status, answer) = answer(&simulator, body).await;
        assert!(status >= 400, "{body}");
        assert_eq!(answer["error"]["code"], *code, "{body}");
        assert_eq!(answer["error"]["type"], "OAuthException");
        assert!(answer["error"]["error_data"]["details"].is_string());
    }
    let calls = simulator.calls();
    assert_eq!(calls.len(), cases.len());
    assert!(
        calls
            .iter()
            .all(|call| !call.accepted && call.wamid.is_none())
    );
    assert_eq!(
        answer(&simulator, &changed("/text/body", json!("ñ".repeat(4096))))
            .await
            .0,
        200
    );
    assert_eq!(
        answer(
            &simulator,
            &template("trip_delayed", "es_ES", &["a    b", "c"])
        )
        .await
        .0,
        200
    );
}

#[tokio::test]
async fn free_text_needs_an_open_window_where_that_is_enforced() {
    let simulator = start().await;
    simulator
        .register(Number {
            enforce_window: true,
            ..number()
        })
        .expect("a number");
    let refused = (400, json!(131_047));
    let outcome = async |body: &Value| {
        let (status, answer) = answer(&simulator, body).await;
        (status, answer["error"]["code"].clone())
    };
    assert_eq!(outcome(&text("+34600111222")).await, refused);
    assert_eq!(
        outcome(&template("trip_delayed", "es_ES", &["a", "b"]))
            .await
            .0,
        200
    );

    let mut yesterday = Inbound::text("34600111222", "hola");
    yesterday.timestamp -= 25 * 60 * 60;
    simulator.inbound("1065", &yesterday).expect("a message");
    assert_eq!(outcome(&text("+34600111222")).await, refused);
    simulator
        .inbound("1065", &Inbound::text("34600111222", "hola"))
        .expect("a message");
    assert_eq!(outcome(&text("+34600111222")).await.0, 200);
    assert_eq!(outcome(&text("+34600999999")).await, refused);
}

#[tokio::test]
async fn pairs_and_unregistered_numbers_are_held_back() {
    let simulator = start().await;
    let pair_rate = Some(PairRate {
        burst: 2,
        every_ms: 3_600_000,
    });
    simulator
        .register(Number {
            pair_rate,
            ..number()
        })
        .expect("a number");
    let code = async |to: &str| answer(&simulator, &text(to)).await.1["error"]["code"].as_i64();
    assert_eq!(code("+34600111222").await, None);
    assert_eq!(code("+34600111222").await, None);
    assert_eq!(code("+34600111222").await, Some(131_056));
    assert_eq!(code("+34600999999").await, None);

    simulator
        .register(Number {
            registered: false,
            ..number()
        })
        .expect("a number");
    assert_eq!(code("+34600999999").await, Some(133_010));
}

fn template(name: &str, language: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|text| json!({ "type": "text", "text": text }))
        .collect();
    json!({
        "messaging_product": "whatsapp", "to": "+34600111222", "type": "template",
        "template": {
            "name": name, "language": { "code": language },
            "components": [{ "type": "body", "parameters": parameters }],
        },
    })
}

#[tokio::test]
async fn a_receipt_is_no_call_and_typing_comes_with_it_alone() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"});
    let with = |member: &str, value: Value| {
        let mut body = read.clone();
        body[member] = value;
        body
    };
    let told = [
        read.clone(),
        with("typing_indicator", json!({"type": "text"})),
    ];
    for body in &told {
        assert_eq!(answer(&simulator, body).await.1, json!({"success": true}));
    }
    for (body, code) in [
        (with("message_id", json!("A")), 131_009),
        (with("status", json!("delivered")), 100),
        (with("typing_indicator", json!({"type": "voice"})), 100),
    ] {
        assert_eq!(answer(&simulator, &body).await.1["error"]["code"], code);
    }
    let receipts = simulator.receipts();
    let typing: Vec<bool> = receipts.iter().map(|receipt| receipt.typing).collect();
    assert_eq!(typing, [false, true]);
    assert!(simulator.calls().is_empty());
}
