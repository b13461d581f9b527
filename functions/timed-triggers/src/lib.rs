//! Reminders and all else that a clock fires, on a schedule of the stack's own. Hasura's cron trigger `timed_notifications` does
//! the same; neither minds the other.

use comms_core::automation::{Fired, fire_due};
use comms_core::platform::{Aws, ConfigError, Database, DatabaseError, Queues, Settings};

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
}

/// # Errors
/// Naming every setting that is missing.
pub fn deps_from_env() -> Result<Deps, ConfigError> {
    let (aws, mut settings) = (Aws::default(), Settings::from_env());
    let deps = Deps {
        database: Database::new(settings.secret("DATABASE_URL", &aws)),
        queues: Queues::from_settings(&mut settings, &aws),
    };
    settings.done().map(|()| deps)
}

/// Fires all that is due.
///
/// # Errors
/// When the database does not answer; what was fired stays fired.
pub async fn handle(deps: &Deps) -> Result<Fired, DatabaseError> {
    let fired = fire_due(&deps.database, &deps.queues).await?;
    tracing::info!(
        runs = fired.runs,
        messages = fired.messages,
        failed = fired.failed,
        unavailable = fired.unavailable,
        "timed triggers"
    );
    Ok(fired)
}
