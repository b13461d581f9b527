//! What accounts need by the clock, every minute: what rotates ends, and what messages cost is counted. It may not encrypt.

use comms_core::channels::rotation::{self, Settled};
use comms_core::channels::usage;
use comms_core::platform::{Aws, ConfigError, Database, DatabaseError, Settings};
use serde::Serialize;

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
        };
        settings.done().map(|()| deps)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub credentials: Settled,
    /// Days of tenants whose usage was counted anew.
    pub days_counted: i32,
}

/// # Errors
/// When the database does not answer; what was committed until then stays.
pub async fn handle(deps: &Deps) -> Result<Summary, DatabaseError> {
    let mut tx = deps.database.begin().await?;
    let credentials = rotation::settle(&mut tx).await?;
    tx.commit().await?;
    let mut tx = deps.database.begin().await?;
    let days_counted = usage::roll_up(&mut tx).await?;
    tx.commit().await?;
    if credentials.dropped > 0 {
        tracing::warn!(
            accounts = credentials.dropped,
            "new credentials were dropped: their canary did not go out"
        );
    }
    tracing::info!(?credentials, days_counted, "upkeep of channels");
    Ok(Summary {
        credentials,
        days_counted,
    })
}
