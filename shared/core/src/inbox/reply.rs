//! `sendAgentMessage`: an agent's answer, into the interactive lane of the same pipeline as everything else.
//!
//! The client's own message id makes a second click harmless.

use super::content::{Draft, ReplyContent};
use super::lifecycle::{Locked, held_by_another, lock};
use super::receipts::{self, Occasion};
use super::write::{Words, compose};
use super::{InboxError, TENANT_ADMIN, claim_first};
use crate::model::{Channel, ContactId, ConversationId, MessageId, MessageStatus, TenantId};
use crate::outbox;
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use serde::{Deserialize, Serialize};

const CLIENT_ID_LIMIT: usize = 128;

/// The arguments of `sendAgentMessage`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentMessage {
    pub conversation_id: ConversationId,
    /// Chosen by the client, once for each message written; the same id twice is one message.
    pub client_message_id: String,
    /// Absent: the one that the contact last wrote on.
    #[serde(default)]
    pub channel: Option<Channel>,
    pub content: ReplyContent,
    /// The message of this conversation that it answers, where the channel shows that.
    #[serde(default)]
    pub reply_to: Option<MessageId>,
}

/// What `sendAgentMessage` and `startConversation` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replied {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub channel: Channel,
    pub status: MessageStatus,
}

/// Queues the answer and says what to hint at after the commit.
///
/// # Errors
/// `validation-failed` naming the field; `not-found`; `claim-required` or `conflict` when it is not the caller's
/// conversation; `conversation-resolved`; `window-closed`; `template-not-approved`; `channel-unavailable`.
pub async fn send_agent_message(
    tx: &mut Tx,
    session: &Session,
    message: &AgentMessage,
) -> Result<(Replied, Vec<Hint>), InboxError> {
    let draft = Draft::of(&message.content)?;
    let key = client_key(session, &message.client_message_id)?;
    let conversation = lock(tx, session, message.conversation_id).await?;
    if let Some(before) = already_sent(tx, session.tenant, &key, &draft).await? {
        if before.replied.conversation_id != message.conversation_id {
            return Err(used_before().into());
        }
        return Ok((before.replied, Vec::new()));
    }
    holds(tx, session, &conversation).await?;
    let channel = message
        .channel
        .or(conversation.last_inbound_channel)
        .ok_or_else(|| {
            ActionError::invalid(
                "channel must be given: the contact has not written in this conversation",
            )
        })?;
    let words = Words {
        contact: conversation.contact,
        conversation: message.conversation_id,
        channel,
        draft: &draft,
        reply_to: message.reply_to,
        key,
        address: None,
    };
    let (replied, mut hints) = send(tx, session, words).await?;
    let (tenant, which) = (session.tenant, message.conversation_id);
    let read = receipts::want(tx, tenant, which, Occasion::Reply, None).await?;
    hints.extend(read.hint);
    Ok((replied, hints))
}

/// Writes the row, and moves its conversation to the top of the list.
pub(super) async fn send(
    tx: &mut Tx,
    session: &Session,
    words: Words<'_>,
) -> Result<(Replied, Vec<Hint>), InboxError> {
    let conversation = words.conversation;
    let message = compose(tx, session, words).await?;
    let queued = outbox::queue(tx, session.tenant, std::slice::from_ref(&message)).await?;
    let hints = queued.hints;
    if hints.is_empty() {
        // The same client id in another conversation, in this very moment: trying again tells whether it was the same.
        return Err(ActionError::unavailable().into());
    }
    touch(tx, session.tenant, conversation, &message.body).await?;
    let replied = Replied {
        message_id: message.id,
        conversation_id: conversation,
        channel: message.channel,
        status: MessageStatus::Queued,
    };
    Ok((replied, hints))
}

