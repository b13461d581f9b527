//! `retryMessage`: one message that did not go out, sent again as a new one that names the old.
//!
//! A person asks for it, so what a person may weigh is left to them: a message that its fallback replaced may be sent again,
//! and so may one that was given up after doubt or as poison. What the pipeline itself must be sure of (consent, order, the
//! sender's rate) is checked by the claim, as for every message; an agent's words, which the claim asks no consent for, here.

use crate::inbox::{self, InboxError};
use crate::model::{
    AccountId, Channel, ContactId, ConversationId, DispatchMessageJob, Lane, MessageId,
    MessageStatus, TenantId,
};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use http::StatusCode;
use serde::Serialize;

/// What `retryMessage` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retried {
    pub message_id: MessageId,
    pub replay_of: MessageId,
    /// QUEUED; for a message that was sent again before, its copy's status of now.
    pub status: MessageStatus,
}

/// Queues a copy of a FAILED, EXPIRED or CANCELLED message. The same original again answers the first copy.
///
/// # Errors
/// `not-found`; `conflict` for a message in another state, saying why; for an agent's answer what `sendAgentMessage`
/// refuses about its conversation; `window-closed`; `channel-unavailable`.
pub async fn retry_message(
    tx: &mut Tx,
    session: &Session,
    message: MessageId,
) -> Result<(Retried, Vec<Hint>), InboxError> {
    inbox::sees(tx, session, message).await?;
    let original = read(tx, session.tenant, message).await?;
    if let Some(retried) = copy_of(tx, session.tenant, message).await? {
        return Ok((retried, Vec::new()));
    }
    may_be_sent_again(&original)?;
    let answering = original
        .conversation
        .filter(|_| original.sender_kind == "AGENT");
    if let Some(conversation) = answering {
        inbox::may_answer(tx, session, conversation).await?;
        inbox::must_want_it(tx, session.tenant, original.contact, original.channel).await?;
    }
    let account = sender(&original)?;
    let copied = sqlx::query_scalar!(
        r#"select message_id as "id!: MessageId" from communications.copy_messages($1, $2, $3, now())"#,
        session.tenant.0,
        &[message.0],
        &[account.0]
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let Some(id) = copied else {
        // Somebody else's click was quicker; or a report came in this instant.
        let retried = copy_of(tx, session.tenant, message).await?;
        return Ok((retried.ok_or_else(ActionError::unavailable)?, Vec::new()));
    };
    if let Some(conversation) = answering {
        inbox::touch(tx, session.tenant, conversation, &original.body).await?;
    }
    let retried = Retried {
        message_id: id,
        replay_of: message,
        status: MessageStatus::Queued,
    };
    let job = DispatchMessageJob::new(session.tenant, id);
    Ok((retried, vec![Hint::after(job, original.lane, 0.0)]))
}

struct Original {
    status: MessageStatus,
    conversation: Option<ConversationId>,
    sender_kind: String,
    contact: ContactId,
    channel: Channel,
    body: String,
    lane: Lane,
    /// By which it would leave now.
    account: Option<AccountId>,
    window_open: bool,
}

async fn read(tx: &mut Tx, tenant: TenantId, message: MessageId) -> Result<Original, InboxError> {
    let row = sqlx::query!(
        r#"select m.direction, m.status, m.conversation_id as "conversation: ConversationId", m.sender_kind, m.body,
                  m.contact_id as "contact: ContactId", m.channel,
                  coalesce(m.lane, '') as "lane!",
                  communications.account_to_send_again(m.tenant_id, m.account_id, m.channel) as "account: AccountId",
                  communications.window_allows(m.tenant_id, m.channel, m.account_id, m.contact_id, m.content) as "open!"
             from communications.messages m
            where m.tenant_id = $1 and m.id = $2"#,
        tenant.0,
        message.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("message"))?;
    if row.direction == "INBOUND" {
        return Err(ActionError::conflict("an inbound message cannot be sent again").into());
    }
    let unknown = |_| ActionError::unavailable();
    Ok(Original {
        status: row.status.parse().map_err(unknown)?,
        conversation: row.conversation,
        sender_kind: row.sender_kind,
        contact: row.contact,
        channel: row.channel.parse().map_err(unknown)?,
        body: row.body,
        lane: row.lane.parse().map_err(unknown)?,
        account: row.account,
        window_open: row.open,
    })
}

async fn copy_of(
    tx: &mut Tx,
    tenant: TenantId,
    message: MessageId,
) -> Result<Option<Retried>, InboxError> {
    let row = sqlx::query!(
        r#"select id as "id: MessageId", status from communications.messages where tenant_id = $1 and replay_of = $2"#,
        tenant.0,
        message.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Retried {
        message_id: row.id,
        replay_of: message,
        status: row.status.parse().map_err(|_| ActionError::unavailable())?,
    }))
}

fn may_be_sent_again(original: &Original) -> Result<(), ActionError> {
    let why = match original.status {
        MessageStatus::Failed | MessageStatus::Expired | MessageStatus::Cancelled => return Ok(()),
        MessageStatus::Queued | MessageStatus::Sending => "it is still being sent",
        MessageStatus::Uncertain => {
            "nobody knows yet whether it was sent; wait for that, or cancel it first"
        }
        MessageStatus::Sent | MessageStatus::Delivered | MessageStatus::Read => "it was sent",
        MessageStatus::Suppressed => "the recipient has not agreed to it",
        MessageStatus::Simulated => "it was simulated, as the sandbox does with every message",
    };
    let status = original.status;
    Err(
        ActionError::conflict(format!("the message is {status}: {why}"))
            .with_details(serde_json::json!({"status": status})),
    )
}

fn sender(original: &Original) -> Result<AccountId, ActionError> {
    let refused = |code, why| Err(ActionError::new(StatusCode::CONFLICT, code, why));
    match original.account {
        None => refused(
            "channel-unavailable",
            "no account of the message's channel is active",
        ),
        Some(_) if !original.window_open => refused(
            "window-closed",
            "more than 24 hours since the contact wrote: only an approved template may be sent",
        ),
        Some(account) => Ok(account),
    }
}
