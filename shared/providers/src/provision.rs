//! What may go wrong while an account of an operator's is set up, said so that the operator can put it right.
//!
//! A send's fault is a [`crate::Refusal`], which the dispatch state machine decides by; a provisioning call has a
//! person behind it, so its fault names a cause and a cure. Both come from tables of ours: what the provider wrote
//! is kept beside them, without anything in it that is or may be a secret.

use std::fmt;
use std::time::Duration;

/// Longest text of the provider's that is kept, in characters.
#[cfg(feature = "adapters")]
const MESSAGE_LIMIT: usize = 300;
/// A word as long as this may be a token.
#[cfg(feature = "adapters")]
const TOKEN_LENGTH: usize = 24;
/// So many digits in a row may be a phone number; no error code has them.
#[cfg(feature = "adapters")]
const NUMBER_LENGTH: usize = 8;

/// Why a provisioning call did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionError {
    /// The call, such as `register` or `CreateEmailIdentity`.
    pub operation: &'static str,
    pub class: FaultClass,
    /// The provider's own code (`133005`, `AlreadyExistsException`), or one of ours for faults without one
    /// (`transport`, `timeout`, `invalid-pin`).
    pub code: String,
    /// Meta's `error_subcode`.
    pub subcode: Option<u32>,
    /// The provider's text, cut and without secrets; empty where it said nothing. For logs and support.
    pub message: Box<str>,
    /// What happened, in a sentence for the operator.
    pub cause: &'static str,
    /// What to do about it, in a sentence for the operator.
    pub cure: &'static str,
    /// Not to be tried earlier than this.
    pub wait: Option<Duration>,
}

/// What kind of fault it is, and so who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// It may pass; the same call may be made again.
    Retryable,
    /// Too many calls; the same call may be made again after [`ProvisionError::wait`].
    RateLimited,
    /// The token or the signup code is refused; the operator has to sign up again.
    Credential,
    /// The token is good, but not for this; somebody has to grant it.
    Permission,
    /// What was asked for cannot be; the operator has to choose something else.
    WrongInput,
    /// A code that no table here knows.
    Unknown,
}

impl FaultClass {
    /// The name in answers of actions and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "RETRYABLE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Credential => "CREDENTIAL",
            Self::Permission => "PERMISSION",
            Self::WrongInput => "WRONG_INPUT",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether the same call may succeed without anybody doing anything.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Retryable | Self::RateLimited)
    }
}

impl fmt::Display for ProvisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}", self.operation, self.cause, self.code)?;
        if let Some(subcode) = self.subcode {
            write!(f, "/{subcode}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ProvisionError {}

/// One row of a table of faults.
#[cfg(feature = "adapters")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub class: FaultClass,
    pub cause: &'static str,
    pub cure: &'static str,
    pub wait: Option<Duration>,
}

#[cfg(feature = "adapters")]
impl Fault {
    pub(crate) const fn new(class: FaultClass, cause: &'static str, cure: &'static str) -> Self {
        Self {
            class,
            cause,
            cure,
            wait: None,
        }
    }

    pub(crate) const fn after(self, wait: Duration) -> Self {
        Self {
            wait: Some(wait),
            ..self
        }
    }

    /// The fault as the error of a call, without words of the provider's.
    pub(crate) fn error(self, operation: &'static str, code: impl Into<String>) -> ProvisionError {
        ProvisionError {
            operation,
            class: self.class,
            code: code.into(),
            subcode: None,
            message: Box::default(),
            cause: self.cause,
            cure: self.cure,
            wait: self.wait,
        }
    }
}

/// What every provider's calls have in common when no answer of the provider's came.
#[cfg(feature = "adapters")]
pub(crate) const NO_ANSWER: Fault = Fault::new(
    FaultClass::Retryable,
    "The provider could not be reached or did not answer in time.",
    "Try again in a minute; nothing has to be entered again.",
);

/// The text without the given secrets, and without words that look like a token or a number. Providers quote what
/// they were sent.
#[cfg(feature = "adapters")]
pub(crate) fn without_secrets(text: &str, secrets: &[&str]) -> Box<str> {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "…");
    }
    let part_of_a_word = |c: char| c.is_ascii_alphanumeric() || "_-|=+".contains(c);
    let mut clean = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if part_of_a_word(c) {
            word.push(c);
            continue;
        }
        clean.push_str(if is_suspicious(&word) { "…" } else { &word });
        word.clear();
        clean.push(if c.is_control() { ' ' } else { c });
    }
    clean.trim().chars().take(MESSAGE_LIMIT).collect()
}

#[cfg(feature = "adapters")]
fn is_suspicious(word: &str) -> bool {
    let mut digits = 0;
    let many_digits = word.chars().any(|c| {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        digits >= NUMBER_LENGTH
    });
    many_digits || word.len() >= TOKEN_LENGTH
}

#[cfg(all(test, feature = "adapters"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_may_be_a_secret_is_left_out_and_the_rest_is_kept() {
        let clean = |text: &str| without_secrets(text, &["s3cret", "", "246802"]).into_string();
        assert_eq!(
            clean("Malformed access token EAAGm0PX4ZCpsBAKZB1kZAxyz12345"),
            "Malformed access token …"
        );
        assert_eq!(clean("PIN 246802 of +34911222333"), "PIN … of …");
        assert_eq!(
            clean("(#133005) two-step\nPIN s3cret"),
            "(#133005) two-step PIN …"
        );
        assert_eq!(clean("subcode 2388299"), "subcode 2388299");
        assert_eq!(clean(&"a b ".repeat(500)).chars().count(), MESSAGE_LIMIT);
    }

    #[test]
    fn an_error_reads_as_a_sentence() {
        let error = ProvisionError {
            subcode: Some(33),
            ..NO_ANSWER.error("register", "100")
        };
        assert_eq!(
            error.to_string(),
            "register: The provider could not be reached or did not answer in time. (100/33)"
        );
        assert!(error.class.may_pass() && !FaultClass::Credential.may_pass());
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_secret(before in ".{0,40}", after in ".{0,40}") {
            let secret = "EAAG-secret";
            prop_assume!(!before.contains('…') && !after.contains('…'));
            let clean = without_secrets(&format!("{before}{secret}{after}"), &[secret]);
            prop_assert!(!clean.contains(secret));
        }
    }
}
