//! What became of a send, in the classes that the dispatch state machine decides by.
//!
//! Retry-or-not is decided here, where the provider's code is understood, and nowhere else.

use std::time::Duration;

/// The answer to a send.
#[derive(Debug, Clone, PartialEq)]
pub enum SendOutcome {
    Accepted(Accepted),
    Refused(Refusal),
}

/// The provider took the message over. It says nothing about delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id (`wamid.…`).
    pub external_message_id: String,
    /// The recipient as the provider knows it (`wa_id`), where it said so; may differ from what we dialled.
    pub recipient_wa_id: Option<String>,
    /// The recipient's business-scoped user id, where it said so.
    pub recipient_user_id: Option<String>,
}

impl Accepted {
    /// Accepted by a provider that says nothing about the recipient.
    #[must_use]
    pub fn new(external_message_id: impl Into<String>) -> Self {
        Self {
            external_message_id: external_message_id.into(),
            recipient_wa_id: None,
            recipient_user_id: None,
        }
    }
}

/// The message was not accepted, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub class: OutcomeClass,
    /// The provider's own code (`131026`), or one of ours for faults without one (`transport`, `timeout`).
    pub code: String,
    /// Fit for people and logs: never a token, an address or the message's text.
    pub reason: String,
    /// The provider's wish; we never try earlier.
    pub retry_after: Option<Duration>,
    /// After this many attempts in all it has failed, however many the class would allow; `None` leaves it to the
    /// class. For codes that may be a hiccup and may be a fault of the message.
    pub max_attempts: Option<u8>,
    /// The recipient does not want us: consent is to be withdrawn, so that nothing like it is sent again.
    pub opt_out: Option<OptOut>,
}

/// What a recipient told the provider not to accept from us any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptOut {
    /// Marketing messages on this channel; others still arrive.
    Marketing,
    /// Every message on this channel.
    Everything,
}

impl Refusal {
    /// A refusal without a wish of the provider's and with the budget of its class.
    #[must_use]
    pub fn new(class: OutcomeClass, code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            reason: reason.into(),
            retry_after: None,
            max_attempts: None,
            opt_out: None,
        }
    }
}

/// Refusals of ours, before any call.
#[cfg(feature = "adapters")]
impl Refusal {
    /// A command whose content the channel is sure to refuse; no call was made.
    pub(crate) fn invalid_content(reason: impl Into<String>) -> Self {
        Self::new(OutcomeClass::PermanentContent, "invalid-content", reason)
    }

    /// An address that is none on the channel; no call was made.
    pub(crate) fn invalid_recipient(reason: &str) -> Self {
        Self::new(
            OutcomeClass::PermanentRecipient,
            "invalid-recipient",
            reason,
        )
    }

    /// An account whose settings cannot make a valid call; no call was made.
    pub(crate) fn invalid_sender(reason: &str) -> Self {
        Self::new(OutcomeClass::AccountConfig, "invalid-sender", reason)
    }
}

/// Why a send was refused (docs/notification-pipeline-protocol.md has what follows from each).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeClass {
    /// Known not accepted, may pass later.
    Retryable,
    /// Too fast for `Scope`; costs no attempt.
    RateLimited(Scope),
    /// The bytes left and no trustworthy answer came: accepted or not, nobody knows.
    Ambiguous,
    /// A person or time must clear it; everything in `Scope` waits.
    Hold(Scope),
    /// The credentials are refused; the account needs to be authorised again.
    Auth,
    /// Free-form outside the customer service window.
    PolicyWindow,
    /// The recipient's or account's marketing cap; not before a day has passed.
    MarketingLimit,
    PermanentRecipient,
    PermanentContent,
    PermanentTemplate,
    /// The account is set up wrongly (number not registered, payment missing).
    AccountConfig,
    /// A code that no table here knows.
    Unknown,
}

/// What a throttle or a hold applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that we send through the provider, for every tenant: the Meta app; the AWS account in its region.
    App,
    /// One channel account: a WhatsApp business account; a configuration set or tenant of SES.
    Account,
    /// One number, or one identity that SMS leaves from.
    PhoneNumber,
    /// One sender to one recipient.
    Pair,
    Template,
}

impl OutcomeClass {
    /// The name stored in `message_attempts.class` and used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "RETRYABLE",
            Self::RateLimited(_) => "RATE_LIMITED",
            Self::Ambiguous => "AMBIGUOUS",
            Self::Hold(_) => "HOLD",
            Self::Auth => "AUTH",
            Self::PolicyWindow => "POLICY_WINDOW",
            Self::MarketingLimit => "MARKETING_LIMIT",
            Self::PermanentRecipient => "PERMANENT_RECIPIENT",
            Self::PermanentContent => "PERMANENT_CONTENT",
            Self::PermanentTemplate => "PERMANENT_TEMPLATE",
            Self::AccountConfig => "ACCOUNT_CONFIG",
            Self::Unknown => "UNKNOWN",
        }
    }
}
