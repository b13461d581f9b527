//! What `cargo xtask bench dispatch` and `bench webhook` hand over: one JSON text.

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

/// Of `bench webhook`.
#[derive(Debug, Clone, Deserialize)]
pub struct WebhookSettings {
    pub postgres_port: u16,
    pub database: String,
    /// The release build of the function.
    pub function: PathBuf,
    pub out: PathBuf,
    pub commit: String,
    /// A round's requests of each kind: a multiple of sixty.
    pub requests: usize,
    pub sandboxes: usize,
    pub rounds: usize,
}

pub fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).context("read the settings; start this by: cargo xtask bench …")
}
