//! The settle: what an attempt came to goes into the row, and what it says about the credentials to the account.

use super::claim::Claimed;
use crate::model::{MediaId, TenantId};
use crate::platform::{Database, DatabaseError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an attempt came to.
#[derive(Debug)]
pub(super) struct Attempt {
    pub end: End,
    pub credentials: Credentials,
}

#[derive(Debug)]
pub(super) enum End {
    Stored(Stored),
    /// For good, and why: one word.
    Rejected(&'static str),
    /// Tried again. The reason is one word; `wait` is what the provider or the cause asks for at least.
    Later {
        reason: String,
        wait: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Stored {
    pub size: usize,
    pub sha256: [u8; 32],
    pub mime_type: String,
}

/// What the provider's answers say about the account's credentials for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// It was not asked, or said nothing about them.
    Unsaid,
    Accepted,
    /// The provider's code.
    Refused(String),
}

#[derive(Debug, Serialize)]
struct Settlement<'a> {
    tenant_id: TenantId,
    media_id: MediaId,
    fence: i32,
    state: &'static str,
    reason: Option<&'a str>,
    wait_seconds: Option<f64>,
    size_bytes: Option<usize>,
    sha256: Option<String>,
    mime_type: Option<&'a str>,
    storage_key: Option<&'a str>,
    health: Option<&'static str>,
    code: Option<&'a str>,
}

/// What the database made of it.
#[derive(Debug, Deserialize)]
pub(super) struct Settled {
    /// `false`: somebody else has it now, and nothing was changed.
    #[serde(rename = "settled")]
    pub ours: bool,
    /// Seconds to the next attempt, where a delayed hint reaches that far.
    pub hint_in: Option<f64>,
    /// The account's media health, where this changed it.
    pub health: Option<String>,
}

pub(super) async fn settle(
    database: &Database,
    claimed: &Claimed,
    attempt: &Attempt,
) -> Result<Settled, DatabaseError> {
    let mut settlement = Settlement {
        tenant_id: claimed.tenant_id,
        media_id: claimed.media_id,
        fence: claimed.fence,
        state: attempt.end.state(),
        reason: None,
        wait_seconds: None,
        size_bytes: None,
        sha256: None,
        mime_type: None,
        storage_key: None,
        health: None,
        code: None,
    };
    match &attempt.end {
        End::Stored(stored) => {
            settlement.size_bytes = Some(stored.size);
            settlement.sha256 = Some(hex::encode(stored.sha256));
            settlement.mime_type = Some(&stored.mime_type);
            settlement.storage_key = Some(&claimed.storage_key);
        }
        End::Rejected(reason) => settlement.reason = Some(reason),
        End::Later { reason, wait } => {
            settlement.reason = Some(reason);
            settlement.wait_seconds = Some(wait.as_secs_f64());
        }
    }
    match &attempt.credentials {
        Credentials::Unsaid => {}
        Credentials::Accepted => settlement.health = Some("OK"),
        Credentials::Refused(code) => {
            settlement.health = Some("FAILING");
            settlement.code = Some(code);
        }
    }
    database.call("settle_media", &settlement).await
}

impl End {
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::Later {
            reason: reason.into(),
            wait: Duration::ZERO,
        }
    }

    pub(super) fn state(&self) -> &'static str {
        match self {
            Self::Stored(_) => "STORED",
            Self::Rejected(_) => "REJECTED",
            Self::Later { .. } => "PENDING",
        }
    }
}
