//! Meta's WhatsApp Cloud API: sending, and reading its webhooks.
//!
//! [`WhatsAppClient`] sends; [`signature::verify`] and [`webhook::parse`] read what comes back. [`codes`] is the
//! one table that says what an error code means for us. [`media`] fetches the files that webhooks name.
//! [`onboarding`] sets an operator's account up, and its templates.

pub mod codes;
#[cfg(feature = "adapters")]
pub mod media;
#[cfg(feature = "adapters")]
pub mod onboarding;
#[cfg(feature = "adapters")]
mod send;
pub mod signature;
pub mod webhook;

#[cfg(feature = "adapters")]
pub use send::{WhatsAppClient, WhatsAppSender, check};
pub use signature::VerifiedWebhook;
