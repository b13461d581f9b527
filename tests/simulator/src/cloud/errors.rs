//! Meta's error codes, as far as the simulator says them, and the envelope they come in.

use serde_json::{Value, json};

/// A refusal in Meta's words.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) http_status: u16,
    pub(crate) code: i64,
    pub(crate) subcode: Option<i64>,
    pub(crate) is_transient: bool,
    pub(crate) details: String,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
    /// The account whose calls are used up, and the minutes until it may call again.
    pub(crate) regained_after: Option<(String, u64)>,
}

impl ApiError {
    /// With the HTTP status that Meta uses for the code.
    pub(crate) fn new(code: i64, details: &str) -> Self {
        let http_status = about(code).0;
        Self {
            http_status,
            code,
            subcode: None,
            is_transient: false,
            details: details.to_owned(),
            retry_after: None,
            regained_after: None,
        }
    }

    pub(crate) fn body(&self) -> Value {
        let mut error = json!({
            "message": format!("(#{}) {}", self.code, title(self.code)),
            "type": "OAuthException",
            "code": self.code,
            "error_data": { "messaging_product": "whatsapp", "details": self.details },
            "fbtrace_id": "Simulated",
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = json!(subcode);
        }
        if self.is_transient {
            error["is_transient"] = json!(true);
        }
        json!({ "error": error })
    }
}

/// What `errors[].title` says in a webhook.
pub(crate) fn title(code: i64) -> &'static str {
    about(code).1
}

fn about(code: i64) -> (u16, &'static str) {
    match code {
        0 => (401, "Authentication failed"),
        2 => (503, "Service temporarily unavailable"),
        3 => (500, "Capability missing"),
        4 => (400, "Application request limit reached"),
        10 => (403, "Permission denied"),
        100 => (400, "Invalid parameter"),
        190 => (401, "Access token invalid"),
        200..=299 => (403, "Permission missing"),
        368 => (403, "Temporarily blocked for policy violations"),
        104 => (400, "Proof of the app's secret required"),
        80007 => (400, "Account rate limit reached"),
        80008 => (400, "Management rate limit reached"),
        130_429 => (400, "Throughput limit reached"),
        131_000 => (500, "Something went wrong"),
        131_005 => (403, "Access denied"),
        131_008 => (400, "Required parameter is missing"),
        131_009 => (400, "Parameter value is not valid"),
        131_016 => (500, "Service unavailable"),
        131_021 => (400, "Recipient is the sender"),
        131_026 => (400, "Message undeliverable"),
        131_031 => (403, "Account locked"),
        131_042 => (400, "Payment problem"),
        131_045 => (500, "Number registration problem"),
        131_047 => (400, "Re-engagement message"),
        131_048 => (400, "Spam rate limit reached"),
        131_049 => (400, "Not delivered to keep the ecosystem healthy"),
        131_050 => (400, "User stopped marketing messages"),
        131_051 => (400, "Unsupported message type"),
        131_056 => (400, "Pair rate limit reached"),
        131_057 => (500, "Account in maintenance"),
        132_000 => (400, "Template parameter count mismatch"),
        132_001 => (404, "Template does not exist"),
        132_005 => (400, "Template text too long"),
        132_007 => (400, "Template violates a policy"),
        132_012 => (400, "Template parameter format mismatch"),
        132_015 => (400, "Template is paused"),
        132_016 => (400, "Template is disabled"),
        132_018 => (400, "Template parameters are not valid"),
        133_004 => (503, "Server temporarily unavailable"),
        133_000 => (500, "Incomplete deregistration"),
        133_005 => (400, "Two-step verification PIN mismatch"),
        133_006 => (400, "Phone number re-verification needed"),
        133_008 => (400, "Too many two-step verification PIN guesses"),
        133_009 => (400, "Two-step verification PIN guessed too fast"),
        133_015 => (400, "Wait before registering the number"),
        133_016 => (400, "Registration limit reached"),
        133_010 => (400, "Phone number not registered"),
        _ => (400, "Simulated error"),
    }
}
