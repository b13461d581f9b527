//! The parser against whole payloads.

mod fuzz;
mod large;
mod messages;
mod routing;
mod samples;
mod templates;

use super::{ParseError, parse};
use crate::Content;
use crate::event::{DeliveryStatus, DeliveryUpdate, EventKind, InboundMessage, ProviderEvent};
use crate::whatsapp::signature::{sign, verify};
use secrecy::SecretString;
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

fn parse_bytes(raw: &[u8]) -> Result<Vec<ProviderEvent>, ParseError> {
    let secret = SecretString::from("test_app_secret");
    let signature = sign(raw, &secret);
    parse(&verify(raw, Some(&signature), &[secret]).expect("our own signature"))
}

fn parse_json(payload: &Value) -> Vec<ProviderEvent> {
    parse_bytes(payload.to_string().as_bytes()).expect("a webhook")
}

/// A payload with one change of the field `messages`.
fn payload(value: Value) -> Value {
    let mut value = value;
    value["metadata"] = json!({ "display_phone_number": "34911222333", "phone_number_id": "1065" });
    json!({ "object": "whatsapp_business_account", "entry": [
        { "id": "waba-1", "changes": [{ "field": "messages", "value": value }] },
    ]})
}

fn message(event: &ProviderEvent) -> &InboundMessage {
    match &event.kind {
        EventKind::Message(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

fn status(event: &ProviderEvent) -> &DeliveryUpdate {
    match &event.kind {
        EventKind::Status(status) => status,
        other => panic!("no status: {other:?}"),
    }
}

fn text_from_ana(id: &str) -> Value {
    json!({ "from": "34600111222", "from_user_id": "ES.1349", "id": id, "timestamp": "1763900000",
            "type": "text", "text": { "body": "hola" } })
}

#[test]
fn a_text_message_with_everything_around_it() {
    let mut answer = text_from_ana("wamid.X");
    answer["context"] = json!({ "from": "34911222333", "id": "wamid.ours" });
    let events = parse_json(&payload(json!({
        "contacts": [
            { "wa_id": "34600999999", "profile": { "name": "Luis" } },
            { "wa_id": "34600111222", "user_id": "ES.1349", "parent_user_id": "ES.ENT.7", "profile": { "name": "Ana" } },
        ],
        "messages": [answer],
    })));

    let account = events[0].account.as_ref().expect("an account");
    assert_eq!(account.external_account_id.as_deref(), Some("1065"));
    assert_eq!(account.waba_id.as_deref(), Some("waba-1"));
    assert_eq!(events[0].raw["id"], "wamid.X");
    let message = message(&events[0]);
    assert_eq!(message.external_message_id, "wamid.X");
    assert_eq!(
        message.content,
        Content::Text {
            body: "hola".to_owned(),
            preview_url: false
        }
    );
    assert_eq!(message.body, "hola");
    assert_eq!(message.reply_to.as_deref(), Some("wamid.ours"));
    assert_eq!(message.sent_at, datetime!(2025-11-23 12:13:20 UTC));
    assert_eq!(message.sender.wa_id.as_deref(), Some("34600111222"));
    assert_eq!(message.sender.user_id.as_deref(), Some("ES.1349"));
    assert_eq!(message.sender.parent_user_id.as_deref(), Some("ES.ENT.7"));
    assert_eq!(message.sender.name.as_deref(), Some("Ana"));
}

#[test]
fn somebody_with_a_user_name_has_no_phone_number() {
    let mut text = text_from_ana("wamid.X");
    text.as_object_mut().expect("an object").remove("from");
    text["timestamp"] = json!(1_763_900_000);
    let contact =
        json!({ "user_id": "ES.1349", "profile": { "name": "Ana", "username": "ana.r" } });
    let events = parse_json(&payload(
        json!({ "contacts": [contact], "messages": [text] }),
    ));
    let sender = &message(&events[0]).sender;
    assert_eq!(
        (sender.wa_id.as_deref(), sender.user_id.as_deref()),
        (None, Some("ES.1349"))
    );
    assert_eq!(sender.name.as_deref(), Some("Ana"));
}

#[test]
fn a_time_may_be_told_in_milliseconds() {
    for told in [
        json!("1763900000"),
        json!(1_763_900_000),
        json!("1763900000000"),
    ] {
        let mut text = text_from_ana("wamid.X");
        text["timestamp"] = told;
        let events = parse_json(&payload(json!({ "messages": [text] })));
        assert_eq!(message(&events[0]).sent_at.unix_timestamp(), 1_763_900_000);
    }
}

#[test]
fn every_status_with_its_echo_and_its_failure() {
    use DeliveryStatus::{Delivered, Failed, Read, Sent, Unknown};
    let ours = "01935b2e-7c1a-7000-8000-000000000001";
    let item = |word: &str, echo: Value| {
        json!({ "id": "wamid.X", "status": word, "timestamp": "1763900005", "recipient_id": "34600111222",
                "biz_opaque_callback_data": echo })
    };
    let mut failed = item("failed", json!(ours));
    failed["errors"] = json!([{ "code": 131_026, "title": "Message undeliverable",
        "message": "Message undeliverable", "error_data": { "details": "Not delivered to +34600111222." } }]);
    let events = parse_json(&payload(json!({ "statuses": [
        item("sent", json!(ours)), item("delivered", json!("att_01H")), item("read", Value::Null),
        item("played", json!(7)), item("teleported", json!("")), failed, item("failed", Value::Null),
    ]})));

    let known: Vec<_> = events.iter().map(|event| status(event).status).collect();
    assert_eq!(
        known,
        [Sent, Delivered, Read, Read, Unknown, Failed, Failed]
    );
    let echoes: Vec<_> = events
        .iter()
        .map(|event| status(event).correlation_id.is_some())
        .collect();
    assert_eq!(echoes, [true, false, false, false, false, true, false]);
    assert_eq!(
        status(&events[0]).correlation_id,
        Uuid::parse_str(ours).ok()
    );
    assert_eq!(status(&events[4]).provider_status, "teleported");
    let failure = status(&events[5]).failure.as_ref().expect("a failure");
    assert_eq!(failure.code, "131026");
    assert_eq!(failure.reason, "Message undeliverable: Not delivered to +…");
    assert_eq!(
        status(&events[6]).failure.as_ref().expect("a failure").code,
        "unspecified"
    );
    assert_eq!(status(&events[0]).failure, None);
}

#[test]
fn the_order_of_the_document_is_kept_over_entries_changes_and_members() {
    let body = r#"{"entry":[
        {"id":"w1","changes":[
            {"value":{"statuses":[{"id":"1","status":"sent","timestamp":"1"}],
                      "errors":[{"code":130429}],
                      "messages":[{"id":"2","from":"34600111222","type":"text","timestamp":"1","text":{"body":"b"}}],
                      "metadata":{"phone_number_id":"A"}},"field":"messages"},
            {"field":"account_update","value":{"event":"PARTNER_REMOVED"}}]},
        {"id":"w2","time":1763900000,"changes":[
            {"field":"messages","value":{"metadata":{"phone_number_id":42},
                "statuses":[{"id":"3","status":"read","timestamp":1}]}}]}]}"#;
    let events = parse_bytes(body.as_bytes()).expect("a webhook");
    let accounts: Vec<_> = events
        .iter()
        .map(|event| {
            event
                .account
                .as_ref()
                .and_then(|a| a.external_account_id.as_deref())
        })
        .collect();
    assert_eq!(
        accounts,
        [Some("A"), Some("A"), Some("A"), None, Some("42")]
    );
    assert_eq!(status(&events[0]).external_message_id, "1");
    assert!(matches!(&events[1].kind, EventKind::Account(fault) if fault.event == "130429"));
    assert_eq!(message(&events[2]).external_message_id, "2");
    assert!(matches!(&events[3].kind, EventKind::Account(told) if told.event == "PARTNER_REMOVED"));
    assert_eq!(events[3].raw["id"], "w1");
    assert_eq!(
        events[3].raw["changes"][0]["value"]["event"],
        "PARTNER_REMOVED"
    );
    assert_eq!(status(&events[4]).external_message_id, "3");
}

#[test]
fn a_broken_message_leaves_its_siblings_alone() {
    let good = text_from_ana("wamid.good").to_string();
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let broken = [
        "null",
        "7",
        "{}",
        "[]",
        r#"{"id":"a","from":"34600111222","timestamp":"1"}"#,
        r#"{"id":"a","from":"34600111222","timestamp":"soon","type":"text","text":{"body":"b"}}"#,
        r#"{"id":"a","from":"34600111222","timestamp":"99999999999999999","type":"text","text":{"body":"b"}}"#,
        r#"{"id":"a","timestamp":"1","type":"text","text":{"body":"b"}}"#,
        r#"{"id":"a","from":"34600111222","timestamp":"1","type":"text","text":"b"}"#,
        r#"{"id":"a","from":"34600111222","timestamp":"1","type":"image","image":1e999}"#,
        &deep,
    ];
    for item in broken {
        let body = format!(
            r#"{{"entry":[{{"id":"w","changes":[{{"field":"messages","value":{{
                "metadata":{{"phone_number_id":"1065"}},"messages":[{good},{item},{good}]}}}}]}}]}}"#
        );
        let events = parse_bytes(body.as_bytes()).expect("a webhook");
        assert_eq!(events.len(), 3, "{item}");
        assert!(
            matches!(events[1].kind, EventKind::Malformed { .. }),
            "{item}"
        );
        assert!(events.iter().all(|event| event.account.is_some()), "{item}");
        assert_eq!(message(&events[0]), message(&events[2]));
    }
}