/// `messages.idempotency_key` of what an agent's client calls by this id.
///
/// # Errors
/// `validation-failed`.
pub(super) fn client_key(
    session: &Session,
    client_message_id: &str,
) -> Result<String, ActionError> {
    if client_message_id.is_empty() || client_message_id.len() > CLIENT_ID_LIMIT {
        return Err(ActionError::invalid(format!(
            "client_message_id must have 1 to {CLIENT_ID_LIMIT} bytes"
        )));
    }
    Ok(format!("agent/{}/{client_message_id}", session.user))
}

/// What a first call with the same key did.
pub(super) struct Before {
    /// Its answer, with the message's state of now.
    pub replied: Replied,
    pub contact: ContactId,
}

/// # Errors
/// `conflict` when it was for other words. A text is the same by its words: the subject that stood above it may have changed since.
pub(super) async fn already_sent(
    tx: &mut Tx,
    tenant: TenantId,
    key: &str,
    draft: &Draft,
) -> Result<Option<Before>, InboxError> {
    let row = sqlx::query!(
        r#"select id as "id: MessageId", conversation_id as "conversation: ConversationId", contact_id as "contact: ContactId",
                  channel, body, content, status
             from communications.messages where tenant_id = $1 and idempotency_key = $2"#,
        tenant.0,
        key
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let Some(row) = row else { return Ok(None) };
    let same = match draft {
        Draft::Text { text, .. } => row.body == *text,
        Draft::WhatsApp(content) => row.content == serde_json::json!(content),
        Draft::Template(template) => {
            row.content == serde_json::json!(comms_providers::Content::Template(template.clone()))
        }
        Draft::Reaction(reaction) => row.content["emoji"] == reaction.emoji,
    };
    let conversation = row.conversation.filter(|_| same).ok_or_else(used_before)?;
    let unknown = |_| ActionError::unavailable();
    let replied = Replied {
        message_id: row.id,
        conversation_id: conversation,
        channel: row.channel.parse().map_err(unknown)?,
        status: row.status.parse().map_err(unknown)?,
    };
    Ok(Some(Before {
        replied,
        contact: row.contact,
    }))
}

pub(super) fn used_before() -> ActionError {
    ActionError::conflict("client_message_id was used for another message")
}

/// Does the tenant show the caller the message?
///
/// # Errors
/// `not-found`, also for a message that does not exist.
pub(crate) async fn sees(
    tx: &mut Tx,
    session: &Session,
    message: MessageId,
) -> Result<(), InboxError> {
    let seen = sqlx::query_scalar!(
        r#"select true as "seen!" from communications.messages m
            where m.tenant_id = $1 and m.id = $2
              and ($3 or communications.shown_to_dispatcher($1, m.conversation_id, $4))"#,
        session.tenant.0,
        message.0,
        session.role == TENANT_ADMIN,
        session.user.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    seen.map(drop)
        .ok_or_else(|| ActionError::not_found("message").into())
}

/// Locks the conversation and says whether the caller may write in it.
///
/// # Errors
/// `not-found`, `conversation-resolved`, `claim-required`, or `conflict` naming who holds it.
pub(crate) async fn may_answer(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<(), InboxError> {
    let conversation = lock(tx, session, conversation).await?;
    holds(tx, session, &conversation).await
}

pub(super) async fn holds(
    tx: &mut Tx,
    session: &Session,
    conversation: &Locked,
) -> Result<(), InboxError> {
    conversation.live()?;
    if conversation.assigned_to == Some(session.user) {
        return Ok(());
    }
    let required = sqlx::query_scalar!(
        r#"select coalesce((select claim_required from communications.tenant_settings where tenant_id = $1), true) as "required!""#,
        session.tenant.0
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    match (required, conversation.assigned_to) {
        (false, _) => Ok(()),
        (true, None) => Err(claim_first("answering").into()),
        (true, Some(holder)) => Err(held_by_another(holder).into()),
    }
}

/// Moves the conversation to the top of the list, with the text that was just written.
pub(crate) async fn touch(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: ConversationId,
    text: &str,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.conversations set last_message_at = greatest(last_message_at, clock_timestamp()), preview = left($3, 200)
          where tenant_id = $1 and id = $2",
        tenant.0,
        conversation.0,
        text
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
