//! One test binary. Real Postgres, emulated AWS and the provider simulator come from `cargo xtask test`.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a fault in a test is a failed test")]

mod breakers;
mod cancel;
mod clock;
mod crashes;
mod dead_letters;
mod deployed;
mod dispatch;
mod doors;
mod doubts;
mod early_reports;
mod event_files;
mod failover;
mod fallback_chains;
mod fallbacks;
mod faults;
mod flow;
mod hasura;
mod hints;
mod inbox;
mod intake;
mod lives;
mod merges;
mod order;
mod outages;
mod pacing;
mod parking;
mod people;
mod planted;
mod queue_faults;
mod refusals;
mod replay;
mod retry;
mod scan;
mod schema;
mod statuses;
mod template;
mod threads;
mod webhook;
