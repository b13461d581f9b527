//! The steps, one after the other and one by one.

use crate::{APP, NUMBER, WABA, callback, client, code, pin, simulator, token};
use comms_providers::FaultClass::{Credential, Permission, RateLimited, WrongInput};
use comms_providers::http::{self, GraphUrl};
use comms_providers::whatsapp::onboarding::{CallbackUrl, PhoneNumber, Subscription, TokenFacts};
use comms_providers::whatsapp::{WhatsAppClient, WhatsAppSender};
use comms_providers::{Content, OutcomeClass, Recipient, SendMessageCommand, SendOutcome};
use comms_simulator::{Signup, Simulator, Waba, WabaNumber};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use uuid::Uuid;

/// What becomes of a message from the number with this token.
async fn send(simulator: &Simulator, token: &SecretString) -> SendOutcome {
    let base = GraphUrl::parse(&format!("{}/v26.0", simulator.url())).expect("a loopback URL");
    let sender = WhatsAppSender {
        phone_number_id: NUMBER.to_owned(),
        access_token: token.clone(),
    };
    let command = SendMessageCommand {
        correlation_id: Uuid::now_v7(),
        recipient: Recipient::Phone("+34600111222".to_owned()),
        content: Content::Text {
            body: "Hola".to_owned(),
            preview_url: false,
        },
        reply_to: None,
        expires_in: None,
    };
    let client = WhatsAppClient::new(http::client().expect("a client"), base);
    client.send(&sender, &command).await
}

fn refused_as(outcome: &SendOutcome) -> Option<OutcomeClass> {
    match outcome {
        SendOutcome::Refused(refusal) => Some(refusal.class),
        SendOutcome::Accepted(_) => None,
    }
}

/// The number once it is registered.
fn connected_number() -> PhoneNumber {
    PhoneNumber {
        id: NUMBER.to_owned(),
        display_phone_number: Some("+34911222333".to_owned()),
        verified_name: Some("Iberia Trenes".to_owned()),
        name_status: Some("APPROVED".to_owned()),
        status: Some("CONNECTED".to_owned()),
        quality_rating: Some("GREEN".to_owned()),
        platform_type: Some("CLOUD_API".to_owned()),
        throughput_level: Some("STANDARD".to_owned()),
        messaging_limit_tier: Some("TIER_250".to_owned()),
        code_verification_status: Some("VERIFIED".to_owned()),
        is_on_biz_app: false,
    }
}

#[tokio::test]
async fn an_account_is_connected_sent_from_and_given_up() {
    let (simulator, hook) = (simulator().await, callback::knowing("fresh").await);
    simulator.want_proof();
    let client = client(&simulator);
    let exchanged = client
        .exchange_code(&code(&simulator, Signup::of(WABA)))
        .await
        .expect("a token");
    assert_eq!(exchanged.expires_in, None);
    let token = exchanged.access_token;

    let facts = client.debug_token(&token).await.expect("facts");
    assert_eq!((facts.app_id.as_str(), facts.is_valid), (APP, true));
    assert_eq!(facts.wabas().collect::<Vec<_>>(), [WABA]);
    assert_eq!(
        (facts.expires_at, facts.data_access_expires_at),
        (None, None)
    );
    client.check_grant(&facts, WABA).expect("granted");

    let number = client.number_of(&token, WABA, NUMBER).await.expect("ours");
    assert_eq!(number.status.as_deref(), Some("PENDING"));
    assert_eq!(
        refused_as(&send(&simulator, &token).await),
        Some(OutcomeClass::AccountConfig)
    );

    client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect("registered");
    client.subscribe(&token, WABA).await.expect("subscribed");
    let url = CallbackUrl::parse(&hook).expect("a callback");
    let verify_token = SecretString::from("fresh");
    client
        .override_callback(&token, WABA, &url, &verify_token)
        .await
        .expect("the challenge comes back");
    let subscriptions = client.subscriptions(&token, WABA).await.expect("a list");
    assert_eq!(
        subscriptions,
        [Subscription {
            app_id: APP.to_owned(),
            override_callback_uri: Some(hook)
        }]
    );

    assert_eq!(
        client.phone_number(&token, NUMBER).await,
        Ok(connected_number())
    );
    assert_eq!(refused_as(&send(&simulator, &token).await), None);

    client
        .deregister(&token, NUMBER)
        .await
        .expect("deregistered");
    assert_eq!(
        refused_as(&send(&simulator, &token).await),
        Some(OutcomeClass::AccountConfig)
    );
    client
        .unsubscribe(&token, WABA)
        .await
        .expect("unsubscribed");
    assert_eq!(client.subscriptions(&token, WABA).await, Ok(Vec::new()));
    let calls = simulator.graph_calls();
    let unproven = calls
        .iter()
        .filter(|call| !call.id.is_empty() && !call.proven);
    assert_eq!(
        unproven.count(),
        0,
        "every call with a token carries the proof"
    );
}

