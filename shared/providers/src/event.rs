//! What providers tell us, in no provider's words.
//!
//! Every parser answers these; everything above reads only these. Text from outside stays text: nothing here is
//! trusted for routing until the tenant is known to own `account`.

use crate::{Content, OptOut, OutcomeClass};
use time::OffsetDateTime;
use uuid::Uuid;

/// One thing that a provider reported, with the sender account it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderEvent {
    /// Which of our accounts it is for; `None` where the payload does not name one.
    pub account: Option<AccountRef>,
    pub kind: EventKind,
    /// The provider's own JSON of this one event, for the log and for quarantine. Fit for a `jsonb` column: it has no
    /// NUL characters, and what cannot be parsed at all is one string of its text.
    pub raw: serde_json::Value,
}

/// How a provider names one of our accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountRef {
    /// `phone_number_id` at Meta.
    pub external_account_id: String,
    /// The WABA id of `entry[].id`.
    pub waba_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    Message(Box<InboundMessage>),
    Status(DeliveryUpdate),
    /// A field or shape that is understood to be something else; kept with its name.
    Unhandled {
        field: String,
    },
    /// Something that should have been a message or a status and could not be read.
    Malformed {
        reason: String,
    },
}

/// A customer wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundMessage {
    pub external_message_id: String,
    pub sender: InboundSender,
    pub content: Content,
    /// What people read in the list and the thread; a placeholder for types without text.
    pub body: String,
    /// The provider's id of the message that this one answers.
    pub reply_to: Option<String>,
    /// The provider's clock, which is the order that people see.
    pub sent_at: OffsetDateTime,
}

/// Everything the provider said about who wrote. At least one of `wa_id` and `user_id` is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboundSender {
    /// Digits without `+`, as WhatsApp names the account.
    pub wa_id: Option<String>,
    /// Business-scoped user id (BSUID).
    pub user_id: Option<String>,
    pub parent_user_id: Option<String>,
    pub profile_name: Option<String>,
}

/// The provider reports on a message of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryUpdate {
    pub external_message_id: String,
    pub status: DeliveryStatus,
    /// The provider's word, kept because new ones appear.
    pub provider_status: String,
    /// Our message id, echoed; `None` when absent or not one of ours.
    pub correlation_id: Option<Uuid>,
    pub occurred_at: OffsetDateTime,
    pub failure: Option<DeliveryFailure>,
}

/// `Unknown` is logged and projects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    Sent,
    Delivered,
    Read,
    Failed,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFailure {
    pub code: String,
    /// What the code would mean as the answer to a send.
    pub class: OutcomeClass,
    /// The recipient's own wish.
    pub opt_out: Option<OptOut>,
    /// Title and details; never an address.
    pub reason: String,
}
