//! Rows reach a provider: claim, open credentials, send, settle; and the scan that repairs what a crash left behind.
//!
//! No transaction is open across a provider call. Claim commits the intent, settle commits the outcome, and whatever
//! happens between the two is found again by the lease.

mod claim;
mod policy;
mod repair;
mod send;
mod settle;
mod worker;

pub use claim::LEASE_SECONDS;
pub use policy::{Decision, decide};
pub use repair::{Overdue, Repaired, doubtful, overdue, repair};
pub use send::Adapters;
pub use worker::{Dispatched, Worker};
