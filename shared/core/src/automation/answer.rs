//! What a run answers: per recipient what happened, by ids alone. Stored with the run and answered again to a repeat.

use super::audience::Who;
use crate::model::{Channel, MessageId, RunId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What became of a request. Stored, so that a repeat reads the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunAnswer {
    pub run_id: RunId,
    pub status: RunStatus,
    pub recipients: Vec<RecipientAnswer>,
}

impl RecipientAnswer {
    /// Of somebody whom a batch lists and nobody knows any more.
    #[must_use]
    pub fn unknown(who: Who) -> Self {
        Self {
            who,
            outcome: RecipientOutcome::Unknown,
            send_at: None,
            message_id: None,
            reason: None,
            skipped: Vec::new(),
        }
    }
}

impl RunAnswer {
    /// Messages on their way.
    #[must_use]
    pub fn messages(&self) -> usize {
        let queued = |answer: &&RecipientAnswer| answer.outcome == RecipientOutcome::Queued;
        self.recipients.iter().filter(queued).count()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    Completed,
    /// The row had moved on when the event came.
    Stale,
    /// The trigger is switched off for this tenant.
    Ignored,
    /// An orchestrator has it, until its deadline.
    #[serde(rename = "HANDED_OVER")]
    HandedOver,
}

impl RunStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Stale => "STALE",
            Self::Ignored => "IGNORED",
            Self::HandedOver => "HANDED_OVER",
        }
    }
}

/// One recipient's part, by ids alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecipientAnswer {
    #[serde(flatten)]
    pub who: Who,
    pub outcome: RecipientOutcome,
    /// When it may leave, where that is not at once: RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub send_at: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// Why there is no message, in words for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rule's steps that are not in this recipient's chain, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// A channel of the rule that this recipient is not written to on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    pub channel: Channel,
    pub reason: SkipReason,
    /// What is wrong with the template, in words for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SkipReason {
    NoActiveAccount,
    NoAddress,
    /// It bounced for good, or whoever has it complained.
    AddressSuppressed,
    NoTemplate,
    TemplateError,
    /// Meta has not approved the WhatsApp template, or does not any more.
    TemplateNotApproved,
    NoConsent,
    /// The run that it is beside, or another part of it, is written to them on this channel.
    AlreadyTold,
}

impl SkipReason {
    /// What it is for the recipient when the whole rule comes to nothing.
    pub(super) fn outcome(self) -> RecipientOutcome {
        match self {
            Self::NoActiveAccount => RecipientOutcome::NoActiveAccount,
            Self::NoAddress | Self::AddressSuppressed => RecipientOutcome::NoAddress,
            Self::NoTemplate => RecipientOutcome::NoTemplate,
            Self::TemplateError => RecipientOutcome::TemplateError,
            Self::TemplateNotApproved => RecipientOutcome::TemplateNotApproved,
            Self::NoConsent => RecipientOutcome::Suppressed,
            Self::AlreadyTold => RecipientOutcome::Duplicate,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecipientOutcome {
    Queued,
    /// A row that never leaves: consent is missing on every channel that could be used.
    Suppressed,
    /// The same address as another recipient of this run, or somebody who hears of it by the run that this is beside.
    Duplicate,
    NoAddress,
    NoActiveAccount,
    NoTemplate,
    TemplateError,
    TemplateNotApproved,
    /// The host or the service knows nobody of this id any more.
    Unknown,
    /// The rule drops what would come in quiet hours, or it would be too late after them.
    QuietHours,
}
