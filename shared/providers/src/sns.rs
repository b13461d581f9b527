//! Amazon SNS: sending SMS with `Publish`, the log that says what became of it, and the envelopes in which AWS tells us
//! everything else.
//!
//! SNS has no field for our message id and reports only into logs ([`log`]); where that matters, [`crate::eum`] sends the
//! same messages from the same numbers. What SNS calls over HTTPS is believed only as a [`VerifiedEnvelope`].

#[cfg(feature = "adapters")]
mod certificate;
#[cfg(feature = "adapters")]
mod codes;
#[cfg(feature = "adapters")]
mod confirm;
mod envelope;
#[cfg(feature = "adapters")]
mod hosts;
pub mod log;
#[cfg(feature = "adapters")]
mod send;
#[cfg(feature = "adapters")]
mod signature;

#[cfg(feature = "adapters")]
pub use certificate::{CertificateError, Certificates};
#[cfg(feature = "adapters")]
pub use confirm::{ConfirmError, confirm, confirm_url};
pub use envelope::{Envelope, Kind, NotAnEnvelope};
#[cfg(feature = "adapters")]
pub use hosts::Hosts;
#[cfg(feature = "adapters")]
pub use send::{SnsClient, SnsSender};
#[cfg(feature = "adapters")]
pub use signature::{Policy, SignatureError, VerifiedEnvelope, Versions, by_queue, verify};
