//! Reminders and all else that a clock fires, on a schedule of the stack's own. Hasura's cron trigger `timed_notifications` does
//! the same; neither minds the other.

use comms_core::automation::{Fired, Orchestrator, fire_due};
use comms_core::platform::{Aws, Database, DatabaseError, Queues, Settings};
use lambda_runtime::Error;

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
    pub orchestrator: Option<Orchestrator>,
}

/// # Errors
/// Naming every setting that is missing or unusable.
pub fn deps_from_env() -> Result<Deps, Error> {
    let (aws, mut settings) = (Aws::default(), Settings::from_env());
    let deps = Deps {
        database: Database::new(settings.secret("DATABASE_URL", &aws)),
        queues: Queues::from_settings(&mut settings, &aws),
        orchestrator: Orchestrator::from_settings(&mut settings, &aws)?,
    };
    settings.done()?;
    Ok(deps)
}

/// Fires all that is due.
///
/// # Errors
/// When the database does not answer; what was fired stays fired.
pub async fn handle(deps: &Deps) -> Result<Fired, DatabaseError> {
    let fired = fire_due(&deps.database, &deps.queues, deps.orchestrator.as_ref()).await?;
    tracing::info!(
        runs = fired.runs,
        messages = fired.messages,
        failed = fired.failed,
        unavailable = fired.unavailable,
        "timed triggers"
    );
    Ok(fired)
}
