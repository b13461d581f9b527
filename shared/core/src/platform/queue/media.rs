//! Hints that a file is to be fetched. What comes back with [`crate::inbound::Ingested::media`] is announced after the commit.

use super::{BATCH, QueueError, all_sent, entry, send, whole_seconds};
use crate::model::{FetchMediaJob, MediaId, TenantId};
use crate::platform::{Aws, Settings};
use futures_util::future::join_all;

/// The queue of `FetchMediaJob`.
#[derive(Debug, Clone)]
pub struct MediaQueue {
    aws: Aws,
    url: String,
}

impl MediaQueue {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        Self {
            aws: aws.clone(),
            url: settings.required("MEDIA_QUEUE_URL"),
        }
    }

    /// For tests, which make their own.
    #[must_use]
    pub fn at(aws: &Aws, url: &str) -> Self {
        Self {
            aws: aws.clone(),
            url: url.to_owned(),
        }
    }

    /// "These are there now." What cannot be published is left to the scan: the rows are committed, so nothing is lost.
    pub async fn announce(&self, media: &[(TenantId, MediaId)]) {
        let jobs: Vec<(FetchMediaJob, f64)> = media
            .iter()
            .map(|(tenant, media)| (FetchMediaJob::new(*tenant, *media), 0.0))
            .collect();
        if let Err(error) = self.publish(&jobs).await {
            tracing::warn!(failed = error.failed, total = error.total, %error, "hints for files left to the scan");
        }
    }

    /// "Look at this one again in so many seconds." Left to the scan like the others.
    pub async fn later(&self, job: FetchMediaJob, seconds: f64) {
        if let Err(error) = self.publish(&[(job, seconds)]).await {
            tracing::warn!(%error, "a hint for a file left to the scan");
        }
    }

    async fn publish(&self, jobs: &[(FetchMediaJob, f64)]) -> Result<(), QueueError> {
        let requests = jobs.chunks(BATCH).map(|chunk| {
            let entries = chunk.iter().enumerate().map(|(index, (job, seconds))| {
                entry(index, job.body(), job.tenant_id, whole_seconds(*seconds))
            });
            send(&self.aws, &self.url, entries.collect())
        });
        all_sent(join_all(requests).await, jobs.len())
    }
}
