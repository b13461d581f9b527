//! The scan: on a schedule, repairs first and alarms only about what repairing did not help.

use comms_core::dispatch::{self, Overdue, Repaired};
use comms_core::platform::{
    Aws, ConfigError, Database, DatabaseError, Queues, Settings, telemetry,
};
use serde::Serialize;

#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
        };
        settings.done().map(|()| deps)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub repaired: Repaired,
    /// QUEUED and due for more than five minutes.
    pub overdue: i64,
    /// UNCERTAIN for more than five minutes.
    pub doubtful: i64,
}

/// # Errors
/// When the database does not answer; what was committed until then stays.
pub async fn handle(deps: &Deps) -> Result<Summary, DatabaseError> {
    let repaired = dispatch::repair(&deps.database, &deps.queues).await?;
    let overdue = dispatch::overdue(&deps.database).await?;
    let doubtful = dispatch::doubtful(&deps.database).await?;
    report(repaired, &overdue, doubtful);
    Ok(Summary {
        repaired,
        overdue: overdue.iter().map(|lane| lane.messages).sum(),
        doubtful,
    })
}

/// Zero is reported too: an alarm needs a number to end by.
#[expect(clippy::cast_precision_loss, reason = "counts for metrics")]
fn report(repaired: Repaired, overdue: &[Overdue], doubtful: i64) {
    telemetry::metric("UncertainOverdue", doubtful as f64, &[]);
    for (kind, count) in [
        ("HINT_LOST", repaired.republished),
        ("LEASE_ENDED", repaired.uncertain),
        ("EXPIRED", repaired.expired),
        ("STATUS_MATCHED", repaired.matched),
    ] {
        telemetry::metric("Repaired", count as f64, &[("Kind", kind)]);
    }
    telemetry::metric(
        "QueuedOverdue",
        overdue.iter().map(|lane| lane.messages).sum::<i64>() as f64,
        &[],
    );
    for lane in overdue {
        tracing::error!(
            lane = lane.lane,
            messages = lane.messages,
            oldest_seconds = lane.oldest_seconds,
            "messages are queued and overdue"
        );
    }
    tracing::info!(?repaired, "scan");
}
