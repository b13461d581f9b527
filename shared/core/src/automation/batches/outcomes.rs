//! What became of each recipient of a batch, page by page, by ids alone.

use super::RequestError;
use crate::automation::request::RequestedRecipient;
use crate::automation::{RecipientOutcome, Who};
use crate::model::{Channel, MessageId, MessageStatus, TenantId};
use crate::platform::{DatabaseError, Tx, hasura::ActionError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Recipients of one page.
pub const MOST_A_PAGE: i32 = 1_000;

/// Some of a batch's recipients, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BatchRecipients {
    pub batch_id: Uuid,
    pub recipients: Vec<BatchRecipient>,
    /// `after` of the next page; absent where this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub next: Option<i32>,
}

/// One recipient, and their message as it is now; the fallback, where one was opened.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BatchRecipient {
    #[serde(flatten)]
    pub who: Who,
    /// From 0.
    pub position: i32,
    /// Absent until it is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RecipientOutcome")]
    pub outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MessageId")]
    pub message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MessageStatus")]
    pub message_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Channel")]
    pub channel: Option<String>,
}

/// Those from position `after` on, `limit` at most.
///
/// # Errors
/// `not-found` for an unknown or foreign batch.
pub async fn outcomes(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    (after, limit): (i32, i32),
) -> Result<BatchRecipients, RequestError> {
    let all = sqlx::query_scalar!(
        "select recipients from communications.batches where tenant_id = $1 and id = $2",
        tenant.0,
        batch
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("batch"))?;
    let rows = sqlx::query!(
        r#"select r.position as "position!", r.recipient as "recipient!", r.outcome, r.reason, r.message_id as "message_id: MessageId",
                  newest.status as "status?", newest.channel as "channel?"
             from communications.batch_outcomes r
             left join communications.messages first on first.tenant_id = r.tenant_id and first.id = r.message_id
             left join lateral (
                select m.status, m.channel from communications.messages m
                 where m.tenant_id = first.tenant_id and m.run_id = first.run_id and m.contact_id = first.contact_id
                 order by m.step desc limit 1) newest on true
            where r.tenant_id = $1 and r.batch_id = $2 and r.position >= $3
            order by r.position limit $4"#,
        tenant.0,
        batch,
        after,
        i64::from(limit)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let recipients: Vec<BatchRecipient> = rows
        .into_iter()
        .map(|row| BatchRecipient {
            who: who(row.recipient, row.position),
            position: row.position,
            outcome: row.outcome,
            reason: row.reason,
            message_id: row.message_id,
            message_status: row.status,
            channel: row.channel,
        })
        .collect();
    let next = recipients.last().map(|last| last.position + 1);
    Ok(BatchRecipients {
        batch_id: batch,
        recipients,
        next: next.filter(|next| *next < all),
    })
}

/// By the id that it was listed by, else by its place; no address.
fn who(listed: Value, position: i32) -> Who {
    let listed: Option<RequestedRecipient> = serde_json::from_value(listed).ok();
    let id = listed.and_then(|listed| listed.id());
    id.map_or_else(
        || Who::Listed(usize::try_from(position).unwrap_or_default()),
        |(_, who)| who,
    )
}
