//! Packed as CloudWatch packs it, every response of the table, and what is no log.

use super::*;
use crate::OutcomeClass::{
    self, AccountConfig, Hold, PermanentContent, PermanentRecipient, Retryable, Unknown,
};
use crate::event::{DeliveryStatus, DeliveryUpdate, Price};
use crate::{OptOut, Scope};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::json;
use std::io::Write;

fn packed(bytes: &[u8]) -> Value {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).expect("memory");
    let data = STANDARD.encode(gzip.finish().expect("memory"));
    json!({"awslogs": {"data": data}})
}

fn log(messages: &[&str]) -> Value {
    let events: Vec<Value> = (0..)
        .zip(messages)
        .map(|(id, message)| json!({"id": id.to_string(), "timestamp": 1_795_428_000_000_i64, "message": message}))
        .collect();
    let log = json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logStream": "s", "subscriptionFilters": ["f"],
        "logGroup": "sns/eu-west-1/111122223333/DirectPublishToPhoneNumber/Failure", "logEvents": events,
    });
    packed(log.to_string().as_bytes())
}

fn line_of(status: &str, response: &str) -> Value {
    json!({
        "notification": {"messageId": "34d9b400-c6dd", "timestamp": "2026-11-23 10:00:00.123"},
        "delivery": {
            "phoneCarrier": "My Carrier", "mnc": 270, "mcc": 310, "numberOfMessageParts": 2,
            "destination": "+1XXX5550100", "priceInUSD": 0.00645, "smsType": "Transactional",
            "providerResponse": response, "dwellTimeMs": 599, "dwellTimeMsUntilDeviceAck": 1344,
        },
        "status": status,
    })
}

