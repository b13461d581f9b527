//! What the errors of End User Messaging's managing calls mean: class, cause and cure.
//!
//! Source: the errors of the operations, API reference.

use crate::ProvisionError;
use crate::aws::ServiceError;
use crate::provision::Fault;
use crate::provision::FaultClass::{Permission, Retryable, WrongInput};

const SUPPORT: &str = "Nothing can be done in the portal; tell support.";

/// By code, as [`crate::aws::fault`] wants it; a code that every service has is known there.
pub(super) fn classify(error: ServiceError<'_>) -> Option<Fault> {
    Some(match (error.code, error.reason) {
        ("ServiceQuotaExceededException", _) => Fault::new(
            WrongInput,
            "The AWS account has as many opt-out lists, configuration sets, numbers or sender ids as it may have.",
            "Nothing can be done in the portal; tell support to ask AWS for more.",
        ),
        ("ConflictException", "RESOURCE_NOT_ACTIVE") => Fault::new(
            Retryable,
            "The number is not active yet.",
            "Nothing has to be done; the step is tried again.",
        ),
        ("ConflictException", _) => Fault::new(
            WrongInput,
            "The number, the list or the configuration set is in a state that does not allow this.",
            SUPPORT,
        ),
        ("ResourceNotFoundException", _) => Fault::new(
            WrongInput,
            "The AWS account has no such number, list or configuration set.",
            "Choose another sender, or tell support to lease this one.",
        ),
        (
            "ValidationException",
            "TWO_WAY_NOT_SUPPORTED_IN_COUNTRY" | "TWO_WAY_NOT_SUPPORTED_IN_REGION",
        ) => Fault::new(
            WrongInput,
            "Numbers of this country cannot be written to.",
            "Nothing can be done; what is sent from the number leaves all the same.",
        ),
        ("ValidationException", _) => Fault::new(
            WrongInput,
            "End User Messaging refused a value that was handed on.",
            "Check the sender id and the country.",
        ),
        ("AccessDeniedException", "ACCOUNT_DISABLED" | "INSUFFICIENT_ACCOUNT_REPUTATION") => {
            Fault::new(Permission, "AWS has stopped this account's SMS.", SUPPORT)
        }
        _ => return None,
    })
}

/// A fault that is found without AWS.
pub(super) fn ours(operation: &'static str, code: &'static str) -> ProvisionError {
    let fault = match code {
        "invalid-sender-id" => Fault::new(
            WrongInput,
            "This is not a sender id: 3 to 11 letters, digits and hyphens, at least one letter.",
            "Choose a short name of the company without accents and blanks.",
        ),
        "sender-id-not-supported" => Fault::new(
            WrongInput,
            "The carriers of this country take no sender ids.",
            "Have a number of the country leased, and send from that.",
        ),
        _ => Fault::new(
            Retryable,
            "What was made a moment ago cannot be read yet.",
            "Nothing has to be done; the step is tried again.",
        ),
    };
    fault.error(operation, code)
}
