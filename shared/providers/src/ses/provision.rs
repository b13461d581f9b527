//! Setting an operator's email domain up at SES: identity, MAIL FROM, configuration set and tenant.
//!
//! Every call may be made again without harm: what is there already is read. A domain belongs to the AWS account
//! and not to a tenant of ours, so who may claim it is the caller's question, before the first call.
//!
//! SES takes about one managing call a second for the whole account, so a throttle is no fault of anybody's:
//! [`crate::FaultClass::RateLimited`], and the same call again.
//!
//! Source: "Creating and verifying identities", "Tenants" and the operations of API v2, developer guide.

pub mod dns;
mod faults;
mod identity;
mod tenant;

pub use identity::{Claimed, DkimState, DomainIdentity, MailFromState};
pub use tenant::SesTenant;

use crate::ProvisionError;
use crate::aws::{self, Timeouts};
use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Sets domains up in one AWS account and region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SesProvisioner(Client);

impl SesProvisioner {
    /// Credentials, region and endpoint come from `config`; nothing is retried here.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self::with_timeouts(config, Timeouts::default())
    }

    /// As [`Self::new`], for tests that cannot wait.
    #[must_use]
    pub fn with_timeouts(config: &SdkConfig, timeouts: Timeouts) -> Self {
        Self(Client::new(&aws::for_sending(config, timeouts)))
    }
}

type Answered<T> = Result<T, ProvisionError>;

/// The error of a failed call.
fn fault<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> ProvisionError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    aws::fault(operation, error, None, faults::classify)
}

/// An error that says that what was to be made is there, which is as good.
fn exists<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    says(error, "AlreadyExistsException")
}

fn says<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, code: &str) -> bool {
    error
        .as_service_error()
        .is_some_and(|error| error.code() == Some(code))
}
