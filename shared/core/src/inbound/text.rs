//! The short way for the usual payload that is no report: one message without a file. The database takes it in one round trip where
//! everything about its sender is known, and those of several payloads together; who is who is decided nowhere else but there and in
//! `contacts::decide`, which it repeats for the one case in which there is nothing to decide. For everybody else it says what it knows, and
//! takes what was decided from that in a second one.

use super::document::{self, Document, Stored};
use super::known::{Asked, Entrance, Loaded};
use super::people;
use super::sorted::{Sorted, Source, wish};
use crate::contacts::{self, Alias, AliasKind};
use crate::model::{Channel, MessageId};
use crate::platform::{Database, DatabaseError};
use comms_providers::Content;
use comms_providers::event::{EventKind, ProviderEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Text<'a> {
    number: &'a str,
    waba_id: Option<&'a str>,
    /// Those of the payload, then their other forms.
    aliases: Vec<Alias>,
    said: usize,
    name: Option<&'a str>,
    id: MessageId,
    address: String,
    content: &'a Content,
    body: &'a str,
    preview: String,
    external_message_id: &'a str,
    reply_to: Option<&'a str>,
    context: Option<&'a Value>,
    #[serde(with = "time::serde::rfc3339")]
    sent_at: OffsetDateTime,
}

/// What `communications.inbound_text` takes.
#[derive(Debug, Serialize)]
pub(super) struct One<'a> {
    channel: Channel,
    #[serde(flatten)]
    entrance: Asked<'a>,
    #[serde(flatten)]
    text: &'a Text<'a>,
    /// Where there is more to it, what is known is wanted. Functions from before this take no for an answer.
    or_known: bool,
}

/// What `communications.inbound_texts` takes.
#[derive(Debug, Serialize)]
pub(super) struct Many<'a> {
    channel: Channel,
    #[serde(flatten)]
    entrance: Asked<'a>,
    texts: &'a [Text<'a>],
}

/// Of several payloads, those that are one text of somebody about whom everything is known are stored, in one round trip. Which of these
/// texts they are.
///
/// # Errors
/// When the database does not answer or refuses: nothing is stored.
pub(super) async fn store_known(
    database: &Database,
    channel: Channel,
    entrance: Entrance<'_>,
    texts: &[Text<'_>],
) -> Result<Vec<usize>, DatabaseError> {
    let texts = Many::of(channel, entrance, texts);
    database.call("inbound_texts", &texts).await
}

impl<'a> Text<'a> {
    /// Is it written at this number, by somebody with one of these aliases?
    pub(super) fn is_by_one_of(&self, people: &BTreeSet<(&str, Alias)>) -> bool {
        let mut aliases = self.aliases.iter();
        aliases.any(|alias| people.contains(&(self.number, alias.clone())))
    }

    /// `None` for what is more than that, or other: several events, files, a wish, a number that is given, what was written to a group, a
    /// notice of the provider's.
    pub(super) fn of(channel: Channel, events: &'a [ProviderEvent]) -> Option<Self> {
        let [event] = events else {
            return None;
        };
        let EventKind::Message(message) = &event.kind else {
            return None;
        };
        let account = event.account.as_ref()?;
        let speaks = !matches!(message.content, Content::System { .. });
        let more = !message.media.is_empty()
            || message.given_phone.is_some()
            || wish(message, channel).is_some();
        if !speaks || more || message.is_to_a_group() {
            return None;
        }
        let mut aliases = people::aliases(&message.sender);
        let mailbox = |alias: &Alias| alias.kind == AliasKind::Email;
        if aliases.is_empty() || aliases.iter().any(mailbox) {
            return None;
        }
        let said = aliases.len();
        let mut forms = contacts::to_look_up(&aliases);
        forms.retain(|form| !aliases.contains(form));
        aliases.append(&mut forms);
        Some(Self {
            number: account.external_account_id.as_deref()?,
            waba_id: account.waba_id.as_deref(),
            aliases,
            said,
            name: message.sender.name.as_deref(),
            id: MessageId::generate(),
            address: people::address(&message.sender),
            content: &message.content,
            body: &message.body,
            preview: document::preview(&message.body),
            external_message_id: &message.external_message_id,
            reply_to: message.reply_to.as_deref(),
            context: message.context.as_ref(),
            sent_at: message.sent_at,
        })
    }

    /// `None`: there is more to it, or something else is known by now, and nothing was written.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn store(
        &self,
        database: &Database,
        entrance: Entrance<'_>,
        events: &[ProviderEvent],
        source: Source,
    ) -> Result<Option<Stored>, DatabaseError> {
        let text = One::of(source.channel, entrance, self);
        match database.call("inbound_text", &text).await? {
            None => Ok(None),
            Some(Answer::Stored(stored)) => Ok(Some(stored)),
            Some(Answer::Known { known }) => {
                // Seldom, and large.
                Box::pin(text.decide(database, events, source, &known)).await
            }
        }
    }
}

impl<'a> Many<'a> {
    pub(super) fn of(channel: Channel, entrance: Entrance<'a>, texts: &'a [Text<'a>]) -> Self {
        Self {
            channel,
            entrance: entrance.into(),
            texts,
        }
    }
}

impl<'a> One<'a> {
    pub(super) fn of(channel: Channel, entrance: Entrance<'a>, text: &'a Text<'a>) -> Self {
        Self {
            channel,
            entrance: entrance.into(),
            text,
            or_known: true,
        }
    }
}

impl One<'_> {
    async fn decide(
        &self,
        database: &Database,
        events: &[ProviderEvent],
        source: Source,
        known: &Value,
    ) -> Result<Option<Stored>, DatabaseError> {
        let loaded =
            Loaded::deserialize(known).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let Sorted { document, misfits } = Sorted::of(events.to_vec(), &loaded, source);
        if !misfits.is_empty() {
            return Ok(None);
        }
        let decided = Decided {
            text: self,
            known,
            document: &document,
        };
        database.call("inbound_decided_text", &decided).await
    }
}

/// What `communications.inbound_text` says.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Known {
        /// As `communications.inbound_load` answers.
        known: Value,
    },
    Stored(Stored),
}

#[derive(Debug, Serialize)]
struct Decided<'a> {
    text: &'a One<'a>,
    known: &'a Value,
    document: &'a Document,
}
