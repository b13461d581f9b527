//! What the errors of `SendTextMessage` mean, by exception and by the `Reason` in it.
//!
//! Source: the errors of `SendTextMessage` and the `…Reason` enumerations, API reference.

use crate::aws::{ServiceError, Verdict};
use crate::{OptOut, OutcomeClass, Scope};

const OPTED_OUT: &str = "DESTINATION_PHONE_NUMBER_OPTED_OUT";

/// The spend limit and the reputation are those of the AWS account, which all tenants share; the pace is that of the
/// identity that a message leaves from.
pub(super) fn classify(error: ServiceError<'_>) -> Option<Verdict> {
    Some(match (error.code, error.reason) {
        ("ThrottlingException", _) => (
            OutcomeClass::RateLimited(Scope::PhoneNumber),
            "sending too fast",
        ),
        ("ServiceQuotaExceededException", _) => (
            OutcomeClass::Hold(Scope::App),
            "the spend limit or another quota is reached",
        ),
        ("AccessDeniedException", "INSUFFICIENT_ACCOUNT_REPUTATION" | "ACCOUNT_DISABLED") => (
            OutcomeClass::Hold(Scope::App),
            "the AWS account may no longer send SMS",
        ),
        ("ConflictException", reason) => conflict(reason)?,
        ("ResourceNotFoundException", _) => (
            OutcomeClass::AccountConfig,
            "number, pool or configuration set missing",
        ),
        ("ValidationException", reason) => validation(reason, error.message),
        _ => return None,
    })
}

/// A refusal whose code has this reason is the recipient's own wish.
pub(super) fn opt_out(code: &str) -> Option<OptOut> {
    code.ends_with(OPTED_OUT).then_some(OptOut::Everything)
}

/// Most other conflicts are those of calls that manage numbers, and unknown here.
fn conflict(reason: &str) -> Option<Verdict> {
    Some(match reason {
        OPTED_OUT => (
            OutcomeClass::PermanentRecipient,
            "the recipient opted out of our messages",
        ),
        "DESTINATION_PHONE_NUMBER_NOT_VERIFIED" => (
            OutcomeClass::PermanentRecipient,
            "the AWS account is in the sandbox and the number is not verified",
        ),
        "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION"
        | "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE" => (
            OutcomeClass::PermanentRecipient,
            "the country or the number is blocked by our settings",
        ),
        "NO_ORIGINATION_IDENTITIES_FOUND" => (
            OutcomeClass::AccountConfig,
            "nothing to send from to this country",
        ),
        "RESOURCE_NOT_ACTIVE" | "MESSAGE_TYPE_MISMATCH" | "NUMBER_CAPABILITIES_MISMATCH" => (
            OutcomeClass::AccountConfig,
            "the number is not active or not made for this",
        ),
        _ => return None,
    })
}

/// What the recipient's country forbids fails this message only; what is not registered fails every one.
fn validation(reason: &str, message: &str) -> Verdict {
    match reason {
        "DESTINATION_COUNTRY_BLOCKED"
        | "COUNTRY_NOT_ENABLED"
        | "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY"
        | "SENDER_ID_NOT_SUPPORTED"
        | "INTERNATIONAL_SENDING_NOT_SUPPORTED" => (
            OutcomeClass::PermanentRecipient,
            "this country cannot be reached from here",
        ),
        "SENDER_ID_NOT_REGISTERED" | "SENDER_ID_REQUIRES_REGISTRATION" => (
            OutcomeClass::AccountConfig,
            "the sender id must be registered",
        ),
        "PRICE_OVER_THRESHOLD" => (
            OutcomeClass::PermanentContent,
            "dearer than the price that was allowed",
        ),
        "MAXIMUM_SIZE_EXCEEDED" => (OutcomeClass::PermanentContent, "the text is too long"),
        _ if message.contains("DestinationPhoneNumber") => {
            (OutcomeClass::PermanentRecipient, "phone number refused")
        }
        _ => (OutcomeClass::PermanentContent, "parameter refused"),
    }
}
