//! No token, secret, code or PIN is in what can be printed.

use crate::{APP_SECRET, NUMBER, WABA, client, client_with, code, pin, simulator, token};
use comms_providers::whatsapp::onboarding::CallbackUrl;
use comms_simulator::Signup;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt::Debug;

#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_secret() {
    let simulator = simulator().await;
    let client = client(&simulator);
    let signup_code = code(&simulator, Signup::of(WABA));
    let exchanged = client.exchange_code(&signup_code).await.expect("a token");
    let kept = token(&simulator).await;
    let facts = client.debug_token(&kept).await.expect("facts");
    let url = CallbackUrl::parse("http://127.0.0.1:9/hook").expect("a callback");
    let verify_token = SecretString::from("verify-me-0123456789");
    client
        .register(&kept, NUMBER, &pin("246802"))
        .await
        .expect("sets the PIN");
    client.subscribe(&kept, WABA).await.expect("subscribed");

    let wrong_secret = client_with(&simulator, "another_secret");
    let wrong_token = SecretString::from("EAAG-nobody");
    let printed = [
        print(&client),
        print(&exchanged),
        print(&facts),
        print(&pin("246802")),
        print(&client.exchange_code(&signup_code).await),
        print(&client.phone_number(&wrong_token, NUMBER).await),
        print(&client.register(&kept, NUMBER, &pin("135791")).await),
        print(
            &client
                .override_callback(&kept, WABA, &url, &verify_token)
                .await,
        ),
        print(&wrong_secret.exchange_code(&signup_code).await.map(drop)),
        print(&wrong_secret.debug_token(&kept).await),
    ];
    let secrets = [
        APP_SECRET,
        "another_secret",
        signup_code.expose_secret(),
        exchanged.access_token.expose_secret(),
        kept.expose_secret(),
        wrong_token.expose_secret(),
        verify_token.expose_secret(),
        "246802",
        "135791",
    ];
    for text in printed {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

fn print(value: &impl Debug) -> String {
    format!("{value:?} {value:#?}")
}
