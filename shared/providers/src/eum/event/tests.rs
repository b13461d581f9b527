//! Every word of the table, and what makes the same word mean something else.

use super::*;
use serde_json::json;

const ACCOUNT: &str = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001";
const MESSAGE: &str = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0002";

fn event(kind: &str, is_final: Option<bool>) -> Value {
    let mut event = json!({
        "eventType": kind, "eventVersion": "1.0", "eventTimestamp": 1_795_428_000_123_i64,
        "originationPhoneNumber": "+12065550152", "destinationPhoneNumber": "+14255550156", "isoCountryCode": "US",
        "mcc": "310", "mnc": "800", "messageId": "862a8790-60c0", "messageRequestTimestamp": 1_795_427_999_000_i64,
        "messageEncoding": "GSM", "messageType": "TRANSACTIONAL",
        "messageStatus": kind.trim_start_matches("TEXT_"), "messageStatusDescription": "words",
        "context": {"account_id": ACCOUNT, "message_id": MESSAGE, "tenant_id": "x"},
        "totalMessageParts": 2, "totalMessagePrice": 0.09582, "totalCarrierFee": 0.003,
    });
    if let Some(is_final) = is_final {
        event["isFinal"] = json!(is_final);
    }
    event
}

fn update(event: Value) -> DeliveryUpdate {
    match read(event, OffsetDateTime::UNIX_EPOCH).kind {
        EventKind::Status(update) => *update,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_is_read_whole() {
    let read = read(
        event("TEXT_DELIVERED", Some(true)),
        OffsetDateTime::UNIX_EPOCH,
    );
    let account = read.account.expect("an account");
    assert_eq!(account.external_account_id.as_deref(), Some("+12065550152"));
    assert_eq!(
        account.account_id.map(|id| id.to_string()).as_deref(),
        Some(ACCOUNT)
    );
    let update = update(event("TEXT_DELIVERED", Some(true)));
    assert_eq!(update.external_message_id, "862a8790-60c0");
    assert_eq!(
        update.correlation_id.map(|id| id.to_string()).as_deref(),
        Some(MESSAGE)
    );
    assert_eq!(
        update.occurred_at.unix_timestamp_nanos(),
        1_795_428_000_123_000_000
    );
    assert_eq!(
        update.recipient.and_then(|person| person.phone).as_deref(),
        Some("+14255550156")
    );
    assert_eq!(
        update.price,
        Some(Price {
            category: Some("TRANSACTIONAL".to_owned()),
            micros: Some(98_820),
            currency: Some("USD".to_owned()),
            units: Some(2),
            ..Price::default()
        })
    );
}

#[test]
fn every_word_of_the_table() {
    use DeliveryStatus::{Delivered, Failed, Sent, Unknown};
    use OutcomeClass::{PermanentContent, PermanentRecipient, Retryable};
    for (word, is_final, status, class) in [
        ("TEXT_QUEUED", false, Sent, None),
        ("TEXT_PENDING", false, Sent, None),
        ("TEXT_ACCEPTED", false, Sent, None),
        ("TEXT_SENT", false, Sent, None),
        ("TEXT_SUCCESSFUL", false, Sent, None),
        ("TEXT_SUCCESSFUL", true, Delivered, None),
        ("TEXT_DELIVERED", true, Delivered, None),
        ("TEXT_INVALID", true, Failed, Some(PermanentRecipient)),
        ("TEXT_UNREACHABLE", true, Failed, Some(PermanentRecipient)),
        ("TEXT_UNROUTABLE", true, Failed, Some(PermanentRecipient)),
        ("TEXT_BLOCKED", true, Failed, Some(PermanentRecipient)),
        (
            "TEXT_PROTECT_BLOCKED",
            true,
            Failed,
            Some(PermanentRecipient),
        ),
        (
            "TEXT_CARRIER_BLOCKED",
            true,
            Failed,
            Some(PermanentRecipient),
        ),
        ("TEXT_INVALID_MESSAGE", true, Failed, Some(PermanentContent)),
        ("TEXT_SPAM", true, Failed, Some(PermanentContent)),
        ("TEXT_CARRIER_UNREACHABLE", true, Failed, Some(Retryable)),
        ("TEXT_CARRIER_UNREACHABLE", false, Unknown, None),
        ("TEXT_TTL_EXPIRED", true, Failed, Some(Retryable)),
        ("TEXT_FAILED", true, Failed, Some(Retryable)),
        ("TEXT_UNKNOWN", true, Unknown, None),
        ("TEXT_SOMETHING_NEW", true, Unknown, None),
    ] {
        let update = update(event(word, Some(is_final)));
        assert_eq!(update.status, status, "{word} {is_final}");
        assert_eq!(
            update.failure.map(|failure| failure.class),
            class,
            "{word} {is_final}"
        );
    }
}

#[test]
fn the_same_word_later_is_news() {
    let word = |kind, is_final| update(event(kind, is_final)).provider_status;
    assert_eq!(
        word("TEXT_SUCCESSFUL", Some(false)),
        "TEXT_SUCCESSFUL/pending"
    );
    assert_eq!(word("TEXT_SUCCESSFUL", Some(true)), "TEXT_SUCCESSFUL");
    assert_eq!(
        word("TEXT_CARRIER_UNREACHABLE", Some(false)),
        "TEXT_CARRIER_UNREACHABLE/pending"
    );
    assert_eq!(word("TEXT_QUEUED", Some(false)), "TEXT_QUEUED");
    assert_eq!(
        update(event("TEXT_SUCCESSFUL", None)).status,
        DeliveryStatus::Sent,
        "not said to be the end"
    );
    assert_eq!(
        update(event("TEXT_INVALID", None)).status,
        DeliveryStatus::Failed
    );
}

#[test]
fn a_wish_and_a_number_that_does_not_exist() {
    let mut opted_out = event("TEXT_BLOCKED", Some(true));
    opted_out["messageStatusDescription"] = json!("Phone number +14255550156 is opted out");
    let failure = update(opted_out).failure.expect("a failure");
    assert_eq!(failure.opt_out, Some(OptOut::Everything));
    assert!(!failure.address_is_bad && !failure.reason.contains("+1"));
    let failure = update(event("TEXT_INVALID", Some(true)))
        .failure
        .expect("a failure");
    assert!(failure.address_is_bad && failure.opt_out.is_none());
}

#[test]
fn members_may_be_missing() {
    let bare = json!({"eventType": "TEXT_SENT", "messageId": "m"});
    let event = read(bare, OffsetDateTime::UNIX_EPOCH);
    assert_eq!(event.account, None);
    let EventKind::Status(update) = event.kind else {
        panic!("{:?}", event.kind)
    };
    assert_eq!(
        (update.price, update.recipient, update.correlation_id),
        (None, None, None)
    );
    assert_eq!(update.occurred_at, OffsetDateTime::UNIX_EPOCH);
    for broken in [
        json!({"eventType": "TEXT_SENT"}),
        json!({"messageId": "m"}),
        json!({"eventType": "TEXT_SENT", "messageId": "x".repeat(513)}),
    ] {
        assert!(matches!(
            read(broken, OffsetDateTime::UNIX_EPOCH).kind,
            EventKind::Malformed { .. }
        ));
    }
}
