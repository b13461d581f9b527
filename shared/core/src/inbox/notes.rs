//! `addNote` and `linkConversation`: what agents say to each other about a conversation, and what it is about.
//!
//! A note is an event of the conversation and nothing else: there is no way from it to a customer. Both are for every agent of
//! the tenant, whoever holds the conversation and however it stands.

use super::InboxError;
use super::lifecycle::{Change, EventKind, lock, short_note, write_event};
use crate::model::{ConversationId, UserId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session, given},
};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

const CLIENT_ID_LIMIT: usize = 128;

/// The arguments of `addNote`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    pub conversation_id: ConversationId,
    /// Chosen by the client, once for each note written: the same id twice is one note.
    pub client_note_id: String,
    pub note: String,
}

/// What `addNote` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noted {
    pub event_id: Uuid,
    pub conversation_id: ConversationId,
}

/// # Errors
/// `validation-failed` naming the field; `not-found`; `conflict` for a client id that was used for another note.
pub async fn add_note(tx: &mut Tx, session: &Session, note: &Note) -> Result<Noted, InboxError> {
    let text = short_note("note", Some(&note.note))?
        .ok_or_else(|| ActionError::invalid("note must not be empty"))?;
    if note.client_note_id.is_empty() || note.client_note_id.len() > CLIENT_ID_LIMIT {
        return Err(ActionError::invalid(format!(
            "client_note_id must have 1 to {CLIENT_ID_LIMIT} bytes"
        ))
        .into());
    }
    lock(tx, session, note.conversation_id).await?;
    let event_id = id_of(session.user, &note.client_note_id);
    let kept = sqlx::query!(
        r#"with added as (
               insert into communications.conversation_events
                   (tenant_id, id, conversation_id, kind, actor_kind, actor_id, note)
               values ($1, $2, $3, 'NOTE_ADDED', 'AGENT', $4, $5)
               on conflict (tenant_id, id) do nothing
               returning conversation_id, note)
           select conversation_id as "conversation_id!: ConversationId", note from added
           union all
           select conversation_id, note from communications.conversation_events where tenant_id = $1 and id = $2
           limit 1"#,
        session.tenant.0,
        event_id,
        note.conversation_id.0,
        session.user.0,
        text
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    // Neither added nor seen: the same click in another conversation, in this very moment.
    let kept = kept.ok_or_else(ActionError::unavailable)?;
    if kept.conversation_id != note.conversation_id || kept.note.as_deref() != Some(text) {
        return Err(ActionError::conflict("client_note_id was used for another note").into());
    }
    Ok(Noted {
        event_id,
        conversation_id: note.conversation_id,
    })
}

/// The same for the same agent and client id. A UUID of version 8: its bits are ours.
fn id_of(user: UserId, client_note_id: &str) -> Uuid {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(user.0.as_bytes());
    context.update(client_note_id.as_bytes());
    let mut bytes = [0; 16];
    for (byte, hash) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *byte = *hash;
    }
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// The arguments of `linkConversation`: a UUID links, null takes the link away, what is absent stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    pub conversation_id: ConversationId,
    #[serde(default, deserialize_with = "given")]
    pub booking_id: Option<Option<Uuid>>,
    #[serde(default, deserialize_with = "given")]
    pub trip_id: Option<Option<Uuid>>,
    #[serde(default, deserialize_with = "given")]
    pub invoice_id: Option<Option<Uuid>>,
}

/// What `linkConversation` answers: all three as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Linked {
    pub conversation_id: ConversationId,
    pub booking_id: Option<Uuid>,
    pub trip_id: Option<Uuid>,
    pub invoice_id: Option<Uuid>,
}

/// # Errors
/// `validation-failed` when nothing is given; `not-found` for a conversation, booking, trip or invoice that is not the tenant's.
pub async fn link_conversation(
    tx: &mut Tx,
    session: &Session,
    links: &Links,
) -> Result<Linked, InboxError> {
    if links.booking_id.is_none() && links.trip_id.is_none() && links.invoice_id.is_none() {
        return Err(ActionError::invalid(
            "one of booking_id, trip_id and invoice_id must be given",
        )
        .into());
    }
    lock(tx, session, links.conversation_id).await?;
    exist(tx, session, links).await?;
    let before = read(tx, session, links.conversation_id).await?;
    let now = Linked {
        conversation_id: links.conversation_id,
        booking_id: links.booking_id.unwrap_or(before.booking_id),
        trip_id: links.trip_id.unwrap_or(before.trip_id),
        invoice_id: links.invoice_id.unwrap_or(before.invoice_id),
    };
    if now != before {
        write(tx, session, &now).await?;
        let change = Change {
            conversation: links.conversation_id,
            kind: EventKind::Linked,
            from: Some(said(&before)),
            to: Some(said(&now)),
            agent: session.user,
            note: None,
        };
        write_event(tx, session.tenant, change).await?;
    }
    Ok(now)
}

/// The host's views say what is the tenant's; one that is not asked for need not be there.
async fn exist(tx: &mut Tx, session: &Session, links: &Links) -> Result<(), InboxError> {
    let tenant = session.tenant.0;
    if let Some(booking) = links.booking_id.flatten() {
        let found = sqlx::query_scalar!(
            r#"select exists (select from communications.domain_bookings where tenant_id = $1 and booking_id = $2) as "found!""#,
            tenant,
            booking
        );
        must("booking", found.fetch_one(tx.conn()).await)?;
    }
    if let Some(trip) = links.trip_id.flatten() {
        let found = sqlx::query_scalar!(
            r#"select exists (select from communications.domain_trips where tenant_id = $1 and trip_id = $2) as "found!""#,
            tenant,
            trip
        );
        must("trip", found.fetch_one(tx.conn()).await)?;
    }
    if let Some(invoice) = links.invoice_id.flatten() {
        let found = sqlx::query_scalar!(
            r#"select exists (select from communications.domain_invoices where tenant_id = $1 and invoice_id = $2) as "found!""#,
            tenant,
            invoice
        );
        must("invoice", found.fetch_one(tx.conn()).await)?;
    }
    Ok(())
}

fn must(what: &str, found: Result<bool, sqlx::Error>) -> Result<(), InboxError> {
    if found.map_err(DatabaseError::from)? {
        return Ok(());
    }
    Err(ActionError::not_found(what).into())
}

async fn read(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<Linked, DatabaseError> {
    Ok(sqlx::query_as!(
        Linked,
        r#"select id as "conversation_id: ConversationId", booking_id, trip_id, invoice_id
             from communications.conversations where tenant_id = $1 and id = $2"#,
        session.tenant.0,
        conversation.0
    )
    .fetch_one(tx.conn())
    .await?)
}

async fn write(tx: &mut Tx, session: &Session, links: &Linked) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.conversations set booking_id = $3, trip_id = $4, invoice_id = $5
          where tenant_id = $1 and id = $2",
        session.tenant.0,
        links.conversation_id.0,
        links.booking_id,
        links.trip_id,
        links.invoice_id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// For the audit trail: `booking … trip …`, or `nothing`.
fn said(links: &Linked) -> String {
    let all = [
        ("booking", links.booking_id),
        ("trip", links.trip_id),
        ("invoice", links.invoice_id),
    ];
    let said: Vec<String> = all
        .into_iter()
        .filter_map(|(what, id)| id.map(|id| format!("{what} {id}")))
        .collect();
    if said.is_empty() {
        "nothing".to_owned()
    } else {
        said.join(" ")
    }
}
