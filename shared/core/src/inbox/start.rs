//! `startConversation`: the first words are the agent's.
//!
//! The contact is found by id, or by an address, which makes a new one where nobody has it. Their live thread goes on, the last one
//! is reopened by the rule for inbound messages, or a new one begins; it is the caller's from then on. What is refused leaves
//! nothing behind, not even the contact: all of it is one transaction.

use super::InboxError;
use super::content::{Draft, ReplyContent};
use super::lifecycle::{Change, ConversationStatus, EventKind, held_by_another, write_event};
use super::reply::{Replied, already_sent, client_key, send, used_before};
use super::write::Words;
use crate::contacts::{self, Alias, AliasKind, Sighting};
use crate::model::{Channel, ContactId, ConversationId, TenantId, UserId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use comms_providers::ses;
use serde::Deserialize;

/// The arguments of `startConversation`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    #[serde(default)]
    pub contact_id: Option<ContactId>,
    /// Instead of a contact: E.164 for WHATSAPP and SMS, `local@domain` for EMAIL.
    #[serde(default)]
    pub address: Option<String>,
    pub channel: Channel,
    /// Chosen by the client, once for each message written.
    pub client_message_id: String,
    pub content: ReplyContent,
}

/// # Errors
/// `validation-failed` naming the field; `not-found` for an unknown or foreign contact; `conflict` when another agent holds the
/// contact's live conversation, or the client id was used before; `window-closed`; `template-not-approved`;
/// `channel-unavailable`.
pub async fn start_conversation(
    tx: &mut Tx,
    session: &Session,
    start: &Start,
) -> Result<(Replied, Vec<Hint>), InboxError> {
    let draft = Draft::of(&start.content)?;
    draft.fits(start.channel)?;
    let key = client_key(session, &start.client_message_id)?;
    let contact = contact(tx, session.tenant, start).await?;
    if let Some(before) = already_sent(tx, session.tenant, &key, &draft).await? {
        // The same words to somebody else are not sent by saying that they were.
        if before.contact != contact || before.replied.channel != start.channel {
            return Err(used_before().into());
        }
        return Ok((before.replied, Vec::new()));
    }
    let words = Words {
        contact,
        conversation: thread(tx, session, contact).await?,
        channel: start.channel,
        draft: &draft,
        reply_to: None,
        key,
        address: start
            .address
            .as_deref()
            .map(|address| written(start.channel, address)),
    };
    send(tx, session, words).await
}

/// Found or made, with all their aliases locked: nobody else opens a thread for them meanwhile.
async fn contact(tx: &mut Tx, tenant: TenantId, start: &Start) -> Result<ContactId, InboxError> {
    match (start.contact_id, &start.address) {
        (Some(contact), None) => living(tx, tenant, contact).await,
        (None, Some(address)) => {
            let sighting = Sighting {
                aliases: vec![alias(start.channel, address)?],
                ..Sighting::new(tenant)
            };
            let found = contacts::resolve(tx, &[sighting]).await?;
            Ok(found
                .first()
                .copied()
                .ok_or_else(ActionError::unavailable)?)
        }
        _ => {
            Err(ActionError::invalid("exactly one of contact_id and address must be given").into())
        }
    }
}

