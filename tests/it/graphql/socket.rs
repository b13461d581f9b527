//! A client of `graphql-transport-ws`, as small as a test needs it: text frames, one subscription.

use super::plant::Session;
use super::server::JWT_SECRET;
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take; the stand-in looks once a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open subscription.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
}

/// The claims as a token of the authentication service carries them; `role` names the database's role.
fn token(session: &Session, role: &str) -> String {
    let variables: Map<String, Value> = session
        .variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let claims =
        json!({"role": role, "exp": 4_102_444_800_u64, "https://hasura.io/jwt/claims": variables});
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, JWT_SECRET.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Socket {
    /// Connects with the session's token and subscribes.
    pub async fn subscribe(
        port: u16,
        session: &Session,
        role: &str,
        query: &str,
        variables: &Value,
    ) -> Self {
        let mut socket = Self::connect(port).await;
        let bearer = format!("Bearer {}", token(session, role));
        let init =
            json!({"type": "connection_init", "payload": {"headers": {"Authorization": bearer}}});
        socket.send(&init).await;
        assert_eq!(socket.receive().await["type"], "connection_ack");
        let payload = json!({"query": query, "variables": variables});
        socket
            .send(&json!({"id": "1", "type": "subscribe", "payload": payload}))
            .await;
        socket
    }

    async fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = "GET /v1/graphql/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
        Self { stream }
    }

    /// One text frame with two bytes of length, masked with zeros.
    async fn send(&mut self, message: &Value) {
        let text = message.to_string();
        let mut frame = vec![0x81, 0xfe];
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
    }

    async fn frame(&mut self) -> Vec<u8> {
        let _opcode = self.stream.read_u8().await.unwrap();
        let length = match self.stream.read_u8().await.unwrap() {
            126 => u64::from(self.stream.read_u16().await.unwrap()),
            127 => self.stream.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut body).await.unwrap();
        body
    }

    async fn receive(&mut self) -> Value {
        let frame = tokio::time::timeout(PATIENCE, self.frame());
        serde_json::from_slice(&frame.await.unwrap()).unwrap()
    }

    /// The rows of the next answer.
    pub async fn rows(&mut self) -> Vec<Value> {
        let next = self.receive().await;
        let data = next["payload"]["data"].as_object();
        let data = data.unwrap_or_else(|| panic!("no data: {next}"));
        data.values().next().unwrap().as_array().unwrap().clone()
    }

    /// Nothing comes while the stand-in looks twice.
    pub async fn is_quiet(&mut self) -> bool {
        let frame = tokio::time::timeout(Duration::from_millis(2500), self.frame());
        frame.await.is_err()
    }
}
