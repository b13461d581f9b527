//! The media worker: one job in, one file fetched, refused, or put off.

use super::bucket::Buckets;
use super::claim::{Claimed, claim};
use super::fetch::Sources;
use super::settle::{Attempt, Credentials, End, Settled, Stored, settle};
use super::types::judge;
use crate::channels::Vault;
use crate::model::FetchMediaJob;
use crate::platform::{Database, DatabaseError, MediaQueue, telemetry};
use comms_providers::whatsapp::media::MediaClient;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;

/// All that the worker stands on, made once per sandbox.
#[derive(Debug)]
pub struct MediaWorker {
    pub database: Database,
    pub queue: MediaQueue,
    pub vault: Vault,
    pub client: MediaClient,
    pub buckets: Buckets,
    /// No file has more bytes than this: one is held in memory at a time, whole.
    pub limit: u64,
}

/// What a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// Not due, not this tenant's, finished, or somebody else's: nothing was done.
    Nothing,
    Stored,
    Rejected,
    /// Tried again when it is due.
    Later,
    /// Another worker has it by now; its word counts.
    Stale,
}

impl MediaWorker {
    /// Claims the file, fetches and stores it, settles.
    ///
    /// # Errors
    /// When the claim or the settle did not reach the database. The row says when it is due again; the job may be delivered
    /// again, too.
    pub async fn fetch(&self, job: FetchMediaJob) -> Result<Fetched, DatabaseError> {
        let Some(claimed) = claim(&self.database, job).await? else {
            return Ok(Fetched::Nothing);
        };
        let attempt = AssertUnwindSafe(Box::pin(self.attempt(&claimed)))
            .catch_unwind()
            .await;
        // A panic over one file is that file's trouble and nobody else's.
        let attempt = attempt.unwrap_or_else(|_| Attempt {
            end: End::later("panic"),
            credentials: Credentials::Unsaid,
        });
        report(&claimed, &attempt);
        let settled = settle(&self.database, &claimed, &attempt).await?;
        tell(&claimed, &settled);
        if let Some(seconds) = settled.hint_in {
            self.queue.later(job, seconds).await;
        }
        Ok(match attempt.end {
            _ if !settled.ours => Fetched::Stale,
            End::Stored(_) => Fetched::Stored,
            End::Rejected(_) => Fetched::Rejected,
            End::Later { .. } => Fetched::Later,
        })
    }

    async fn attempt(&self, file: &Claimed) -> Attempt {
        let sources = Sources {
            vault: &self.vault,
            client: &self.client,
            buckets: &self.buckets,
            limit: self.limit,
        };
        let fetched = match sources.fetch(file).await {
            Ok(fetched) => fetched,
            Err(attempt) => return attempt,
        };
        let credentials = fetched.credentials;
        let end = match judge(&file.kind, file.mime_type.as_deref(), &fetched.bytes) {
            Err(reason) => End::Rejected(reason),
            Ok(served) => {
                let size = fetched.bytes.len();
                let key = &file.storage_key;
                match self.buckets.store(key, &served, fetched.bytes).await {
                    Err(code) => End::later(format!("media-bucket-{code}")),
                    Ok(()) => End::Stored(Stored {
                        size,
                        sha256: fetched.sha256,
                        mime_type: served.content_type,
                    }),
                }
            }
        };
        Attempt { end, credentials }
    }
}

/// One log line for each attempt that did not end well.
fn report(file: &Claimed, attempt: &Attempt) {
    let reason = match &attempt.end {
        End::Stored(_) => return,
        End::Rejected(reason) => reason,
        End::Later { reason, .. } => reason.as_str(),
    };
    tracing::warn!(
        tenant.id = %file.tenant_id,
        media.id = %file.media_id,
        account.id = %file.account_id,
        attempt = file.attempt,
        reason,
        next = attempt.end.state(),
        "a file was not stored"
    );
    if reason == "host-not-allowed" {
        telemetry::metric("MediaRefused", 1.0, &[("Why", "HOST")]);
    }
}

/// The account's health is told when it changes, not with every file.
fn tell(file: &Claimed, settled: &Settled) {
    if settled.health.as_deref() == Some("FAILING") {
        telemetry::metric("MediaRefused", 1.0, &[("Why", "CREDENTIALS")]);
        tracing::error!(
            tenant.id = %file.tenant_id,
            account.id = %file.account_id,
            "the provider refuses the account's credentials for files"
        );
    }
}