fn update(line: &Value) -> DeliveryUpdate {
    let read = read(&log(&[&line.to_string()])).expect("a log");
    match &read.lines[0].event.kind {
        EventKind::Status(update) => (**update).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_is_read_whole() {
    let read = read(&log(&[&line_of(
        "SUCCESS",
        "Message has been accepted by phone carrier",
    )
    .to_string()]))
    .expect("a log");
    assert!(read.log_group.ends_with("/Failure"));
    assert_eq!(read.lines[0].id, "0");
    assert_eq!(read.lines[0].event.account, None);
    let update = update(&line_of(
        "SUCCESS",
        "Message has been accepted by phone carrier",
    ));
    assert_eq!(update.external_message_id, "34d9b400-c6dd");
    assert_eq!(
        update.occurred_at.unix_timestamp_nanos(),
        1_795_428_000_123_000_000
    );
    assert_eq!(
        update.price,
        Some(Price {
            category: Some("Transactional".to_owned()),
            micros: Some(6450),
            currency: Some("USD".to_owned()),
            units: Some(2),
            ..Price::default()
        })
    );
}

#[test]
fn a_carrier_is_no_phone() {
    for (response, word, status) in [
        (
            "Message has been accepted by phone carrier",
            "SUCCESS/carrier",
            DeliveryStatus::Sent,
        ),
        (
            " MESSAGE has been accepted by phone. ",
            "SUCCESS/phone",
            DeliveryStatus::Delivered,
        ),
        (
            "Message has been accepted by phone",
            "SUCCESS/phone",
            DeliveryStatus::Delivered,
        ),
        ("Something new", "SUCCESS/carrier", DeliveryStatus::Sent),
    ] {
        let update = update(&line_of("SUCCESS", response));
        assert_eq!(
            (update.provider_status.as_str(), update.status),
            (word, status),
            "{response}"
        );
        assert_eq!(update.failure, None);
    }
}

const STOP: Option<OptOut> = Some(OptOut::Everything);

/// The response, and what it means: class, wish, and whether the number is bad.
const FAILURES: [(&str, OutcomeClass, Option<OptOut>, bool); 18] = [
    ("Phone number is opted out", PermanentRecipient, STOP, false),
    ("+1XXX5550100 is opted out", PermanentRecipient, STOP, false),
    ("Phone has blocked SMS", PermanentRecipient, STOP, false),
    (
        "Phone is on a blocked list",
        PermanentRecipient,
        None,
        false,
    ),
    (
        "Destination is on a blocked list",
        PermanentRecipient,
        None,
        false,
    ),
    (
        "Destination is blacklisted",
        PermanentRecipient,
        None,
        false,
    ),
    ("Invalid phone number", PermanentRecipient, None, true),
    (
        "Blocked as spam by phone carrier",
        PermanentContent,
        None,
        false,
    ),
    (
        "Phone carrier has blocked this message",
        PermanentContent,
        None,
        false,
    ),
    ("Message body is invalid", PermanentContent, None, false),
    (
        "Phone is currently unreachable/unavailable",
        Retryable,
        None,
        false,
    ),
    (
        "Phone carrier is currently unreachable/unavailable",
        Retryable,
        None,
        false,
    ),
    (
        "This delivery would exceed max price",
        PermanentContent,
        None,
        false,
    ),
    ("No quota left for account", Hold(Scope::App), None, false),
    (
        "Sandboxed account unable to send to number",
        AccountConfig,
        None,
        false,
    ),
    (
        "Unknown error attempting to reach phone",
        Unknown,
        None,
        false,
    ),
    ("Something new", Unknown, None, false),
    ("", Unknown, None, false),
];

#[test]
fn every_failure_of_the_table() {
    for (response, class, opt_out, address_is_bad) in FAILURES {
        for response in [
            response.to_owned(),
            format!(" {} ", response.to_uppercase()),
        ] {
            let update = update(&line_of("FAILURE", &response));
            let failure = update.failure.expect("a failure");
            assert_eq!(update.status, DeliveryStatus::Failed);
            assert_eq!(
                (failure.class, failure.opt_out, failure.address_is_bad),
                (class, opt_out, address_is_bad),
                "{response}"
            );
            assert!(!failure.reason.contains("5550100"));
            assert_eq!(failure.code, update.provider_status);
        }
    }
}

#[test]
fn members_may_be_missing() {
    let update = update(
        &json!({"notification": {"messageId": "m", "timestamp": "2026-11-23 10:00:00"}, "delivery": {"destination": "x"}, "status": "FAILURE"}),
    );
    assert_eq!(update.price, None);
    assert_eq!(update.occurred_at.unix_timestamp(), 1_795_428_000);
    let untimed = self::update(&json!({"notification": {"messageId": "m"}, "status": "SUCCESS"}));
    assert_eq!(
        untimed.occurred_at.unix_timestamp(),
        1_795_428_000,
        "the log's own time"
    );
}

#[test]
fn a_line_without_a_time_is_as_old_as_it_was_first_seen() {
    let seen_at = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    let occurred_at = |line: &Value| match again(line.to_string().as_bytes(), seen_at).kind {
        EventKind::Status(update) => update.occurred_at,
        other => panic!("{other:?}"),
    };
    let untimed =
        json!({"notification": {"messageId": "m", "timestamp": "soon"}, "status": "SUCCESS"});
    assert_eq!(occurred_at(&untimed), seen_at);
    let timed = occurred_at(&line_of("SUCCESS", "x"));
    assert_eq!(timed.unix_timestamp(), 1_795_428_000);
}

/// As it is kept; what it says may be read one day.
#[test]
fn a_line_that_is_no_json_is_the_same_line_again() {
    let kept = &read(&log(&["START RequestId"])).expect("a log").lines[0].event;
    let again = again(kept.raw.to_string().as_bytes(), OffsetDateTime::UNIX_EPOCH);
    assert_eq!(again, *kept);
    let mut mended = kept.raw.clone();
    mended["message"] =
        json!(json!({"notification": {"messageId": "m"}, "status": "SUCCESS"}).to_string());
    match super::again(mended.to_string().as_bytes(), OffsetDateTime::UNIX_EPOCH).kind {
        EventKind::Status(update) => assert_eq!(
            update.occurred_at.unix_timestamp(),
            1_795_428_000,
            "the log's own time"
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_line_takes_no_other_with_it() {
    let good = line_of("SUCCESS", "Message has been accepted by phone").to_string();
    let nameless = json!({"status": "SUCCESS", "notification": {}}).to_string();
    let strange = line_of("PARTIAL", "x").to_string();
    let read = read(&log(&[
        "START RequestId",
        &good,
        "{}",
        &nameless,
        &strange,
        "null",
    ]))
    .expect("a log");
    let kinds: Vec<&str> = read
        .lines
        .iter()
        .map(|line| match &line.event.kind {
            EventKind::Status(_) => "status",
            EventKind::Malformed { reason } => reason,
            _ => "?",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "a line is no JSON",
            "status",
            "a line has no status",
            "a line has no usable message id",
            "a line has a status that is not known",
            "a line has no status",
        ]
    );
    assert_eq!(read.lines[0].event.raw["message"], "START RequestId");
}

#[test]
fn a_trial_has_no_lines() {
    let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": [{"id": "", "message": "CWL CONTROL MESSAGE: Checking health of destination"}]});
    assert_eq!(
        read(&packed(control.to_string().as_bytes())),
        Ok(SmsLog::default())
    );
}

#[test]
fn what_is_no_log() {
    for (event, error) in [
        (json!({}), LogError::NoData),
        (json!({"awslogs": {"data": "%"}}), LogError::NoData),
        (
            json!({"awslogs": {"data": STANDARD.encode("plain")}}),
            LogError::NotGzip,
        ),
        (packed(b"[]"), LogError::NotALog),
        (packed(b"\xff"), LogError::NotALog),
        (packed(br#"{"messageType":"OTHER"}"#), LogError::NotALog),
        (packed(&vec![b' '; 32_000_001]), LogError::TooLarge),
    ] {
        assert_eq!(read(&event), Err(error));
    }
    let mut cut = STANDARD
        .decode(log(&["{}"])["awslogs"]["data"].as_str().expect("data"))
        .expect("base64");
    cut.truncate(cut.len() - 9);
    assert_eq!(
        read(&json!({"awslogs": {"data": STANDARD.encode(cut)}})),
        Err(LogError::NotGzip)
    );
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}", response in "\\PC{0,60}") {
        let _ = read(&json!({"awslogs": {"data": STANDARD.encode(&bytes)}}));
        let _ = read(&packed(&bytes));
        let _ = read(&log(&[&text]));
        let _ = read(&log(&[&line_of("FAILURE", &response).to_string()]));
    }
}
