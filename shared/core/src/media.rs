//! Files that customers send: the row comes with the message, the bytes when they have been fetched.
//!
//! Claim (commit) → fetch from the provider → store → settle (commit). The storage key is the row's own, so a worker that dies
//! between store and settle is followed by one that writes the same object again. Retries go on until the provider forgets the
//! file, whatever the state of the account; what the answers say about the account's credentials is noted as its media health
//! and nowhere else. The statements are functions of the database (docs/schema.sql).

mod bucket;
mod claim;
mod dead_letters;
mod fetch;
mod link;
mod mail;
mod repair;
mod settle;
mod types;
mod worker;

pub use bucket::Buckets;
pub use claim::LEASE_SECONDS;
pub use dead_letters::MediaDeadLetters;
pub use link::FileLinks;
pub use repair::{MediaGauges, MediaRepaired, gauges, repair};
pub use worker::{Fetched, MediaWorker};
