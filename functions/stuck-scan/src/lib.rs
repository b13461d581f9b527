//! The scan: on a schedule, repairs first and alarms only about what repairing did not help.

use comms_core::automation::{batches, hasura_names};
use comms_core::dispatch::{self, DeadLetters, DrainError, Drained, Gauges, Repaired};
use comms_core::event_log::{self, Backlog, EventLogError};
use comms_core::inbound::{InboundError, replay};
use comms_core::inbox;
use comms_core::media::{self, MediaDeadLetters, MediaGauges, MediaRepaired};
use comms_core::platform::telemetry::{self, Metric};
use comms_core::platform::{
    Aws, BatchQueue, ConfigError, Database, DatabaseError, MediaQueue, Queues, Settings,
};
use serde::Serialize;

#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
    pub dead_letters: DeadLetters,
    pub media: MediaQueue,
    pub media_dead_letters: MediaDeadLetters,
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
            dead_letters: DeadLetters::from_settings(&mut settings, &aws),
            media: MediaQueue::from_settings(&mut settings, &aws),
            media_dead_letters: MediaDeadLetters::from_settings(&mut settings, &aws),
            batches: BatchQueue::from_settings(&mut settings, &aws),
        };
        settings.done().map(|()| deps)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub repaired: Repaired,
    pub drained: Drained,
    /// QUEUED and due for more than five minutes, with nothing that holds it back.
    pub overdue: i64,
    /// UNCERTAIN for more than five minutes.
    pub doubtful: i64,
    /// Reports that had come before their message was committed.
    pub late_reports: usize,
    /// Answers whose message was written at the same time.
    pub late_answers: i32,
    pub media: MediaRepaired,
    /// Taken out of the dead-letter queue of files.
    pub media_dead_letters: usize,
    /// Files due for more than fifteen minutes.
    pub media_overdue: i64,
    /// Batches whose job was lost.
    pub batches_moved: usize,
    /// Batches whose content providers refuse.
    pub batches_stopped: usize,
}

/// Reports without a message that one scan tries again.
const LATE_REPORTS: i64 = 500;

