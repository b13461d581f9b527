//! What the adapters for AWS share: a configuration that never sends twice, and what a broken call means.
//!
//! None of these services has an idempotency key, so the SDK's retries are off, and *when* a call broke decides:
//! before it was handed to a connection it is known not accepted; afterwards nobody knows. The SDK's errors do not
//! say which, so every call carries a [`Handed`] mark, and a failed connect is read from the error's chain.

use crate::provision::{self, Fault, FaultClass, NO_ANSWER};
use crate::{OutcomeClass, ProvisionError, Refusal, Scope, http};
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sesv2::config::{
    ConfigBag, Intercept, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_sesv2::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use hyper_util::client::legacy::Error as TransportError;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a call may take. Tests that wait for the end of it take shorter ones.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// DNS, TCP and TLS together. Past it nothing was sent, so the send may be repeated.
    pub connect: Duration,
    /// The whole call, body of the answer included.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: http::CONNECT_TIMEOUT,
            call: http::TOTAL_TIMEOUT,
        }
    }
}

/// Credentials, region and endpoint of `config`, with the rules of a send.
pub(crate) fn for_sending(config: &SdkConfig, timeouts: Timeouts) -> SdkConfig {
    let http_client = config.http_client().unwrap_or_else(http_client);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .disable_read_timeout()
        .disable_operation_attempt_timeout()
        .operation_timeout(timeouts.call)
        .build();
    config
        .to_builder()
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // It would break a call for a reason of its own; the timeout of the call is enough.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http_client)
        .build()
}

/// The SDK's own client, but for connections that are let go before a frozen Lambda could find them dead.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(http::POOL_IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}

/// Whether the request of a call was handed to a connection; one for each call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handed(Arc<AtomicBool>);

impl Intercept for Handed {
    fn name(&self) -> &'static str {
        "Handed"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// A service's own refusal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceError<'a> {
    pub code: &'a str,
    /// Only to be matched against: it may quote an address.
    pub message: &'a str,
    /// The member `Reason` of the errors that have one; else empty.
    pub reason: &'a str,
}

