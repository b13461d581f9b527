//! Amazon SES (API v2): sending email.
//!
//! [`SesClient`] sends; [`codes`] says what an error code means for us; [`mime`] writes the message itself, because
//! SES takes `Reply-To`, `In-Reply-To` and `List-Unsubscribe` together with attachments best as a whole message.

mod codes;
mod mime;
mod send;

pub use send::{SesClient, SesSender};