/// Whoever mends the parser and reads it again must know who wrote.
#[test]
fn what_cannot_be_read_is_kept_with_whom_it_is_about() {
    let contact = |wa_id: &str| json!({"wa_id": wa_id, "user_id": format!("ES.{wa_id}"), "profile": {"name": "Ana"}});
    let item = |from: Value| json!({"id": "a", "from": from, "timestamp": "soon", "type": "text", "text": {"body": "b"}});
    let kept = |contacts: Value, item: Value| {
        let body = json!({"entry": [{"id": "w", "changes": [{"field": "messages", "value": {
            "metadata": {"phone_number_id": "1065"}, "contacts": contacts, "messages": [item]}}]}]});
        let events = parse_json(&body);
        assert!(matches!(events[0].kind, EventKind::Malformed { .. }));
        events[0].raw.pointer("/changes/0/value/contacts").cloned()
    };
    let both = json!([contact("34600111222"), contact("34600333444")]);
    let named = kept(both.clone(), item(json!("34600333444")));
    assert_eq!(named, Some(json!([contact("34600333444")])));
    assert_eq!(kept(both, item(Value::Null)), None);
    let only = json!([contact("34600111222")]);
    assert_eq!(kept(only.clone(), item(Value::Null)), Some(only));
}

#[test]
fn wrong_shapes_higher_up_are_kept_as_malformed_or_unhandled() {
    let kinds = |body: Value| {
        parse_json(&body)
            .into_iter()
            .map(|event| event.kind)
            .collect::<Vec<_>>()
    };
    let malformed = |body| matches!(kinds(body)[..], [EventKind::Malformed { .. }]);
    assert!(malformed(json!({ "entry": [7] })));
    assert!(malformed(json!({ "entry": [{ "changes": {} }] })));
    assert!(malformed(json!({ "entry": [{ "changes": ["x"] }] })));
    assert!(malformed(
        json!({ "entry": [{ "changes": [{ "field": "messages", "value": [] }] }] })
    ));
    assert!(malformed(payload(json!({ "messages": {} }))));
    assert_eq!(
        kinds(payload(json!({}))),
        [EventKind::Unhandled {
            field: "messages".to_owned()
        }]
    );
    assert_eq!(
        kinds(json!({ "entry": [{ "changes": [{}] }] })),
        [EventKind::Unhandled {
            field: String::new()
        }]
    );
    assert_eq!(kinds(json!({ "entry": [] })), []);
    let payment =
        payload(json!({ "statuses": [{ "type": "payment", "id": "p", "status": "captured" }] }));
    assert_eq!(
        kinds(payment),
        [EventKind::Unhandled {
            field: "payment".to_owned()
        }]
    );
}