/// Whoever a merge left of them; asked again once they are locked, for a merge may have ended meanwhile.
async fn living(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
) -> Result<ContactId, InboxError> {
    let mut locked = None;
    loop {
        let living = sqlx::query_scalar!(
            r#"select id as "id: ContactId" from communications.contacts
                where tenant_id = $1 and id = communications.living_contact($1, $2)"#,
            tenant.0,
            contact.0
        )
        .fetch_optional(tx.conn())
        .await
        .map_err(DatabaseError::from)?
        .ok_or_else(|| ActionError::not_found("contact"))?;
        if locked == Some(living) {
            return Ok(living);
        }
        sqlx::query!(
            "select communications.lock_contacts($1, array[$2::uuid])::text as locked",
            tenant.0,
            living.0
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        locked = Some(living);
    }
}

pub(super) fn alias(channel: Channel, address: &str) -> Result<Alias, ActionError> {
    match channel {
        Channel::WhatsApp | Channel::Sms if is_e164(address) => {
            Ok(Alias::new(AliasKind::Phone, address))
        }
        Channel::WhatsApp | Channel::Sms => Err(ActionError::invalid(
            "address must be a phone number in E.164, such as +34600111222",
        )),
        Channel::Email if is_mailbox(address) => {
            Ok(Alias::new(AliasKind::Email, &written(channel, address)))
        }
        Channel::Email => Err(ActionError::invalid(
            "address must be an email address, such as ana@example.org",
        )),
        Channel::Webchat => Err(ActionError::invalid(
            "address must not be given for WEBCHAT",
        )),
    }
}

/// As everything else writes it: suppressions are looked up by it.
pub(super) fn written(channel: Channel, address: &str) -> String {
    match channel {
        Channel::Email => address.to_lowercase(),
        _ => address.to_owned(),
    }
}

/// As `contact_identities` has it.
fn is_e164(address: &str) -> bool {
    address.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// As SES takes it, and of a domain that the world knows.
fn is_mailbox(address: &str) -> bool {
    ses::is_address(address)
        && address.rsplit_once('@').is_some_and(|(_, domain)| {
            domain.split('.').count() > 1 && domain.split('.').all(|label| !label.is_empty())
        })
}

/// A thread as it was before the agent wrote in it.
struct Found {
    conversation: ConversationId,
    status: ConversationStatus,
    assigned_to: Option<UserId>,
}

/// The contact's thread, OPEN and the caller's.
async fn thread(
    tx: &mut Tx,
    session: &Session,
    contact: ContactId,
) -> Result<ConversationId, InboxError> {
    let Some(found) = last(tx, session.tenant, contact).await? else {
        let conversation = open(tx, session, contact).await?;
        adopt(tx, session.tenant, contact, conversation).await?;
        return Ok(conversation);
    };
    let mine = found.assigned_to == Some(session.user);
    if let Some(holder) = found
        .assigned_to
        .filter(|_| !mine && found.status != ConversationStatus::Resolved)
    {
        return Err(held_by_another(holder).into());
    }
    take(tx, session, found.conversation).await?;
    adopt(tx, session.tenant, contact, found.conversation).await?;
    let change = |kind, from: Option<String>, to: String| Change {
        conversation: found.conversation,
        kind,
        from,
        to: Some(to),
        agent: session.user,
        note: None,
    };
    if found.status != ConversationStatus::Open {
        let from = Some(found.status.as_str().to_owned());
        write_event(
            tx,
            session.tenant,
            change(EventKind::Reopened, from, "OPEN".to_owned()),
        )
        .await?;
    }
    if !mine {
        let kind = if found.assigned_to.is_none() {
            EventKind::Claimed
        } else {
            EventKind::Reassigned
        };
        let from = found.assigned_to.map(|user| user.to_string());
        write_event(
            tx,
            session.tenant,
            change(kind, from, session.user.to_string()),
        )
        .await?;
    }
    Ok(found.conversation)
}

/// The live one, else the last; what was resolved longer ago than the tenant reopens is history.
async fn last(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
) -> Result<Option<Found>, DatabaseError> {
    let row = sqlx::query!(
        r#"select c.id as "id: ConversationId", c.status, c.assigned_to as "assigned_to: UserId"
             from communications.conversations c
             left join communications.tenant_settings s on s.tenant_id = c.tenant_id
            where c.tenant_id = $1 and c.contact_id = $2
              and (c.status <> 'RESOLVED' or s.reopen_within_days is null or c.resolved_at is null
                   or c.resolved_at > now() - s.reopen_within_days * interval '1 day')
            order by (c.status <> 'RESOLVED') desc, c.created_at desc, c.id desc
            limit 1
              for no key update of c"#,
        tenant.0,
        contact.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Found {
        conversation: row.id,
        status: ConversationStatus::parse(&row.status),
        assigned_to: row.assigned_to,
    }))
}

async fn take(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.conversations
            set status = 'OPEN', snoozed_until = null, snoozed_until_reply = true, assigned_to = $3
          where tenant_id = $1 and id = $2",
        session.tenant.0,
        conversation.0,
        session.user.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// With the trip of the latest automated message that has no thread, as where the contact writes first.
async fn open(
    tx: &mut Tx,
    session: &Session,
    contact: ContactId,
) -> Result<ConversationId, DatabaseError> {
    let conversation = ConversationId::generate();
    sqlx::query!(
        "with opened as (
             insert into communications.conversations
                 (tenant_id, id, contact_id, assigned_to, trip_id, booking_id, invoice_id, continues)
             select $1, $2, $3, $4, (about.context ->> 'trip_id')::uuid, (about.context ->> 'booking_id')::uuid,
                    (about.context ->> 'invoice_id')::uuid,
                    (select c.id from communications.conversations c
                      where c.tenant_id = $1 and c.contact_id = $3
                      order by c.created_at desc, c.id desc limit 1)
               from (values (1)) one
               left join lateral (
                    select r.context
                      from communications.messages m
                      join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
                     where m.tenant_id = $1 and m.contact_id = $3 and m.conversation_id is null
                     order by m.created_at desc
                     limit 1) about on true)
         insert into communications.conversation_events
             (tenant_id, id, conversation_id, kind, to_value, actor_kind, actor_id)
         values ($1, communications.uuid_v7(), $2, 'OPENED', 'OPEN', 'AGENT', $4)",
        session.tenant.0,
        conversation.0,
        contact.0,
        session.user.0
    )
    .execute(tx.conn())
    .await?;
    Ok(conversation)
}

/// What was sent to them while there was no live thread is shown in it. Locked in the order that everybody locks messages in.
async fn adopt(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    conversation: ConversationId,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "with loose as (
             select id from communications.messages
              where tenant_id = $1 and contact_id = $2 and conversation_id is null
              order by id for no key update)
         update communications.messages m set conversation_id = $3
           from loose where m.tenant_id = $1 and m.id = loose.id",
        tenant.0,
        contact.0,
        conversation.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
