//! `sendAgentMessage`: an agent's answer, into the interactive lane of the same pipeline as everything else.
//!
//! The client's own message id makes a second click harmless. WhatsApp's free form is checked against the stored window
//! here, so that the agent learns it at once; the provider stays the final judge.

use super::InboxError;
use super::lifecycle::{ConversationStatus, Locked, held_by_another, lock};
use crate::model::{
    AccountId, Category, Channel, ConversationId, Lane, MessageId, MessageStatus, TenantId,
};
use crate::outbox::{self, Author, NewMessage};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use comms_providers::Content;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use time::Duration;

const TEXT_LIMIT: usize = 4096;
const CLIENT_ID_LIMIT: usize = 128;
const WORTH_SENDING: Duration = Duration::hours(24);

/// The arguments of `sendAgentMessage`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentMessage {
    pub conversation_id: ConversationId,
    /// Chosen by the client, once for each message written; the same id twice is one message.
    pub client_message_id: String,
    pub content: ReplyContent,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyContent {
    pub text: String,
}

/// What `sendAgentMessage` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replied {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub status: MessageStatus,
}

/// Queues the answer and says what to hint at after the commit.
///
/// # Errors
/// `validation-failed` naming the field; `not-found`; `claim-required` or `conflict` when it is not the caller's
/// conversation; `conversation-resolved`; `window-closed`; `channel-unavailable`.
pub async fn send_agent_message(
    tx: &mut Tx,
    session: &Session,
    message: &AgentMessage,
) -> Result<(Replied, Vec<Hint>), InboxError> {
    validate(message)?;
    let conversation = lock(tx, session.tenant, message.conversation_id).await?;
    let key = format!("agent/{}/{}", session.user, message.client_message_id);
    if let Some(replied) = already_sent(tx, session, message, &key).await? {
        return Ok((replied, Vec::new()));
    }
    holds(tx, session, &conversation).await?;
    let route = route(tx, session, message.conversation_id, &conversation).await?;
    let row = NewMessage {
        id: MessageId::generate(),
        channel: Channel::WhatsApp,
        account: route.account,
        contact: conversation.contact,
        conversation: Some(message.conversation_id),
        author: Author::Agent(session.user),
        address: route.address,
        content: Content::Text {
            body: message.content.text.clone(),
            preview_url: false,
        },
        body: message.content.text.clone(),
        template: None,
        suppressed: false,
        lane: Lane::Interactive,
        category: Category::Service,
        expires_after: WORTH_SENDING,
        run: None,
        idempotency_key: Some(key),
        reply_to: None,
        fallback: Vec::new(),
    };
    let hints = outbox::queue(tx, session.tenant, std::slice::from_ref(&row)).await?;
    touch(
        tx,
        session.tenant,
        message.conversation_id,
        &message.content.text,
    )
    .await?;
    let replied = Replied {
        message_id: row.id,
        conversation_id: message.conversation_id,
        status: MessageStatus::Queued,
    };
    Ok((replied, hints))
}

fn validate(message: &AgentMessage) -> Result<(), ActionError> {
    let text = message.content.text.trim();
    if text.is_empty() {
        return Err(ActionError::invalid("content.text must not be empty"));
    }
    if message.content.text.chars().count() > TEXT_LIMIT {
        return Err(ActionError::invalid(format!(
            "content.text must not be longer than {TEXT_LIMIT} characters"
        )));
    }
    if message.client_message_id.is_empty() || message.client_message_id.len() > CLIENT_ID_LIMIT {
        return Err(ActionError::invalid(format!(
            "client_message_id must have 1 to {CLIENT_ID_LIMIT} bytes"
        )));
    }
    Ok(())
}

/// The answer that the first call with this key got, with the message's state of now.
async fn already_sent(
    tx: &mut Tx,
    session: &Session,
    message: &AgentMessage,
    key: &str,
) -> Result<Option<Replied>, InboxError> {
    let row = sqlx::query!(
        r#"select id as "id: MessageId", conversation_id as "conversation: ConversationId", body, status
             from communications.messages where tenant_id = $1 and idempotency_key = $2"#,
        session.tenant.0,
        key
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let Some(row) = row else { return Ok(None) };
    if row.conversation != Some(message.conversation_id) || row.body != message.content.text {
        return Err(ActionError::conflict("client_message_id was used for another message").into());
    }
    let status = row.status.parse().map_err(|_| ActionError::unavailable())?;
    Ok(Some(Replied {
        message_id: row.id,
        conversation_id: message.conversation_id,
        status,
    }))
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
    let conversation = lock(tx, session.tenant, conversation).await?;
    holds(tx, session, &conversation).await
}

async fn holds(tx: &mut Tx, session: &Session, conversation: &Locked) -> Result<(), InboxError> {
    if conversation.status == ConversationStatus::Resolved {
        return Err(ActionError::new(
            StatusCode::CONFLICT,
            "conversation-resolved",
            "the conversation is resolved; reopen it first",
        )
        .into());
    }
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
        (true, None) => Err(ActionError::new(
            StatusCode::CONFLICT,
            "claim-required",
            "claim the conversation before answering",
        )
        .into()),
        (true, holder) => Err(held_by_another(holder).into()),
    }
}

/// By which account and to which address an answer goes.
struct Route {
    account: AccountId,
    address: String,
}

/// The channel the contact last wrote on; WhatsApp is the one this journey has.
async fn route(
    tx: &mut Tx,
    session: &Session,
    id: ConversationId,
    conversation: &Locked,
) -> Result<Route, InboxError> {
    let unavailable =
        |why: &str| ActionError::new(StatusCode::CONFLICT, "channel-unavailable", why);
    if conversation.last_inbound_channel.as_deref() != Some(Channel::WhatsApp.as_str()) {
        return Err(unavailable(
            "the contact has not written on a channel that agents can answer on",
        )
        .into());
    }
    let row = sqlx::query!(
        r#"select m.account_id as "account: AccountId", m.address, a.status = 'ACTIVE' as "active!",
                  coalesce(w.open_until > now(), false) as "open!"
             from communications.messages m
             join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
             left join communications.whatsapp_windows w
               on w.tenant_id = m.tenant_id and w.account_id = m.account_id and w.contact_id = m.contact_id
            where m.tenant_id = $1 and m.conversation_id = $2 and m.direction = 'INBOUND' and m.channel = 'WHATSAPP'
            order by m.thread_at desc, m.id desc
            limit 1"#,
        session.tenant.0,
        id.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| unavailable("the contact has not written on WhatsApp in this conversation"))?;
    if !row.open {
        let refused = ActionError::new(
            StatusCode::CONFLICT,
            "window-closed",
            "more than 24 hours since the contact wrote: only an approved template may be sent",
        );
        return Err(refused.into());
    }
    if !row.active {
        return Err(unavailable("the WhatsApp account of this conversation is not active").into());
    }
    Ok(Route {
        account: row.account,
        address: row.address,
    })
}

/// Moves the conversation to the top of the list, with the text that was just written.
pub(crate) async fn touch(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: ConversationId,
    text: &str,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.conversations set last_message_at = now(), preview = left($3, 200)
          where tenant_id = $1 and id = $2",
        tenant.0,
        conversation.0,
        text
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