#[tokio::test]
async fn a_code_is_good_once_and_for_thirty_seconds() {
    let simulator = simulator().await;
    let client = client(&simulator);
    let used = code(&simulator, Signup::of(WABA));
    client.exchange_code(&used).await.expect("a token");
    let late = code(&simulator, Signup::of(WABA));
    simulator.pass(Duration::from_secs(31));
    for code in [used, late, SecretString::from("AQnobody")] {
        let error = client.exchange_code(&code).await.expect_err("refused");
        assert_eq!((error.class, error.code.as_str()), (Credential, "100"));
        assert!(error.cause.contains("30 seconds"), "{}", error.cause);
        assert!(
            !error.message.contains(code.expose_secret()),
            "{}",
            error.message
        );
    }
    let quick = code(&simulator, Signup::of(WABA));
    simulator.pass(Duration::from_secs(29));
    client.exchange_code(&quick).await.expect("in time");
}

#[tokio::test]
async fn what_the_browser_says_is_held_against_what_the_token_grants() {
    let simulator = simulator().await;
    let client = client(&simulator);
    let facts = async |signup: Signup| {
        let exchanged = client.exchange_code(&code(&simulator, signup)).await;
        let token = exchanged.expect("a token").access_token;
        client.debug_token(&token).await.expect("facts")
    };
    let fault = |facts: &TokenFacts, waba: &str| {
        let error = client.check_grant(facts, waba).expect_err("not granted");
        (error.code, error.class)
    };
    let good = facts(Signup::of(WABA)).await;
    assert_eq!(
        fault(&good, "3000"),
        ("waba-not-granted".to_owned(), Permission)
    );
    let elsewhere = facts(Signup {
        app_id: Some("666".to_owned()),
        ..Signup::of(WABA)
    })
    .await;
    assert_eq!(
        fault(&elsewhere, WABA),
        ("token-of-another-app".to_owned(), Credential)
    );
    let scopes = Some(vec!["whatsapp_business_management".to_owned()]);
    let narrow = facts(Signup {
        scopes,
        ..Signup::of(WABA)
    })
    .await;
    assert_eq!(
        fault(&narrow, WABA),
        ("scope-missing".to_owned(), Permission)
    );

    let unknown = client.debug_token(&SecretString::from("EAAGnobody")).await;
    let unknown = unknown.expect("an answer");
    assert!(!unknown.is_valid);
    assert_eq!(
        fault(&unknown, WABA),
        ("token-invalid".to_owned(), Credential)
    );

    let token = token(&simulator).await;
    let stolen = client
        .number_of(&token, WABA, "1099")
        .await
        .expect_err("another's");
    assert_eq!(
        (stolen.code.as_str(), stolen.class),
        ("number-not-in-waba", WrongInput)
    );
    for error in [
        client.number_of(&token, "3000", "1099").await.map(drop),
        client.phone_number(&token, "1099").await.map(drop),
        client.register(&token, "1099", &pin("246802")).await,
        client.subscribe(&token, "3000").await,
    ] {
        let error = error.expect_err("another's");
        assert_eq!((error.code.as_str(), error.subcode), ("100", Some(33)));
        assert_eq!(error.class, Permission);
    }
}

#[tokio::test]
async fn a_token_that_ends_is_told_by_its_facts_and_by_every_call() {
    let simulator = simulator().await;
    let client = client(&simulator);
    let signup = Signup {
        token_seconds: Some(3600),
        ..Signup::of(WABA)
    };
    let exchanged = client
        .exchange_code(&code(&simulator, signup))
        .await
        .expect("a token");
    assert_eq!(exchanged.expires_in, Some(Duration::from_hours(1)));
    let token = exchanged.access_token;
    let facts = client.debug_token(&token).await.expect("facts");
    assert!(facts.is_valid && facts.expires_at.is_some());
    client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect("registered");
    assert_eq!(refused_as(&send(&simulator, &token).await), None);

    simulator.pass(Duration::from_secs(3601));
    let error = client
        .phone_number(&token, NUMBER)
        .await
        .expect_err("too late");
    assert_eq!((error.class, error.subcode), (Credential, Some(463)));
    assert!(error.cause.contains("expired"));
    assert_eq!(
        refused_as(&send(&simulator, &token).await),
        Some(OutcomeClass::Auth)
    );

    let fresh = crate::token(&simulator).await;
    assert_eq!(refused_as(&send(&simulator, &fresh).await), None);
    assert_eq!(simulator.revoke_all(WABA), 2);
    let error = client.subscribe(&fresh, WABA).await.expect_err("withdrawn");
    assert_eq!((error.class, error.code.as_str()), (Credential, "190"));
    assert_eq!(
        refused_as(&send(&simulator, &fresh).await),
        Some(OutcomeClass::Auth)
    );
    assert!(!client.debug_token(&fresh).await.expect("facts").is_valid);
}

