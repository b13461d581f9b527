//! Blocked contacts are heard and wake nobody: what they write is stored in their thread, reopens nothing and is not unread
//! (`communications.mute_blocked`). What we send them is not affected: a block is the agents' peace, not the customer's wish,
//! and a traveller whose trip is cancelled is to hear of it. Their own wish is a consent.

use super::merge::living;
use crate::model::{ContactId, TenantId, UserId};
use crate::platform::{DatabaseError, Tx};
use time::OffsetDateTime;

/// Since when they are blocked, if they were before then since that. `None`: no such contact.
///
/// # Errors
/// When the database does not answer.
pub async fn block(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    by: UserId,
) -> Result<Option<OffsetDateTime>, DatabaseError> {
    let Some(contact) = living(tx, tenant, contact).await? else {
        return Ok(None);
    };
    let since = sqlx::query_scalar!(
        r#"update communications.contacts
              set blocked_by = case when blocked_at is null then $3 else blocked_by end,
                  blocked_at = coalesce(blocked_at, now())
            where tenant_id = $1 and id = $2
           returning blocked_at as "blocked_at!""#,
        tenant.0,
        contact.0,
        by.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(since)
}

/// What they write from now on counts again; what they wrote meanwhile stays read. `false`: no such contact.
///
/// # Errors
/// When the database does not answer.
pub async fn unblock(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
) -> Result<bool, DatabaseError> {
    let Some(contact) = living(tx, tenant, contact).await? else {
        return Ok(false);
    };
    sqlx::query!(
        "update communications.contacts set blocked_at = null, blocked_by = null where tenant_id = $1 and id = $2",
        tenant.0,
        contact.0
    )
    .execute(tx.conn())
    .await?;
    Ok(true)
}
