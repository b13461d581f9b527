//! `conversation_snooze_wakeup`: on a schedule, every conversation past its time is OPEN again.

use comms_core::inbox::wake_snoozed;
use comms_core::platform::{Aws, ConfigError, Database, DatabaseError, Settings, telemetry};
use serde::Serialize;

/// Conversations in one transaction.
const STEP: i64 = 500;
/// Steps in one run; what is left then waits for the next minute.
const STEPS: usize = 40;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub woken: usize,
}

/// # Errors
/// Naming every setting that is missing.
pub fn database_from_env() -> Result<Database, ConfigError> {
    let mut settings = Settings::from_env();
    let database = Database::new(settings.secret("DATABASE_URL", &Aws::default()));
    settings.done().map(|()| database)
}

/// Wakes all that is due, step by step; each step is committed on its own.
///
/// # Errors
/// When the database does not answer; what was woken stays awake.
pub async fn handle(database: &Database) -> Result<Summary, DatabaseError> {
    let mut summary = Summary::default();
    for _ in 0..STEPS {
        let mut tx = database.begin().await?;
        let woken = wake_snoozed(&mut tx, STEP).await?.len();
        tx.commit().await?;
        summary.woken += woken;
        if i64::try_from(woken).unwrap_or(STEP) < STEP {
            break;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count for a metric")]
    telemetry::metric("ConversationsWoken", summary.woken as f64, &[]);
    tracing::info!(woken = summary.woken, "snooze wake-up");
    Ok(summary)
}