#[tokio::test]
async fn a_pin_is_set_once_and_wanted_ever_after() {
    let simulator = simulator().await;
    let (client, token) = (client(&simulator), token(&simulator).await);
    client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect("sets the PIN");
    client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect("repeatable");
    for _ in 0..5 {
        let error = client
            .register(&token, NUMBER, &pin("111111"))
            .await
            .expect_err("wrong");
        assert_eq!((error.code.as_str(), error.class), ("133005", WrongInput));
        assert!(!error.message.contains("111111"), "{}", error.message);
    }
    let error = client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect_err("blocked");
    assert_eq!((error.code.as_str(), error.class), ("133008", RateLimited));
    simulator.pass(error.wait.expect("a wait") + Duration::from_secs(1));
    client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect("the block is over");
    client.deregister(&token, NUMBER).await.expect("the tenth");
    let error = client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect_err("too many");
    assert_eq!((error.code.as_str(), error.class), ("133016", RateLimited));
    assert_eq!(error.wait, Some(Duration::from_hours(72)));
}

#[tokio::test]
async fn a_number_that_is_not_verified_is_not_registered() {
    let simulator = simulator().await;
    let number = WabaNumber {
        verified: false,
        ..WabaNumber::new("1070", "34911222335", "Nueva")
    };
    simulator
        .plant(Waba::new("4000", [number]))
        .expect("an account");
    let client = client(&simulator);
    let code = code(&simulator, Signup::of("4000"));
    let token = client
        .exchange_code(&code)
        .await
        .expect("a token")
        .access_token;
    let error = client
        .register(&token, "1070", &pin("246802"))
        .await
        .expect_err("not verified");
    assert_eq!(error.code, "133006");
    let error = client
        .deregister(&token, "1070")
        .await
        .expect_err("not registered");
    assert_eq!(error.code, "133010");
}

#[tokio::test]
async fn an_override_wants_a_subscription_and_a_challenge_that_comes_back() {
    let (simulator, hook) = (simulator().await, callback::knowing("fresh").await);
    let (client, token) = (client(&simulator), token(&simulator).await);
    let url = CallbackUrl::parse(&hook).expect("a callback");
    let with = async |verify_token: &str| {
        let verify_token = SecretString::from(verify_token);
        client
            .override_callback(&token, WABA, &url, &verify_token)
            .await
    };
    let error = with("fresh").await.expect_err("not subscribed");
    assert_eq!(
        (error.class, error.operation),
        (WrongInput, "override_callback")
    );
    client.subscribe(&token, WABA).await.expect("subscribed");
    let error = with("another").await.expect_err("not its token");
    assert_eq!(error.class, WrongInput);
    assert!(error.cause.contains("challenge"), "{}", error.cause);
    with("fresh").await.expect("the challenge comes back");
    client
        .subscribe(&token, WABA)
        .await
        .expect("takes the override away");
    let subscriptions = client.subscriptions(&token, WABA).await.expect("a list");
    assert_eq!(subscriptions[0].override_callback_uri, None);

    for bad in [
        "http://example.com/hook",
        "https://h/?token=x",
        "hook",
        &"https://h/".repeat(21),
    ] {
        let error = CallbackUrl::parse(bad).expect_err(bad);
        assert_eq!(error.code, "invalid-callback");
    }
}

#[tokio::test]
async fn an_account_that_is_asked_too_often_says_when_to_come_back() {
    let simulator = simulator().await;
    let numbers = [WabaNumber::new("1070", "34911222335", "Nueva")];
    let busy = Waba {
        hourly_calls: 2,
        ..Waba::new("4000", numbers)
    };
    simulator.plant(busy).expect("an account");
    let client = client(&simulator);
    let code = code(&simulator, Signup::of("4000"));
    let token = client
        .exchange_code(&code)
        .await
        .expect("a token")
        .access_token;
    for _ in 0..2 {
        client
            .phone_numbers(&token, "4000", None)
            .await
            .expect("within the limit");
    }
    let error = client
        .phone_numbers(&token, "4000", None)
        .await
        .expect_err("too many");
    assert_eq!((error.code.as_str(), error.class), ("80008", RateLimited));
    let wait = error.wait.expect("a wait");
    assert_eq!(wait, Duration::from_hours(1));
    simulator.pass(wait);
    client
        .phone_numbers(&token, "4000", None)
        .await
        .expect("an hour later");
}
