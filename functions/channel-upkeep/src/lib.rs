//! What accounts need by the clock, every minute: domains are looked at until their records are found, SES's and Meta's opinions are asked
//! for, what rotates ends, and what messages cost is counted. It may not encrypt.
//!
//! SES's own events about sending (EventBridge) come here too: they do not say clearly whose sending has changed, so all are asked about.

use comms_core::channels::rotation::{self, Settled};
use comms_core::channels::whatsapp::Connector;
use comms_core::channels::{ChannelError, Cloud, Vault, email, reputation, templates, usage};
use comms_core::platform::{Aws, Database, Queues, Settings};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
    pub vault: Vault,
    pub connector: Connector,
    pub aws: Aws,
    /// Where configuration sets publish.
    pub events_topic: String,
    /// Made for the first domain that waits.
    pub cloud: OnceCell<Cloud>,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing or unusable.
    pub fn from_env() -> Result<Self, lambda_runtime::Error> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
            vault: Vault::new(&aws, &settings.required("KMS_KEY_ID")),
            connector: Connector::from_settings(&mut settings, &aws)?,
            aws: aws.clone(),
            events_topic: settings.required("EVENTS_TOPIC_ARN"),
            cloud: OnceCell::new(),
        };
        settings.done()?;
        Ok(deps)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub credentials: Settled,
    /// Whose records were found.
    pub domains_verified: usize,
    /// Whose sending SES has paused, or lets go on.
    pub reputations_moved: usize,
    /// Whose templates were listed.
    pub templates_listed: usize,
    /// Days of tenants whose usage was counted anew.
    pub days_counted: i32,
}

/// The whole current day of every tenant is counted each time.
const COUNTED_EVERY: Duration = Duration::from_mins(10);

/// What EventBridge sends where SES has changed its mind; the clock's ticks have another.
const SES: &str = "aws.ses";

/// `event` is the clock's tick or SES's word.
///
/// # Errors
/// When the database does not answer; what was committed until then stays.
pub async fn handle(deps: &Deps, event: &Value) -> Result<Summary, ChannelError> {
    let mut tx = deps.database.begin().await?;
    let credentials = rotation::settle(&mut tx).await?;
    if event["source"] == SES {
        reputation::doubt_all(&mut tx).await?;
    }
    tx.commit().await?;
    let cloud = async || Cloud::of(deps.aws.config().await, &deps.events_topic, "");
    let mail = &deps.cloud.get_or_init(cloud).await.mail;
    let (domains_verified, hints) = Box::pin(email::check_waiting((&deps.database, mail))).await?;
    deps.queues.publish_or_leave_to_scan(&hints).await;
    let (reputations_moved, hints) = Box::pin(reputation::check((&deps.database, mail))).await?;
    deps.queues.publish_or_leave_to_scan(&hints).await;
    let means = (&deps.database, &deps.vault, &deps.connector);
    let templates_listed = Box::pin(templates::sync_due(means)).await?;
    // Last, because it is the longest and nothing waits for it.
    let mut tx = deps.database.begin().await?;
    let days_counted = usage::roll_up(&mut tx, COUNTED_EVERY).await?;
    tx.commit().await?;
    let summary = Summary {
        credentials,
        domains_verified,
        reputations_moved,
        templates_listed,
        days_counted,
    };
    if credentials.dropped > 0 {
        tracing::warn!(
            accounts = credentials.dropped,
            "new credentials were dropped: their canary did not go out"
        );
    }
    tracing::info!(?summary, "upkeep of channels");
    Ok(summary)
}
