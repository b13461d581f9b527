//! The batch worker: `BatchDispatchJob`, one batch an invocation, step after step until its time is nearly over, two at a time: while
//! the one's statements run, the other's texts are rendered.
//!
//! Whatever happens to it, the batch's row knows how far it came: a job that is delivered again, or one that the scan publishes for a
//! batch that nobody moves, goes on from there.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use comms_core::automation::batches::{self, Stepped};
use comms_core::model::BatchDispatchJob;
use comms_core::platform::{
    Aws, BatchQueue, ConfigError, Database, DatabaseError, Queues, Settings, telemetry,
};
use std::time::{Duration, Instant};

/// Of the function's sixty seconds: a step takes a fraction of one.
const WORK_FOR: Duration = Duration::from_secs(40);

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
    pub batches: BatchQueue,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
            batches: BatchQueue::from_settings(&mut settings, &aws),
        };
        settings.done().map(|()| deps)
    }
}

/// Works on each job's batch and names the records that must be delivered again.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for record in &event.records {
        let failed = match BatchDispatchJob::parse(record.body.as_deref().unwrap_or_default()) {
            Ok(job) => work(deps, &job, WORK_FOR)
                .await
                .map_err(|error| telemetry::chain(&error)),
            Err(error) => Err(telemetry::chain(&error)),
        };
        if let (Err(error), Some(id)) = (failed, &record.message_id) {
            tracing::error!(error, "batch not moved");
            response.add_failure(id.clone());
        }
    }
    response
}

/// Steps for so long; what is left then is the next job's.
///
/// # Errors
/// When the database does not answer. The steps before stay made.
pub async fn work(
    deps: &Deps,
    job: &BatchDispatchJob,
    work_for: Duration,
) -> Result<(), DatabaseError> {
    let until = Instant::now() + work_for;
    let (one, two) = tokio::join!(steps(deps, job, until), steps(deps, job, until));
    if let Some(next) = one?.or(two?) {
        deps.batches.announce(&[next]).await;
    }
    Ok(())
}

/// One after the other. Answers the job of what is left when the time is over.
async fn steps(
    deps: &Deps,
    job: &BatchDispatchJob,
    until: Instant,
) -> Result<Option<BatchDispatchJob>, DatabaseError> {
    loop {
        match Box::pin(step(deps, job)).await? {
            Stepped::Nothing => return Ok(None),
            Stepped::Stopped(reason) => {
                tracing::error!(tenant.id = %job.tenant_id, batch.id = %job.batch_id, reason, "batch stopped");
                telemetry::metric("BatchesStopped", 1.0, &[]);
                return Ok(None);
            }
            Stepped::Done {
                next,
                hints,
                recipients,
            } => {
                tracing::info!(tenant.id = %job.tenant_id, batch.id = %job.batch_id, recipients, "step");
                deps.queues.publish_or_leave_to_scan(&hints).await;
                if next.is_none() || Instant::now() >= until {
                    return Ok(next);
                }
            }
        }
    }
}

/// A step that the database refuses for what is in it would be refused for ever: the batch stops and says so.
async fn step(deps: &Deps, job: &BatchDispatchJob) -> Result<Stepped, DatabaseError> {
    let mut tx = deps.database.begin().await?;
    match batches::step(&mut tx, job).await {
        Ok(Stepped::Nothing) => {
            tx.rollback().await?;
            Ok(Stepped::Nothing)
        }
        Ok(stepped) => {
            tx.commit().await?;
            Ok(stepped)
        }
        Err(error) if error.is_about_rows() => {
            drop(tx);
            let reason = telemetry::chain(&error);
            let mut tx = deps.database.begin().await?;
            let stopped = batches::stop(&mut tx, job.tenant_id, job.batch_id, &reason).await?;
            tx.commit().await?;
            Ok(if stopped {
                Stepped::Stopped(reason)
            } else {
                Stepped::Nothing
            })
        }
        Err(error) => Err(error),
    }
}
