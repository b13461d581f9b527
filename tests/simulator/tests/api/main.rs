//! The simulator, spoken to as its users do: over HTTP, with a receiver for its webhooks.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on should say why and stop"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test plays the outside world, with clients and servers of its own"
)]

mod control;
mod kinds;
mod media;
mod onboarding;
mod program;
mod rules;
mod scripts;
mod webhooks;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use comms_simulator::{Number, Simulator, SimulatorConfig, Template};
use reqwest::Client;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

const TOKEN: &str = "EAAG-test";

async fn start() -> Simulator {
    let config = SimulatorConfig {
        retry_base: Duration::from_millis(1),
        ..SimulatorConfig::default()
    };
    Simulator::start(config).await.expect("a free port")
}

/// A number with a template of two parameters.
fn number() -> Number {
    let templates = vec![Template::new("trip_delayed", "es_ES", 2)];
    Number {
        templates,
        ..Number::new("1065", "waba-1", "34911222333", TOKEN)
    }
}

fn text(to: &str) -> Value {
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": to,
        "type": "text", "text": { "body": "Hola" }, "biz_opaque_callback_data": "our-id",
    })
}

/// Sends from number 1065 with its token.
async fn send(simulator: &Simulator, body: &Value) -> reqwest::Result<reqwest::Response> {
    let url = format!("{}/v26.0/1065/messages", simulator.url());
    Client::new()
        .post(url)
        .bearer_auth(TOKEN)
        .json(body)
        .send()
        .await
}

/// Sends, and reads the HTTP status and the body.
async fn answer(simulator: &Simulator, body: &Value) -> (u16, Value) {
    let response = send(simulator, body).await.expect("an answer");
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

/// A signature and the body it came with.
type Seen = (String, Vec<u8>);

/// What a callback has received, and what it is to answer next (then 200).
#[derive(Clone, Default)]
struct Receiver {
    seen: Arc<Mutex<Vec<Seen>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    /// Serves a callback; returns its URL.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let app = Router::new()
            .route("/hook", post(receive))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn bodies(&self) -> Vec<Value> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter()
            .map(|(_, body)| serde_json::from_slice(body).expect("JSON"))
            .collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers["x-hub-signature-256"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    receiver
        .seen
        .lock()
        .expect("no panic")
        .push((signature, body.to_vec()));
    let status = receiver
        .answers
        .lock()
        .expect("no panic")
        .pop_front()
        .unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}
