//! AWS End User Messaging SMS: sending SMS with `SendTextMessage`.
//!
//! It sends from the same numbers as [`crate::sns`], and in addition echoes our message id in its events, says at
//! once that a recipient opted out, and drops what is late. [`event`] reads its reports.

mod codes;
pub mod event;
mod send;

pub use send::{EumClient, EumSender};
