//! The rules of each kind of message but text.

use crate::{answer, number, start};
use comms_simulator::{Simulator, Template};
use serde_json::{Value, json};

async fn with_a_named_template() -> Simulator {
    let simulator = start().await;
    let mut known = number();
    known.templates.push(Template {
        names: vec!["who".to_owned()],
        ..Template::new("named", "es", 1)
    });
    simulator.register(known).expect("a number");
    simulator
}

fn message(kind: &str, object: Value) -> Value {
    let mut message =
        json!({ "messaging_product": "whatsapp", "to": "+34600111222", "type": kind });
    message[kind] = object;
    message
}

fn reply(title: &str) -> Value {
    json!({ "type": "reply", "reply": { "id": "1", "title": title } })
}

fn buttons(buttons: Value) -> Value {
    let mut question = json!({ "type": "button", "body": { "text": "b" }, "action": {} });
    question["action"]["buttons"] = buttons;
    question
}

fn list(rows: usize) -> Value {
    let rows = vec![json!({ "id": "1", "title": "t" }); rows];
    json!({ "type": "list", "body": { "text": "b" }, "action": { "button": "v", "sections": [{ "rows": rows }] } })
}

fn template(name: &str, component: Value) -> Value {
    let who = json!({ "type": "text", "parameter_name": name, "text": "Ana" });
    let components = [json!({ "type": "body", "parameters": [who] }), component];
    message(
        "template",
        json!({ "name": "named", "language": { "code": "es" }, "components": components }),
    )
}

fn header(parameter: Value) -> Value {
    template(
        "who",
        json!({ "type": "header", "parameters": vec![parameter] }),
    )
}

fn copy_code(code: &str) -> Value {
    let parameter = json!({ "type": "coupon_code", "coupon_code": code });
    let button = json!({ "type": "button", "sub_type": "copy_code", "index": "0", "parameters": [parameter] });
    template("who", button)
}

#[tokio::test]
async fn every_kind_is_accepted_as_documented() {
    let simulator = with_a_named_template().await;
    for body in [
        message("image", json!({ "id": "1", "caption": "c" })),
        message(
            "document",
            json!({ "link": "https://a.example", "filename": "a.pdf" }),
        ),
        message("audio", json!({ "id": "1" })),
        message("location", json!({ "latitude": 41.4, "longitude": "2.2" })),
        message("reaction", json!({ "message_id": "wamid.A", "emoji": "" })),
        message("interactive", buttons(json!([reply("a"), reply("b")]))),
        message("interactive", list(10)),
        header(json!({ "type": "image", "image": { "id": "1" } })),
        copy_code("VERANO"),
    ] {
        let (status, answer) = answer(&simulator, &body).await;
        assert_eq!(status, 200, "{body} {answer}");
    }
}

async fn refuses(cases: &[(Value, i64)]) {
    let simulator = with_a_named_template().await;
    for (body, code) in cases {
        let (_, answer) = answer(&simulator, body).await;
        assert_eq!(answer["error"]["code"], *code, "{body}");
    }
}

#[tokio::test]
async fn files_places_and_reactions_have_their_rules() {
    let mut answering = message("reaction", json!({ "message_id": "wamid.A", "emoji": "a" }));
    answering["context"] = json!({ "message_id": "wamid.A" });
    let both = json!({ "id": "1", "link": "https://a.example" });
    let long = json!({ "id": "1", "caption": "c".repeat(1025) });
    refuses(&[
        (message("image", json!({ "caption": "c" })), 131_008),
        (message("video", both), 131_009),
        (
            message("sticker", json!({ "id": "1", "caption": "c" })),
            100,
        ),
        (message("image", long), 131_009),
        (
            message("image", json!({ "id": "1", "filename": "a.png" })),
            100,
        ),
        (
            message("location", json!({ "latitude": 91, "longitude": 0 })),
            131_009,
        ),
        (message("location", json!({ "latitude": 1 })), 131_008),
        (message("reaction", json!({ "emoji": "a" })), 131_008),
        (answering, 100),
    ])
    .await;
}

#[tokio::test]
async fn questions_and_templates_have_their_rules() {
    let captioned = json!({ "id": "1", "caption": "c" });
    let long = reply(&"a".repeat(21));
    refuses(&[
        (message("interactive", buttons(json!([]))), 131_008),
        (
            message("interactive", buttons(json!([reply("a"), reply("a")]))),
            131_009,
        ),
        (message("interactive", buttons(json!([long]))), 131_009),
        (message("interactive", list(11)), 131_009),
        (
            message("interactive", json!({ "type": "product" })),
            131_009,
        ),
        (header(json!({ "type": "image", "image": captioned })), 100),
        (header(json!({ "type": "audio" })), 132_012),
        (copy_code(&"a".repeat(16)), 132_012),
        (template("other", json!({ "type": "body" })), 132_000),
        (template("other", json!({ "type": "footer" })), 132_012),
    ])
    .await;
}
