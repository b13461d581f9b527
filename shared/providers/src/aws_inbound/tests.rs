//! Which kind a message is, through every layer that it may come in, and that nothing makes it panic.

use super::*;
use crate::event::EventKind;
use proptest::prelude::*;
use serde_json::json;

fn bounce() -> Value {
    json!({
        "eventType": "Bounce", "bounce": {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [{"emailAddress": "x@example.com"}]},
        "mail": {"messageId": "m", "timestamp": "2026-11-23T10:00:00.000Z", "source": "a@shop.example", "destination": ["x@example.com"], "tags": {}},
    })
}

fn received() -> Value {
    json!({
        "notificationType": "Received", "content": "Subject: x\r\n\r\ny",
        "receipt": {"recipients": ["r@in.example"], "timestamp": "2026-11-23T10:00:00.000Z", "action": {"type": "SNS"}},
        "mail": {"messageId": "m", "source": "ana@example.com"},
    })
}

fn text_sent() -> Value {
    json!({"eventType": "TEXT_SENT", "messageId": "m", "isFinal": false, "eventTimestamp": 1, "context": {}})
}

fn inbound_sms() -> Value {
    json!({"originationNumber": "+14255550182", "destinationNumber": "+12125550101", "messageBody": "hi", "inboundMessageId": "i"})
}

