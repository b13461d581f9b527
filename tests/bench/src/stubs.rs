//! What the worker calls besides its database: Meta's Graph API, KMS and SQS, each answering at once.
//!
//! The provider accepts every message under an id of its own, as the database's unique key wants it. KMS has one data
//! key for everybody; it is asked once per account, far from the hot path.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::http::{Answer, Request, serve};

/// 32 bytes in base64. It protects nothing: what it seals is made up.
const DATA_KEY: &str = "YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtISE=";

/// Where the stubs listen.
pub struct Stubs {
    pub graph: SocketAddr,
    pub aws: SocketAddr,
}

/// Starts them; they live as long as the process.
pub fn start() -> Result<Stubs> {
    Ok(Stubs {
        graph: graph()?,
        aws: serve(|request| Some(aws(request)))?,
    })
}

pub fn graph() -> Result<SocketAddr> {
    let sent = AtomicU64::new(0);
    serve(move |request| Some(accept(request, sent.fetch_add(1, Ordering::Relaxed))))
}

fn accept(request: &Request, number: u64) -> Answer {
    if !(request.line.starts_with("POST ") && request.line.contains("/messages ")) {
        return Answer {
            status: 404,
            ..Answer::json(&"{}")
        };
    }
    // As long as a real one.
    Answer::json(&format!(
        "{{\"messaging_product\":\"whatsapp\",\"contacts\":[{{\"input\":\"+34600000000\",\"wa_id\":\"34600000000\"}}],\
         \"messages\":[{{\"id\":\"wamid.HBgLMzQ2MDAwMDAwMDAVAgARGBI{number:020}\"}}]}}"
    ))
}

pub fn aws(request: &Request) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match request.target.rsplit('.').next() {
        Some("GenerateDataKey") => Answer::json(
            &json!({"KeyId": "bench", "Plaintext": DATA_KEY, "CiphertextBlob": DATA_KEY}),
        ),
        Some("Decrypt") => Answer::json(&json!({
            "KeyId": "bench", "Plaintext": DATA_KEY, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"
        })),
        Some("SendMessageBatch") => {
            let accepted: Vec<Value> = body["Entries"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|entry| json!({"Id": entry["Id"], "MessageId": "bench", "MD5OfMessageBody": "0"}))
                .collect();
            Answer::json(&json!({"Successful": accepted, "Failed": []}))
        }
        // Of a dead-letter queue: there is nothing.
        Some("ReceiveMessage") => Answer::json(&"{}"),
        _ => Answer {
            status: 400,
            ..Answer::json(&json!({"__type": "NotImplemented"}))
        },
    }
}
