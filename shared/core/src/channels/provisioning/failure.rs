//! Why a step failed, in the words that an administrator reads: what the provider's answer was taken for, or a fault that no provider names.

use crate::channels::ChannelError;
use crate::platform::hasura::ActionError;
use comms_providers::ProvisionError;
use http::StatusCode;
use serde::Serialize;

/// Why a step failed, and what to do. Neither text holds a secret or an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// As the providers' outcome classes: `AUTH`, `RATE_LIMITED`, `REGISTRATION`, …
    pub class: String,
    /// The provider's code, or ours.
    pub code: String,
    pub cause: String,
    pub cure: String,
}

impl Failure {
    #[must_use]
    pub fn new(class: &str, code: &str, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            class: class.to_owned(),
            code: code.to_owned(),
            cause: cause.into(),
            cure: cure.into(),
        }
    }
}

/// A step's own failure, or why it could not even be tried.
pub(in crate::channels) enum Stopped {
    Failed(Failure),
    Error(ChannelError),
}

impl<E: Into<ChannelError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

pub(in crate::channels) fn failed(error: &ProvisionError) -> Stopped {
    Stopped::Failed(Failure::new(
        error.class.as_str(),
        &error.code,
        error.cause,
        error.cure,
    ))
}

/// As an action without steps answers it.
pub(in crate::channels) fn refused(error: &ProvisionError) -> ActionError {
    let refused = ActionError::new(
        StatusCode::CONFLICT,
        "provider-refused",
        format!("{} {}", error.cause, error.cure),
    );
    ActionError {
        retryable: error.class.may_pass(),
        ..refused.with_details(serde_json::json!({
            "error_class": error.class.as_str(), "error_code": error.code, "cause": error.cause, "cure": error.cure
        }))
    }
}

/// A failure that no provider names.
pub(in crate::channels) fn ours(code: &str, cause: &str, cure: &str) -> Stopped {
    Stopped::Failed(Failure::new("WRONG_INPUT", code, cause, cure))
}
