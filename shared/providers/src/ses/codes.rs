//! What the error codes of SES mean for a send, by code and, where one code has two meanings, by its message.
//!
//! Codes that only managing calls answer are absent on purpose and read as `Unknown`.
//!
//! Source: the errors of `SendEmail` (API v2) and "Managing your sending limits", developer guide.

use crate::aws::{ServiceError, Verdict};
use crate::{OutcomeClass, Scope};

/// The send rate, the daily quota and the enforcement are those of the AWS account, which all tenants share; a
/// configuration set and an SES tenant belong to one account of ours.
pub(super) fn classify(error: ServiceError<'_>) -> Option<Verdict> {
    let message = error.message.to_ascii_lowercase();
    let says = |words: &str| message.contains(words);
    Some(match error.code {
        "TooManyRequestsException" | "Throttling" | "ThrottlingException" if says("daily") => {
            (OutcomeClass::Hold(Scope::App), "daily quota used up")
        }
        "TooManyRequestsException" | "Throttling" | "ThrottlingException" => (
            OutcomeClass::RateLimited(Scope::App),
            "maximum sending rate exceeded",
        ),
        "LimitExceededException" => (
            OutcomeClass::Hold(Scope::App),
            "a limit of the AWS account is reached",
        ),
        "AccountSuspendedException" => (
            OutcomeClass::Hold(Scope::App),
            "the AWS account may no longer send",
        ),
        // Which error a paused tenant gives is not documented; the message says what is paused.
        "SendingPausedException" | "MessageRejected" | "BadRequestException" if says("paused") => {
            if says("configuration set") || says("tenant") {
                (
                    OutcomeClass::Hold(Scope::Account),
                    "sending is paused for this account",
                )
            } else {
                (OutcomeClass::Hold(Scope::App), "sending is paused")
            }
        }
        "SendingPausedException" => (OutcomeClass::Hold(Scope::App), "sending is paused"),
        "MessageRejected" if says("not verified") => (
            OutcomeClass::AccountConfig,
            "an address or a domain is not verified",
        ),
        "MessageRejected" => (OutcomeClass::PermanentContent, "message rejected"),
        "MailFromDomainNotVerifiedException" => (
            OutcomeClass::AccountConfig,
            "the MAIL FROM domain is not verified",
        ),
        "NotFoundException" => (
            OutcomeClass::AccountConfig,
            "configuration set, identity or tenant missing",
        ),
        "AccessDeniedException" => (
            OutcomeClass::AccountConfig,
            "sending is not allowed with this identity, configuration set or tenant",
        ),
        "BadRequestException" => (OutcomeClass::PermanentContent, "input invalid"),
        "ConcurrentModificationException" => (
            OutcomeClass::Retryable,
            "something was being changed meanwhile",
        ),
        _ => return None,
    })
}
