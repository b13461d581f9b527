//! SNS over HTTPS: certificates served on this machine, envelopes signed by keys made for the test.

use crate::loopback::{Loopback, Reply};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use comms_providers::http::client;
use comms_providers::sns::{
    CertificateError, Certificates, ConfirmError, Envelope, Hosts, Policy, SignatureError,
    VerifiedEnvelope, Versions, confirm, confirm_url, verify,
};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};
use serde_json::{Value, json};
use std::sync::LazyLock;
use time::OffsetDateTime;
use time::macros::datetime;

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:inbound";
const NOW: OffsetDateTime = datetime!(2026-11-23 10:00:01 UTC);

/// A key of SNS's and its certificate for this year.
struct Signer {
    key: rsa::KeyPair,
    pem: String,
    expired: String,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let certificate = |first: i32, last: i32| {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(first, 1, 1);
        params.not_after = date_time_ymd(last, 1, 1);
        params.self_signed(&key).expect("a certificate").pem()
    };
    Signer {
        pem: certificate(2026, 2027),
        expired: certificate(2024, 2025),
        key: rsa::KeyPair::from_pkcs8(&key.serialize_der()).expect("a key"),
    }
});

fn message() -> Value {
    json!({
        "Type": "Notification", "MessageId": "11111111-2222-3333-4444-555555555555", "TopicArn": TOPIC, "Subject": "S",
        "Message": "line1\nline2 é \"q\"", "Timestamp": "2026-11-23T10:00:00.000Z", "SignatureVersion": "2",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    })
}

/// Signs as SNS does: the members of its kind in their order.
fn signed(mut message: Value) -> Envelope {
    let members: &[&str] = match message["Type"].as_str() {
        Some("Notification") => &[
            "Message",
            "MessageId",
            "Subject",
            "Timestamp",
            "TopicArn",
            "Type",
        ],
        _ => &[
            "Message",
            "MessageId",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
        ],
    };
    let lines = members
        .iter()
        .filter_map(|name| Some(format!("{name}\n{}\n", message[*name].as_str()?)));
    let text: String = lines.collect();
    let mut signature = vec![0; SIGNER.key.public_modulus_len()];
    SIGNER
        .key
        .sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            text.as_bytes(),
            &mut signature,
        )
        .expect("a signature");
    message["Signature"] = json!(STANDARD.encode(signature));
    envelope(&message)
}

fn envelope(message: &Value) -> Envelope {
    Envelope::from_body(message.to_string().as_bytes()).expect("an envelope")
}

fn asked() -> Value {
    let mut message = message();
    message["Type"] = json!("SubscriptionConfirmation");
    message["Token"] = json!("tok");
    message["SubscribeURL"] =
        json!("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=tok");
    message
}

fn policy(versions: Versions) -> Policy {
    Policy {
        topics: vec![TOPIC.to_owned()],
        versions,
    }
}

fn certificates(server: &Loopback) -> Certificates {
    Certificates::new(
        client().expect("a client"),
        Hosts::loopback(&server.url).expect("loopback"),
    )
}

async fn check(
    envelope: Envelope,
    certificates: &Certificates,
) -> Result<VerifiedEnvelope, SignatureError> {
    verify(envelope, &policy(Versions::Second), certificates, NOW).await
}

fn pem(text: &str) -> Reply {
    Reply::Answer(200, "", text.to_owned())
}

#[tokio::test]
async fn what_sns_signed_is_believed_and_the_certificate_fetched_once() {
    let server = Loopback::start([pem(&SIGNER.pem)]).await;
    let certificates = certificates(&server);
    for message in [message(), asked()] {
        let verified = check(signed(message.clone()), &certificates)
            .await
            .expect("believed");
        assert_eq!(
            verified.envelope().message,
            message["Message"].as_str().expect("a text")
        );
    }
    let asked = server.requests();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0]
            .line
            .starts_with("GET /SimpleNotificationService-1.pem "),
        "{}",
        asked[0].line
    );
}

#[tokio::test]
async fn a_signature_over_something_else_is_not() {
    let server = Loopback::start([pem(&SIGNER.pem)]).await;
    let certificates = certificates(&server);
    let good = signed(message());
    for change in [
        |e: &mut Envelope| e.message.push(' '),
        |e: &mut Envelope| e.message_id.push('0'),
        |e: &mut Envelope| e.subject = None,
        |e: &mut Envelope| e.timestamp = "2026-11-23T10:00:00.001Z".to_owned(),
        |e: &mut Envelope| e.signature = None,
        |e: &mut Envelope| e.signature = Some(STANDARD.encode([0; 256])),
    ] {
        let mut changed = good.clone();
        change(&mut changed);
        let refused = check(changed, &certificates).await;
        assert!(
            matches!(refused, Err(SignatureError::Mismatch)),
            "{refused:?}"
        );
    }
    let mut token = signed(asked());
    token.token = Some("other".to_owned());
    assert!(matches!(
        check(token, &certificates).await,
        Err(SignatureError::Mismatch)
    ));
}

#[tokio::test]
async fn the_first_version_is_believed_where_it_is_taken() {
    let server = Loopback::start([pem(include_str!("first-version.pem"))]).await;
    let certificates = certificates(&server);
    let mut message = message();
    message["SignatureVersion"] = json!("1");
    message["Signature"] = json!(FIRST_VERSION);
    let both = policy(Versions::FirstAndSecond);
    verify(envelope(&message), &both, &certificates, NOW)
        .await
        .expect("believed");
    assert!(matches!(
        check(envelope(&message), &certificates).await,
        Err(SignatureError::Version)
    ));
    message["SignatureVersion"] = json!("2");
    let mixed = verify(envelope(&message), &both, &certificates, NOW).await;
    assert!(
        matches!(mixed, Err(SignatureError::Mismatch)),
        "SHA-1 is no SHA-256"
    );
}

