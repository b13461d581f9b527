//! Takes in again what is in quarantine: called by an operator, with a selection (docs/runbook.md, "Quarantine").
//!
//! ```json
//! {"reason": "UNKNOWN_ACCOUNT", "external_account_id": "1065", "dry_run": true}
//! ```

use comms_core::inbound::InboundError;
use comms_core::inbound::mail::Mailroom;
use comms_core::inbound::replay::{self, Replayed, Selection};
use comms_core::platform::{Aws, ConfigError, Database, MediaQueue, Settings};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub mailroom: Mailroom,
    /// Hears of the files in mails.
    pub media: MediaQueue,
}

/// Why nothing, or not everything, was replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the selection does not read: {0}")]
    Selection(serde_json::Error),
    #[error("the selection is of nothing: {0}")]
    OfNothing(String),
    #[error(
        "an empty selection would be everything: name ids, a source, a reason, an account or a time"
    )]
    Empty,
    #[error(transparent)]
    Inbound(#[from] InboundError),
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            media: MediaQueue::from_settings(&mut settings, &aws),
            mailroom: Mailroom {
                bucket: settings.required("MAIL_BUCKET"),
                reply_secrets: settings.secret("REPLY_TOKEN_SECRETS", &aws),
                aws,
            },
        };
        settings.done().map(|()| deps)
    }
}

/// Replays what the event selects.
///
/// # Errors
/// [`ReplayError`]; what was replayed until then stays replayed.
pub async fn handle(deps: &Deps, event: &Value) -> Result<Replayed, ReplayError> {
    let selection = Selection::deserialize(event).map_err(ReplayError::Selection)?;
    if selection.is_everything() {
        return Err(ReplayError::Empty);
    }
    selection.check().map_err(ReplayError::OfNothing)?;
    let replayed = replay::replay(&deps.database, &deps.mailroom, &selection).await?;
    deps.media.announce(&replayed.media).await;
    tracing::info!(
        matched = replayed.matched,
        replayed = replayed.replayed,
        kept = replayed.kept.len(),
        "quarantine replayed"
    );
    Ok(replayed)
}
