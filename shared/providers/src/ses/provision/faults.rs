//! What the errors of SES's managing calls mean: class, cause and cure.
//!
//! Source: the errors of the operations, API v2 reference.

use crate::ProvisionError;
use crate::aws::ServiceError;
use crate::provision::Fault;
use crate::provision::FaultClass::{Permission, RateLimited, Retryable, WrongInput};
use std::time::Duration;

const SUPPORT: &str = "Nothing can be done in the portal; tell support.";

/// By code, as [`crate::aws::fault`] wants it; a code that every service has is known there.
pub(super) fn classify(error: ServiceError<'_>) -> Option<Fault> {
    Some(match error.code {
        "TooManyRequestsException" => Fault::new(
            RateLimited,
            "SES takes one managing call a second, and another was made just now.",
            "Nothing has to be done; the step is tried again.",
        )
        .after(Duration::from_secs(2)),
        "ConcurrentModificationException" => Fault::new(
            Retryable,
            "Somebody was changing the same thing.",
            "Nothing has to be done; the step is tried again.",
        ),
        "ConflictException" => Fault::new(
            Retryable,
            "The same thing is being made or deleted at this moment.",
            "Nothing has to be done; the step is tried again.",
        ),
        "LimitExceededException" => Fault::new(
            WrongInput,
            "The AWS account has as many domains, configuration sets or tenants as it may have.",
            "Delete what is not used, or tell support to ask AWS for more.",
        ),
        "NotFoundException" => Fault::new(
            WrongInput,
            "The domain, configuration set or tenant is not there.",
            "Register the domain again.",
        ),
        "AlreadyExistsException" => Fault::new(
            WrongInput,
            "It exists already.",
            "Choose another name, or use what is there.",
        ),
        "BadRequestException" => Fault::new(
            WrongInput,
            "SES refused a value that was handed on.",
            "Check the domain's spelling; the MAIL FROM domain must be a subdomain that is used for nothing else.",
        ),
        "AccountSuspendedException" | "SendingPausedException" => {
            Fault::new(Permission, "AWS has stopped this account's email.", SUPPORT)
        }
        _ => return None,
    })
}

/// A fault that is found without SES.
pub(super) fn ours(operation: &'static str, code: &'static str) -> ProvisionError {
    let fault = match code {
        "invalid-domain" => Fault::new(
            WrongInput,
            "This is not a domain: lower-case letters, digits and hyphens, with dots between.",
            "Enter the domain alone, such as example.com; one beyond ASCII in its xn-- form.",
        ),
        "invalid-mail-from" => Fault::new(
            WrongInput,
            "The MAIL FROM domain is not a subdomain of the domain.",
            "Choose one that is used for nothing else, such as bounce.example.com.",
        ),
        "identity-gone" | "tenant-gone" => Fault::new(
            Retryable,
            "What was made a moment ago cannot be read yet.",
            "Nothing has to be done; the step is tried again.",
        ),
        _ => Fault::new(WrongInput, "A setting of ours is wrong.", SUPPORT),
    };
    fault.error(operation, code)
}
