//! What every room stands on: settings, the database, the queues, the clock, telemetry, Hasura's envelope.

pub mod aws;
mod backend;
pub mod clock;
pub mod config;
pub mod database;
pub mod hasura;
pub mod queue;
pub mod telemetry;

pub use aws::Aws;
pub use backend::Backend;
pub use config::{ConfigError, Settings};
pub use database::{Database, DatabaseError, Tx};
pub use queue::{BatchQueue, MediaQueue, QueueError, Queues};
