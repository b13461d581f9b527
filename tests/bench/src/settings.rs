//! What `cargo xtask bench dispatch` hands over: one JSON text, the only argument.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Of the project's own Postgres, on the loopback interface.
    pub postgres_port: u16,
    /// A migrated, empty database. The benchmark fills it and copies it; the caller drops it and the copies.
    pub database: String,
    /// The release build of the worker.
    pub worker: PathBuf,
    pub pgbench: PathBuf,
    /// Where results go.
    pub out: PathBuf,
    pub commit: String,
    /// A round's messages: a multiple of two hundred.
    pub messages: usize,
    /// Worker processes of each row of the result.
    pub sandboxes: Vec<usize>,
    /// How often each row is measured; the medians count.
    pub rounds: usize,
    /// Finished messages beside which the claim is explained; none: not explained.
    pub history: usize,
}

impl Settings {
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .context("read the settings; start this by: cargo xtask bench dispatch")
    }
}
