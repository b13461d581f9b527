//! The canonical text against digests that were computed elsewhere, and whole signatures by keys made for the test.

use super::*;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:inbound";
const URL: &str = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem";

fn message_a() -> Value {
    json!({
        "Type": "Notification", "MessageId": "11111111-2222-3333-4444-555555555555", "TopicArn": TOPIC,
        "Subject": "S", "Timestamp": "2026-11-23T10:00:00.000Z", "Message": "line1\nline2 é \"q\"",
        "SignatureVersion": "2", "Signature": "", "SigningCertURL": URL,
    })
}

fn asked(kind: &str) -> Value {
    let mut value = message_a();
    value["Type"] = json!(kind);
    value["Message"] = json!("confirm");
    value["Token"] = json!("tok");
    value["SubscribeURL"] =
        json!("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription");
    value
}

fn envelope(value: &Value) -> Envelope {
    Envelope::from_body(value.to_string().as_bytes()).expect("an envelope")
}

fn at(text: &str) -> OffsetDateTime {
    crate::json::instant(text).expect("an instant")
}

fn policy(versions: Versions) -> Policy {
    Policy {
        topics: vec![TOPIC.to_owned()],
        versions,
    }
}

/// The digests stand in the reference that this adapter was written from.
#[test]
fn the_text_that_is_signed() {
    let mut unnamed = message_a();
    unnamed["Subject"] = Value::Null;
    let mut absent = unnamed.clone();
    absent.as_object_mut().expect("an object").remove("Subject");
    let without = (
        "36b90cd733655691d85687837e0af906e80ab5b2",
        "b0bf07264ecc0c092afb54b0c4929fb97716cbfe1a06afda04011b7bd43eb600",
    );
    for (value, (sha1, sha256)) in [
        (
            message_a(),
            (
                "8faebf5f079dacbf2ece5388be6e04e19158cbd4",
                "10acc8cde120de2173921f997ee3f178f50080f88b7ed6db1310c18042deb02f",
            ),
        ),
        (unnamed, without),
        (absent, without),
        (
            asked("SubscriptionConfirmation"),
            (
                "902d0e9b9850dd351c4d3a1f70c4fb99a9284fc6",
                "580cb3707d9f92c756da6daada5e6c3d81472de1d305fd23df109efe3a4f8891",
            ),
        ),
    ] {
        let text = canonical(&envelope(&value));
        let hex = |algorithm| hex::encode(digest(algorithm, text.as_bytes()));
        assert_eq!(hex(&SHA1_FOR_LEGACY_USE_ONLY), sha1, "{text}");
        assert_eq!(hex(&SHA256), sha256, "{text}");
    }
}

#[test]
fn the_end_of_a_subscription_is_signed_with_its_token() {
    let text = canonical(&envelope(&asked("UnsubscribeConfirmation")));
    assert!(text.contains("SubscribeURL\nhttps://"), "{text}");
    assert!(text.contains("Token\ntok\n"), "{text}");
    assert!(text.ends_with("Type\nUnsubscribeConfirmation\n"), "{text}");
}

/// In this order: a stranger's topic is refused before anything else is looked at.
#[test]
fn what_is_refused_without_asking_anybody() {
    let now = at("2026-11-23T10:00:01Z");
    let refusal = |member: &str, value: &str, versions| {
        let mut message = message_a();
        message[member] = json!(value);
        claim(&envelope(&message), &policy(versions), now)
            .map(|_| ())
            .map_err(|error| error.to_string())
            .err()
            .unwrap_or_default()
    };
    let refused = |member, value| refusal(member, value, Versions::Second);
    assert_eq!(refused("MessageId", "another"), "");
    for topic in [
        "",
        "arn:aws:sns:eu-west-1:999999999999:inbound",
        "arn:aws:sns:eu-west-1:111122223333:inbound2",
    ] {
        assert_eq!(refused("TopicArn", topic), "the topic is not one of ours");
    }
    for (time, good) in [
        ("2026-11-23T09:00:01.000Z", true),
        ("2026-11-23T09:00:00.999Z", false),
        ("2026-11-23T10:05:01.000Z", true),
        ("2026-11-23T10:05:01.001Z", false),
        ("yesterday", false),
        ("", false),
    ] {
        assert_eq!(refused("Timestamp", time).is_empty(), good, "{time}");
    }
    assert!(refused("SignatureVersion", "1").contains("version"));
    assert_eq!(
        refusal("SignatureVersion", "1", Versions::FirstAndSecond),
        ""
    );
    for version in ["", "3", "2 "] {
        assert!(refusal("SignatureVersion", version, Versions::FirstAndSecond).contains("version"));
    }
    for url in [
        "https://sns.us-east-1.amazonaws.com/x.pem",
        "https://evil.example/x.pem",
        "https://sns.eu-west-1.amazonaws.com/x.txt",
        "https://sns.eu-west-1.amazonaws.com/x?y=.pem",
        "https://sns.eu-west-1.amazonaws.com/x.pem?y",
        "http://sns.eu-west-1.amazonaws.com/x.pem",
    ] {
        assert!(refused("SigningCertURL", url).contains("URL"), "{url}");
    }
    assert!(refused("Signature", "%").contains("does not match"));
}

#[test]
fn a_queue_vouches_for_topics_of_ours_only() {
    let policy = policy(Versions::Second);
    let mut bare = message_a();
    for member in ["SignatureVersion", "Signature", "SigningCertURL"] {
        bare.as_object_mut().expect("an object").remove(member);
    }
    assert!(by_queue(envelope(&bare), &policy).is_ok());
    bare["TopicArn"] = json!("arn:aws:sns:eu-west-1:999999999999:x");
    assert!(matches!(
        by_queue(envelope(&bare), &policy),
        Err(SignatureError::Topic)
    ));
}
