//! The notice of the documentation in its two forms, and what may be wrong in one.

use super::*;
use serde_json::json;

fn notice() -> Value {
    json!({
        "notificationType": "Received",
        "receipt": {
            "timestamp": "2026-11-23T10:00:00.000Z", "processingTimeMillis": 200,
            "recipients": ["C_9F@Reply.Shop.example", "hidden@reply.shop.example", "c_9f@reply.shop.example"],
            "spamVerdict": {"status": "PASS"}, "virusVerdict": {"status": "FAIL"}, "spfVerdict": {"status": "GRAY"},
            "dkimVerdict": {"status": "PROCESSING_FAILED"}, "dmarcVerdict": {"status": "FAIL"}, "dmarcPolicy": "reject",
            "action": {"type": "S3", "topicArn": "arn:aws:sns:eu-west-1:1:in", "bucketName": "mail", "objectKeyPrefix": "in/", "objectKey": "in/abc"},
        },
        "mail": {
            "timestamp": "2026-11-23T09:59:59.000Z", "source": "Ana@Example.com", "messageId": "abc",
            "destination": ["somebody.else@example.net"], "headersTruncated": false, "headers": [],
            "commonHeaders": {"returnPath": "ana@example.com", "from": ["Ana <ana@example.com>"], "messageId": "<x@mail.example>"},
        },
    })
}

#[test]
fn a_mail_was_stored() {
    let read = read(&notice()).expect("a notice");
    assert_eq!(read.external_message_id, "abc");
    assert_eq!(
        read.recipients,
        ["c_9f@reply.shop.example", "hidden@reply.shop.example"],
        "of the envelope, once each"
    );
    assert_eq!(read.envelope_from.as_deref(), Some("ana@example.com"));
    assert_eq!(read.received_at.unix_timestamp(), 1_795_428_000);
    assert_eq!(
        read.body,
        MailBody::Stored {
            bucket: "mail".to_owned(),
            key: "in/abc".to_owned()
        }
    );
    assert_eq!(
        read.verdicts,
        Verdicts {
            spam: Verdict::Pass,
            virus: Verdict::Fail,
            spf: Verdict::Gray,
            dkim: Verdict::ProcessingFailed,
            dmarc: Verdict::Fail,
            dmarc_policy: Some(DmarcPolicy::Reject),
        }
    );
    assert!(read.verdicts.sender_is_forged());
}

#[test]
fn a_small_mail_is_in_the_notice() {
    for (encoding, content) in [
        (json!("BASE64"), STANDARD.encode("Subject: x\r\n\r\nñ")),
        (
            json!("Base64"),
            format!("{}\r\n", STANDARD.encode("Subject: x\r\n\r\nñ")),
        ),
        (json!("UTF8"), "Subject: x\r\n\r\nñ".to_owned()),
        (Value::Null, "Subject: x\r\n\r\nñ".to_owned()),
    ] {
        let mut notice = notice();
        notice["receipt"]["action"] = json!({"type": "SNS", "topicArn": "t", "encoding": encoding});
        notice["content"] = json!(content);
        let body = read(&notice).expect("a notice").body;
        assert_eq!(
            body,
            MailBody::Inline("Subject: x\r\n\r\nñ".as_bytes().to_vec()),
            "{encoding}"
        );
    }
}

#[test]
fn what_is_wrong_is_said() {
    let change = |pointer: &str, value: Value| {
        let mut notice = notice();
        *notice.pointer_mut(pointer).expect("a member") = value;
        read(&notice).map(|_| ()).expect_err("a fault")
    };
    assert_eq!(
        change("/mail/messageId", json!("")),
        "the mail has no usable id"
    );
    assert_eq!(
        change("/receipt/recipients", json!([])),
        "the mail has no recipient"
    );
    assert_eq!(
        change("/receipt/recipients", json!([null, "x"])),
        "the mail has no recipient"
    );
    assert_eq!(
        change("/receipt/action", json!({"type": "Lambda"})),
        "the notice neither has the mail nor says where it lies"
    );
    let mut broken = notice();
    broken["receipt"]["action"] = json!({"encoding": "BASE64"});
    broken["content"] = json!("%");
    assert_eq!(read(&broken), Err("the mail in the notice is not base64"));
    assert!(read(&json!({})).is_err());
}

#[test]
fn what_may_be_missing() {
    let mut notice = notice();
    notice["receipt"]["timestamp"] = Value::Null;
    for verdict in [
        "spamVerdict",
        "virusVerdict",
        "spfVerdict",
        "dkimVerdict",
        "dmarcVerdict",
        "dmarcPolicy",
    ] {
        notice["receipt"][verdict] = Value::Null;
    }
    for nobody in [json!("<>"), json!(""), Value::Null, json!("MAILER-DAEMON")] {
        notice["mail"]["source"] = nobody;
        let read = read(&notice).expect("a notice");
        assert_eq!(read.envelope_from, None);
        assert_eq!(read.verdicts.spam, Verdict::Unknown);
        assert!(!read.verdicts.sender_is_forged());
        assert_eq!(
            read.received_at.unix_timestamp(),
            1_795_427_999,
            "the mail's own time"
        );
    }
}

#[test]
fn an_envelope_without_a_sender_is_from_nobody() {
    let from = |source: Value, path: Value| {
        let mut notice = notice();
        notice["mail"]["source"] = source;
        notice["mail"]["commonHeaders"]["returnPath"] = path;
        read(&notice).expect("a notice").is_from_nobody
    };
    for nobody in ["", "<>", " < > "] {
        assert!(from(json!(nobody), Value::Null), "{nobody:?}");
        assert!(from(Value::Null, json!(nobody)), "{nobody:?}");
        // The envelope's own sender is the one that counts.
        assert!(!from(json!("ana@example.com"), json!(nobody)));
    }
    for silent in [Value::Null, json!("MAILER-DAEMON"), json!(5)] {
        assert!(!from(silent.clone(), Value::Null), "{silent}");
    }
}

#[test]
fn verdicts_are_stored_by_their_words() {
    let stored = serde_json::to_value(read(&notice()).expect("a notice").verdicts).expect("JSON");
    let expected = json!({"spam": "PASS", "virus": "FAIL", "spf": "GRAY", "dkim": "PROCESSING_FAILED", "dmarc": "FAIL", "dmarc_policy": "reject"});
    assert_eq!(stored, expected);
}
