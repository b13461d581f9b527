//! The payload of the documentation, and what may be missing in one.

use super::*;
use serde_json::json;

fn payload() -> Value {
    json!({
        "originationNumber": "+14255550182", "destinationNumber": "+12125550101", "messageKeyword": "JOIN",
        "messageBody": "hello", "inboundMessageId": "cae173d2-66b9", "previousPublishedMessageId": "wJalrXUt",
    })
}

#[test]
fn somebody_wrote() {
    let event = read(payload(), OffsetDateTime::UNIX_EPOCH);
    let account = event.account.expect("an account");
    assert_eq!(account.external_account_id.as_deref(), Some("+12125550101"));
    assert_eq!(event.raw, payload());
    let EventKind::Message(message) = event.kind else {
        panic!("{:?}", event.kind)
    };
    assert_eq!(message.external_message_id, "cae173d2-66b9");
    assert_eq!(message.sender.phone.as_deref(), Some("+14255550182"));
    assert_eq!(message.reply_to.as_deref(), Some("wJalrXUt"));
    assert_eq!(message.body, "hello");
    assert_eq!(
        message.content,
        Content::Text {
            body: "hello".to_owned(),
            preview_url: false
        }
    );
    assert_eq!(message.sent_at, OffsetDateTime::UNIX_EPOCH);
}

#[test]
fn what_may_be_missing_and_what_may_not() {
    let without = |member: &str| {
        let mut payload = payload();
        payload.as_object_mut().expect("an object").remove(member);
        read(payload, OffsetDateTime::UNIX_EPOCH)
    };
    for member in ["messageKeyword", "previousPublishedMessageId"] {
        assert!(
            matches!(without(member).kind, EventKind::Message(_)),
            "{member}"
        );
    }
    for member in ["originationNumber", "messageBody", "inboundMessageId"] {
        assert!(
            matches!(without(member).kind, EventKind::Malformed { .. }),
            "{member}"
        );
    }
    assert_eq!(without("destinationNumber").account, None);
}

#[test]
fn whom_aws_has_put_on_its_list_is_said() {
    let barred = |keyword: Value, body: &str| {
        let mut payload = payload();
        payload["messageKeyword"] = keyword;
        payload["messageBody"] = json!(body);
        match read(payload, OffsetDateTime::UNIX_EPOCH).kind {
            EventKind::Message(message) => message.barred_by_provider,
            other => panic!("{other:?}"),
        }
    };
    for keyword in [
        "ARRET",
        "CANCEL",
        "END",
        "OPT-OUT",
        "OPTOUT",
        "QUIT",
        "REMOVE",
        "STOP",
        "TD",
        "UNSUBSCRIBE",
        "stop",
        " Stop ",
    ] {
        assert!(barred(json!(keyword), "x"), "{keyword}");
    }
    assert!(barred(json!("CANCEL"), "Cancel my seat 12A"));
    for keyword in [
        json!("KEYWORD_1"),
        json!("HELP"),
        json!("START"),
        json!("STOPS"),
        json!(""),
        Value::Null,
    ] {
        assert!(!barred(keyword.clone(), "STOP"), "{keyword}");
    }
}

#[test]
fn an_empty_text_is_one() {
    let mut empty = payload();
    empty["messageBody"] = json!("");
    assert!(matches!(
        read(empty, OffsetDateTime::UNIX_EPOCH).kind,
        EventKind::Message(_)
    ));
}

#[test]
fn nobody_writes_from_what_is_no_phone_and_anybody_may_write_to_a_short_code() {
    for from in ["12345", "+0123456789", "+1234567890123456", "00346009"] {
        let mut strange = payload();
        strange["originationNumber"] = json!(from);
        let event = read(strange, OffsetDateTime::UNIX_EPOCH);
        assert!(matches!(event.kind, EventKind::Malformed { .. }), "{from}");
    }
    let mut short = payload();
    short["destinationNumber"] = json!("12345");
    let account = read(short, OffsetDateTime::UNIX_EPOCH).account;
    let number = account.and_then(|account| account.external_account_id);
    assert_eq!(number.as_deref(), Some("12345"));
}
