//! What one payload comes to, in the shape that `communications.inbound_store` takes.

use super::notices::Notice;
use crate::contacts::{self, Wish};
use crate::delivery::StatusReport;
use crate::model::{Channel, ContactId, MediaId, MessageId, Owner, TenantId};
use crate::platform::{DatabaseError, Tx, clock, telemetry};
use comms_providers::Content;
use comms_providers::event::{
    Actor, Echo, Edit, InboundMedia, InboundMessage, PersonChange, PersonChangeKind, Reaction,
    Revoke,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// How long the provider keeps a file that a webhook named.
const MEDIA_LIFE: Duration = Duration::days(7);
/// What comes late is asked for all the same: whether it is forgotten, the provider knows.
const MEDIA_CHANCE: Duration = Duration::hours(1);
const PREVIEW_CHARACTERS: usize = 200;

/// Everything of one payload that has an owner. Members that are empty are left out.
#[derive(Debug, Default, Serialize)]
pub struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<contacts::Decisions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<NewMessage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<NewReaction>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<NewRevision>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<StatusReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<NewWish>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// What was new of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Stored {
    pub messages: usize,
    pub reports: crate::delivery::Recorded,
    /// Notices that a person should look at.
    pub alerts: u32,
    /// Files to fetch, once this is committed.
    pub media: Vec<(TenantId, MediaId)>,
}

impl Document {
    /// Is there nothing to write?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.people.is_none()
            && self.messages.is_empty()
            && self.reactions.is_empty()
            && self.revisions.is_empty()
            && self.reports.is_empty()
            && self.wishes.is_empty()
            && self.notices.is_empty()
    }

    /// Stores it in the caller's transaction and ends it, in one round trip.
    ///
    /// # Errors
    /// When the database does not answer; nothing is then stored.
    pub async fn store(&self, tx: Tx) -> Result<Stored, DatabaseError> {
        let stored: Stored = tx.commit_with("inbound_store", self).await?;
        stored.reports.tell();
        if stored.alerts > 0 {
            tracing::warn!(
                notices = stored.alerts,
                "a provider has notices about accounts"
            );
            telemetry::metric("AccountNotice", f64::from(stored.alerts), &[]);
        }
        Ok(stored)
    }
}

#[derive(Debug, Serialize)]
pub struct NewMessage {
    pub id: MessageId,
    #[serde(flatten)]
    pub owner: Owner,
    pub channel: Channel,
    pub contact_id: ContactId,
    pub direction: &'static str,
    /// Does it reopen a thread that is resolved or snoozed?
    pub wakes: bool,
    /// Does it open WhatsApp's 24 hours?
    pub opens_window: bool,
    /// Is it a line in the thread and nothing else: not unread, and no reason to lift the thread?
    pub muted: bool,
    /// Where an answer goes.
    pub address: String,
    /// From where they certainly wrote: an address that was said to be none is one. WhatsApp knows of no such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_from: Option<String>,
    pub content: Content,
    pub body: String,
    pub preview: String,
    pub external_message_id: String,
    /// What it answers: the provider's id of it, or of a mail its own.
    pub reply_to: Option<String>,
    /// That message, where it is known already; else the database finds it by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replied_to: Option<MessageId>,
    pub rfc_message_id: Option<String>,
    pub context: Option<Value>,
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
    pub media: Vec<NewMedia>,
}

#[derive(Debug, Serialize)]
pub struct NewMedia {
    pub id: MediaId,
    pub ordinal: i16,
    pub kind: String,
    /// META or MAIL.
    pub source: &'static str,
    pub source_ref: String,
    pub source_url: Option<String>,
    pub mime_type: Option<String>,
    pub filename: Option<String>,
    /// Of a mail: what `cid:` in its HTML refers to.
    pub content_id: Option<String>,
    pub declared_sha256: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

impl NewMessage {
    /// What a customer wrote.
    #[must_use]
    pub fn inbound(
        owner: Owner,
        channel: Channel,
        contact: ContactId,
        address: String,
        message: InboundMessage,
    ) -> Self {
        Self {
            id: MessageId::generate(),
            owner,
            channel,
            contact_id: contact,
            direction: "INBOUND",
            wakes: true,
            opens_window: channel == Channel::WhatsApp && !message.is_to_a_group(),
            muted: false,
            written_from: (channel == Channel::Sms).then(|| address.clone()),
            address,
            preview: preview(&message.body),
            body: message.body,
            content: message.content,
            external_message_id: message.external_message_id,
            reply_to: message.reply_to,
            replied_to: None,
            rfc_message_id: None,
            context: message.context,
            media: files(message.media, message.sent_at),
            sent_at: message.sent_at,
        }
    }

