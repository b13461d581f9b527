//! What is kept for tests to look at.

use crate::SignedWebhook;
use serde::Serialize;
use serde_json::Value;

/// One call of `/{version}/{phone_number_id}/messages`, whatever became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    pub phone_number_id: String,
    /// The phone number it was for, as it came.
    pub to: Option<String>,
    /// The business-scoped user id it was for.
    pub recipient: Option<String>,
    /// `type` of the message; empty where there was none.
    pub kind: String,
    /// The body as it came; `null` where it was not JSON.
    pub body: Value,
    /// `biz_opaque_callback_data`.
    pub correlation: Option<String>,
    /// The message exists and will be reported on, whether or not the caller was told.
    pub accepted: bool,
    pub wamid: Option<String>,
    /// The error code of the answer.
    pub code: Option<i64>,
    /// The HTTP status of the answer; `None` where the simulator hung up.
    pub http_status: Option<u16>,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// A message of a customer's that a number said was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    pub phone_number_id: String,
    /// Of the customer's message.
    pub message_id: String,
    /// Was typing to be shown with it?
    pub typing: bool,
}

/// One webhook and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delivery {
    pub id: u64,
    /// Of a webhook about an account: the account's id.
    pub phone_number_id: String,
    pub state: DeliveryState,
    pub attempts: Vec<Attempt>,
    pub payload: Value,
    #[serde(skip)]
    pub webhook: SignedWebhook,
}

/// Where a webhook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Under way, or waiting for its next attempt.
    Pending,
    /// Answered with 200.
    Delivered,
    /// Given up.
    Failed,
    /// The number has no `callback_url`.
    Held,
    /// Held, and taken by a test.
    Taken,
}

/// One POST to the callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// `None` where no answer came.
    pub http_status: Option<u16>,
}
