//! What providers tell us, in no provider's words.
//!
//! Every parser answers these; everything above reads only these. Text from outside stays text: nothing here is
//! trusted for routing until the tenant is known to own `account`.

pub mod mail;

use crate::{Content, OptOut, OutcomeClass};
use serde_json::Value;
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
    pub raw: Value,
}

/// How a provider names one of our accounts. At least one member is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountRef {
    /// `phone_number_id` at Meta; the identity's domain at SES; the number, E.164, for SMS.
    pub external_account_id: Option<String>,
    /// The id of the WhatsApp business account: what templates and account notices belong to.
    pub waba_id: Option<String>,
    /// Our own id, echoed by a provider that echoes more than one value (SES tags, the context of End User Messaging).
    pub account_id: Option<Uuid>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// A customer wrote.
    Message(Box<InboundMessage>),
    /// Somebody wrote as us elsewhere: in the phone app of a number that it shares with the API.
    Echo(Box<Echo>),
    Reaction(Reaction),
    Edit(Box<Edit>),
    Revoke(Revoke),
    /// What became of a message of ours.
    Status(Box<DeliveryUpdate>),
    /// Somebody has other ids than before.
    PersonChanged(Box<PersonChange>),
    Consent(ConsentChange),
    Template(Box<TemplateUpdate>),
    Account(Box<AccountUpdate>),
    /// A field or shape that is understood to be something else; kept with its name.
    Unhandled {
        field: String,
    },
    /// Something that should have been one of the above and could not be read.
    Malformed {
        reason: String,
    },
}

/// Everything the provider said about one person. At least one of the ids is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// Digits without `+`, as WhatsApp names the account.
    pub wa_id: Option<String>,
    /// Business-scoped user id (BSUID), such as `ES.1349`.
    pub user_id: Option<String>,
    pub parent_user_id: Option<String>,
    /// E.164, where the channel is a phone's own.
    pub phone: Option<String>,
    /// `local@domain` in lower case.
    pub email: Option<String>,
    pub name: Option<String>,
}

/// A customer wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundMessage {
    pub external_message_id: String,
    pub sender: Person,
    pub content: Content,
    /// What people read in the list and the thread; a placeholder for types without text.
    pub body: String,
    /// The provider's id of the message that this one answers.
    pub reply_to: Option<String>,
    /// What stands beside the content, as an object: `forwarded`, `frequently_forwarded`, `referred_product`, `referral`,
    /// `group_id`.
    pub context: Option<Value>,
    /// Files to fetch; what the content shows of them stands in it.
    pub media: Vec<InboundMedia>,
    /// Has the provider, upon this message, put its sender on a list of its own of those who get nothing more from this number? It
    /// goes by the first word, whatever was meant by it.
    pub barred_by_provider: bool,
    /// E.164: the number that they have given as theirs because they were asked for it.
    pub given_phone: Option<String>,
    /// The provider's clock, which is the order that people see.
    pub sent_at: OffsetDateTime,
}

impl InboundMessage {
    /// Was it written to a group, of which its sender is one? The hours in which anything may be answered are then the
    /// group's, not the sender's own (Meta, Groups API pricing).
    #[must_use]
    pub fn is_to_a_group(&self) -> bool {
        let context = self.context.as_ref();
        context.is_some_and(|context| context.get("group_id").is_some())
    }
}

/// A file that the provider keeps for us for a while.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboundMedia {
    /// `image`, `video`, `audio`, `document` or `sticker`.
    pub kind: String,
    /// The provider's id of the file.
    pub provider_media_id: String,
    /// Where it lies now; may have died by the time that it is asked for.
    pub url: Option<String>,
    pub mime_type: Option<String>,
    /// As the provider said it, hex or base64.
    pub sha256: Option<String>,
    pub filename: Option<String>,
}

/// A message to a customer that did not leave by us. An echo of our own send names a message that we have.
#[derive(Debug, Clone, PartialEq)]
pub struct Echo {
    pub external_message_id: String,
    pub recipient: Person,
    pub content: Content,
    pub body: String,
    pub reply_to: Option<String>,
    pub context: Option<Value>,
    pub media: Vec<InboundMedia>,
    pub sent_at: OffsetDateTime,
}

