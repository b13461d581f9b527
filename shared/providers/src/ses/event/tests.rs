//! Every kind of report and every kind of bounce, in the shape of the documentation.

use super::*;
use serde_json::json;

const ACCOUNT: &str = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001";
const MESSAGE: &str = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0002";

fn report(kind: &str, member: &str, of: &Value) -> Value {
    json!({
        "eventType": kind, member: of,
        "mail": {
            "timestamp": "2026-11-23T09:59:58.000Z", "messageId": "0100-m", "source": "Shop <No-Reply@Shop.example>",
            "sourceArn": "arn:aws:ses:eu-west-1:111122223333:identity/shop.example", "sendingAccountId": "111122223333",
            "destination": ["x@example.com"], "headersTruncated": false, "headers": [],
            "commonHeaders": {"from": ["no-reply@shop.example"], "to": ["x@example.com"], "messageId": "0100-m"},
            "tags": {"ses:configuration-set": ["cs"], "account_id": [ACCOUNT], "message_id": [MESSAGE]},
        },
    })
}

fn bounce(kind: &str, sort: &str) -> Value {
    report(
        "Bounce",
        "bounce",
        &json!({
            "bounceType": kind, "bounceSubType": sort,
            "bouncedRecipients": [{"emailAddress": "X@example.com", "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 <x@example.com> unknown"}],
            "timestamp": "2026-11-23T10:00:00.000Z", "feedbackId": "0100-f", "reportingMTA": "dsn; a1.smtp-out.amazonses.com",
        }),
    )
}

