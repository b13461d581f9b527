//! Every documented error at its step, and what is no answer of Meta's.

use crate::{NUMBER, WABA, client, client_at, pin, simulator, token};
use comms_providers::FaultClass::{
    self, Credential, Permission, RateLimited, Retryable, Unknown, WrongInput,
};
use comms_providers::ProvisionError;
use comms_simulator::{Answer, GraphScript};
use secrecy::SecretString;
use std::time::Duration;

/// Code, subcode, and what it means for somebody who registers a number.
const REGISTERING: &[(i64, Option<u32>, FaultClass)] = &[
    (0, None, Credential),
    (1, None, Retryable),
    (2, None, Retryable),
    (3, None, Permission),
    (4, None, RateLimited),
    (10, None, Permission),
    (33, None, WrongInput),
    (100, None, WrongInput),
    (100, Some(33), Permission),
    (104, None, Credential),
    (190, None, Credential),
    (190, Some(460), Credential),
    (190, Some(463), Credential),
    (190, Some(467), Credential),
    (200, None, Permission),
    (299, None, Permission),
    (368, None, Permission),
    (613, None, RateLimited),
    (80_007, None, RateLimited),
    (80_008, None, RateLimited),
    (131_000, None, Retryable),
    (131_005, None, Permission),
    (131_008, None, WrongInput),
    (131_009, None, WrongInput),
    (131_016, None, Retryable),
    (131_031, None, WrongInput),
    (131_037, None, WrongInput),
    (131_042, None, WrongInput),
    (131_045, None, WrongInput),
    (131_057, None, Retryable),
    (133_000, None, WrongInput),
    (133_004, None, Retryable),
    (133_005, None, WrongInput),
    (133_006, None, WrongInput),
    (133_008, None, RateLimited),
    (133_009, None, RateLimited),
    (133_010, None, WrongInput),
    (133_015, None, Retryable),
    (133_016, None, RateLimited),
    (2_388_001, None, WrongInput),
    (2_388_012, None, WrongInput),
    (2_388_091, None, WrongInput),
    (2_388_093, None, WrongInput),
    (2_388_103, None, WrongInput),
    (2_494_100, None, Retryable),
    (2_593_107, None, RateLimited),
    (2_593_108, None, WrongInput),
    (424_242, None, Unknown),
];

#[tokio::test]
async fn every_documented_error_has_its_class_its_cause_and_its_cure() {
    let simulator = simulator().await;
    let (client, token) = (client(&simulator), token(&simulator).await);
    for &(code, subcode, class) in REGISTERING {
        simulator.script_graph(GraphScript::refuse(
            "register",
            code,
            subcode.map(i64::from),
        ));
        let error = client.register(&token, NUMBER, &pin("246802")).await;
        let error = error.expect_err("scripted");
        assert_eq!(
            (
                error.operation,
                error.class,
                error.code.as_str(),
                error.subcode
            ),
            ("register", class, code.to_string().as_str(), subcode)
        );
        assert!(
            error.cause.ends_with('.') && error.cure.ends_with('.'),
            "{code}"
        );
        assert!(class != RateLimited || error.wait.is_some(), "{code}");
        assert!(error.message.contains("As scripted."), "{}", error.message);
    }
    client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect("all scripts are used up");
}

/// How the answer of something that is not Meta, or of nobody, reads.
#[tokio::test]
async fn what_is_no_answer_may_be_asked_again() {
    let simulator = simulator().await;
    let (client, token) = (client(&simulator), token(&simulator).await);
    let read = async |answer: Answer| -> ProvisionError {
        let edge = Some("number".to_owned());
        simulator.script_graph(GraphScript {
            edge,
            answer,
            ..GraphScript::default()
        });
        let read = client.phone_number(&token, NUMBER).await;
        read.expect_err("no answer")
    };
    let bare = |http_status, body: &str, retry_after| Answer::Bare {
        http_status,
        body: body.to_owned(),
        accepted: false,
        retry_after,
    };
    let error = read(bare(503, "<html>", Some(30))).await;
    assert_eq!((error.class, error.code.as_str()), (Retryable, "http-503"));
    assert_eq!(error.wait, Some(Duration::from_secs(30)));
    for body in ["", "{}", "[]", r#"{"error":{}}"#, r#"{"error":"x"}"#] {
        let error = read(bare(200, body, None)).await;
        assert_eq!(
            (error.class, error.code.as_str()),
            (Retryable, "http-200"),
            "{body}"
        );
    }
    let error = read(Answer::HangUp { accepted: false }).await;
    assert_eq!((error.class, error.code.as_str()), (Retryable, "transport"));

    let nobody = client_at("http://127.0.0.1:9", "s");
    let error = nobody
        .phone_number(&token, NUMBER)
        .await
        .expect_err("nobody there");
    assert_eq!((error.class, error.code.as_str()), (Retryable, "transport"));
}

#[tokio::test]
async fn what_cannot_be_asked_makes_no_call() {
    let simulator = simulator().await;
    let (client, token) = (client(&simulator), token(&simulator).await);
    let before = simulator.graph_calls().len();
    for id in ["", "../me", "a/b", "1 2"] {
        let error = client.subscribe(&token, id).await.expect_err("no id");
        assert_eq!(
            (error.class, error.code.as_str()),
            (WrongInput, "invalid-id")
        );
    }
    for bad in ["", "two words", "line\nbreak"] {
        let error = client.subscribe(&SecretString::from(bad), WABA).await;
        assert_eq!(error.expect_err("no token").code, "invalid-token");
    }
    assert_eq!(simulator.graph_calls().len(), before);
}

#[tokio::test]
async fn an_app_with_another_secret_is_told_so_at_every_step() {
    let simulator = simulator().await;
    let token = token(&simulator).await;
    let other = crate::client_with(&simulator, "another_secret");
    let error = other
        .phone_number(&token, NUMBER)
        .await
        .expect_err("a wrong proof");
    assert_eq!((error.class, error.code.as_str()), (Credential, "104"));
    let error = other.debug_token(&token).await.expect_err("not the app's");
    assert_eq!((error.class, error.code.as_str()), (Credential, "190"));
}
