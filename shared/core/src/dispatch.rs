//! Rows reach a provider: claim, pace, open credentials, send, settle; and the scan that repairs what a crash left behind.
//!
//! What people decide about messages on their way is here too: cancelling, and sending again.
//!
//! No transaction is open across a provider call. Claim commits the intent, settle commits the outcome, and whatever
//! happens between the two is found again by the lease. The hot statements are functions of the database
//! (docs/schema.sql); what decides about outcomes is `policy`, without any I/O.

mod cancel;
mod claim;
mod dead_letters;
mod doubts;
mod fallback;
mod metrics;
mod policy;
mod receipts;
mod repair;
mod replay;
mod retry;
mod send;
mod settle;
mod worker;

pub use cancel::{Cancelled, cancel_message};
pub use claim::LEASE_SECONDS;
pub use dead_letters::{DeadLetters, DrainError, Drained};
pub use policy::{Decision, decide, grace};
pub use repair::{Gauges, OfLane, Repaired, gauges, repair};
pub use replay::{Group, ReplayArguments, Replayed, Skipped, replay_messages};
pub use retry::{Retried, retry_message};
pub use send::Adapters;
pub use worker::{Dispatched, Worker};
