//! Of AWS what the emulator of the local stack does not have: domains of SES that are not verified at once, its tenants, and End User
//! Messaging.
//!
//! It looks at no signature: who may call is IAM's, which the emulator plays.

mod ses;
mod sms;

pub(crate) use ses::Ses;
pub use ses::{DomainState, SentEmail};
pub(crate) use sms::Sms;
pub use sms::{SentText, SmsSender};

use crate::state::Shared;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Response, Uri};
use axum::routing::{any, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// The account and region of every ARN.
const HOME: &str = "us-east-1:000000000000";

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v2/email/{*path}", any(rest))
        .route("/v1/email/{*path}", any(rest))
        .route("/", post(targeted))
}

/// What the next calls of an operation get instead of the usual answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsScript {
    /// Such as `CreateEmailIdentity`.
    pub operation: String,
    /// How many calls it is good for; 0 is as 1.
    #[serde(default)]
    pub times: u32,
    pub http_status: u16,
    /// Such as `TooManyRequestsException`.
    pub code: String,
    #[serde(default)]
    pub message: String,
}

impl AwsScript {
    /// The next call of this operation is refused.
    #[must_use]
    pub fn fail(operation: &str, http_status: u16, code: &str) -> Self {
        Self {
            operation: operation.to_owned(),
            times: 1,
            http_status,
            code: code.to_owned(),
            message: String::new(),
        }
    }
}

/// One call of AWS.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AwsCall {
    pub operation: String,
    /// `null` where there was none.
    pub body: Value,
    /// The error code of the answer.
    pub code: Option<String>,
}

/// A refusal in AWS's words.
pub(crate) struct AwsError {
    status: u16,
    code: String,
    message: String,
    reason: Option<&'static str>,
}

impl AwsError {
    fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            reason: None,
        }
    }
}

type Answered = Result<Value, AwsError>;

/// REST with JSON: SES.
async fn rest(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().trim_matches('/');
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let operation = ses::operation(&method, &segments);
    said(shared.update(|known| {
        let outcome = match known.ses.scripted(operation) {
            Some(error) => Err(error),
            None => known.ses.perform(operation, &segments, &body),
        };
        known.ses.keep(operation, body, &outcome);
        outcome
    }))
}

/// JSON 1.0 with a target: SMS.
async fn targeted(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let operation = target.and_then(|target| target.strip_prefix("PinpointSMSVoiceV2."));
    let operation = operation.unwrap_or("Unknown");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    said(shared.update(|known| {
        let outcome = match known.ses.scripted(operation) {
            Some(error) => Err(error),
            None => known.sms.perform(operation, &body),
        };
        known.ses.keep(operation, body, &outcome);
        outcome
    }))
}

fn said(outcome: Answered) -> Response<Body> {
    let (status, code, body) = match outcome {
        Ok(body) => (200, None, body),
        Err(error) => {
            let mut body = json!({ "message": error.message, "__type": error.code });
            if let Some(reason) = error.reason {
                body["Reason"] = json!(reason);
            }
            (error.status, Some(error.code), body)
        }
    };
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json");
    if let Some(code) = code {
        response = response.header("x-amzn-errortype", code);
    }
    // Only a scripted status or code can be none; it shows as an empty answer.
    response
        .body(Body::from(body.to_string()))
        .unwrap_or_default()
}
