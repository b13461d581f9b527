//! `POST /{phone_number_id}/messages`: one command, one call, one outcome.
//!
//! The call is made once and never repeated here, because Meta has no idempotency key. What matters is *when* it
//! failed: before the first byte left, the message is known not accepted; afterwards nobody knows.
//!
//! Source: "Send messages", Cloud API reference.

pub(super) mod answer;
mod payload;

use crate::http::GraphUrl;
use crate::{OutcomeClass, Refusal, SendMessageCommand, SendOutcome};
use answer::Answer;
pub use payload::check;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// Sends through the Cloud API. Cheap to clone; one per process is enough for every tenant.
#[derive(Debug, Clone)]
pub struct WhatsAppClient {
    http: reqwest::Client,
    base: GraphUrl,
}

/// The number that a message leaves from, and the right to use it.
#[derive(Debug, Clone)]
pub struct WhatsAppSender {
    /// Meta's id of the number, which is not the number itself.
    pub phone_number_id: String,
    pub access_token: SecretString,
}

impl WhatsAppClient {
    /// `base` names the Graph API version; `http` comes from [`crate::http::client`].
    #[must_use]
    pub fn new(http: reqwest::Client, base: GraphUrl) -> Self {
        Self { http, base }
    }

    /// Sends one message and says what became of it; every fault is a [`Refusal`].
    ///
    /// A command that Meta would refuse for its shape is refused here without a call, with a code of ours:
    /// `invalid-content`, `invalid-recipient`, `invalid-sender` or `invalid-token`.
    pub async fn send(&self, sender: &WhatsAppSender, command: &SendMessageCommand) -> SendOutcome {
        let request = match self.request(sender, command) {
            Ok(request) => request,
            Err(refusal) => return SendOutcome::Refused(refusal),
        };
        let outcome = match Answer::receive(request).await {
            Ok(answer) => answer.outcome(),
            Err(fault) => SendOutcome::Refused(transport_refusal(&fault)),
        };
        if let SendOutcome::Refused(refusal) = &outcome {
            tracing::info!(
                correlation_id = %command.correlation_id,
                phone_number_id = sender.phone_number_id,
                class = refusal.class.as_str(),
                code = refusal.code,
                "WhatsApp did not accept a message",
            );
        }
        outcome
    }

    /// Tells whoever wrote `message_id` (`wamid.…`) that it was read, and all before it; with `typing` also that an answer is
    /// being written, for 25 seconds or until it comes. There is no typing without the receipt.
    ///
    /// # Errors
    /// The refusal; 131009 for an id that is none of a message to this number, or older than 30 days.
    ///
    /// Source: "Mark messages as read" and "Typing indicators", Cloud API.
    pub async fn mark_read(
        &self,
        sender: &WhatsAppSender,
        message_id: &str,
        typing: bool,
    ) -> Result<(), Refusal> {
        let mut payload = serde_json::json!({
            "messaging_product": "whatsapp", "status": "read", "message_id": message_id
        });
        if typing {
            payload["typing_indicator"] = serde_json::json!({"type": "text"});
        }
        let request = self.post(sender, &payload)?;
        let answer = Answer::receive(request).await;
        let answer = answer.map_err(|fault| transport_refusal(&fault))?;
        answer.read(|body| body["success"].as_bool().filter(|done| *done).map(drop))
    }

    fn request(
        &self,
        sender: &WhatsAppSender,
        command: &SendMessageCommand,
    ) -> Result<reqwest::RequestBuilder, Refusal> {
        self.post(sender, &payload::build(command)?)
    }

    fn post(
        &self,
        sender: &WhatsAppSender,
        payload: &impl serde::Serialize,
    ) -> Result<reqwest::RequestBuilder, Refusal> {
        let url = self
            .base
            .below(&[checked_id(&sender.phone_number_id)?, "messages"]);
        let authorization = bearer(&sender.access_token)?;
        Ok(self
            .http
            .post(url)
            .header(AUTHORIZATION, authorization)
            .json(payload))
    }
}

/// An id of another shape could name another node of the graph, which the token may well be good for.
pub(super) fn checked_id(phone_number_id: &str) -> Result<&str, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !phone_number_id.is_empty() && phone_number_id.chars().all(plain) {
        Ok(phone_number_id)
    } else {
        Err(Refusal::invalid_sender("phone_number_id is not an id"))
    }
}

pub(super) fn bearer(token: &SecretString) -> Result<HeaderValue, Refusal> {
    let invalid = || {
        Refusal::new(
            OutcomeClass::Auth,
            "invalid-token",
            "the access token is empty or not a token",
        )
    };
    let token = token.expose_secret();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Decides by the phase in which the call broke. A connect timeout is also a timeout, so connect is asked first.
pub(super) fn transport_refusal(fault: &reqwest::Error) -> Refusal {
    if fault.is_builder() {
        Refusal::new(
            OutcomeClass::AccountConfig,
            "invalid-request",
            "the request could not be built",
        )
    } else if fault.is_connect() {
        Refusal::new(
            OutcomeClass::Retryable,
            "transport",
            "no connection to the provider",
        )
    } else if fault.is_timeout() {
        Refusal::new(
            OutcomeClass::Ambiguous,
            "timeout",
            "no answer in time after the request was sent",
        )
    } else {
        Refusal::new(
            OutcomeClass::Ambiguous,
            "connection-lost",
            "connection lost after the request was sent",
        )
    }
}
