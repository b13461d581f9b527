//! Jobs of batches. One that is lost is published again by the scan: the batch's row knows where it stands.

use super::{QueueError, all_sent, entry, send};
use crate::model::BatchDispatchJob;
use crate::platform::{Aws, Settings};

/// The queue of `BatchDispatchJob`.
#[derive(Debug, Clone)]
pub struct BatchQueue {
    aws: Aws,
    url: String,
}

impl BatchQueue {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        Self {
            aws: aws.clone(),
            url: settings.required("BATCH_QUEUE_URL"),
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

    /// Publishes, and leaves what fails to the scan.
    pub async fn announce(&self, jobs: &[BatchDispatchJob]) {
        if let Err(error) = self.publish(jobs).await {
            tracing::warn!(failed = error.failed, total = error.total, %error, "jobs of batches left to the scan");
        }
    }

    async fn publish(&self, jobs: &[BatchDispatchJob]) -> Result<(), QueueError> {
        let mut sent = Vec::new();
        for chunk in jobs.chunks(super::BATCH) {
            let entries = chunk.iter().enumerate();
            let entries = entries.map(|(index, job)| entry(index, job.body(), job.tenant_id, 0));
            sent.push(send(&self.aws, &self.url, entries.collect()).await);
        }
        all_sent(sent, jobs.len())
    }
}
