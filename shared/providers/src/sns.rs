//! Amazon SNS: sending SMS with `Publish`.
//!
//! SNS has no field for our message id and reports only into logs; where that matters, [`crate::eum`] sends the same
//! messages from the same numbers.

mod codes;
mod send;

pub use send::{SnsClient, SnsSender};
