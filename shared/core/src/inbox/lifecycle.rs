//! A conversation's life: OPEN, SNOOZED, RESOLVED. Every change writes a `conversation_events` row in its transaction.

use super::{InboxError, TENANT_ADMIN};
use crate::model::{Channel, ContactId, ConversationId, TenantId, UserId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// Characters of a note.
const NOTE_LIMIT: usize = 4000;

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
    Released,
    Reassigned,
    Resolved,
    Reopened,
    Snoozed,
    Linked,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "CLAIMED",
            Self::Released => "RELEASED",
            Self::Reassigned => "REASSIGNED",
            Self::Resolved => "RESOLVED",
            Self::Reopened => "REOPENED",
            Self::Snoozed => "SNOOZED",
            Self::Linked => "LINKED",
        }
    }
}

/// A conversation under its row lock.
#[derive(Debug)]
pub(super) struct Locked {
    pub contact: ContactId,
    pub status: ConversationStatus,
    pub assigned_to: Option<UserId>,
    pub snoozed_until: Option<OffsetDateTime>,
    pub snoozed_until_reply: bool,
    pub last_inbound_channel: Option<Channel>,
    /// Inbound messages that count as such.
    pub inbound_count: i64,
}

/// Locks one conversation until the transaction ends; whoever only points to it, as a new message does, does not wait. Another tenant's
/// is not found, as if it did not exist, and neither is one that the tenant does not show the caller.
pub(super) async fn lock(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<Locked, InboxError> {
    let row = sqlx::query!(
        r#"select contact_id as "contact: ContactId", status, assigned_to as "assigned_to: UserId", snoozed_until,
                  snoozed_until_reply, last_inbound_channel, inbound_count
             from communications.conversations
            where tenant_id = $1 and id = $2 and ($3 or communications.shown_to_dispatcher($1, $2, $4))
              for no key update"#,
        session.tenant.0,
        conversation.0,
        session.role == TENANT_ADMIN,
        session.user.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("conversation"))?;
    Ok(Locked {
        contact: row.contact,
        status: ConversationStatus::parse(&row.status),
        assigned_to: row.assigned_to,
        snoozed_until: row.snoozed_until,
        snoozed_until_reply: row.snoozed_until_reply,
        // The column's check admits no other words.
        last_inbound_channel: row.last_inbound_channel.and_then(|word| word.parse().ok()),
        inbound_count: row.inbound_count,
    })
}

impl Locked {
    /// Changing how a conversation stands is for whoever holds it, for everybody while nobody does, and for administrators.
    ///
    /// # Errors
    /// `conflict` naming the holder.
    pub fn may_change(&self, session: &Session) -> Result<(), ActionError> {
        match self.assigned_to {
            Some(holder) if holder != session.user && session.role != TENANT_ADMIN => {
                Err(held_by_another(holder))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// `conversation-resolved`.
    pub fn live(&self) -> Result<(), ActionError> {
        if self.status != ConversationStatus::Resolved {
            return Ok(());
        }
        Err(ActionError::new(
            StatusCode::CONFLICT,
            "conversation-resolved",
            "the conversation is resolved; reopen it first",
        ))
    }
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

pub(super) fn held_by_another(holder: UserId) -> ActionError {
    ActionError::conflict("the conversation is assigned to another agent")
        .with_details(serde_json::json!({"assigned_to": holder}))
}

/// What an agent says about a change, or for its own sake.
///
/// # Errors
/// `validation-failed` naming the field, when it is too long.
pub(super) fn short_note<'a>(
    field: &str,
    note: Option<&'a str>,
) -> Result<Option<&'a str>, ActionError> {
    match note {
        Some(note) if note.chars().count() > NOTE_LIMIT => Err(ActionError::invalid(format!(
            "{field} must not be longer than {NOTE_LIMIT} characters"
        ))),
        note => Ok(note.filter(|note| !note.trim().is_empty())),
    }
}