/// An emoji on a message, put there or taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// Of the reaction itself.
    pub external_message_id: String,
    pub by: Actor,
    /// The provider's id of the message reacted to.
    pub target: String,
    /// `None`: taken away.
    pub emoji: Option<String>,
    pub at: OffsetDateTime,
}

/// A message says something else now.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Of the edit itself.
    pub external_message_id: String,
    pub by: Actor,
    /// The provider's id of the message that was changed.
    pub target: String,
    pub content: Content,
    pub body: String,
    /// Was it written to a group?
    pub in_a_group: bool,
    pub at: OffsetDateTime,
}

/// A message was deleted for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// Of the deletion itself.
    pub external_message_id: String,
    pub by: Actor,
    pub target: String,
    pub at: OffsetDateTime,
}

/// Who did something in a thread; either way the thread is that person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Customer(Person),
    /// Us, in the phone app, towards this person.
    Us(Person),
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
    /// The recipient's ids, where the provider names them: evidence of which belong to one person.
    pub recipient: Option<Person>,
    pub price: Option<Price>,
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
    /// Nothing more is to be sent to this address: it does not exist, or has complained.
    pub address_is_bad: bool,
    /// Title and details; never an address.
    pub reason: String,
}

/// What a message costs, as far as the provider says it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Price {
    /// The provider's word: `utility`, `marketing`, `service` …; `Transactional`, `Promotional` for SMS.
    pub category: Option<String>,
    /// `PMP` (per message) and its relatives.
    pub model: Option<String>,
    /// `regular`, `free_customer_service` …
    pub kind: Option<String>,
    pub billable: Option<bool>,
    /// In millionths of `currency`.
    pub micros: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Parts of an SMS.
    pub units: Option<i32>,
}

/// The provider tells that somebody's ids changed. `after` has at least one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonChange {
    pub external_message_id: String,
    pub kind: PersonChangeKind,
    pub before: Person,
    pub after: Person,
    /// The provider's line about it.
    pub body: String,
    pub at: OffsetDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonChangeKind {
    /// Another phone number, and with it another user id.
    Number,
    UserId,
    /// Another device key: the same person, or somebody with their number.
    IdentityKey,
}

/// The customer told the provider what we may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentChange {
    pub person: Person,
    pub what: OptOut,
    pub granted: bool,
    /// The provider's word: `stop`, `resume`, `signup`.
    pub word: String,
    pub at: OffsetDateTime,
}

/// Something about a template at the provider. Members that the notice does not have are `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TemplateUpdate {
    pub name: String,
    pub language: String,
    /// The provider's id.
    pub template_id: Option<String>,
    /// `APPROVED`, `REJECTED`, `PAUSED` …: the provider's words.
    pub status: Option<String>,
    pub category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality: Option<String>,
    pub reason: Option<String>,
    pub components: Option<Value>,
    pub at: Option<OffsetDateTime>,
}

/// Something about an account at the provider.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountUpdate {
    /// The field it came in (`account_update`, `phone_number_quality_update`, `security` …); `errors` for faults beside
    /// messages.
    pub field: String,
    /// What happened, in the provider's word (`DISABLED_UPDATE`, `FLAGGED`, `PIN_CHANGED`), or an error's code.
    pub event: String,
    /// Of whom, where it is a number's and not the whole account's: as people see it.
    pub display_phone_number: Option<String>,
    pub change: AccountChange,
    pub at: Option<OffsetDateTime>,
}

impl AccountUpdate {
    /// Does it happen to the whole business account? What stops or restores one, or is about to, is about all of its numbers
    /// whichever it names.
    #[must_use]
    pub fn is_of_the_business(&self) -> bool {
        self.field == "account_update" && self.change != AccountChange::Notice { alert: false }
    }
}

/// What a notice means for our record of the account.
#[derive(Debug, Clone, PartialEq)]
pub enum AccountChange {
    /// Banned or deleted: nothing can be sent until a person has acted.
    Suspended {
        reason: String,
    },
    /// The operator has taken our app away: nothing can be sent until they connect it again.
    Disconnected {
        reason: String,
    },
    /// What was suspended or disconnected works again.
    Reinstated,
    Quality(String),
    MessagingTier(String),
    /// Messages a second that the provider takes.
    Throughput(u32),
    DisplayName {
        name: String,
        decision: String,
    },
    /// Kept and shown; changes nothing by itself. `alert`: a person should look.
    Notice {
        alert: bool,
    },
}
