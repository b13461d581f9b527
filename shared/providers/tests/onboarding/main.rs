//! Connecting an account against the simulator, which reads Meta's documentation on its own.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on should say why and stop"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test plays the outside world, with clients and servers of its own"
)]

mod callback;
mod errors;
mod secrets;
mod steps;
mod templates;

use comms_providers::http::{self, GraphUrl};
use comms_providers::whatsapp::onboarding::{MetaApp, OnboardingClient, Pin};
use comms_simulator::{Signup, Simulator, SimulatorConfig, Waba, WabaNumber};
use secrecy::SecretString;

const APP: &str = "4815162342";
const APP_SECRET: &str = "test_app_secret";
const WABA: &str = "2000";
const NUMBER: &str = "1065";

/// Two operators' accounts: 2000 with two numbers, 3000 with one.
async fn simulator() -> Simulator {
    let simulator = Simulator::start(SimulatorConfig::default())
        .await
        .expect("a free port");
    let numbers = [
        WabaNumber::new(NUMBER, "34911222333", "Iberia Trenes"),
        WabaNumber::new("1066", "34911222334", "Iberia Buses"),
    ];
    let other = [WabaNumber::new("1099", "447700900123", "Albion")];
    simulator
        .plant(Waba::new(WABA, numbers))
        .expect("an account");
    simulator
        .plant(Waba::new("3000", other))
        .expect("an account");
    simulator
}

fn client(simulator: &Simulator) -> OnboardingClient {
    client_with(simulator, APP_SECRET)
}

fn client_with(simulator: &Simulator, app_secret: &str) -> OnboardingClient {
    client_at(&simulator.url(), app_secret)
}

fn client_at(url: &str, app_secret: &str) -> OnboardingClient {
    let base = GraphUrl::parse(&format!("{url}/v26.0")).expect("a loopback URL");
    let app = MetaApp {
        app_id: APP.to_owned(),
        app_secret: SecretString::from(app_secret),
    };
    OnboardingClient::new(http::client().expect("a client"), base, app)
}

/// A code, as the browser brings it.
fn code(simulator: &Simulator, signup: Signup) -> SecretString {
    SecretString::from(simulator.sign_up(signup).expect("a code"))
}

/// The token of somebody who granted account 2000.
async fn token(simulator: &Simulator) -> SecretString {
    let code = code(simulator, Signup::of(WABA));
    let exchanged = client(simulator).exchange_code(&code).await;
    exchanged.expect("a token").access_token
}

fn pin(text: &str) -> Pin {
    Pin::new(text).expect("six digits")
}