fn updates(event: Value) -> Vec<DeliveryUpdate> {
    read(event, OffsetDateTime::UNIX_EPOCH)
        .into_iter()
        .map(|event| match event.kind {
            EventKind::Status(update) => *update,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn update(event: Value) -> DeliveryUpdate {
    let mut updates = updates(event);
    assert_eq!(updates.len(), 1);
    updates.remove(0)
}

#[test]
fn a_report_is_read_whole() {
    let event = read(bounce("Permanent", "General"), OffsetDateTime::UNIX_EPOCH).remove(0);
    let account = event.account.expect("an account");
    assert_eq!(account.external_account_id.as_deref(), Some("shop.example"));
    assert_eq!(
        account.account_id.map(|id| id.to_string()).as_deref(),
        Some(ACCOUNT)
    );
    assert_eq!(event.raw, bounce("Permanent", "General"));
    let update = update(bounce("Permanent", "General"));
    assert_eq!(update.external_message_id, "0100-m");
    assert_eq!(update.provider_status, "Bounce/Permanent/General");
    assert_eq!(
        update.correlation_id.map(|id| id.to_string()).as_deref(),
        Some(MESSAGE)
    );
    assert_eq!(update.occurred_at.unix_timestamp(), 1_795_428_000);
    assert_eq!(
        update.recipient.and_then(|person| person.email).as_deref(),
        Some("x@example.com")
    );
    let failure = update.failure.expect("a failure");
    assert_eq!(failure.code, "Bounce/Permanent/General");
    assert_eq!(
        failure.reason,
        "the recipient's mail server refused for good (5.1.1)"
    );
}

#[test]
fn every_bounce_of_the_table() {
    use OutcomeClass::{PermanentContent, PermanentRecipient, Retryable, Unknown};
    for (kind, sort, class, opt_out, address_is_bad) in [
        ("Undetermined", "Undetermined", Unknown, None, false),
        ("Permanent", "General", PermanentRecipient, None, true),
        ("Permanent", "NoEmail", PermanentRecipient, None, true),
        ("Permanent", "Suppressed", PermanentRecipient, None, true),
        (
            "Permanent",
            "OnAccountSuppressionList",
            PermanentRecipient,
            None,
            true,
        ),
        (
            "Permanent",
            "OnTenantSuppressionList",
            PermanentRecipient,
            None,
            true,
        ),
        (
            "Permanent",
            "EmailValidationSuppressed",
            PermanentRecipient,
            None,
            true,
        ),
        (
            "Permanent",
            "UnsubscribedRecipient",
            PermanentRecipient,
            Some(OptOut::Marketing),
            false,
        ),
        ("Permanent", "SomethingNew", PermanentRecipient, None, true),
        ("Transient", "General", Retryable, None, false),
        ("Transient", "MailboxFull", Retryable, None, false),
        ("Transient", "CustomTimeoutExceeded", Retryable, None, false),
        (
            "Transient",
            "MessageTooLarge",
            PermanentContent,
            None,
            false,
        ),
        (
            "Transient",
            "ContentRejected",
            PermanentContent,
            None,
            false,
        ),
        (
            "Transient",
            "AttachmentRejected",
            PermanentContent,
            None,
            false,
        ),
        ("Transient", "SomethingNew", Retryable, None, false),
        ("SomethingNew", "", Unknown, None, false),
    ] {
        let update = update(bounce(kind, sort));
        let failure = update.failure.expect("a failure");
        assert_eq!(update.status, DeliveryStatus::Failed, "{kind} {sort}");
        assert_eq!(
            (failure.class, failure.opt_out, failure.address_is_bad),
            (class, opt_out, address_is_bad),
            "{kind} {sort}"
        );
        assert!(!failure.reason.contains('@'), "{}", failure.reason);
    }
}

/// Kind, member, what stands in it, what it means, and the word that is kept.
fn others() -> Vec<(
    &'static str,
    &'static str,
    Value,
    DeliveryStatus,
    &'static str,
)> {
    use DeliveryStatus::{Delivered, Failed, Read, Sent, Unknown};
    const AT: &str = "2026-11-23T10:00:00.000Z";
    let bot = |bot: Value| json!({ "isBotEvent": bot });
    let delivery = json!({"recipients": ["x@example.com"], "timestamp": AT});
    let delay = json!({"delayType": "MailboxFull", "delayedRecipients": [{"emailAddress": "x@example.com", "status": "4.2.2"}], "timestamp": AT});
    let unrendered = json!({"templateName": "t", "errorMessage": "x@example.com"});
    let failure = "Rendering Failure";
    vec![
        ("Send", "send", json!({}), Sent, "Send"),
        ("Delivery", "delivery", delivery, Delivered, "Delivery"),
        ("Reject", "reject", json!({"reason": "x"}), Failed, "Reject"),
        (failure, "failure", unrendered, Failed, failure),
        (
            "DeliveryDelay",
            "deliveryDelay",
            delay,
            Unknown,
            "DeliveryDelay/MailboxFull",
        ),
        ("Open", "open", json!({"timestamp": AT}), Read, "Open"),
        ("Open", "open", bot(json!(false)), Read, "Open"),
        ("Open", "open", bot(json!(true)), Unknown, "Open/bot"),
        (
            "Click",
            "click",
            json!({"link": "https://x"}),
            Read,
            "Click",
        ),
        ("Click", "click", bot(json!("true")), Unknown, "Click/bot"),
    ]
}

#[test]
fn every_other_report_of_the_table() {
    for (kind, member, of, status, word) in others() {
        let update = update(report(kind, member, &of));
        assert_eq!(
            (update.status, update.provider_status.as_str()),
            (status, word),
            "{kind}"
        );
        assert_eq!(
            update.failure.is_some(),
            status == DeliveryStatus::Failed,
            "{kind}"
        );
        assert!(
            update
                .failure
                .is_none_or(|failure| !failure.reason.contains('@'))
        );
        let own = of.get("timestamp").is_some();
        assert_eq!(
            update.occurred_at.unix_timestamp(),
            if own { 1_795_428_000 } else { 1_795_427_998 },
            "{kind}"
        );
    }
}

#[test]
fn what_ses_itself_refuses() {
    let class = |kind: &str| {
        update(report(kind, "x", &json!({})))
            .failure
            .map(|failure| failure.class)
    };
    assert_eq!(class("Reject"), Some(OutcomeClass::PermanentContent));
    assert_eq!(
        class("Rendering Failure"),
        Some(OutcomeClass::PermanentTemplate)
    );
}

#[test]
fn a_complaint_leaves_the_status_and_ends_the_sending() {
    let complaint = |sort: Value, feedback: Value| {
        report(
            "Complaint",
            "complaint",
            &json!({
                "complainedRecipients": [{"emailAddress": "x@example.com"}, {"emailAddress": "y@example.com"}],
                "timestamp": "2026-11-23T10:00:00.000Z", "feedbackId": "f", "complaintSubType": sort, "complaintFeedbackType": feedback,
            }),
        )
    };
    let (unknown, failed) = (DeliveryStatus::Unknown, DeliveryStatus::Failed);
    for (sort, feedback, word, status) in [
        (Value::Null, json!("abuse"), "Complaint/abuse", unknown),
        (Value::Null, Value::Null, "Complaint", unknown),
        // SES did not send these.
        (
            json!("OnAccountSuppressionList"),
            Value::Null,
            "Complaint/OnAccountSuppressionList",
            failed,
        ),
        (
            json!("OnTenantSuppressionList"),
            json!("virus"),
            "Complaint/OnTenantSuppressionList/virus",
            failed,
        ),
    ] {
        let updates = updates(complaint(sort, feedback));
        assert_eq!(updates.len(), 2, "one for each recipient");
        let wish = (status == unknown).then_some(OptOut::Everything);
        for update in updates {
            assert_eq!(
                (update.status, update.provider_status.as_str()),
                (status, word)
            );
            let failure = update.failure.expect("an effect");
            assert_eq!((failure.opt_out, failure.address_is_bad), (wish, true));
        }
    }
    for feedback in ["not-spam", "auth-failure", "virus"] {
        for update in updates(complaint(Value::Null, json!(feedback))) {
            assert_eq!(update.status, unknown);
            assert_eq!(update.failure, None, "{feedback}");
        }
    }
}

#[test]
fn the_old_notifications_have_no_tags() {
    let mut old = bounce("Permanent", "General");
    let members = old.as_object_mut().expect("an object");
    let kind = members.remove("eventType").expect("was there");
    members.insert("notificationType".to_owned(), kind);
    old["bounce"]["remoteMtaIp"] = json!("192.0.2.1");
    old["mail"]["sourceIp"] = json!("192.0.2.1");
    old["mail"]
        .as_object_mut()
        .expect("an object")
        .remove("tags");
    let event = read(old.clone(), OffsetDateTime::UNIX_EPOCH).remove(0);
    assert_eq!(event.account.and_then(|account| account.account_id), None);
    let old = update(old);
    assert_eq!(
        (old.correlation_id, old.external_message_id.as_str()),
        (None, "0100-m")
    );
    assert_eq!(
        old.provider_status,
        update(bounce("Permanent", "General")).provider_status,
        "the same event by both ways is one"
    );
}

#[test]
fn a_list_of_ses_was_left() {
    let preferences = |all: bool, topics: Value| {
        report(
            "Subscription",
            "subscription",
            &json!({
                "contactList": "l", "timestamp": "2026-11-23T10:00:00.000Z", "source": "UnsubscribeHeader",
                "newTopicPreferences": {"unsubscribeAll": all, "topicSubscriptionStatus": topics}, "oldTopicPreferences": {"unsubscribeAll": false},
            }),
        )
    };
    for (event, granted) in [
        (preferences(true, json!([])), false),
        (
            preferences(
                false,
                json!([{"topicName": "t", "subscriptionStatus": "OptOut"}]),
            ),
            false,
        ),
        (
            preferences(
                false,
                json!([{"topicName": "t", "subscriptionStatus": "OptIn"}]),
            ),
            true,
        ),
        (preferences(false, json!([])), true),
    ] {
        let EventKind::Consent(change) = read(event, OffsetDateTime::UNIX_EPOCH).remove(0).kind
        else {
            panic!("a change of consent")
        };
        assert_eq!((change.granted, change.what), (granted, OptOut::Marketing));
        assert_eq!(change.person.email.as_deref(), Some("x@example.com"));
        assert_eq!(change.at.unix_timestamp(), 1_795_428_000);
    }
}

#[test]
fn what_is_broken_or_new_is_kept() {
    let kind = |event: Value| read(event, OffsetDateTime::UNIX_EPOCH).remove(0).kind;
    let mut nameless = bounce("Permanent", "General");
    nameless["mail"]["messageId"] = Value::Null;
    assert!(matches!(kind(nameless), EventKind::Malformed { .. }));
    assert!(matches!(
        kind(json!({"mail": {}})),
        EventKind::Malformed { .. }
    ));
    assert!(matches!(
        kind(json!({"eventType": "Subscription", "mail": {}})),
        EventKind::Malformed { .. }
    ));
    let new = kind(report("Applause", "applause", &json!({})));
    assert_eq!(
        new,
        EventKind::Unhandled {
            field: "Applause".to_owned()
        }
    );
    let mut unnamed = bounce("Permanent", "General");
    unnamed["bounce"]["bouncedRecipients"] = json!([]);
    unnamed["mail"]["destination"] = json!([]);
    assert_eq!(
        update(unnamed).recipient,
        None,
        "nobody is named, and it is still a bounce"
    );
    let mut untimed = bounce("Permanent", "General");
    untimed["bounce"]["timestamp"] = json!("x");
    untimed["mail"]["timestamp"] = Value::Null;
    assert_eq!(
        update(untimed).occurred_at,
        OffsetDateTime::UNIX_EPOCH,
        "as old as its envelope"
    );
}
