//! AWS End User Messaging SMS: sending SMS with `SendTextMessage`.
//!
//! It sends from the same numbers as [`crate::sns`], and in addition echoes our message id in its events, says at
//! once that a recipient opted out, and drops what is late. [`event`] reads its reports, and [`provision`]
//! sets an operator's sender up.

#[cfg(feature = "adapters")]
mod codes;
pub mod event;
#[cfg(feature = "adapters")]
pub mod provision;
#[cfg(feature = "adapters")]
mod send;

#[cfg(feature = "adapters")]
pub use send::{EumClient, EumSender};
