//! What a bounce means, by its type and sub type.
//!
//! Source: "Bounce types", SES developer guide.

use super::{News, failed, with};
use crate::event::{DeliveryFailure, DeliveryStatus};
use crate::{OptOut, OutcomeClass, json};
use serde_json::Value;

pub(super) fn read(event: &Value) -> News {
    let kind = json::text(event, "/bounce/bounceType");
    let sort = json::text(event, "/bounce/bounceSubType");
    let word = with("Bounce", &[kind, sort]);
    let verdict = verdict(kind.unwrap_or_default(), sort.unwrap_or_default());
    let failure = DeliveryFailure {
        opt_out: verdict.opt_out,
        address_is_bad: verdict.address_is_bad,
        ..failed(&word, verdict.class, verdict.reason)
    };
    News {
        member: "bounce",
        recipients: "/bounce/bouncedRecipients",
        word,
        status: DeliveryStatus::Failed,
        failure: Some(failure),
    }
}

struct Verdict {
    class: OutcomeClass,
    opt_out: Option<OptOut>,
    address_is_bad: bool,
    reason: &'static str,
}

/// New sub types appear; what a permanent bounce has in common is that the address is not to be used again.
fn verdict(kind: &str, sort: &str) -> Verdict {
    let refused = |class, reason| Verdict {
        class,
        opt_out: None,
        address_is_bad: false,
        reason,
    };
    match (kind, sort) {
        ("Permanent", "UnsubscribedRecipient") => Verdict {
            opt_out: Some(OptOut::Marketing),
            ..refused(
                OutcomeClass::PermanentRecipient,
                "the recipient unsubscribed",
            )
        },
        ("Permanent", sort) => Verdict {
            address_is_bad: true,
            ..refused(
                OutcomeClass::PermanentRecipient,
                match sort {
                    "NoEmail" => "there is no such address",
                    "Suppressed"
                    | "OnAccountSuppressionList"
                    | "OnTenantSuppressionList"
                    | "EmailValidationSuppressed" => "the address is on a list of bad ones",
                    _ => "the recipient's mail server refused for good",
                },
            )
        },
        ("Transient", "MessageTooLarge") => refused(
            OutcomeClass::PermanentContent,
            "the message is too large for the recipient",
        ),
        ("Transient", "ContentRejected") => refused(
            OutcomeClass::PermanentContent,
            "the message's content was refused",
        ),
        ("Transient", "AttachmentRejected") => {
            refused(OutcomeClass::PermanentContent, "an attachment was refused")
        }
        ("Transient", "MailboxFull") => {
            refused(OutcomeClass::Retryable, "the recipient's mailbox is full")
        }
        ("Transient", "CustomTimeoutExceeded") => refused(
            OutcomeClass::Retryable,
            "not delivered within the time given",
        ),
        ("Transient", _) => refused(
            OutcomeClass::Retryable,
            "not delivered in spite of several attempts",
        ),
        _ => refused(OutcomeClass::Unknown, "not delivered, and nobody knows why"),
    }
}

/// Adds what the mail server answered to this recipient, as a number: its words may quote the address.
pub(super) fn with_code(
    failure: Option<DeliveryFailure>,
    recipient: &Value,
) -> Option<DeliveryFailure> {
    let mut failure = failure?;
    let is_code = |code: &&str| {
        code.len() <= 11
            && code.split('.').count() == 3
            && code
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    if let Some(code) = json::text(recipient, "/status").filter(is_code) {
        failure.reason = format!("{} ({code})", failure.reason);
    }
    Some(failure)
}