/// What one of a service's errors means: the class, and the words for it.
pub(crate) type Verdict = (OutcomeClass, &'static str);

/// Turns a failed call into a refusal. `table` knows the service's codes and `reason` its member `Reason`.
pub(crate) fn refusal<E: ProvideErrorMetadata + Error + 'static>(
    error: &SdkError<E, HttpResponse>,
    handed: &Handed,
    reason: fn(&E) -> Option<&str>,
    table: fn(ServiceError<'_>) -> Option<Verdict>,
) -> Refusal {
    let retry_after = error
        .raw_response()
        .and_then(|response| http::retry_after(response.headers().get("retry-after")?));
    let refusal = match error {
        SdkError::ServiceError(context) => {
            let service = ServiceError {
                code: context.err().code().unwrap_or_default(),
                message: context.err().message().unwrap_or_default(),
                reason: reason(context.err()).unwrap_or_default(),
            };
            service_refusal(service, context.raw().status().as_u16(), table)
        }
        SdkError::ResponseError(_) => ambiguous("no-provider-body", "the answer could not be read"),
        _ if !handed.0.load(Ordering::SeqCst) => Refusal::new(
            OutcomeClass::Retryable,
            "not-sent",
            "the call could not be made: credentials, region or endpoint",
        ),
        SdkError::TimeoutError(_) => {
            ambiguous("timeout", "no answer in time after the request was sent")
        }
        error if is_connect(error) => Refusal::new(
            OutcomeClass::Retryable,
            "transport",
            "no connection to the provider",
        ),
        _ => ambiguous(
            "connection-lost",
            "connection lost after the request was sent",
        ),
    };
    Refusal {
        retry_after,
        ..refusal
    }
}

/// Turns a failed managing call into the error of it. In which phase it broke makes no difference: it may be made
/// again. `table` knows the service's codes; `reason` is the error's member of that name, where it has one.
pub(crate) fn fault<E: ProvideErrorMetadata + Error + 'static>(
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
    reason: Option<&str>,
    table: fn(ServiceError<'_>) -> Option<Fault>,
) -> ProvisionError {
    let outcome = match error {
        SdkError::ServiceError(context) => {
            let service = ServiceError {
                code: context.err().code().unwrap_or_default(),
                message: context.err().message().unwrap_or_default(),
                reason: reason.unwrap_or_default(),
            };
            service_fault(operation, service, context.raw().status().as_u16(), table)
        }
        SdkError::TimeoutError(_) => NO_ANSWER.error(operation, "timeout"),
        _ => NO_ANSWER.error(operation, "transport"),
    };
    tracing::info!(
        operation,
        class = outcome.class.as_str(),
        code = outcome.code,
        "AWS refused a step of provisioning",
    );
    outcome
}

fn service_fault(
    operation: &'static str,
    error: ServiceError<'_>,
    status: u16,
    table: fn(ServiceError<'_>) -> Option<Fault>,
) -> ProvisionError {
    if error.code.is_empty() {
        return NO_ANSWER.error(operation, format!("http-{status}"));
    }
    let fault = table(error)
        .or_else(|| common_fault(error.code))
        .unwrap_or(if status >= 500 {
            NO_ANSWER
        } else {
            Fault::new(
                FaultClass::Unknown,
                "AWS answered with an error that is not in our table.",
                "Try once more; if it comes again, give the code to support.",
            )
        });
    let code = match error.reason {
        "" => error.code.to_owned(),
        reason => format!("{}/{reason}", error.code),
    };
    ProvisionError {
        message: provision::without_secrets(error.message, &[]),
        ..fault.error(operation, code)
    }
}

/// Codes that every service may answer to a managing call.
fn common_fault(code: &str) -> Option<Fault> {
    let (class, _) = common(code)?;
    Some(match class {
        OutcomeClass::RateLimited(_) => Fault::new(
            FaultClass::RateLimited,
            "Too many calls were made to AWS.",
            "Nothing has to be done; the step is tried again.",
        )
        .after(Duration::from_secs(2)),
        OutcomeClass::Retryable => NO_ANSWER,
        _ => Fault::new(
            FaultClass::Permission,
            "Our own role in AWS may not do this.",
            "Nothing can be done in the portal; tell support.",
        ),
    })
}

/// Without an id an acceptance cannot be told from an accident.
pub(crate) fn without_id() -> Refusal {
    ambiguous("no-provider-body", "the answer has no message id")
}

fn service_refusal(
    error: ServiceError<'_>,
    status: u16,
    table: fn(ServiceError<'_>) -> Option<Verdict>,
) -> Refusal {
    if error.code.is_empty() {
        return bodiless(status);
    }
    let (class, meaning) =
        table(error)
            .or_else(|| common(error.code))
            .unwrap_or(if status >= 500 {
                (OutcomeClass::Ambiguous, "the provider failed")
            } else {
                (OutcomeClass::Unknown, "unlisted code")
            });
    let code = match error.reason {
        "" => error.code.to_owned(),
        reason => format!("{}/{reason}", error.code),
    };
    let reason = format!("{meaning} (AWS {code})");
    Refusal::new(class, code, reason)
}

/// A 4xx (or a redirect) came from something in front of the API; behind a 5xx the API may have done its work.
fn bodiless(status: u16) -> Refusal {
    if (300..500).contains(&status) {
        let reason = format!("turned away with HTTP {status} before the provider's API");
        Refusal::new(OutcomeClass::Retryable, format!("http-{status}"), reason)
    } else {
        let reason = format!("HTTP {status} without an answer of the provider's API");
        ambiguous("no-provider-body", reason)
    }
}

/// Codes that every service may answer.
fn common(code: &str) -> Option<Verdict> {
    Some(match code {
        "Throttling"
        | "ThrottlingException"
        | "Throttled"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException" => {
            (OutcomeClass::RateLimited(Scope::App), "sending too fast")
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "RequestTimeTooSkewed" => (
            OutcomeClass::Retryable,
            "our session or our clock was out of date",
        ),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => (
            OutcomeClass::Hold(Scope::App),
            "our own credentials are refused",
        ),
        "AccessDenied" | "AccessDeniedException" => (
            OutcomeClass::AccountConfig,
            "our role may not send for this account",
        ),
        _ => return None,
    })
}

fn ambiguous(code: &str, reason: impl Into<String>) -> Refusal {
    Refusal::new(OutcomeClass::Ambiguous, code, reason)
}

/// The SDK calls a refused connection and a lost one by the same name; hyper does not.
fn is_connect(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(transport) = error.downcast_ref::<TransportError>() {
            return transport.is_connect();
        }
        next = error.source();
    }
    false
}
