//! Scripted faults.

use crate::{answer, number, send, start, text};
use comms_simulator::{Answer, Script};
use std::time::Duration;

const ANA: &str = "+34600111222";

#[tokio::test]
async fn a_failure_has_the_code_and_the_status_asked_for_and_is_used_up() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    simulator.script(Script::fail(131_056).times(2));
    simulator.script(Script {
        answer: Answer::Fail {
            code: 4,
            http_status: Some(429),
            subcode: Some(7),
            is_transient: true,
            retry_after: Some(30),
        },
        ..Script::default()
    });
    for _ in 0..2 {
        let (status, body) = answer(&simulator, &text(ANA)).await;
        assert_eq!(
            (status, body["error"]["code"].as_i64()),
            (400, Some(131_056))
        );
    }
    let response = send(&simulator, &text(ANA)).await.expect("an answer");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "30");
    let body: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["error_subcode"], 7);
    assert_eq!(body["error"]["is_transient"], true);

    assert_eq!(answer(&simulator, &text(ANA)).await.0, 200);
    let codes: Vec<_> = simulator.calls().iter().map(|call| call.code).collect();
    assert_eq!(codes, [Some(131_056), Some(131_056), Some(4), None]);
}

#[tokio::test]
async fn scripts_wait_for_the_send_they_fit() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    simulator.script(Script {
        phone_number_id: Some("other".to_owned()),
        ..Script::fail(1)
    });
    simulator.script(Script {
        correlation: Some("other".to_owned()),
        ..Script::fail(2)
    });
    simulator.script(Script::fail(131_026).to("34600999999"));
    assert_eq!(answer(&simulator, &text(ANA)).await.0, 200);
    let (_, body) = answer(&simulator, &text("+34600999999")).await;
    assert_eq!(body["error"]["code"], 131_026);
}

#[tokio::test]
async fn a_broken_rule_does_not_use_a_script_up() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    simulator.script(Script::bare(503));
    assert_eq!(
        answer(&simulator, &text("34600111222")).await.1["error"]["code"],
        131_009
    );
    let response = send(&simulator, &text(ANA)).await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert!(response.json::<serde_json::Value>().await.is_err());
    assert!(!simulator.calls()[1].accepted);
}

#[tokio::test]
async fn hanging_up_accepts_the_message_and_cuts_the_connection() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    simulator.script(Script::accept_and_hang_up());
    let error = send(&simulator, &text(ANA)).await.expect_err("no answer");
    assert!(!error.is_connect() && !error.is_timeout(), "{error:?}");
    let calls = simulator.calls();
    assert!(calls[0].accepted && calls[0].wamid.is_some());
    assert_eq!(calls[0].http_status, None);
    assert_eq!(
        answer(&simulator, &text(ANA)).await.0,
        200,
        "other connections live on"
    );
}

#[tokio::test]
async fn a_delay_outlasts_the_caller_and_stopping_ends_it() {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    simulator.script(Script::delay(3_600_000).times(2));
    let url = format!("{}/v26.0/1065/messages", simulator.url());
    let impatient = reqwest::Client::builder()
        .timeout(Duration::from_secs(1))
        .build()
        .expect("a client");
    let error = impatient
        .post(&url)
        .bearer_auth(crate::TOKEN)
        .json(&text(ANA))
        .send()
        .await
        .expect_err("no answer");
    assert!(error.is_timeout());
    assert!(simulator.wait_for_calls(1).await[0].accepted);

    let request = reqwest::Client::new()
        .post(&url)
        .bearer_auth(crate::TOKEN)
        .json(&text(ANA));
    let patient = tokio::spawn(request.send());
    simulator.wait_for_calls(2).await;
    simulator.stop().await;
    assert_eq!(
        patient
            .await
            .expect("no panic")
            .expect("an answer")
            .status(),
        200
    );
}
