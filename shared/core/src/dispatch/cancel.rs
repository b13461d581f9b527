//! `cancelMessage`: nothing more goes out, as far as that can still be said; and the answer says how far.
//!
//! A message and what it falls back to are one thing for whoever cancels. What is decided about is the chain's live end:
//! the message itself, or the last fallback that was opened. Whatever the answer, no further channel opens after it.

use super::settle::follow_ups;
use crate::inbox::{self, InboxError};
use crate::model::{MessageId, MessageStatus, TenantId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use serde::Serialize;
use uuid::Uuid;

/// What `cancelMessage` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    /// The live end: the message asked for, or its newest fallback.
    pub message_id: MessageId,
    /// Nothing will be sent that was not sent before. False: too late, `status` says what it has come to.
    pub cancelled: bool,
    pub status: MessageStatus,
    /// Some call for the message or one of its fallbacks was accepted, or nobody knows whether it was.
    pub may_have_been_sent: bool,
}

/// QUEUED or UNCERTAIN becomes CANCELLED; anything else stays what it is. The same call again gets the same answer.
///
/// # Errors
/// `not-found` for an unknown or foreign id, `conflict` for an inbound message.
pub async fn cancel_message(
    tx: &mut Tx,
    session: &Session,
    message: MessageId,
) -> Result<(Cancelled, Vec<Hint>), InboxError> {
    inbox::sees(tx, session, message).await?;
    let chain = close_chain(tx, session.tenant, message).await?;
    let won = sqlx::query_scalar!(
        r#"update communications.messages
              set status = 'CANCELLED', failed_code = 'cancelled', failed_reason = 'cancelled by an agent'
            where tenant_id = $1 and id = $2 and status in ('QUEUED', 'UNCERTAIN')
           returning id as "id: MessageId""#,
        session.tenant.0,
        chain.end.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .is_some();
    let mut hints = Vec::new();
    if won {
        hints = follow_ups(tx, &[(session.tenant, chain.end)]).await?;
        tracing::info!(
            tenant.id = %session.tenant,
            message.id = %chain.end,
            user.id = %session.user,
            "message cancelled"
        );
    }
    let status = if won {
        MessageStatus::Cancelled
    } else {
        chain.status
    };
    let cancelled = Cancelled {
        message_id: chain.end,
        cancelled: status == MessageStatus::Cancelled,
        status,
        may_have_been_sent: may_have_been_sent(tx, session.tenant, &chain.messages).await?,
    };
    Ok((cancelled, hints))
}

/// A chain that grows no more in this transaction: its end is locked and nothing is left to go on to.
struct Closed {
    end: MessageId,
    status: MessageStatus,
    messages: Vec<Uuid>,
}

/// Locks the end and takes away what it would fall back to. Both may have been in other hands until then, which may have
/// opened one more channel; so the chain is walked again until it ends where it did.
///
/// Messages are locked before their `message_fallbacks`, as settle does it. Fallback timers take them the other way round
/// where a message waits for its account; should the two cross, the database ends one of them and either is repeated.
async fn close_chain(
    tx: &mut Tx,
    tenant: TenantId,
    message: MessageId,
) -> Result<Closed, InboxError> {
    let mut closed = walk(tx, tenant, message).await?;
    loop {
        sqlx::query!(
            "delete from communications.message_fallbacks where tenant_id = $1 and message_id = any ($2)",
            tenant.0,
            &closed.messages
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        let again = walk(tx, tenant, message).await?;
        if again.end == closed.end {
            return Ok(again);
        }
        closed = again;
    }
}

async fn walk(tx: &mut Tx, tenant: TenantId, message: MessageId) -> Result<Closed, InboxError> {
    let row = sqlx::query!(
        r#"with chain as materialized (
               select c.id, c.place from communications.chain_of($1, $2) c where c.place >= 0)
           select m.id as "id: MessageId", m.direction, m.status,
                  (select array_agg(c.id) from chain c) as "messages!"
             from communications.messages m
            where m.tenant_id = $1 and m.id = (select c.id from chain c order by c.place desc limit 1)
              for no key update of m"#,
        tenant.0,
        message.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("message"))?;
    if row.direction == "INBOUND" {
        return Err(ActionError::conflict("an inbound message cannot be cancelled").into());
    }
    Ok(Closed {
        end: row.id,
        status: row.status.parse().map_err(|_| ActionError::unavailable())?,
        messages: row.messages,
    })
}

/// By the attempts: each was written before its call, so one without an answer may have been a call.
async fn may_have_been_sent(
    tx: &mut Tx,
    tenant: TenantId,
    messages: &[Uuid],
) -> Result<bool, DatabaseError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from communications.message_attempts
                           where tenant_id = $1 and message_id = any ($2)
                             and coalesce(class, 'AMBIGUOUS') in ('ACCEPTED', 'AMBIGUOUS')) as "sent!""#,
        tenant.0,
        messages
    )
    .fetch_one(tx.conn())
    .await?)
}