fn in_sns(message: &str) -> Value {
    json!({"Type": "Notification", "MessageId": "x", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": message, "Timestamp": "2026-11-23T11:00:00.000Z"})
}

fn in_event_bridge(detail: &Value) -> Value {
    json!({"version": "0", "id": "e", "source": "aws.ses", "detail-type": "Email Bounced", "detail": detail})
}

fn name(message: &str) -> &'static str {
    match read(message, OffsetDateTime::UNIX_EPOCH) {
        Notification::SesEvents(_) => "ses",
        Notification::Mail(_) => "mail",
        Notification::EumEvents(_) => "eum",
        Notification::InboundSms(_) => "sms",
        Notification::Ignored(_) => "ignored",
        Notification::Unknown { .. } => "unknown",
        Notification::Malformed { .. } => "malformed",
        Notification::Unreadable { .. } => "unreadable",
    }
}

#[test]
fn every_kind_through_every_layer() {
    for (value, kind) in [
        (bounce(), "ses"),
        (received(), "mail"),
        (text_sent(), "eum"),
        (inbound_sms(), "sms"),
    ] {
        let plain = value.to_string();
        let nested = in_sns(&plain).to_string();
        for message in [
            plain.clone(),
            format!("\u{feff} {plain}\n"),
            nested.clone(),
            in_sns(&nested).to_string(),
            in_event_bridge(&value).to_string(),
            in_sns(&in_event_bridge(&value).to_string()).to_string(),
        ] {
            assert_eq!(name(&message), kind, "{message}");
        }
    }
}

#[test]
fn half_a_surrogate_pair_costs_one_character() {
    let text = inbound_sms().to_string().replace("hi", r"hi \ud83d");
    let Notification::InboundSms(event) = read(&text, OffsetDateTime::UNIX_EPOCH) else {
        panic!("no text")
    };
    let EventKind::Message(message) = event.kind else {
        panic!("no message")
    };
    assert_eq!(message.body, "hi \u{fffd}");
    let text = received().to_string().replace("ana@", r"\udc00ana@");
    assert_eq!(name(&text), "mail");
}

#[test]
fn an_inner_envelope_has_its_own_time() {
    let Notification::InboundSms(event) = read(
        &in_sns(&inbound_sms().to_string()).to_string(),
        OffsetDateTime::UNIX_EPOCH,
    ) else {
        panic!("a text message")
    };
    let EventKind::Message(message) = event.kind else {
        panic!("a message")
    };
    assert_eq!(message.sent_at.unix_timestamp(), 1_795_431_600);
}

#[test]
fn what_is_of_no_consequence() {
    let trial = "Successfully validated SNS topic for Amazon SES event publishing.";
    for message in [
        trial.to_owned(),
        in_sns(trial).to_string(),
        json!({"notificationType": "AMAZON_SNS_SUBSCRIPTION_SUCCEEDED", "message": "You have successfully subscribed"}).to_string(),
        json!({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have successfully subscribed"}).to_string(),
        json!({"eventType": "VOICE_ANSWERED"}).to_string(),
    ] {
        assert_eq!(name(&message), "ignored", "{message}");
    }
}

#[test]
fn what_is_not_understood_is_kept() {
    let Notification::Unreadable { raw } = read("hello\0", OffsetDateTime::UNIX_EPOCH) else {
        panic!("unreadable")
    };
    assert_eq!(raw, json!("hello"), "as jsonb takes it");
    let Notification::Unknown { raw, .. } =
        read(r#"{"eventType":"x\u0000"}"#, OffsetDateTime::UNIX_EPOCH)
    else {
        panic!("unknown")
    };
    assert_eq!(raw, json!({"eventType": "x"}));
    for message in ["{}", r#"{"eventType":"Bounce"}"#] {
        assert_eq!(name(message), "unknown", "{message}");
    }
    let nested = in_sns("hello").to_string();
    for message in ["", "1", "[]", "null", "{", nested.as_str()] {
        assert_eq!(name(message), "unreadable", "{message}");
    }
    let mut wrapped = bounce().to_string();
    for _ in 0..6 {
        wrapped = in_sns(&wrapped).to_string();
    }
    assert_eq!(name(&wrapped), "unknown", "wrapped without end");
}

#[test]
fn what_is_known_and_broken_is_said_to_be() {
    for (pointer, value) in [
        ("/content", Value::Null),
        ("/mail/messageId", Value::Null),
        ("/receipt/recipients", json!("r@in.example")),
        ("/receipt/timestamp", json!("yesterday")),
        (
            "/receipt/action",
            json!({"type": "SNS", "encoding": "BASE64"}),
        ),
    ] {
        let mut mail = received();
        *mail.pointer_mut(pointer).expect("a member") = value;
        assert_eq!(name(&mail.to_string()), "malformed", "{pointer}");
    }
    let mut elsewhere = received();
    elsewhere["content"] = Value::Null;
    elsewhere["receipt"]["action"] = json!({"type": "WorkMail"});
    assert_eq!(name(&elsewhere.to_string()), "malformed");

    // A text without its id is still one.
    let mut text = inbound_sms();
    let members = text.as_object_mut().expect("an object");
    members.remove("inboundMessageId");
    let Notification::InboundSms(event) = read(&text.to_string(), OffsetDateTime::UNIX_EPOCH)
    else {
        panic!("a text message")
    };
    assert!(matches!(event.kind, EventKind::Malformed { .. }));
}

/// What the parsers look for.
const NAMES: &str = "Type TopicArn Message Timestamp detail detail-type eventType notificationType mail messageId tags \
    message_id account_id source destination bounce bounceType bounceSubType bouncedRecipients \
    emailAddress status complaint complainedRecipients complaintFeedbackType delivery recipients \
    subscription newTopicPreferences topicSubscriptionStatus open isBotEvent receipt action content \
    encoding bucketName objectKey timestamp inboundMessageId originationNumber messageBody isFinal \
    context totalMessagePrice totalMessageParts eventTimestamp";

/// Any JSON, made of these names.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(NAMES.split(' ').collect::<Vec<_>>());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "Notification",
            "Bounce",
            "Complaint",
            "Delivery",
            "Received",
            "Subscription",
            "Open",
            "TEXT_SENT",
            "TEXT_INVALID",
            "Permanent",
            "2026-11-23T10:00:00.000Z",
            "BASE64",
            "x@example.com",
            "+14255550182",
            "{}",
            "",
        ])
        .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.clone().prop_map(str::to_owned), inner, 0..10)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", value in any_json()) {
        let _ = read(&text, OffsetDateTime::UNIX_EPOCH);
        let _ = read(&value.to_string(), OffsetDateTime::UNIX_EPOCH);
        let _ = read(&in_sns(&value.to_string()).to_string(), OffsetDateTime::UNIX_EPOCH);
    }

    #[test]
    fn no_changed_member_makes_it_panic(pick in 0..4_usize, member in any_json(), at in any::<prop::sample::Index>()) {
        let mut value = [bounce(), received(), text_sent(), inbound_sms()][pick].clone();
        let names: Vec<String> = value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        value[at.get(&names).as_str()] = member.clone();
        let _ = read(&value.to_string(), OffsetDateTime::UNIX_EPOCH);
        if value["mail"].is_object() {
            value["mail"]["messageId"] = member;
            let _ = read(&value.to_string(), OffsetDateTime::UNIX_EPOCH);
        }
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic(pick in 0..4_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut raw = [bounce(), received(), text_sent(), inbound_sms()][pick].to_string().into_bytes();
        let at = at.index(raw.len());
        if cut { raw.truncate(at) } else { raw[at] = byte }
        let _ = read(&String::from_utf8_lossy(&raw), OffsetDateTime::UNIX_EPOCH);
    }
}
