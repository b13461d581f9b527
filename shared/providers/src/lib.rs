//! comms-providers: the edge of the network.
//!
//! A [`SendMessageCommand`] goes in and a [`SendOutcome`] comes out; a provider's webhook bytes go in and
//! provider-neutral [`event`]s come out. Nothing above this crate knows a provider's JSON, and nothing in it
//! knows the database, the queue or a tenant.
//!
//! One folder for each provider: `send` (command to call), `codes` (its answers as [`OutcomeClass`]es) and, where it
//! calls back, `webhook` (its callbacks as events). What sets an operator's account up there stands beside them
//! (`onboarding`, `provision`); its faults are [`ProvisionError`]s, which tell a person what to do. What AWS tells comes by SNS whichever service it is from:
//! [`aws_inbound`] says what a message is, and [`mail`] reads emails. docs/adding-a-channel.md has the steps.
//!
//! What calls somebody stands behind the feature `adapters`, which everybody has but the fuzz targets: the parsers alone compile in
//! a tenth of the time.

#[cfg(feature = "adapters")]
mod aws;
pub mod aws_inbound;
pub mod command;
pub mod eum;
pub mod event;
mod filename;
#[cfg(feature = "adapters")]
pub mod http;
mod json;
pub mod mail;
pub mod national;
#[cfg(feature = "adapters")]
pub mod orchestrator;
pub mod outcome;
pub mod provision;
pub mod ses;
pub mod sms;
pub mod sns;
pub mod whatsapp;

#[cfg(feature = "adapters")]
pub use aws::Timeouts;
pub use command::{Content, Recipient, SendMessageCommand};
pub use outcome::{Accepted, OptOut, OutcomeClass, Refusal, Scope, SendOutcome};
pub use provision::{FaultClass, ProvisionError};
