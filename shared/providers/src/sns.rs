//! Amazon SNS: sending SMS with `Publish`, the log that says what became of it, and the envelopes in which AWS tells us
//! everything else.
//!
//! SNS has no field for our message id and reports only into logs ([`log`]); where that matters, [`crate::eum`] sends the
//! same messages from the same numbers. What SNS calls over HTTPS is believed only as a [`VerifiedEnvelope`].

mod certificate;
mod codes;
mod confirm;
mod envelope;
mod hosts;
pub mod log;
mod send;
mod signature;

pub use certificate::{CertificateError, Certificates};
pub use confirm::{ConfirmError, confirm, confirm_url};
pub use envelope::{Envelope, Kind, NotAnEnvelope};
pub use hosts::Hosts;
pub use send::{SnsClient, SnsSender};
pub use signature::{Policy, SignatureError, VerifiedEnvelope, Versions, by_queue, verify};
