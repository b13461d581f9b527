//! `snoozeConversation`: out of the way until a time, until the customer writes, or whichever comes first.
//!
//! The time wakes it in `wake`, the customer's words in the transaction that stores them (`communications.store_messages`).

use super::InboxError;
use super::lifecycle::{Change, ConversationStatus, EventKind, lock, write_event};
use crate::model::ConversationId;
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session, instant},
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// How far ahead: what sleeps longer is forgotten, and a typo in a year is caught.
const LONGEST: Duration = Duration::days(366);

/// The arguments of `snoozeConversation`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snooze {
    pub conversation_id: ConversationId,
    #[serde(default, deserialize_with = "instant")]
    pub until: Option<OffsetDateTime>,
    /// Does what the customer writes wake it? Yes, unless told otherwise.
    #[serde(default)]
    pub until_reply: Option<bool>,
}

/// What `snoozeConversation` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snoozed {
    pub conversation_id: ConversationId,
    pub status: ConversationStatus,
    #[serde(with = "time::serde::rfc3339::option")]
    pub snoozed_until: Option<OffsetDateTime>,
    pub snoozed_until_reply: bool,
}

/// Until a time, until the customer writes, or whichever comes first. What sleeps already sleeps as it is told now.
///
/// # Errors
/// `validation-failed` for a time that is over or more than a year ahead, and for a sleep without an end; `not-found`;
/// `conversation-resolved`; `conflict` naming the holder, when that is somebody else and the caller is no administrator.
pub async fn snooze_conversation(
    tx: &mut Tx,
    session: &Session,
    snooze: &Snooze,
) -> Result<Snoozed, InboxError> {
    let until_reply = snooze.until_reply.unwrap_or(true);
    if snooze.until.is_none() && !until_reply {
        return Err(ActionError::invalid("until must be given when until_reply is false").into());
    }
    if let Some(until) = snooze.until {
        ahead(tx, until).await?;
    }
    let locked = lock(tx, session, snooze.conversation_id).await?;
    locked.live()?;
    locked.may_change(session)?;
    let asleep = locked.status == ConversationStatus::Snoozed;
    if !asleep || (locked.snoozed_until, locked.snoozed_until_reply) != (snooze.until, until_reply)
    {
        fall_asleep(tx, session, snooze, until_reply).await?;
        let change = Change {
            conversation: snooze.conversation_id,
            kind: EventKind::Snoozed,
            from: Some(locked.status.as_str().to_owned()),
            to: Some(end(snooze.until, until_reply)),
            agent: session.user,
            note: None,
        };
        write_event(tx, session.tenant, change).await?;
    }
    Ok(Snoozed {
        conversation_id: snooze.conversation_id,
        status: ConversationStatus::Snoozed,
        snoozed_until: snooze.until,
        snoozed_until_reply: until_reply,
    })
}

/// By the database's clock, which also wakes.
async fn ahead(tx: &mut Tx, until: OffsetDateTime) -> Result<(), InboxError> {
    let now = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
    if until <= now {
        return Err(ActionError::invalid("until must be in the future").into());
    }
    if until > now + LONGEST {
        let refused = format!(
            "until must not be more than {} days ahead",
            LONGEST.whole_days()
        );
        return Err(ActionError::invalid(refused).into());
    }
    Ok(())
}

async fn fall_asleep(
    tx: &mut Tx,
    session: &Session,
    snooze: &Snooze,
    until_reply: bool,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.conversations
            set status = 'SNOOZED', snoozed_until = $3, snoozed_until_reply = $4
          where tenant_id = $1 and id = $2",
        session.tenant.0,
        snooze.conversation_id.0,
        snooze.until,
        until_reply
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// For the audit trail: `2026-12-01T09:00:00Z`, `reply`, or both.
fn end(until: Option<OffsetDateTime>, until_reply: bool) -> String {
    let until = until.and_then(|until| until.format(&Rfc3339).ok());
    match (until, until_reply) {
        (Some(until), true) => format!("{until} or reply"),
        (Some(until), false) => until,
        (None, _) => "reply".to_owned(),
    }
}