#[test]
fn messages_on_standby_are_messages() {
    let mut body = payload(json!({ "messages": [text_from_ana("wamid.X")] }));
    body["entry"][0]["changes"][0]["field"] = json!("standby");
    assert_eq!(message(&parse_json(&body)[0]).body, "hola");
}

#[test]
fn what_is_no_webhook_is_refused() {
    for body in ["", "null", "[]", "{", "hello", "7"] {
        assert!(
            matches!(parse_bytes(body.as_bytes()), Err(ParseError::NotJson(_))),
            "{body}"
        );
    }
    for body in ["{}", r#"{"entry":{}}"#, r#"{"entry":null}"#] {
        assert!(
            matches!(parse_bytes(body.as_bytes()), Err(ParseError::NoEntries)),
            "{body}"
        );
    }
}

#[test]
fn nothing_that_postgres_refuses_is_kept() {
    let mut text = text_from_ana("wamid.X");
    text["text"]["body"] = json!("a\u{0}b");
    text["n\u{0}"] = json!(["\u{0}"]);
    let events = parse_json(&payload(json!({ "messages": [text] })));
    assert_eq!(message(&events[0]).body, "ab");
    assert!(!events[0].raw.to_string().contains("\\u0000"));

    let mut broken = payload(json!({ "messages": [text_from_ana("wamid.X")] }))
        .to_string()
        .into_bytes();
    let at = broken
        .windows(4)
        .position(|window| window == b"hola")
        .expect("the text");
    broken[at] = 0xff;
    assert_eq!(
        message(&parse_bytes(&broken).expect("a webhook")[0]).body,
        "\u{fffd}ola"
    );
}

#[test]
fn half_a_surrogate_pair_costs_one_character() {
    for (written, read) in [
        (r"hol\ud83d", "hol\u{fffd}"),
        (r"\udE00 \uD83D\uDE00", "\u{fffd} \u{1f600}"),
        (r"\ud83d\ud83d\ude00\\ud83d", "\u{fffd}\u{1f600}\\ud83d"),
        (r"\ud83d\u0041\n", "\u{fffd}A\n"),
    ] {
        let body = payload(json!({ "messages": [text_from_ana("wamid.X")] })).to_string();
        let body = body.replace("hola", written);
        let events = parse_bytes(body.as_bytes()).expect("a webhook");
        assert_eq!(message(&events[0]).body, read, "{written}");
    }
}
