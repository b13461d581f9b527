//! From the stored content to Meta's object, one case for each kind.

use super::{ana, command, stored, written};
use serde_json::{Value, json};

/// Meta's object of this content; its type must name it.
fn object(content: Value) -> Value {
    let written = written(&command(ana(), stored(content)));
    let kind = written["type"].as_str().expect("a type");
    written[kind].clone()
}

/// A kind whose stored form has the members that Meta's has.
fn is_carried_over(kind: &str, members: &Value) {
    let mut content = members.clone();
    content["type"] = json!(kind);
    let written = written(&command(ana(), stored(content)));
    assert_eq!(written["type"], kind);
    assert_eq!(&written[kind], members);
}

#[test]
fn files_by_id_and_by_link() {
    is_carried_over("image", &json!({ "id": "123", "caption": "Vía 4" }));
    is_carried_over("video", &json!({ "link": "https://files.example/a.mp4" }));
    is_carried_over("audio", &json!({ "id": "123" }));
    is_carried_over("sticker", &json!({ "id": "123" }));
    is_carried_over(
        "document",
        &json!({ "link": "https://files.example/a", "caption": "Su billete", "filename": "billete.pdf" }),
    );
    assert_eq!(
        object(json!({ "type": "image", "id": "123", "filename": "a.png" })),
        json!({ "id": "123" }),
        "only documents have a name"
    );
}

#[test]
fn places() {
    is_carried_over(
        "location",
        &json!({ "latitude": 41.38, "longitude": 2.17, "name": "Sants", "address": "Plaça dels Països Catalans" }),
    );
    is_carried_over(
        "location",
        &json!({ "latitude": -90.0, "longitude": 180.0 }),
    );
}

#[test]
fn reactions_are_no_answers() {
    is_carried_over(
        "reaction",
        &json!({ "message_id": "wamid.A", "emoji": "👍" }),
    );
    let taken_back = json!({ "type": "reaction", "message_id": "wamid.A", "emoji": "" });
    let mut command = command(ana(), stored(taken_back));
    command.reply_to = Some("wamid.A".to_owned());
    let written = written(&command);
    assert_eq!(written["reaction"]["emoji"], "");
    assert_eq!(written.get("context"), None);
}

#[test]
fn reply_buttons() {
    let content = json!({
        "type": "interactive", "header": "Retraso", "body": "¿Qué prefiere?", "footer": "Renfe",
        "action": { "type": "buttons", "buttons": [{ "id": "w", "title": "Esperar" }, { "id": "r", "title": "Devolver" }] },
    });
    assert_eq!(
        object(content),
        json!({
            "type": "button",
            "header": { "type": "text", "text": "Retraso" },
            "body": { "text": "¿Qué prefiere?" },
            "footer": { "text": "Renfe" },
            "action": { "buttons": [
                { "type": "reply", "reply": { "id": "w", "title": "Esperar" } },
                { "type": "reply", "reply": { "id": "r", "title": "Devolver" } },
            ]},
        })
    );
}

#[test]
fn a_list() {
    let sections = json!([
        { "title": "Hoy", "rows": [{ "id": "1", "title": "10:00" }] },
        { "title": "Mañana", "rows": [{ "id": "2", "title": "11:00", "description": "con transbordo" }] },
    ]);
    let content = json!({
        "type": "interactive", "body": "Elija",
        "action": { "type": "list", "button": "Ver", "sections": sections },
    });
    assert_eq!(
        object(content),
        json!({ "type": "list", "body": { "text": "Elija" }, "action": { "button": "Ver", "sections": sections } })
    );
}

#[test]
fn a_template_with_every_part() {
    let content = json!({
        "type": "template", "name": "order_update", "language": "es_ES",
        "header": { "type": "document", "id": "123", "filename": "factura.pdf" },
        "body": ["Ana", "42"], "body_names": ["first_name", "order_id"],
        "buttons": [
            { "index": 0, "parameter": { "type": "url", "text": "42" } },
            { "index": 1, "parameter": { "type": "quick_reply", "payload": "STOP_42" } },
            { "index": 2, "parameter": { "type": "copy_code", "code": "VERANO" } },
        ],
    });
    assert_eq!(
        object(content)["components"],
        json!([
            { "type": "header", "parameters": [{ "type": "document", "document": { "id": "123", "filename": "factura.pdf" } }] },
            { "type": "body", "parameters": [
                { "type": "text", "parameter_name": "first_name", "text": "Ana" },
                { "type": "text", "parameter_name": "order_id", "text": "42" },
            ]},
            { "type": "button", "sub_type": "url", "index": "0", "parameters": [{ "type": "text", "text": "42" }] },
            { "type": "button", "sub_type": "quick_reply", "index": "1", "parameters": [{ "type": "payload", "payload": "STOP_42" }] },
            { "type": "button", "sub_type": "copy_code", "index": "2", "parameters": [{ "type": "coupon_code", "coupon_code": "VERANO" }] },
        ])
    );
}

#[test]
fn every_header_that_a_template_may_have() {
    let header = |header: Value| {
        let content =
            json!({ "type": "template", "name": "n", "language": "es", "header": header });
        object(content)["components"][0]["parameters"][0].clone()
    };
    assert_eq!(
        header(json!({ "type": "text", "text": "Ana" })),
        json!({ "type": "text", "text": "Ana" })
    );
    assert_eq!(
        header(json!({ "type": "image", "link": "https://files.example/a" })),
        json!({ "type": "image", "image": { "link": "https://files.example/a" } })
    );
    assert_eq!(
        header(json!({ "type": "video", "id": "1" })),
        json!({ "type": "video", "video": { "id": "1" } })
    );
    let place =
        json!({ "latitude": 1.5, "longitude": 2.5, "name": "Sants", "address": "Barcelona" });
    let mut stored = place.clone();
    stored["type"] = json!("location");
    assert_eq!(
        header(stored),
        json!({ "type": "location", "location": place })
    );
}
