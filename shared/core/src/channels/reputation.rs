//! What SES thinks of the tenants' mail: whom it has paused is SUSPENDED, and goes on when it says so.

use super::email::Mail;
use super::{ChannelError, lifecycle};
use crate::model::{AccountId, TenantId};
use crate::platform::queue::Hint;
use crate::platform::{Database, DatabaseError, Tx};

/// Asked without its saying so, too.
const ASKED_EVERY_MINUTES: f64 = 30.0;
/// SES takes a call a second from all of us together.
const ASKED_AT_ONCE: i64 = 20;

/// What SES thinks of the tenants' mail, of those first that were asked about longest ago: one that it has paused is SUSPENDED, and ACTIVE
/// again once SES says so. Without SES tenants there is nothing to ask. Answers how many accounts moved and the hints.
///
/// # Errors
/// When the database does not answer; what SES does not answer is asked again.
pub async fn check(
    (database, mail): (&Database, &Mail),
) -> Result<(usize, Vec<Hint>), ChannelError> {
    let mut tx = database.begin().await?;
    let due = sqlx::query!(
        r#"update communications.channel_accounts a set checked_at = now()
             from (select tenant_id, id from communications.channel_accounts
                    where provider = 'SES' and provider_config #>> '{public,tenant_name}' is not null
                      and (status = 'ACTIVE' or status = 'SUSPENDED' and status_reason like 'provider: ses-reputation%')
                      and (checked_at is null or checked_at < now() - $1 * interval '1 minute')
                    order by checked_at nulls first limit $2 for update skip locked) due
            where a.tenant_id = due.tenant_id and a.id = due.id
           returning a.tenant_id as "tenant: TenantId", a.id as "id: AccountId", a.provider_config #>> '{public,tenant_name}' as "name!""#,
        ASKED_EVERY_MINUTES,
        ASKED_AT_ONCE
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    tx.commit().await?;
    let (mut moved, mut hints) = (0, Vec::new());
    for account in due {
        let status = match mail.ses.tenant(&account.name).await {
            Ok(Some(tenant)) => tenant.sending_status,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(account.id = %account.id, %error, "SES did not say what it thinks of a tenant");
                continue;
            }
        };
        let mut tx = database.begin().await?;
        if think(&mut tx, account.tenant, account.id, status != "DISABLED").await? {
            moved += 1;
            if status != "DISABLED" {
                hints.extend(lifecycle::release(&mut tx, account.tenant, account.id).await?);
            }
        }
        tx.commit().await?;
    }
    Ok((moved, hints))
}

/// Moves the account where it stands otherwise; answers whether it did.
async fn think(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    may_send: bool,
) -> Result<bool, DatabaseError> {
    let moved = sqlx::query!(
        "update communications.channel_accounts
            set status = case when $3 then 'ACTIVE' else 'SUSPENDED' end,
                status_reason = case when not $3 then 'provider: ses-reputation: SES has paused the tenant' end
          where tenant_id = $1 and id = $2
            and case when $3 then status = 'SUSPENDED' and status_reason like 'provider: ses-reputation%' else status = 'ACTIVE' end",
        tenant.0,
        account.0,
        may_send
    )
    .execute(tx.conn())
    .await?;
    Ok(moved.rows_affected() > 0)
}

/// SES has said that something about sending has changed, and not clearly whose: everybody's is asked about next.
///
/// # Errors
/// When the database does not answer.
pub async fn doubt_all(tx: &mut Tx) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.channel_accounts set checked_at = null
          where provider = 'SES' and provider_config #>> '{public,tenant_name}' is not null and status in ('ACTIVE', 'SUSPENDED')"
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
