//! SNS as it calls an endpoint over HTTPS: it signs, serves its certificate, and hears confirmations.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// In the order in which SNS signs them; what an envelope does not have is left out.
const SIGNED: [&str; 8] = [
    "Message",
    "MessageId",
    "SubscribeURL",
    "Subject",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];
const HOST: &str = "https://sns.us-east-1.amazonaws.com";

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Sns {
    key: rsa::KeyPair,
    pub url: String,
    confirmed: Arc<Mutex<Vec<String>>>,
    listens: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Served {
    certificate: String,
    confirmed: Arc<Mutex<Vec<String>>>,
}

impl Sns {
    pub async fn start() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        let served = Served {
            certificate: params.self_signed(&key).unwrap().pem(),
            confirmed: Arc::default(),
        };
        let confirmed = Arc::clone(&served.confirmed);
        let router = Router::new()
            .route(
                "/cert.pem",
                get(async |State(served): State<Served>| served.certificate),
            )
            .route("/", get(confirm))
            .with_state(served);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        #[expect(
            clippy::disallowed_methods,
            reason = "a server of the test, ended with it"
        )]
        let listens = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            key: rsa::KeyPair::from_pkcs8(&key.serialize_der()).unwrap(),
            url,
            confirmed,
            listens,
        }
    }

    /// Tokens of the subscriptions that were confirmed.
    #[must_use]
    pub fn confirmed(&self) -> Vec<String> {
        self.confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The body of a notification, signed.
    #[must_use]
    pub fn notification(&self, topic: &str, at: &str, message: &str) -> Value {
        self.signed(json!({
            "Type": "Notification", "MessageId": "11111111-2222-3333-4444-555555555555", "TopicArn": topic, "Message": message,
            "Timestamp": at, "SignatureVersion": "2", "SigningCertURL": format!("{HOST}/cert.pem"),
        }))
    }

    /// The body of a question about a subscription, signed.
    #[must_use]
    pub fn question(&self, topic: &str, at: &str, token: &str) -> Value {
        self.signed(json!({
            "Type": "SubscriptionConfirmation", "MessageId": "1", "TopicArn": topic, "Message": "You have chosen to subscribe",
            "Timestamp": at, "SignatureVersion": "2", "SigningCertURL": format!("{HOST}/cert.pem"), "Token": token,
            "SubscribeURL": format!("{HOST}/?Action=ConfirmSubscription&Token={token}"),
        }))
    }

    fn signed(&self, mut envelope: Value) -> Value {
        let lines = SIGNED
            .iter()
            .filter_map(|name| Some(format!("{name}\n{}\n", envelope[*name].as_str()?)));
        let text: String = lines.collect();
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .unwrap();
        envelope["Signature"] = json!(STANDARD.encode(signature));
        envelope
    }
}

async fn confirm(State(served): State<Served>, RawQuery(query): RawQuery) -> &'static str {
    let query = query.unwrap_or_default();
    let token = query
        .split_once("Token=")
        .map(|(_, token)| token.to_owned());
    served
        .confirmed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(token);
    "<ConfirmSubscriptionResponse/>"
}

impl Drop for Sns {
    fn drop(&mut self) {
        self.listens.abort();
    }
}
