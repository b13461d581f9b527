//! What the error codes of `Publish` mean for a text message, by code: throttles come as codes that the SDK has no
//! type for.
//!
//! Codes of topics and of push messages are absent on purpose and read as `Unknown`.
//!
//! Source: the errors of `Publish`, SNS API reference.

use crate::aws::{ServiceError, Verdict};
use crate::{OptOut, OutcomeClass, Scope};

/// The pace and the spend limit are those of the AWS account, which all tenants share.
pub(super) fn classify(error: ServiceError<'_>) -> Option<Verdict> {
    let message = error.message.to_ascii_lowercase();
    Some(match error.code {
        "InvalidParameter"
        | "InvalidParameterValue"
        | "ParameterValueInvalid"
        | "ValidationException"
        | "ValidationError" => {
            if message.contains("phonenumber") || message.contains("phone number") {
                (OutcomeClass::PermanentRecipient, "phone number refused")
            } else {
                (OutcomeClass::PermanentContent, "parameter refused")
            }
        }
        "OptedOut" => (
            OutcomeClass::PermanentRecipient,
            "the recipient opted out of our messages",
        ),
        "Throttling" | "ThrottlingException" | "Throttled" => {
            (OutcomeClass::RateLimited(Scope::App), "sending too fast")
        }
        "AuthorizationError" | "AccessDenied" | "AccessDeniedException" => (
            OutcomeClass::AccountConfig,
            "our role may not send for this account",
        ),
        "InvalidSecurity" => (OutcomeClass::AccountConfig, "the signature is refused"),
        "KMSThrottling" => (OutcomeClass::Retryable, "the key service is busy"),
        "KMSDisabled" | "KMSInvalidState" | "KMSNotFound" | "KMSOptInRequired"
        | "KMSAccessDenied" => (OutcomeClass::AccountConfig, "the key cannot be used"),
        _ => return None,
    })
}

/// `Publish` documents no opt-out (it succeeds, and the log says why nothing came); should one come, it is believed.
pub(super) fn opt_out(code: &str) -> Option<OptOut> {
    (code == "OptedOut").then_some(OptOut::Everything)
}
