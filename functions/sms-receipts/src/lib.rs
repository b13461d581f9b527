//! What became of text messages that SNS sent: it says so in CloudWatch Logs, and nowhere else.
//!
//! Lambda calls asynchronously: an error makes it call again, twice, and then the event goes to the dead-letter queue. So what will never be
//! a log goes into quarantine, and so does a line that the database never takes; its neighbours are taken in.

use comms_core::inbound::aws::{self, SMS_LOG};
use comms_core::inbound::{InboundError, Ingested};
use comms_core::platform::{Aws, ConfigError, Database, Settings};
use comms_providers::sns::log;
use serde_json::Value;

#[derive(Debug)]
pub struct Deps {
    pub database: Database,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let mut settings = Settings::from_env();
        let database = Database::new(settings.secret("DATABASE_URL", &Aws::default()));
        settings.done().map(|()| Self { database })
    }
}

/// Takes in all lines of one event.
///
/// # Errors
/// When the database does not answer; nothing is then stored.
pub async fn handle(deps: &Deps, event: &Value) -> Result<Ingested, InboundError> {
    let read = match log::read(event) {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(%error, "an event that is no log");
            return aws::no_log(&deps.database, event).await;
        }
    };
    if read.lines.is_empty() {
        return Ok(Ingested::default());
    }
    let events = read.lines.into_iter().map(|line| line.event).collect();
    let ingested = aws::reports_one_by_one(&deps.database, SMS_LOG, events).await?;
    tracing::info!(
        statuses = ingested.statuses,
        quarantined = ingested.quarantined,
        "sms log"
    );
    Ok(ingested)
}
