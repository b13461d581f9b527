//! `resolveConversation` and `reopenConversation`: the end of a conversation, and that it was not the end.

use super::InboxError;
use super::lifecycle::{Change, ConversationStatus, EventKind, lock, short_note, write_event};
use crate::model::{ContactId, ConversationId, TenantId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The arguments of both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    pub conversation_id: ConversationId,
    /// For the audit trail.
    #[serde(default)]
    pub note: Option<String>,
}

/// What both answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    pub conversation_id: ConversationId,
    pub status: ConversationStatus,
}

/// Ends a conversation until the contact writes again. Resolving what is resolved answers the same and writes nothing.
///
/// # Errors
/// `not-found` for an unknown or foreign id; `conflict` when somebody else holds it and the caller is no administrator.
pub async fn resolve_conversation(
    tx: &mut Tx,
    session: &Session,
    closing: &Closing,
) -> Result<Standing, InboxError> {
    turn(tx, session, closing, ConversationStatus::Resolved).await
}

/// Opens what is RESOLVED or SNOOZED, for whoever held it. Opening what is OPEN answers the same and writes nothing.
///
/// # Errors
/// As for resolving; `conflict` with the `conversation_id` of the contact's live conversation, when there is another one.
pub async fn reopen_conversation(
    tx: &mut Tx,
    session: &Session,
    closing: &Closing,
) -> Result<Standing, InboxError> {
    turn(tx, session, closing, ConversationStatus::Open).await
}

async fn turn(
    tx: &mut Tx,
    session: &Session,
    closing: &Closing,
    to: ConversationStatus,
) -> Result<Standing, InboxError> {
    let note = short_note("note", closing.note.as_deref())?;
    let conversation = closing.conversation_id;
    let locked = lock(tx, session, conversation).await?;
    if locked.status != to {
        locked.may_change(session)?;
        if locked.status == ConversationStatus::Resolved {
            no_other_lives(tx, session.tenant, locked.contact).await?;
        }
        write_status(tx, session.tenant, conversation, to).await?;
        let change = Change {
            conversation,
            kind: if to == ConversationStatus::Open {
                EventKind::Reopened
            } else {
                EventKind::Resolved
            },
            from: Some(locked.status.as_str().to_owned()),
            to: Some(to.as_str().to_owned()),
            agent: session.user,
            note,
        };
        write_event(tx, session.tenant, change).await?;
    }
    Ok(Standing {
        conversation_id: conversation,
        status: to,
    })
}

async fn write_status(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: ConversationId,
    to: ConversationStatus,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.conversations set status = $3, snoozed_until = null, snoozed_until_reply = true
          where tenant_id = $1 and id = $2",
        tenant.0,
        conversation.0,
        to.as_str()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// One person, one thread: what lives already is where to go on, and the emptied thread of somebody merged stays closed. Two that
/// open two threads of one contact in the same moment: the unique index refuses one.
async fn no_other_lives(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
) -> Result<(), InboxError> {
    let found = sqlx::query!(
        r#"select living.id as "living!: ContactId",
                  (select c.id from communications.conversations c
                    where c.tenant_id = $1 and c.contact_id = living.id and c.status <> 'RESOLVED') as live
             from communications.living_contact($1, $2) as living (id)"#,
        tenant.0,
        contact.0
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if found.live.is_none() && found.living == contact {
        return Ok(());
    }
    let refused = ActionError::conflict("the contact's conversation is another one now");
    Err(refused
        .with_details(json!({"conversation_id": found.live}))
        .into())
}