/// Why a scan did not do all of its work.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Drain(#[from] DrainError),
    #[error(transparent)]
    Inbound(#[from] InboundError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// # Errors
/// When the database or a queue does not answer: the first of all that the log names. What was committed until then stays.
pub async fn handle(deps: &Deps) -> Result<Summary, ScanError> {
    // Each for itself: what one cannot do must not keep the others from their work, nor the alarms from their numbers.
    let database = &deps.database;
    let repaired = told("repair", dispatch::repair(database, &deps.queues).await);
    let letters = deps.dead_letters.drain(database, &deps.queues).await;
    let drained = told("dead letters", letters);
    let late = told(
        "late reports",
        replay::waiting(database, LATE_REPORTS).await,
    );
    let answered = told("answers", inbox::find_answered(database).await);
    let media = told("files", media::repair(database, &deps.media).await);
    let tended = told("batches", tend_batches(deps).await);
    let media_letters = deps.media_dead_letters.drain(database).await;
    let media_letters = told("dead letters of files", media_letters);
    let gauges = told("gauges", dispatch::gauges(database).await);
    if let Ok(gauges) = &gauges {
        report(
            repaired.as_ref().ok(),
            drained.as_ref().ok().copied(),
            gauges,
        );
    }
    let files = told("gauges of files", media::gauges(database).await);
    if let Ok(files) = &files {
        report_files(media.as_ref().ok().copied(), *files);
    }
    let backlog = event_log::backlog(database, &hasura_names()).await;
    let events = told("events", report_events(backlog));
    let ((batches_moved, batches_stopped), gauges, files) = (tended?, gauges?, files?);
    let summary = Summary {
        batches_moved,
        batches_stopped,
        repaired: repaired?,
        drained: drained?,
        overdue: gauges.lanes.iter().map(|lane| lane.overdue).sum(),
        doubtful: gauges.doubtful,
        late_reports: late?.replayed,
        late_answers: answered?,
        media: media?,
        media_dead_letters: media_letters?,
        media_overdue: files.overdue,
    };
    events.map(|()| summary)
}

/// Each fault by itself in the log: the scan's own answer has room for one.
fn told<T, E: Into<ScanError>>(what: &'static str, done: Result<T, E>) -> Result<T, ScanError> {
    done.map_err(Into::into).inspect_err(|error| {
        tracing::error!(
            what,
            error = telemetry::chain(error),
            "the scan does not get through"
        );
    })
}

/// Moves on what nobody moves, and stops what only fails.
async fn tend_batches(deps: &Deps) -> Result<(usize, usize), DatabaseError> {
    let mut tx = deps.database.begin().await?;
    let lost = batches::lost_steps(&mut tx).await?;
    let stopped = batches::stop_failing(&mut tx).await?;
    tx.commit().await?;
    for (tenant, batch) in &stopped {
        tracing::error!(tenant.id = %tenant, batch.id = %batch, "batch stopped: its content is refused");
    }
    #[expect(clippy::cast_precision_loss, reason = "a count for a metric")]
    telemetry::metric("BatchesStopped", stopped.len() as f64, &[]);
    deps.batches.announce(&lost).await;
    Ok((lost.len(), stopped.len()))
}

/// The same for the files that customers sent.
#[expect(clippy::cast_precision_loss, reason = "counts for metrics")]
fn report_files(repaired: Option<MediaRepaired>, gauges: MediaGauges) {
    let repaired = repaired.unwrap_or_default();
    telemetry::metrics(
        &[
            Metric::count("MediaExpired", repaired.expired as f64),
            Metric::count("MediaOverdue", gauges.overdue as f64),
            Metric::count("MediaFailing", gauges.failing as f64),
        ],
        &[],
    );
    if repaired.expired > 0 {
        tracing::error!(
            files = repaired.expired,
            "files were gone at the provider before we had them"
        );
    }
    tracing::info!(?repaired, ?gauges, "scan of files");
}

/// What Hasura has not brought us yet: when it is away, nobody else says so. Without its log there is nothing to say.
#[expect(clippy::cast_precision_loss, reason = "counts for metrics")]
fn report_events(backlog: Result<Backlog, EventLogError>) -> Result<(), DatabaseError> {
    match backlog {
        Ok(backlog) => telemetry::metrics(
            &[
                Metric::count("EventsWaiting", backlog.waiting as f64),
                Metric::seconds("OldestEvent", backlog.oldest_seconds as f64),
            ],
            &[],
        ),
        Err(EventLogError::Database(error)) => return Err(error),
        Err(standing) => {
            tracing::info!(reason = %standing, "Hasura's event log is not looked at");
        }
    }
    Ok(())
}

/// Zero is reported too: an alarm needs a number to end by.
#[expect(clippy::cast_precision_loss, reason = "counts for metrics")]
fn report(repaired: Option<&Repaired>, drained: Option<Drained>, gauges: &Gauges) {
    let (repaired, drained) = (
        repaired.cloned().unwrap_or_default(),
        drained.unwrap_or_default(),
    );
    for (kind, count) in [
        ("HINT_LOST", repaired.republished),
        ("LEASE_ENDED", repaired.uncertain),
        ("DOUBT_ENDED", repaired.doubts_ended),
        ("EXPIRED", repaired.expired),
        ("STATUS_MATCHED", repaired.matched),
        ("FALLBACK", repaired.timers),
        ("RESUMED", repaired.resumed),
        ("FAILED_OVER", repaired.failed_over),
        ("DEAD_LETTER", drained.letters),
    ] {
        telemetry::metric("Repaired", count as f64, &[("Kind", kind)]);
    }
    for kind in &repaired.braked {
        tracing::error!(kind, "a repair was stopped by its brake");
    }
    let overdue: i64 = gauges.lanes.iter().map(|lane| lane.overdue).sum();
    telemetry::metrics(
        &[
            Metric::count("RepairBraked", repaired.braked.len() as f64),
            Metric::count("Poison", drained.poison as f64),
            Metric::count("QueuedOverdue", overdue as f64),
            Metric::count("UncertainOverdue", gauges.doubtful as f64),
            Metric::count("Parked", gauges.parked as f64),
            Metric::count("Paced", gauges.paced as f64),
            Metric::count("DoubleReached", gauges.double_reached as f64),
        ],
        &[],
    );
    for lane in &gauges.lanes {
        telemetry::metrics(
            &[Metric::seconds("OldestDue", lane.oldest_seconds as f64)],
            &[("Lane", &lane.lane)],
        );
        if lane.overdue > 0 {
            tracing::error!(
                lane = lane.lane,
                messages = lane.overdue,
                oldest_seconds = lane.oldest_seconds,
                "messages are queued and overdue"
            );
        }
    }
    tracing::info!(?repaired, ?drained, "scan");
}
