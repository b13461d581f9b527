//! Telling an orchestrator (n8n) that there is a run for it: one POST, answered with any 2xx.

use serde::Serialize;
use std::time::Duration;

/// What an orchestrator knows us by.
pub const SECRET_HEADER: &str = "x-comms-secret";

/// It hears of a run within this time or not at all: whoever announces one has others waiting.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where runs are announced.
#[derive(Debug, Clone)]
pub struct OrchestratorClient {
    http: reqwest::Client,
    url: reqwest::Url,
}

/// An address that is none: `http` or `https`, without a user in it. The text is left out, it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the orchestrator's URL must be http or https, without a user in it")]
pub struct NotAUrl;

/// Why it was not told; without its URL, whose path may be a secret of its own.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    #[error("no answer: {0}")]
    Transport(reqwest::Error),
    #[error("HTTP {0}")]
    Status(u16),
}

impl OrchestratorClient {
    /// # Errors
    /// When `url` is none.
    pub fn new(http: reqwest::Client, url: &str) -> Result<Self, NotAUrl> {
        let url = reqwest::Url::parse(url).map_err(|_| NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() {
            return Err(NotAUrl);
        }
        Ok(Self { http, url })
    }

    /// POSTs below the URL, at `path`: each kind of run has a workflow of its own there.
    ///
    /// # Errors
    /// When it did not take it, or nobody knows whether it did.
    pub async fn tell(
        &self,
        path: &str,
        secret: &str,
        body: &impl Serialize,
    ) -> Result<(), OrchestratorError> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        let request = self
            .http
            .post(url)
            .timeout(PATIENCE)
            .header(SECRET_HEADER, secret)
            .json(body);
        let answer = request
            .send()
            .await
            .map_err(|error| OrchestratorError::Transport(error.without_url()))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(OrchestratorError::Status(answer.status().as_u16()))
    }
}
