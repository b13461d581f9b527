//! comms-providers: the edge of the network.
//!
//! A [`SendMessageCommand`] goes in and a [`SendOutcome`] comes out; a provider's webhook bytes go in and
//! provider-neutral [`event`]s come out. Nothing above this crate knows a provider's JSON, and nothing in it
//! knows the database, the queue or a tenant.
//!
//! To add a provider: a folder beside `whatsapp` with `send` (command to call), `codes` (its answers as
//! [`OutcomeClass`]es) and `webhook` (its callbacks as events).

pub mod command;
pub mod event;
pub mod http;
pub mod outcome;
pub mod whatsapp;

pub use command::{Content, Recipient, SendMessageCommand};
pub use outcome::{Accepted, OptOut, OutcomeClass, Refusal, Scope, SendOutcome};
