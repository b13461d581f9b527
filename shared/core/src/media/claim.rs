//! The claim: one call takes one file, or leaves it to whoever has it.

use crate::channels::vault::ProviderConfig;
use crate::model::{AccountId, FetchMediaJob, MediaId, TenantId};
use crate::platform::{Database, DatabaseError};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Seconds. Lambda kills the worker after 120, counted from before the claim, so a holder is dead before this ends.
pub const LEASE_SECONDS: f64 = 150.0;

#[derive(Serialize)]
struct Claim {
    #[serde(flatten)]
    job: FetchMediaJob,
    lease_seconds: f64,
}

/// One file that must now be fetched by us and nobody else.
#[derive(Debug, Deserialize)]
pub(super) struct Claimed {
    pub tenant_id: TenantId,
    pub media_id: MediaId,
    pub account_id: AccountId,
    pub fence: i32,
    /// Counts this one.
    pub attempt: i32,
    /// As the message named it: `image`, `document`, `attachment`, …
    pub kind: String,
    pub source: Source,
    pub source_ref: String,
    /// Where it lies, if that was said so recently that it may still be true.
    pub source_url: Option<String>,
    pub mime_type: Option<String>,
    pub declared_sha256: Option<String>,
    pub storage_key: String,
    /// What the provider calls the account.
    pub external_account_id: Option<String>,
    /// `None` when it does not read.
    #[serde(rename = "provider_config", deserialize_with = "readable")]
    pub config: Option<ProviderConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Source {
    Meta,
    Mail,
}

fn readable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ProviderConfig>, D::Error> {
    Value::deserialize(from).map(|value| serde_json::from_value(value).ok())
}

/// `None`: not due, not this tenant's, finished, or somebody else's.
pub(super) async fn claim(
    database: &Database,
    job: FetchMediaJob,
) -> Result<Option<Claimed>, DatabaseError> {
    let claim = Claim {
        job,
        lease_seconds: LEASE_SECONDS,
    };
    database.call("claim_media", &claim).await
}
