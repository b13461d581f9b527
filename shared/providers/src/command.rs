//! What the service asks a provider to send, in no provider's words.
//!
//! A command is complete: template chosen, text rendered, recipient resolved. An adapter translates it and adds
//! nothing of its own.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One message to one recipient.
///
/// `correlation_id` is our message id. The adapter puts it into the provider's echo field
/// (`biz_opaque_callback_data` at Meta), so that a later status names our message even when the answer to the
/// call was never seen.
#[derive(Debug, Clone, PartialEq)]
pub struct SendMessageCommand {
    pub correlation_id: Uuid,
    pub recipient: Recipient,
    pub content: Content,
    /// The provider's id of the message that this one answers.
    pub reply_to: Option<String>,
}

/// Where a message goes. One variant per kind of address, never a bare string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// E.164 with its leading `+`.
    Phone(String),
    /// Meta's business-scoped user id, such as `ES.1349`.
    WhatsAppUser(String),
}

/// The typed body of a message, outbound and inbound; stored as `messages.content`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    Text {
        body: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        preview_url: bool,
    },
    /// An approved WhatsApp template with its parameters filled in.
    Template(WhatsAppTemplate),
    /// An inbound message of a type that has no typed form here yet: kept whole, shown as a placeholder.
    Other {
        kind: String,
        raw: serde_json::Value,
    },
}

/// A template send. `language` must equal an approved translation exactly (`es` is not `es_ES`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhatsAppTemplate {
    pub name: String,
    pub language: String,
    /// Body parameters in the order of the template's placeholders `{{1}}`, `{{2}}`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<String>,
}
