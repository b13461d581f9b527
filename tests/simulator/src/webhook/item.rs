//! The items of a webhook: what a customer wrote, and what became of a message.

use crate::StatusStep;
use crate::cloud::errors;
use crate::state::{new_wamid, now_ms};
use serde::Deserialize;
use serde_json::{Value, json};

/// A message of a customer's. At least one of `from` and `user_id` must be there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// Digits, without `+`.
    #[serde(default)]
    pub from: Option<String>,
    /// Business-scoped user id.
    #[serde(default)]
    pub user_id: Option<String>,
    #[serde(default)]
    pub profile_name: Option<String>,
    #[serde(default = "new_wamid")]
    pub id: String,
    /// Seconds since 1970; now where it is left out.
    #[serde(default = "now")]
    pub timestamp: i64,
    #[serde(default)]
    pub text: String,
    /// The id of the message that is answered.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// Members that replace the text, such as `{"type": "image", "image": {…}}`.
    #[serde(default)]
    pub message: Option<Value>,
}

/// A status of a message that was accepted.
#[derive(Debug, Clone)]
pub struct StatusReport {
    pub wamid: String,
    pub step: StatusStep,
    /// Digits, without `+`.
    pub recipient: Option<String>,
    /// Business-scoped user id.
    pub user_id: Option<String>,
    /// Echoed as `biz_opaque_callback_data`.
    pub correlation: Option<String>,
    /// Seconds since 1970.
    pub timestamp: i64,
}

fn now() -> i64 {
    i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX)
}

impl Inbound {
    /// A text, written now by somebody with this number.
    #[must_use]
    pub fn text(from: &str, text: &str) -> Self {
        Self {
            from: Some(from.to_owned()),
            user_id: None,
            profile_name: None,
            id: new_wamid(),
            timestamp: now(),
            text: text.to_owned(),
            reply_to: None,
            message: None,
        }
    }

    pub(super) fn contact(&self) -> Value {
        let mut contact = json!({});
        set(&mut contact, "wa_id", self.from.as_ref());
        set(&mut contact, "user_id", self.user_id.as_ref());
        if let Some(name) = &self.profile_name {
            contact["profile"] = json!({ "name": name });
        }
        contact
    }

    pub(super) fn message(&self) -> Value {
        let mut message = json!({ "id": self.id, "timestamp": self.timestamp.to_string() });
        set(&mut message, "from", self.from.as_ref());
        set(&mut message, "from_user_id", self.user_id.as_ref());
        if let Some(id) = &self.reply_to {
            message["context"] = json!({ "id": id });
        }
        if let Some(Value::Object(members)) = &self.message {
            for (name, value) in members {
                message[name] = value.clone();
            }
        } else {
            message["type"] = json!("text");
            message["text"] = json!({ "body": self.text });
        }
        message
    }
}

impl StatusReport {
    /// A status of now, about a message to somebody with this number.
    #[must_use]
    pub fn new(wamid: &str, step: impl Into<StatusStep>, recipient: &str) -> Self {
        Self {
            wamid: wamid.to_owned(),
            step: step.into(),
            recipient: Some(recipient.to_owned()),
            user_id: None,
            correlation: None,
            timestamp: now(),
        }
    }

    /// Meta sends no contact with a failure.
    pub(super) fn contact(&self) -> Option<Value> {
        if self.step.status == "failed" {
            return None;
        }
        let mut contact = json!({});
        set(&mut contact, "wa_id", self.recipient.as_ref());
        set(&mut contact, "user_id", self.user_id.as_ref());
        Some(contact)
    }

    /// `pricing` comes once per message, with `sent`.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "id": self.wamid,
            "status": self.step.status,
            "timestamp": self.timestamp.to_string(),
        });
        set(&mut status, "recipient_id", self.recipient.as_ref());
        set(&mut status, "recipient_user_id", self.user_id.as_ref());
        set(
            &mut status,
            "biz_opaque_callback_data",
            self.correlation.as_ref(),
        );
        if self.step.status == "sent" {
            status["pricing"] = json!({ "billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility" });
        }
        if let Some(code) = self.step.code {
            let title = errors::title(code);
            status["errors"] = json!([{
                "code": code, "title": title, "message": title,
                "error_data": { "details": format!("{title} (simulated).") },
            }]);
        }
        status
    }
}

fn set(object: &mut Value, name: &str, text: Option<&String>) {
    if let Some(text) = text {
        object[name] = json!(text);
    }
}
