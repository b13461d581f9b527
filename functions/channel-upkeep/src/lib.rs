//! What accounts need by the clock, every minute: domains are looked at until their records are found, what rotates ends, and what
//! messages cost is counted. It may not encrypt.

use comms_core::channels::rotation::{self, Settled};
use comms_core::channels::{ChannelError, Cloud, email, usage};
use comms_core::platform::{Aws, ConfigError, Database, Queues, Settings};
use serde::Serialize;
use tokio::sync::OnceCell;

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
    pub aws: Aws,
    /// Made for the first domain that waits.
    pub cloud: OnceCell<Cloud>,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
            aws: aws.clone(),
            cloud: OnceCell::new(),
        };
        settings.done().map(|()| deps)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub credentials: Settled,
    /// Whose records were found.
    pub domains_verified: usize,
    /// Days of tenants whose usage was counted anew.
    pub days_counted: i32,
}

/// # Errors
/// When the database does not answer; what was committed until then stays.
pub async fn handle(deps: &Deps) -> Result<Summary, ChannelError> {
    let mut tx = deps.database.begin().await?;
    let credentials = rotation::settle(&mut tx).await?;
    tx.commit().await?;
    let mut tx = deps.database.begin().await?;
    let days_counted = usage::roll_up(&mut tx).await?;
    tx.commit().await?;
    // Only looks: nothing of a configuration set is made here, so its topic is not needed.
    let cloud = async || Cloud::of(deps.aws.config().await, "");
    let mail = &deps.cloud.get_or_init(cloud).await.mail;
    let (domains_verified, hints) = Box::pin(email::check_waiting((&deps.database, mail))).await?;
    deps.queues.publish_or_leave_to_scan(&hints).await;
    if credentials.dropped > 0 {
        tracing::warn!(
            accounts = credentials.dropped,
            "new credentials were dropped: their canary did not go out"
        );
    }
    tracing::info!(
        ?credentials,
        domains_verified,
        days_counted,
        "upkeep of channels"
    );
    Ok(Summary {
        credentials,
        domains_verified,
        days_counted,
    })
}
