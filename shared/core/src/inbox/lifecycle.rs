//! A conversation's life: OPEN, SNOOZED, RESOLVED. Every change writes a `conversation_events` row in its transaction.

use super::InboxError;
use crate::model::{ContactId, ConversationId, TenantId, UserId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use serde::Serialize;
use uuid::Uuid;

/// The role of a tenant's own administrators. Not Hasura's `admin`, which no permission can confine to a tenant.
pub const TENANT_ADMIN: &str = "tenant_admin";

const NOTE_LIMIT: usize = 2000;

/// `conversations.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConversationStatus {
    Open,
    Snoozed,
    Resolved,
}

impl ConversationStatus {
    pub(super) fn parse(word: &str) -> Self {
        match word {
            "RESOLVED" => Self::Resolved,
            "SNOOZED" => Self::Snoozed,
            // The column's check admits no fourth.
            _ => Self::Open,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Snoozed => "SNOOZED",
            Self::Resolved => "RESOLVED",
        }
    }
}

/// What an agent changed. The system's and the contacts' changes are written by the statements that make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Claimed,
    Resolved,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "CLAIMED",
            Self::Resolved => "RESOLVED",
        }
    }
}

/// A conversation under its row lock.
#[derive(Debug)]
pub(super) struct Locked {
    pub contact: ContactId,
    pub status: ConversationStatus,
    pub assigned_to: Option<UserId>,
    pub last_inbound_channel: Option<String>,
}

/// Locks one conversation until the transaction ends. Another tenant's is not found, as if it did not exist.
pub(super) async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: ConversationId,
) -> Result<Locked, InboxError> {
    let row = sqlx::query!(
        r#"select contact_id as "contact: ContactId", status, assigned_to as "assigned_to: UserId", last_inbound_channel
             from communications.conversations
            where tenant_id = $1 and id = $2
              for update"#,
        tenant.0,
        conversation.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("conversation"))?;
    Ok(Locked {
        contact: row.contact,
        status: ConversationStatus::parse(&row.status),
        assigned_to: row.assigned_to,
        last_inbound_channel: row.last_inbound_channel,
    })
}

/// One row of the audit trail.
pub(super) struct Change<'a> {
    pub conversation: ConversationId,
    pub kind: EventKind,
    pub from: Option<String>,
    pub to: Option<String>,
    pub agent: UserId,
    pub note: Option<&'a str>,
}

pub(super) async fn write_event(
    tx: &mut Tx,
    tenant: TenantId,
    change: Change<'_>,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into communications.conversation_events
             (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind, actor_id, note)
         values ($1, $2, $3, $4, $5, $6, 'AGENT', $7, $8)",
        tenant.0,
        Uuid::now_v7(),
        change.conversation.0,
        change.kind.as_str(),
        change.from,
        change.to,
        change.agent.0,
        change.note
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What `resolveConversation` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    pub conversation_id: ConversationId,
    pub status: ConversationStatus,
}

/// Ends a conversation until the contact writes again. Resolving what is resolved answers the same and writes nothing.
///
/// # Errors
/// `not-found` for an unknown or foreign id; `conflict` when somebody else holds it and the caller is no admin.
pub async fn resolve_conversation(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
    note: Option<&str>,
) -> Result<Resolved, InboxError> {
    if note.is_some_and(|note| note.chars().count() > NOTE_LIMIT) {
        let refused = ActionError::invalid(format!(
            "note must not be longer than {NOTE_LIMIT} characters"
        ));
        return Err(refused.into());
    }
    let locked = lock(tx, session.tenant, conversation).await?;
    if locked.status != ConversationStatus::Resolved {
        if locked
            .assigned_to
            .is_some_and(|holder| holder != session.user)
            && session.role != TENANT_ADMIN
        {
            return Err(held_by_another(locked.assigned_to).into());
        }
        sqlx::query!(
            "update communications.conversations
                set status = 'RESOLVED', snoozed_until = null, snoozed_until_reply = true
              where tenant_id = $1 and id = $2",
            session.tenant.0,
            conversation.0
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        let change = Change {
            conversation,
            kind: EventKind::Resolved,
            from: Some(locked.status.as_str().to_owned()),
            to: Some("RESOLVED".to_owned()),
            agent: session.user,
            note,
        };
        write_event(tx, session.tenant, change).await?;
    }
    Ok(Resolved {
        conversation_id: conversation,
        status: ConversationStatus::Resolved,
    })
}

pub(super) fn held_by_another(holder: Option<UserId>) -> ActionError {
    ActionError::conflict("the conversation is assigned to another agent")
        .with_details(serde_json::json!({"assigned_to": holder}))
}
