//! Meta's WhatsApp Cloud API: sending, and reading its webhooks.
//!
//! [`WhatsAppClient`] sends; [`signature::verify`] and [`webhook::parse`] read what comes back. [`codes`] is the
//! one table that says what an error code means for us. [`media`] fetches the files that webhooks name.

pub mod codes;
pub mod media;
mod send;
pub mod signature;
pub mod webhook;

pub use send::{WhatsAppClient, WhatsAppSender};
pub use signature::VerifiedWebhook;
