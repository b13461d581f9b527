//! Hints into SQS: one queue a lane for messages, one for files, one for batches.
//!
//! A hint that cannot be published is not an error of the work that was committed: the scan publishes what is due and
//! has none (docs/runbook.md, "Queued messages overdue").

mod batch;
mod media;

pub use batch::BatchQueue;
pub use media::MediaQueue;

use super::aws::Aws;
use super::config::{Settings, aws_code};
use crate::model::{DispatchJob, DispatchMessageJob, Lane, MessageId, TenantId};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::future::join_all;

/// SQS delays a message by 15 minutes at most; what is due later is published when its time comes.
pub const MAX_DELAY_SECONDS: i32 = 900;

const BATCH: usize = 10;

/// "Look at this row in so many seconds."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    pub job: DispatchJob,
    pub lane: Lane,
    pub delay_seconds: i32,
}

impl Hint {
    /// Not before `seconds` from now; queues count in whole ones, so a little later.
    #[must_use]
    pub fn after(job: impl Into<DispatchJob>, lane: Lane, seconds: f64) -> Self {
        Self {
            job: job.into(),
            lane,
            delay_seconds: whole_seconds(seconds),
        }
    }

    /// The same from a row's columns. `None` for a lane that this build does not know: its message is left to a build
    /// that does.
    #[must_use]
    pub fn of_row(tenant: TenantId, message: MessageId, lane: &str, seconds: f64) -> Option<Self> {
        let job = DispatchMessageJob::new(tenant, message);
        Some(Self::after(job, lane.parse().ok()?, seconds))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{failed} of {total} hints were not published: {reason}")]
pub struct QueueError {
    pub failed: usize,
    pub total: usize,
    reason: String,
}

/// The three dispatch queues.
#[derive(Debug, Clone)]
pub struct Queues {
    aws: Aws,
    interactive: String,
    transactional: String,
    bulk: String,
}

impl Queues {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        Self {
            aws: aws.clone(),
            interactive: settings.required("INTERACTIVE_QUEUE_URL"),
            transactional: settings.required("TRANSACTIONAL_QUEUE_URL"),
            bulk: settings.required("BULK_QUEUE_URL"),
        }
    }

    /// All lanes on one queue: for tests, which step the worker by hand.
    #[must_use]
    pub fn single(aws: &Aws, url: &str) -> Self {
        Self {
            aws: aws.clone(),
            interactive: url.to_owned(),
            transactional: url.to_owned(),
            bulk: url.to_owned(),
        }
    }

    /// Publishes all hints, ten a request, requests side by side.
    ///
    /// `MessageGroupId` on a standard queue is SQS's fair queueing: one tenant's flood cannot starve another's.
    ///
    /// # Errors
    /// When any hint was not accepted; the others were.
    pub async fn publish(&self, hints: &[Hint]) -> Result<(), QueueError> {
        let mut requests = Vec::new();
        for lane in Lane::ALL {
            let of_lane: Vec<&Hint> = hints.iter().filter(|hint| hint.lane == *lane).collect();
            requests.extend(
                of_lane
                    .chunks(BATCH)
                    .map(|chunk| self.send_batch(*lane, chunk.to_vec())),
            );
        }
        all_sent(join_all(requests).await, hints.len())
    }

    /// Publishes, and leaves what fails to the scan: the rows are committed, so nothing is lost by a lost hint.
    pub async fn publish_or_leave_to_scan(&self, hints: &[Hint]) {
        if let Err(error) = self.publish(hints).await {
            tracing::warn!(failed = error.failed, total = error.total, %error, "hints left to the scan");
        }
    }

    async fn send_batch(&self, lane: Lane, hints: Vec<&Hint>) -> Result<(), (usize, String)> {
        let entries = hints.iter().enumerate().map(|(index, hint)| {
            let job = &hint.job;
            entry(index, job.body(), job.tenant(), hint.delay_seconds)
        });
        send(&self.aws, self.url(lane), entries.collect()).await
    }

    fn url(&self, lane: Lane) -> &str {
        match lane {
            Lane::Interactive => &self.interactive,
            Lane::Transactional => &self.transactional,
            Lane::Bulk => &self.bulk,
        }
    }
}

/// One request; how many of it were not accepted, and why.
async fn send(
    aws: &Aws,
    url: &str,
    entries: Vec<SendMessageBatchRequestEntry>,
) -> Result<(), (usize, String)> {
    let count = entries.len();
    let call = aws.sqs().await.send_message_batch().queue_url(url);
    match call.set_entries(Some(entries)).send().await {
        Ok(answer) => match answer.failed().first() {
            None => Ok(()),
            Some(first) => Err((answer.failed().len(), first.code().to_owned())),
        },
        Err(error) => Err((count, aws_code(&error))),
    }
}

fn all_sent(sent: Vec<Result<(), (usize, String)>>, total: usize) -> Result<(), QueueError> {
    let failures: Vec<(usize, String)> = sent.into_iter().filter_map(Result::err).collect();
    match failures.first() {
        None => Ok(()),
        Some((_, reason)) => Err(QueueError {
            failed: failures.iter().map(|(failed, _)| failed).sum(),
            total,
            reason: reason.clone(),
        }),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to a range that fits"
)]
fn whole_seconds(seconds: f64) -> i32 {
    seconds.ceil().clamp(0.0, f64::from(MAX_DELAY_SECONDS)) as i32
}

#[expect(
    clippy::expect_used,
    reason = "id and body are always set, which is all that the builder asks"
)]
fn entry(
    index: usize,
    body: String,
    tenant: TenantId,
    delay_seconds: i32,
) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(body)
        .delay_seconds(delay_seconds.clamp(0, MAX_DELAY_SECONDS))
        .message_group_id(tenant.to_string())
        .build()
        .expect("a complete entry")
}
