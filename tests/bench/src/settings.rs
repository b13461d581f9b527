//! What `cargo xtask bench dispatch`, `webhook`, `inbox` and `automation` hand over: one JSON text.

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
    pub pgbench: PathBuf,
    pub out: PathBuf,
    pub commit: String,
    /// A round's requests of each kind: a multiple of sixty.
    pub requests: usize,
    pub sandboxes: usize,
    /// Requests that one process serves at once, beside them.
    pub at_once: usize,
    pub rounds: usize,
}

/// Of `bench inbox`.
#[derive(Debug, Clone, Deserialize)]
pub struct InboxSettings {
    pub postgres_port: u16,
    /// The inbox to measure, and the one of a hundredth.
    pub large: String,
    pub small: String,
    /// Which of them are migrated and still to be written.
    pub missing: Vec<MissingInbox>,
    /// The name of the copy on which the actions act.
    pub copy: String,
    /// The release build of the actions; none: only reading is measured.
    pub function: Option<PathBuf>,
    pub out: PathBuf,
    pub commit: String,
    /// How often each question is asked of either inbox.
    pub rounds: usize,
    /// Of each action; fewer where the inbox has no more conversations for it.
    pub requests: usize,
    pub sandboxes: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct MissingInbox {
    pub database: String,
    pub conversations: usize,
    /// What it is known by once it is complete.
    pub fingerprint: String,
}

/// Of `bench automation`.
#[derive(Debug, Clone, Deserialize)]
pub struct AutomationSettings {
    pub postgres_port: u16,
    pub database: String,
    /// The folder with the functions' release builds.
    pub functions: PathBuf,
    pub out: PathBuf,
    pub commit: String,
    /// Trips that are late, each with sixty passengers.
    pub trips: usize,
    /// Of the batch.
    pub recipients: usize,
    /// How long the release is watched, without the flood and with it.
    pub seconds: u64,
}

pub fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).context("read the settings; start this by: cargo xtask bench …")
}
