//! Payloads at Meta's limits: 3 MB, a thousand updates; and beyond what is read piece by piece.

use super::{ParseError, message, parse_bytes, payload, status, text_from_ana};
use serde_json::{Value, json};

const UPDATES: usize = 1000;
/// Of one update, so that a thousand make three million bytes.
const BYTES_EACH: usize = 3000;

fn parsed(body: &Value) -> Vec<crate::event::ProviderEvent> {
    let body = body.to_string();
    assert!(body.len() > 3_000_000, "{} bytes", body.len());
    let events = parse_bytes(body.as_bytes()).expect("a webhook");
    assert_eq!(events.len(), UPDATES);
    events
}

fn contact(at: usize) -> Value {
    json!({ "wa_id": format!("{}", 34_600_000_000_usize + at), "user_id": format!("ES.{at}"), "profile": { "name": format!("n{at}") } })
}

#[test]
fn a_thousand_messages_each_with_its_own_contact() {
    let filler = "á".repeat(BYTES_EACH / 2);
    let messages: Vec<Value> = (0..UPDATES)
        .map(|at| {
            let mut text = text_from_ana(&format!("wamid.{at}"));
            text["from_user_id"] = json!(format!("ES.{at}"));
            text["from"] = json!(format!("{}", 34_600_000_000_usize + at));
            text["text"]["body"] = json!(filler);
            text
        })
        .collect();
    // The other way round, so that nobody is found at once.
    let contacts: Vec<Value> = (0..UPDATES).rev().map(contact).collect();
    let events = parsed(&payload(
        json!({ "contacts": contacts, "messages": messages }),
    ));
    for (at, event) in events.iter().enumerate() {
        assert_eq!(
            message(event).sender.name.as_deref(),
            Some(format!("n{at}").as_str())
        );
    }
}

#[test]
fn a_thousand_statuses() {
    let statuses: Vec<Value> = (0..UPDATES)
        .map(|at| {
            json!({ "id": format!("wamid.{at}"), "status": "delivered", "timestamp": "1763900005",
                    "recipient_id": format!("{}", 34_600_000_000_usize + at), "padding": "x".repeat(BYTES_EACH) })
        })
        .collect();
    let contacts: Vec<Value> = (0..UPDATES).rev().map(contact).collect();
    let events = parsed(&payload(
        json!({ "contacts": contacts, "statuses": statuses }),
    ));
    for (at, event) in events.iter().enumerate() {
        let recipient = status(event).recipient.as_ref().expect("a recipient");
        assert_eq!(
            recipient.user_id.as_deref(),
            Some(format!("ES.{at}").as_str())
        );
    }
}

#[test]
fn so_many_items_are_read_and_one_more_is_too_many_wherever_they_stand() {
    let nothing = |count: usize| json!(vec![Value::Null; count]);
    let change =
        |count: usize| json!({ "field": "messages", "value": { "messages": nothing(count) } });
    let entries = |entries: Value| json!({ "entry": entries }).to_string();
    let read = |body: String| parse_bytes(body.as_bytes()).map(|events| events.len());
    assert_eq!(
        read(entries(
            json!([{ "changes": [change(2500), change(2500)] }])
        ))
        .ok(),
        Some(5000)
    );
    for too_many in [
        json!([{ "changes": [change(5001)] }]),
        json!([{ "changes": [change(2500), change(2501)] }]),
        json!([{ "changes": [change(2500)] }, { "changes": [change(2501)] }]),
        json!([{ "changes": [change(5000), null] }]),
        json!([{ "changes": nothing(5001) }]),
        nothing(5001),
    ] {
        let read = read(entries(too_many));
        assert!(matches!(read, Err(ParseError::TooMany)), "{read:?}");
    }
}

#[test]
fn three_megabytes_of_nothing_are_refused() {
    let nothing = payload(json!({ "messages": vec![Value::Null; 600_000] })).to_string();
    let read = parse_bytes(nothing.as_bytes());
    assert!(matches!(read, Err(ParseError::TooMany)));
}