    /// What we wrote elsewhere.
    pub(super) fn echo(owner: Owner, contact: ContactId, address: String, echo: Echo) -> Self {
        Self {
            id: MessageId::generate(),
            owner,
            channel: Channel::WhatsApp,
            contact_id: contact,
            direction: "OUTBOUND",
            wakes: false,
            opens_window: false,
            muted: false,
            written_from: None,
            address,
            preview: preview(&echo.body),
            body: echo.body,
            content: echo.content,
            external_message_id: echo.external_message_id,
            reply_to: echo.reply_to,
            replied_to: None,
            rfc_message_id: None,
            context: echo.context,
            media: files(echo.media, echo.sent_at),
            sent_at: echo.sent_at,
        }
    }

    /// The provider's line about somebody's new number: seen in the thread, and nobody's question.
    pub(super) fn notice(
        owner: Owner,
        contact: ContactId,
        address: String,
        kind: &str,
        change: PersonChange,
    ) -> Self {
        let message = InboundMessage {
            external_message_id: change.external_message_id,
            sender: change.after,
            content: Content::System {
                kind: kind.to_owned(),
                body: change.body,
            },
            body: line(change.kind).to_owned(),
            reply_to: None,
            context: None,
            media: Vec::new(),
            barred_by_provider: false,
            given_phone: None,
            sent_at: change.at,
        };
        Self {
            wakes: false,
            opens_window: false,
            muted: true,
            ..Self::inbound(owner, Channel::WhatsApp, contact, address, message)
        }
    }
}

/// What agents read of it: the provider's own words name the numbers, which may be masked.
fn line(kind: PersonChangeKind) -> &'static str {
    match kind {
        PersonChangeKind::Number => "Changed their number on WhatsApp.",
        PersonChangeKind::UserId => "Has another user id on WhatsApp.",
        PersonChangeKind::IdentityKey => "Uses WhatsApp on another device.",
    }
}

pub(super) fn preview(body: &str) -> String {
    body.chars().take(PREVIEW_CHARACTERS).collect()
}

fn files(media: Vec<InboundMedia>, sent_at: OffsetDateTime) -> Vec<NewMedia> {
    let expires_at = (sent_at + MEDIA_LIFE).max(clock::now() + MEDIA_CHANCE);
    let file = |(ordinal, file): (i16, InboundMedia)| NewMedia {
        id: MediaId::generate(),
        ordinal,
        kind: file.kind,
        source: "META",
        source_ref: file.provider_media_id,
        source_url: file.url,
        mime_type: file.mime_type,
        filename: file.filename,
        content_id: None,
        declared_sha256: file.sha256,
        expires_at,
    };
    (0..).zip(media).map(file).collect()
}

#[derive(Debug, Serialize)]
pub struct NewReaction {
    #[serde(flatten)]
    pub owner: Owner,
    pub contact_id: ContactId,
    pub actor_kind: &'static str,
    pub target: String,
    /// Empty: taken away.
    pub emoji: String,
    pub external_message_id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl NewReaction {
    pub(super) fn of(owner: Owner, contact: ContactId, reaction: Reaction) -> Self {
        Self {
            owner,
            contact_id: contact,
            actor_kind: actor_kind(&reaction.by),
            target: reaction.target,
            emoji: reaction.emoji.unwrap_or_default(),
            external_message_id: reaction.external_message_id,
            at: reaction.at,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct NewRevision {
    #[serde(flatten)]
    pub owner: Owner,
    pub contact_id: ContactId,
    pub actor_kind: &'static str,
    pub kind: &'static str,
    pub target: String,
    pub content: Option<Content>,
    pub body: Option<String>,
    pub external_message_id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl NewRevision {
    pub(super) fn edit(owner: Owner, contact: ContactId, edit: Edit) -> Self {
        Self {
            owner,
            contact_id: contact,
            actor_kind: actor_kind(&edit.by),
            kind: "EDIT",
            target: edit.target,
            content: Some(edit.content),
            body: Some(edit.body),
            external_message_id: edit.external_message_id,
            at: edit.at,
        }
    }

    pub(super) fn revoke(owner: Owner, contact: ContactId, revoke: Revoke) -> Self {
        Self {
            owner,
            contact_id: contact,
            actor_kind: actor_kind(&revoke.by),
            kind: "REVOKE",
            target: revoke.target,
            content: None,
            body: None,
            external_message_id: revoke.external_message_id,
            at: revoke.at,
        }
    }
}

fn actor_kind(by: &Actor) -> &'static str {
    match by {
        Actor::Customer(_) => "CONTACT",
        Actor::Us(_) => "AGENT",
    }
}

/// What somebody wants of us, in the shape that `communications.note_wishes` takes.
#[derive(Debug, Serialize)]
pub struct NewWish {
    pub tenant_id: TenantId,
    pub contact_id: ContactId,
    pub channel: Channel,
    pub wish: Wish,
    pub basis: &'static str,
    pub source: &'static str,
    /// Where it was said, of mails and texts: whoever else is written to there is not written to either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}
