//! Which account sends, and whose account a provider is talking about.

use crate::model::{AccountId, Channel, TenantId};
use crate::platform::{DatabaseError, Tx};

/// An account that may send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveAccount {
    pub id: AccountId,
    pub channel: Channel,
}

/// An account and its tenant, in whatever state: everything inbound is ingested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedAccount {
    pub tenant: TenantId,
    pub id: AccountId,
    pub external_account_id: String,
}

/// The tenant's ACTIVE account of each channel; the oldest where there are several.
///
/// # Errors
/// When the database does not answer.
pub async fn active(tx: &mut Tx, tenant: TenantId) -> Result<Vec<ActiveAccount>, DatabaseError> {
    let rows = sqlx::query!(
        r#"select distinct on (channel) channel, id as "id: AccountId"
             from communications.channel_accounts
            where tenant_id = $1 and status = 'ACTIVE'
            order by channel, created_at, id"#,
        tenant.0
    )
    .fetch_all(tx.conn())
    .await?;
    // A channel that this build does not know is not one that it can send on.
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(ActiveAccount {
                id: row.id,
                channel: row.channel.parse().ok()?,
            })
        })
        .collect())
}

/// Whose the named accounts are: one of the few look-ups without a tenant, because it is what finds the tenant. An id
/// that nobody owns is simply not in the answer.
///
/// # Errors
/// When the database does not answer.
pub async fn owners(
    tx: &mut Tx,
    channel: Channel,
    external_account_ids: &[String],
) -> Result<Vec<OwnedAccount>, DatabaseError> {
    let rows = sqlx::query_as!(
        OwnedAccount,
        r#"select tenant_id as "tenant: TenantId", id as "id: AccountId",
                  external_account_id as "external_account_id!"
             from communications.channel_accounts
            where channel = $1 and external_account_id = any($2)"#,
        channel.as_str(),
        external_account_ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// SHA-256 (lower-case hex) of the verify tokens that the tenant's WhatsApp accounts expect.
///
/// # Errors
/// When the database does not answer.
pub async fn verify_token_hashes(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<Vec<String>, DatabaseError> {
    let hashes = sqlx::query_scalar!(
        r#"select provider_config -> 'public' ->> 'webhook_verify_token_sha256' as "hash!"
             from communications.channel_accounts
            where tenant_id = $1 and channel = 'WHATSAPP'
              and provider_config -> 'public' ? 'webhook_verify_token_sha256'"#,
        tenant.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(hashes)
}
