//! What tests and the demo share: two operators with their passengers, and the ways to drive the service.
//!
//! [`seed`] writes the operators; [`world`] is one test's own database, queue and provider with verbs on it; [`stack`] is
//! an outside client of a deployed stack; [`calls`] makes the calls of Hasura and Meta byte for byte.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "test support: a fault here is a failed test"
)]

pub mod calls;
pub mod seed;
pub mod sns;
pub mod stack;
pub mod world;
