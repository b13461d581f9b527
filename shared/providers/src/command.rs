//! What the service asks a provider to send, in no provider's words.
//!
//! A command is complete: template chosen, text rendered, recipient resolved. An adapter translates it and adds
//! nothing of its own.

use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// One message to one recipient.
///
/// `correlation_id` is our message id. The adapter puts it into the provider's echo field
/// (`biz_opaque_callback_data` at Meta, an email tag at SES, the context at End User Messaging; SNS has none), so
/// that a later status names our message even when the answer to the call was never seen.
#[derive(Debug, Clone, PartialEq)]
pub struct SendMessageCommand {
    pub correlation_id: Uuid,
    pub recipient: Recipient,
    pub content: Content,
    /// The id of the message that this one answers: the provider's (`wamid.…`), or an email's `Message-ID`.
    pub reply_to: Option<String>,
    /// What is left of its life, told to providers that can drop a late message; `None`: as long as they try.
    pub expires_in: Option<Duration>,
}

/// Where a message goes. One variant per kind of address, never a bare string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// E.164 with its leading `+`.
    Phone(String),
    /// Meta's business-scoped user id, such as `ES.1349`.
    WhatsAppUser(String),
    /// `local@domain`, without a display name.
    Email(String),
}

#[cfg(feature = "adapters")]
impl Recipient {
    /// Is it a phone number of the form `+` and 5 to 15 digits?
    pub(crate) fn is_e164(&self) -> bool {
        let Self::Phone(phone) = self else {
            return false;
        };
        phone.strip_prefix('+').is_some_and(|digits| {
            (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    }
}

/// The typed body of a message, outbound and inbound; stored as `messages.content`.
///
/// Which channel can carry which: WhatsApp everything but `Email` and `Sms`; email `Email`; SMS `Sms` and `Text`. An adapter
/// refuses what its channel cannot carry as `PermanentContent`, without a call.
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
    Image(Media),
    Video(Media),
    Audio(Media),
    Document(Media),
    Sticker(Media),
    Location(Location),
    /// Reply buttons or a list to pick from.
    Interactive(Interactive),
    Reaction(Reaction),
    Email(Email),
    Sms(Sms),
    /// Inbound only, as all that follow. Address cards, none to many, as the provider writes them.
    Contacts {
        cards: Vec<serde_json::Value>,
    },
    /// A cart: `catalog_id`, `text`, `product_items`, as the provider writes them.
    Order {
        order: serde_json::Value,
    },
    /// A button or a row that was tapped.
    Reply(TappedReply),
    /// The answers to a form. `response` is what was filled in; a string where it was no JSON.
    Form {
        name: String,
        response: serde_json::Value,
    },
    /// Something that the provider could not pass on: `kind` as far as it says, `code` its error.
    Unsupported {
        kind: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    /// A notice of the provider's about the person: `kind` its word.
    System {
        kind: String,
        body: String,
    },
    /// The customer deleted it for everybody.
    Revoked,
    /// A type that has no typed form here yet: kept whole, shown as a placeholder.
    Other {
        kind: String,
        raw: serde_json::Value,
    },
}

/// A template send. `language` must equal an approved translation exactly (`es` is not `es_ES`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WhatsAppTemplate {
    pub name: String,
    pub language: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<TemplateHeader>,
    /// Body parameters in the order of the template's placeholders `{{1}}`, `{{2}}`, …
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub body: Vec<String>,
    /// Names of the body parameters, for a template whose placeholders are named; empty for a positional one.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub body_names: Vec<String>,
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub buttons: Vec<TemplateButton>,
}

/// GraphQL clients write an absent list as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The one variable part that a template's header may have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TemplateHeader {
    Text { text: String },
    Image(Media),
    Video(Media),
    Document(Media),
    Location(Location),
}

/// The variable part of one of a template's buttons. `index` is its zero-based place among all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateButton {
    pub index: u8,
    pub parameter: ButtonParameter,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ButtonParameter {
    /// What replaces the variable end of the button's URL; also the code of an authentication template.
    Url { text: String },
    /// What comes back when it is pressed.
    QuickReply { payload: String },
    /// A coupon code to copy, at most 15 characters.
    CopyCode { code: String },
}

/// A file that the provider has (`id`) or fetches itself (`link`): exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Media {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// At most 1024 characters; not for audio and stickers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Documents only; its ending picks the icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Inbound only, as all that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Spoken into the phone, and no file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub animated: bool,
}

/// What the customer tapped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TappedReply {
    pub title: String,
    /// What we gave the button or the row: `id`, or the payload of a template's quick reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Is it a quick reply of a template, and not an answer to a question of the conversation?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_template: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees, WGS 84.
    pub latitude: f64,
    pub longitude: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Inbound only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A question with answers to tap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interactive {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    pub body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    pub action: InteractiveAction,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InteractiveAction {
    /// One to three.
    Buttons { buttons: Vec<ReplyButton> },
    /// At most ten rows in all sections together.
    List {
        button: String,
        sections: Vec<ListSection>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyButton {
    pub id: String,
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListSection {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub rows: Vec<ListRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListRow {
    pub id: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An emoji on a message; an empty one takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// The provider's id of the message reacted to.
    pub message_id: String,
    pub emoji: String,
}

/// An email. At least one of `text` and `html` is there; both make a multipart/alternative.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Email {
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Must the recipient be able to unsubscribe (`List-Unsubscribe`)? So for marketing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsubscribable: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    pub filename: String,
    /// Such as `application/pdf`.
    pub content_type: String,
    /// The file, base64.
    pub data: String,
}

/// A text message. Its parts are counted where it is made (`sms::segments`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sms {
    pub body: String,
    /// Promotional texts go by other routes and hours than transactional ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promotional: bool,
}
