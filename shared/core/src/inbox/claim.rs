//! Who holds a conversation: `claimConversation`, `releaseConversation`, `reassignConversation`.
//!
//! The row lock decides; of fifty claimers one wins and the others learn who. Who is an agent of the tenant is the host's to
//! know (its users are in no table of ours), so a conversation can be handed to any user id; only the tenant's own see it.

use super::lifecycle::{
    Change, ConversationStatus, EventKind, Locked, held_by_another, lock, write_event,
};
use super::{InboxError, TENANT_ADMIN, claim_first};
use crate::model::{ConversationId, UserId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session, given},
};
use serde::{Deserialize, Serialize};

/// What all three answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assignment {
    pub conversation_id: ConversationId,
    pub assigned_to: Option<UserId>,
    pub status: ConversationStatus,
}

/// The arguments of `reassignConversation`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    /// Whom the caller saw as the holder, null for nobody: refused when that is no longer so. Absent: whoever it is.
    #[serde(default, deserialize_with = "given")]
    pub expected_assignee: Option<Option<UserId>>,
}

/// Unassigned becomes mine; what is mine already answers the same.
///
/// # Errors
/// `not-found` for an unknown or foreign id, `conflict` naming the holder, `conversation-resolved` for a closed one.
pub async fn claim_conversation(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<Assignment, InboxError> {
    let locked = lock(tx, session, conversation).await?;
    locked.live()?;
    match locked.assigned_to {
        Some(holder) if holder != session.user => Err(held_by_another(holder).into()),
        _ => hand(tx, session, conversation, &locked, Some(session.user)).await,
    }
}

/// Nobody's again; what is nobody's already answers the same.
///
/// # Errors
/// `not-found`; `conflict` naming the holder, when that is somebody else and the caller is no administrator.
pub async fn release_conversation(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<Assignment, InboxError> {
    let locked = lock(tx, session, conversation).await?;
    locked.may_change(session)?;
    hand(tx, session, conversation, &locked, None).await
}

/// Handed from whoever holds it to another agent: by themselves, or by an administrator. Theirs already answers the same.
///
/// # Errors
/// `not-found`; `conversation-resolved`; `conflict` naming the holder, when it is not the expected one, or somebody else and the
/// caller is no administrator; `claim-required` when it is nobody's.
pub async fn reassign_conversation(
    tx: &mut Tx,
    session: &Session,
    handover: &Handover,
) -> Result<Assignment, InboxError> {
    let locked = lock(tx, session, handover.conversation_id).await?;
    locked.live()?;
    if locked.assigned_to != Some(handover.user_id) {
        expected(handover, &locked)?;
        locked.may_change(session)?;
        if locked.assigned_to.is_none() && session.role != TENANT_ADMIN {
            return Err(claim_first("handing it over").into());
        }
    }
    hand(
        tx,
        session,
        handover.conversation_id,
        &locked,
        Some(handover.user_id),
    )
    .await
}

fn expected(handover: &Handover, locked: &Locked) -> Result<(), ActionError> {
    match handover.expected_assignee {
        Some(expected) if expected != locked.assigned_to => Err(ActionError::conflict(
            "the conversation is no longer assigned as expected",
        )
        .with_details(serde_json::json!({"assigned_to": locked.assigned_to}))),
        _ => Ok(()),
    }
}

async fn hand(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
    locked: &Locked,
    to: Option<UserId>,
) -> Result<Assignment, InboxError> {
    if locked.assigned_to != to {
        sqlx::query!(
            "update communications.conversations set assigned_to = $3 where tenant_id = $1 and id = $2",
            session.tenant.0,
            conversation.0,
            to.map(|user| user.0)
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        let change = Change {
            conversation,
            kind: match (locked.assigned_to, to) {
                (_, None) => EventKind::Released,
                (None, Some(user)) if user == session.user => EventKind::Claimed,
                _ => EventKind::Reassigned,
            },
            from: locked.assigned_to.map(|user| user.to_string()),
            to: to.map(|user| user.to_string()),
            agent: session.user,
            note: None,
        };
        write_event(tx, session.tenant, change).await?;
    }
    Ok(Assignment {
        conversation_id: conversation,
        assigned_to: to,
        status: locked.status,
    })
}
