//! The safety net of `conversation_snooze_wakeup`: on a schedule of the stack's own, every conversation past its time is OPEN
//! again. Hasura's cron trigger of that name does the same; neither minds the other.

use comms_core::inbox::wake_all;
use comms_core::platform::{Aws, ConfigError, Database, DatabaseError, Settings};
use serde::Serialize;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub woken: i64,
}

/// # Errors
/// Naming every setting that is missing.
pub fn database_from_env() -> Result<Database, ConfigError> {
    let mut settings = Settings::from_env();
    let database = Database::new(settings.secret("DATABASE_URL", &Aws::default()));
    settings.done().map(|()| database)
}

/// Wakes all that is due.
///
/// # Errors
/// When the database does not answer; what was woken stays awake.
pub async fn handle(database: &Database) -> Result<Summary, DatabaseError> {
    let woken = wake_all(database).await?;
    tracing::info!(woken, "snooze wake-up");
    Ok(Summary { woken })
}
