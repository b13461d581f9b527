//! Read receipts and typing, as `inbox::receipts` wrote them down: taken once, one call each, and then they are over.
//!
//! A receipt that gets lost on its way harms nobody and is covered by the next; one that is repeated could come after the agent
//! said "unread". So the row is taken before the call, and no failure of the call gives it back.

use super::claim::Sender;
use super::worker::Worker;
use crate::channels::vault::Owner;
use crate::model::{AccountId, GiveReceiptJob, TenantId};
use crate::platform::{DatabaseError, Tx};
use futures_util::future::join_all;
use serde_json::Value;
use uuid::Uuid;

/// Taken, to be told by us and nobody else.
#[derive(Debug)]
struct Receipt {
    owner: Owner,
    sender: Sender,
    /// The provider's id of the message that was read.
    message: String,
    typing: bool,
}

impl Worker {
    /// Tells the providers; answers how many calls were made.
    ///
    /// # Errors
    /// When the database does not answer; nothing was told then.
    pub async fn give_receipts(&self, jobs: &[GiveReceiptJob]) -> Result<usize, DatabaseError> {
        if jobs.is_empty() {
            return Ok(0);
        }
        let mut tx = self.database.begin().await?;
        let receipts = take(&mut tx, jobs).await?;
        tx.commit().await?;
        join_all(receipts.iter().map(|receipt| self.give(receipt))).await;
        Ok(receipts.len())
    }

    async fn give(&self, receipt: &Receipt) {
        let told = self.adapters.mark_read(
            receipt.owner,
            &receipt.sender,
            &receipt.message,
            receipt.typing,
        );
        if let Err(refusal) = told.await {
            tracing::warn!(
                tenant.id = %receipt.owner.tenant,
                account.id = %receipt.owner.account,
                class = refusal.class.as_str(),
                code = refusal.code,
                reason = refusal.reason,
                "a read receipt was not given"
            );
        }
    }
}

struct Row {
    tenant: TenantId,
    account: AccountId,
    provider: String,
    external_account_id: Option<String>,
    sender: String,
    provider_config: Value,
    message: String,
    typing: bool,
}

async fn take(tx: &mut Tx, jobs: &[GiveReceiptJob]) -> Result<Vec<Receipt>, DatabaseError> {
    let tenants: Vec<Uuid> = jobs.iter().map(|job| job.tenant_id.0).collect();
    let messages: Vec<Uuid> = jobs.iter().map(|job| job.receipt_for.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"with named as (select distinct tenant_id, id from unnest($1::uuid[], $2::uuid[]) as n(tenant_id, id)),
           wanted as (
               select r.tenant_id, r.conversation_id, r.account_id, r.message_id, coalesce(r.typing_until > now(), false) as typing
                 from named n
                 join communications.read_receipts r on r.tenant_id = n.tenant_id and r.message_id = n.id
                where r.given_at is null or r.typing_until > now()
                order by r.tenant_id, r.conversation_id, r.account_id
                  for no key update of r),
           given as (
               update communications.read_receipts r
                  set given_at = coalesce(r.given_at, now()), typing_until = null,
                      typed_at = case when w.typing then now() else r.typed_at end
                 from wanted w
                where r.tenant_id = w.tenant_id and r.conversation_id = w.conversation_id and r.account_id = w.account_id)
           select w.tenant_id as "tenant: TenantId", w.account_id as "account: AccountId", a.provider, a.external_account_id,
                  a.sender, a.provider_config, m.external_message_id as "message!", w.typing as "typing!"
             from wanted w
             join communications.channel_accounts a on a.tenant_id = w.tenant_id and a.id = w.account_id
             join communications.messages m on m.tenant_id = w.tenant_id and m.id = w.message_id
            where a.status = 'ACTIVE' and a.mode = 'LIVE' and m.external_message_id is not null"#,
        &tenants,
        &messages
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Receipt::from).collect())
}

impl From<Row> for Receipt {
    fn from(row: Row) -> Self {
        Self {
            owner: Owner {
                tenant: row.tenant,
                account: row.account,
            },
            sender: Sender {
                account: row.account,
                provider: row.provider,
                external_account_id: row.external_account_id,
                name: row.sender,
                config: serde_json::from_value(row.provider_config).ok(),
            },
            message: row.message,
            typing: row.typing,
        }
    }
}
