//! `markConversationRead` and `markConversationUnread`: how far an agent has read, each agent for themselves.
//!
//! A mark is a moment, and what had come by then is read: the order is that of arrival (`messages.created_at`), so a message
//! that comes late with an old time is new. How many that were is counted once, here, into `inbound_seen`; what is unread is then
//! `conversations.inbound_count` minus that, and no list has to count. The conversation's lock, which whoever stores a message
//! holds as well, keeps the two in step. Muted messages are never unread.

use super::InboxError;
use super::lifecycle::lock;
use super::receipts::{self, Occasion, Wanted};
use crate::model::{ConversationId, MessageId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The arguments of `markConversationRead`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadMark {
    pub conversation_id: ConversationId,
    /// The newest message that the agent saw. Absent: all that there is.
    #[serde(default)]
    pub up_to: Option<MessageId>,
}

/// What both answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    pub conversation_id: ConversationId,
    /// Inbound messages that the agent has not read.
    pub unread: i64,
}

/// All that came until `up_to` is read. A mark never goes back: an older one, of another window, changes nothing. The assignee's
/// is told to the contact where the account's policy says so.
///
/// # Errors
/// `not-found` for an unknown or foreign conversation, or a message that is not in it.
pub async fn mark_read(
    tx: &mut Tx,
    session: &Session,
    mark: &ReadMark,
) -> Result<(Unread, Option<Hint>), InboxError> {
    let conversation = lock(tx, session, mark.conversation_id).await?;
    let inbound = conversation.inbound_count;
    let read = match mark.up_to {
        None => Moment {
            at: None,
            seen: inbound,
        },
        Some(message) => arrival(tx, session, mark.conversation_id, message).await?,
    };
    let seen = write_mark(tx, session, mark.conversation_id, &read).await?;
    let mut told = Wanted::default();
    if conversation.assigned_to == Some(session.user) {
        let (tenant, which) = (session.tenant, mark.conversation_id);
        told = receipts::want(tx, tenant, which, Occasion::Read, read.at).await?;
    }
    let unread = Unread {
        conversation_id: mark.conversation_id,
        unread: (inbound - seen).max(0),
    };
    Ok((unread, told.hint))
}

/// The last inbound message is unread again, and what came after it. Where the contact has not written, nothing is.
///
/// # Errors
/// `not-found`.
pub async fn mark_unread(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<Unread, InboxError> {
    let inbound = lock(tx, session, conversation).await?.inbound_count;
    let seen = sqlx::query_scalar!(
        r#"with last as (
               select max(m.created_at) - interval '1 microsecond' as at from communications.messages m
                where m.tenant_id = $1 and m.conversation_id = $2 and m.direction = 'INBOUND' and not m.muted)
           insert into communications.conversation_read_cursors as r
               (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
           select $1, $2, $3, last.at, communications.inbound_until($1, $2, last.at)
             from last where last.at is not null
           on conflict (tenant_id, conversation_id, user_id) do update
               set last_read_at = least(r.last_read_at, excluded.last_read_at),
                   inbound_seen = least(r.inbound_seen, excluded.inbound_seen)
           returning inbound_seen"#,
        session.tenant.0,
        conversation.0,
        session.user.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(Unread {
        conversation_id: conversation,
        unread: (inbound - seen.unwrap_or(inbound)).max(0),
    })
}

/// When something had come, and how many inbound messages with it.
struct Moment {
    /// Now, where it is none.
    at: Option<OffsetDateTime>,
    seen: i64,
}

async fn arrival(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Moment, InboxError> {
    let row = sqlx::query!(
        r#"select m.created_at, communications.inbound_until($1, $2, m.created_at) as "seen!"
             from communications.messages m
            where m.tenant_id = $1 and m.conversation_id = $2 and m.id = $3"#,
        session.tenant.0,
        conversation.0,
        message.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let row = row.ok_or_else(|| ActionError::not_found("message"))?;
    Ok(Moment {
        at: Some(row.created_at),
        seen: row.seen,
    })
}

/// Answers how many inbound messages are read now.
async fn write_mark(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
    read: &Moment,
) -> Result<i64, DatabaseError> {
    let seen = sqlx::query_scalar!(
        "insert into communications.conversation_read_cursors as r
             (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
         values ($1, $2, $3, coalesce($4, clock_timestamp()), $5)
         on conflict (tenant_id, conversation_id, user_id) do update
             set last_read_at = greatest(r.last_read_at, excluded.last_read_at),
                 inbound_seen = greatest(r.inbound_seen, excluded.inbound_seen)
         returning inbound_seen",
        session.tenant.0,
        conversation.0,
        session.user.0,
        read.at,
        read.seen
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(seen)
}
