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
    App,
    Account,
    PhoneNumber,
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
