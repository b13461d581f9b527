//! When a call breaks before it is handed to a connection, the message is known not accepted; afterwards nobody
//! knows. The same for all three services, so all three walk the same cases.

use crate::loopback::{Loopback, Reply};
use crate::{anonymous, config, refused, ses, sms};
use aws_config::SdkConfig;
use comms_providers::eum::{EumClient, EumSender};
use comms_providers::ses::SesClient;
use comms_providers::sns::{SnsClient, SnsSender};
use comms_providers::{OutcomeClass, Refusal, SendOutcome, Timeouts};
use std::time::Duration;
use tokio::net::TcpListener;

/// Long enough for a call on this machine; what waits for the end of it is worth the second.
const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(10),
};

async fn by_ses(config: SdkConfig, timeouts: Timeouts) -> SendOutcome {
    SesClient::with_timeouts(&config, timeouts)
        .send(&ses::sender(), &ses::email())
        .await
}

async fn by_sns(config: SdkConfig, timeouts: Timeouts) -> SendOutcome {
    SnsClient::with_timeouts(&config, timeouts)
        .send(&SnsSender::default(), &sms("Hola"))
        .await
}

async fn by_eum(config: SdkConfig, timeouts: Timeouts) -> SendOutcome {
    EumClient::with_timeouts(&config, timeouts)
        .send(&EumSender::default(), &sms("Hola"))
        .await
}

const ADAPTERS: usize = 3;

/// Runs one case with each adapter.
async fn with_each(config: SdkConfig, timeouts: Timeouts, check: impl Fn(&Refusal)) {
    check(&refused(by_ses(config.clone(), timeouts).await));
    check(&refused(by_sns(config.clone(), timeouts).await));
    check(&refused(by_eum(config, timeouts).await));
}

fn is(class: OutcomeClass, code: &str) -> impl Fn(&Refusal) {
    move |refusal| {
        assert_eq!(
            (refusal.class, refusal.code.as_str()),
            (class, code),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_connection_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let retryable = is(OutcomeClass::Retryable, "transport");
    with_each(config(&url), PATIENT, retryable).await;
}

#[tokio::test]
async fn a_failed_handshake_may_be_tried_again() {
    let server = Loopback::start([Reply::HangUp]).await;
    let url = server.url.replace("http://", "https://");
    let retryable = is(OutcomeClass::Retryable, "transport");
    with_each(config(&url), PATIENT, retryable).await;
    assert_eq!(server.requests().len(), 0);
}

/// It takes the connection and never answers the handshake: the connect timeout ends it, not the call's.
#[tokio::test]
async fn a_connect_timeout_is_not_the_timeout_of_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let timeouts = Timeouts {
        connect: Duration::from_millis(200),
        ..PATIENT
    };
    let retryable = is(OutcomeClass::Retryable, "transport");
    with_each(config(&url), timeouts, retryable).await;
}

#[tokio::test]
async fn what_cannot_be_signed_was_not_sent() {
    let server = Loopback::start([Reply::HangUp]).await;
    let retryable = is(OutcomeClass::Retryable, "not-sent");
    with_each(anonymous(&server.url), PATIENT, retryable).await;
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn after_the_bytes_left_nobody_knows() {
    for (reply, code) in [
        (Reply::HangUp, "connection-lost"),
        (Reply::HalfAnswer, "no-provider-body"),
        (Reply::Answer(200, "", String::new()), "no-provider-body"),
        (
            Reply::Answer(200, "", "<html>".to_owned()),
            "no-provider-body",
        ),
        (Reply::Answer(500, "", String::new()), "no-provider-body"),
        (
            Reply::Answer(503, "", "<html>".to_owned()),
            "no-provider-body",
        ),
    ] {
        let server = Loopback::start([reply]).await;
        let ambiguous = is(OutcomeClass::Ambiguous, code);
        with_each(config(&server.url), PATIENT, ambiguous).await;
        assert_eq!(server.requests().len(), ADAPTERS, "{code}: sent twice");
    }
}

#[tokio::test]
async fn silence_ends_with_the_timeout_of_the_call() {
    let server = Loopback::start([Reply::Silence]).await;
    let timeouts = Timeouts {
        call: Duration::from_millis(500),
        ..PATIENT
    };
    let ambiguous = is(OutcomeClass::Ambiguous, "timeout");
    with_each(config(&server.url), timeouts, ambiguous).await;
    assert_eq!(server.requests().len(), ADAPTERS);
}

#[tokio::test]
async fn what_is_turned_away_in_front_may_be_tried_again_when_it_says() {
    let reply = Reply::Answer(403, "retry-after: 30\r\n", "<html>".to_owned());
    let server = Loopback::start([reply]).await;
    with_each(config(&server.url), PATIENT, |refusal| {
        is(OutcomeClass::Retryable, "http-403")(refusal);
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(30)));
    })
    .await;
}
