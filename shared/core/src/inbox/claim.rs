//! `claimConversation`: the row lock decides; of fifty claimers one wins and the others learn who.

use super::InboxError;
use super::lifecycle::{Change, ConversationStatus, EventKind, held_by_another, lock, write_event};
use crate::model::{ConversationId, UserId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use http::StatusCode;
use serde::Serialize;

/// What `claimConversation` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claimed {
    pub conversation_id: ConversationId,
    pub assigned_to: UserId,
    pub status: ConversationStatus,
}

/// Unassigned becomes mine; what is mine already answers the same.
///
/// # Errors
/// `not-found` for an unknown or foreign id, `conflict` naming the holder, `conversation-resolved` for a closed one.
pub async fn claim_conversation(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<Claimed, InboxError> {
    let locked = lock(tx, session.tenant, conversation).await?;
    if locked.status == ConversationStatus::Resolved {
        let refused = ActionError::new(
            StatusCode::CONFLICT,
            "conversation-resolved",
            "the conversation is resolved; reopen it first",
        );
        return Err(refused.into());
    }
    match locked.assigned_to {
        Some(holder) if holder == session.user => {}
        Some(holder) => return Err(held_by_another(Some(holder)).into()),
        None => assign(tx, session, conversation).await?,
    }
    Ok(Claimed {
        conversation_id: conversation,
        assigned_to: session.user,
        status: locked.status,
    })
}

async fn assign(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.conversations set assigned_to = $3 where tenant_id = $1 and id = $2",
        session.tenant.0,
        conversation.0,
        session.user.0
    )
    .execute(tx.conn())
    .await?;
    let change = Change {
        conversation,
        kind: EventKind::Claimed,
        from: None,
        to: Some(session.user.to_string()),
        agent: session.user,
        note: None,
    };
    write_event(tx, session.tenant, change).await
}