#[tokio::test]
async fn nobody_is_asked_for_a_stranger() {
    let server = Loopback::start([pem(&SIGNER.pem)]).await;
    let certificates = certificates(&server);
    for (member, value) in [
        ("TopicArn", "arn:aws:sns:eu-west-1:999999999999:inbound"),
        ("Timestamp", "2026-11-23T08:00:00.000Z"),
        ("SigningCertURL", "https://evil.example/x.pem"),
        (
            "SigningCertURL",
            "https://sns.us-east-1.amazonaws.com/x.pem",
        ),
    ] {
        let mut strange = message();
        strange[member] = json!(value);
        assert!(
            check(signed(strange), &certificates).await.is_err(),
            "{value}"
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_none() {
    let too_large = "x".repeat(70_000);
    for reply in [
        pem(&SIGNER.expired),
        pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        pem("<html>"),
        pem(&too_large),
        Reply::Answer(404, "", String::new()),
        Reply::Answer(
            302,
            "location: https://evil.example/x.pem\r\n",
            String::new(),
        ),
        Reply::Answer(503, "", String::new()),
        Reply::HangUp,
        Reply::HalfAnswer,
    ] {
        let server = Loopback::start([reply]).await;
        let refused = check(signed(message()), &certificates(&server))
            .await
            .expect_err("refused");
        assert!(
            matches!(refused, SignatureError::Certificate(_)),
            "{refused:?}"
        );
        assert!(
            refused.is_transient(),
            "no fault of the sender's: {refused:?}"
        );
    }
    let server = Loopback::start([
        Reply::Answer(503, "", String::new()),
        pem(&SIGNER.expired),
        pem(&SIGNER.pem),
    ])
    .await;
    let certificates = certificates(&server);
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(check(signed(message()), &certificates).await.is_ok());
    }
    assert_eq!(outcomes, [false, false, true], "a failure is not kept");
    let later = datetime!(2027-02-01 10:00:00 UTC);
    let mut next_year = message();
    next_year["Timestamp"] = json!("2027-02-01T10:00:00.000Z");
    let refused = verify(
        signed(next_year),
        &policy(Versions::Second),
        &certificates,
        later,
    )
    .await;
    assert!(
        matches!(
            refused,
            Err(SignatureError::Certificate(CertificateError::Expired))
        ),
        "kept no longer than it is valid: {refused:?}"
    );
}

#[tokio::test]
async fn a_subscription_is_confirmed_at_sns_and_nowhere_else() {
    let server = Loopback::start([
        pem(&SIGNER.pem),
        Reply::Answer(200, "", String::new()),
        Reply::Answer(403, "", String::new()),
    ])
    .await;
    let certificates = certificates(&server);
    let hosts = Hosts::loopback(&server.url).expect("loopback");
    let http = client().expect("a client");
    let question = check(signed(asked()), &certificates)
        .await
        .expect("believed");
    let url = confirm_url(&question).expect("a URL");
    assert_eq!(url.host_str(), Some("sns.eu-west-1.amazonaws.com"));
    confirm(&http, &hosts, &question).await.expect("confirmed");
    let line = server.requests().pop().expect("a request").line;
    assert!(
        line.starts_with("GET /?Action=ConfirmSubscription&Token=tok "),
        "{line}"
    );
    assert!(matches!(
        confirm(&http, &hosts, &question).await,
        Err(ConfirmError::Refused(403))
    ));

    let news = check(signed(message()), &certificates)
        .await
        .expect("believed");
    assert!(matches!(confirm_url(&news), Err(ConfirmError::NotAsked)));
    let mut end = asked();
    end["Type"] = json!("UnsubscribeConfirmation");
    let end = check(signed(end), &certificates).await.expect("believed");
    assert!(
        matches!(confirm_url(&end), Err(ConfirmError::NotAsked)),
        "never subscribed again by itself"
    );
    let mut elsewhere = asked();
    elsewhere["SubscribeURL"] = json!("https://evil.example/?Action=ConfirmSubscription");
    let elsewhere = check(signed(elsewhere), &certificates)
        .await
        .expect("believed");
    assert!(matches!(confirm_url(&elsewhere), Err(ConfirmError::Url)));
}

/// Made with the key of `first-version.pem`, which nobody has any more: nothing here can sign with SHA-1.
const FIRST_VERSION: &str = "c905/mPLXpRsGgXVfaPl/Lo9iBKqzd1T9le3idpVJxw5meolSWPS0ZHkQAi8wTdNUkJR5752n/tMb6RsuZxwU7BgAsA0aObK\
    h9c6EF8ZNdly0pO7evqKr9LTMDNGME1Y9aHG9vHuHE8Qlzby53BP+kr5vtHTYPvMnR2CrmyF5I2qiYjdFwi4yFi2cG4LCRAc\
    yir/tcO7i9NLhgIxpj9fO5jJMylawa3Mm51yKT0YmYH1oL8kGSczjNLkxUQy2RDrYKpKLl0Bhen5IeNPgVy9l4zY1tDne7Ns\
    JqTr5f74dqWHxKmoREwPHWbRCFZqqbbbPlFUjEzaYvYGa3v2alj5SA==";
