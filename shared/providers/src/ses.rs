//! Amazon SES (API v2): sending email, what becomes of it, and what comes in.
//!
//! [`SesClient`] sends; [`codes`] says what an error code means for us; [`mime`] writes the message itself, because
//! SES takes `Reply-To`, `In-Reply-To` and `List-Unsubscribe` together with attachments best as a whole message.
//! [`event`] reads the reports, [`received`] the notices of new mail, [`reply_token`] the address that answers go to
//! and [`message_id`] the ids that they quote. [`provision`] sets a domain up.

#[cfg(feature = "adapters")]
mod codes;
pub mod event;
pub mod message_id;
#[cfg(feature = "adapters")]
mod mime;
#[cfg(feature = "adapters")]
pub mod provision;
pub mod received;
pub mod reply_token;
#[cfg(feature = "adapters")]
mod send;

#[cfg(feature = "adapters")]
pub use mime::is_address;
#[cfg(feature = "adapters")]
pub use send::{SesClient, SesSender};
