//! `POST /api/webhooks/sns`, which SNS itself calls.

use super::{Deps, store};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use comms_core::inbound::aws::Notified;
use comms_core::platform::telemetry;
use comms_providers::sns::{Envelope, Kind, VerifiedEnvelope, confirm, verify};
use serde_json::{Value, json};

/// Answers a request of API Gateway's (payload 2.0).
pub(super) async fn handle(deps: &Deps, request: &Value) -> Value {
    match request["requestContext"]["http"]["method"].as_str() {
        Some("POST") => {}
        _ => return text(405, "POST"),
    }
    let Some(body) = body(request) else {
        return text(400, "the body is not readable");
    };
    let Ok(envelope) = Envelope::from_body(&body) else {
        return text(400, "this is no envelope of SNS");
    };
    match verify(envelope, &deps.policy, &deps.certificates, (deps.clock)()).await {
        Ok(verified) => answer(deps, &verified).await,
        Err(error) if error.is_transient() => later(&error),
        Err(error) => {
            telemetry::metric("SignatureRefused", 1.0, &[("Door", "SNS")]);
            tracing::warn!(%error, "notification refused");
            text(403, "signature refused")
        }
    }
}

async fn answer(deps: &Deps, verified: &VerifiedEnvelope) -> Value {
    let envelope = verified.envelope();
    match envelope.kind {
        Kind::Notification => {
            let at = envelope.sent_at().unwrap_or_else(deps.clock);
            match store(deps, vec![Notified::of(&envelope.message, at)]).await {
                Ok(_) => text(200, "stored"),
                Err(error) => later(&error),
            }
        }
        Kind::SubscriptionConfirmation => match confirm(&deps.http, &deps.hosts, verified).await {
            Ok(()) => {
                tracing::info!(topic = envelope.topic_arn, "subscription confirmed");
                text(200, "confirmed")
            }
            Err(error) => later(&error),
        },
        Kind::UnsubscribeConfirmation => {
            // Whether that was meant, a person must say.
            telemetry::metric("SnsUnsubscribed", 1.0, &[]);
            tracing::error!(
                topic = envelope.topic_arn,
                "a topic does not speak to us any more"
            );
            text(200, "noted")
        }
    }
}

fn body(request: &Value) -> Option<Vec<u8>> {
    let body = request["body"].as_str()?;
    match request["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body).ok(),
        _ => Some(body.as_bytes().to_vec()),
    }
}

fn later(error: &dyn std::error::Error) -> Value {
    tracing::error!(error = telemetry::chain(error), "notification not taken in");
    text(503, "try again later")
}

fn text(status: u16, body: &str) -> Value {
    json!({"statusCode": status, "headers": {"content-type": "text/plain; charset=utf-8"}, "body": body})
}
