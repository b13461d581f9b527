//! The scan's half: files whose hint was lost, files that the provider has forgotten, and what remains to be told.
//!
//! Global by nature, in bounded batches, skipping rows that somebody holds, safe to run twice.

use crate::model::{MediaId, TenantId};
use crate::platform::{Database, DatabaseError, MediaQueue};
use serde_json::json;

/// Rows that one step may touch, and steps in one run: what needs more is an incident, and the rest waits for the next minute.
const BATCH: usize = 500;
const STEPS: usize = 10;

/// A hint older than this is taken for lost. Longer than for messages: a queue of files moves slowly, and each hint that is
/// still in it would be doubled.
const HINT_LOST_SECONDS: f64 = 120.0;

/// What is due for longer is an alarm.
const OVERDUE_SECONDS: f64 = 900.0;

/// What one run did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MediaRepaired {
    /// Due files that got a hint: the ordinary way for those that waited longer than a queue delays.
    pub hinted: usize,
    /// Gone for good at the provider.
    pub expired: usize,
}

/// What repairing does not help.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MediaGauges {
    /// Due for more than fifteen minutes: no worker looks at them.
    pub overdue: i64,
    /// Accounts whose credentials for files are refused, with files that wait.
    pub failing: i64,
}

/// # Errors
/// When the database does not answer; what was committed until then stays.
pub async fn repair(
    database: &Database,
    queue: &MediaQueue,
) -> Result<MediaRepaired, DatabaseError> {
    let mut repaired = MediaRepaired::default();
    for _ in 0..STEPS {
        let expired: usize = database
            .call("expire_media", &json!({"limit": BATCH}))
            .await?;
        repaired.expired += expired;
        if expired < BATCH {
            break;
        }
    }
    for _ in 0..STEPS {
        let question = json!({"limit": BATCH, "hint_lost_seconds": HINT_LOST_SECONDS});
        let due: Vec<(TenantId, MediaId)> = database.call("rehint_media", &question).await?;
        queue.announce(&due).await;
        repaired.hinted += due.len();
        if due.len() < BATCH {
            break;
        }
    }
    Ok(repaired)
}

/// # Errors
/// When the database does not answer.
pub async fn gauges(database: &Database) -> Result<MediaGauges, DatabaseError> {
    database
        .call("media_gauges", &json!({"overdue_seconds": OVERDUE_SECONDS}))
        .await
}
