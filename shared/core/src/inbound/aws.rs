//! What AWS tells by SNS and by logs: what became of emails and text messages, and texts that came in.
//!
//! A report finds its message by our own tag, else by the provider's id; the tenant is the message's. A report whose message nobody has
//! may be ahead of our own commit: it waits in quarantine as [`UNKNOWN_MESSAGE`], and the scan tries it again.

use super::document::Document;
use super::known::{Door, Entrance};
use super::mail::{self, Arrived, Mailroom};
use super::pending::Pending;
use super::sorted::Source;
use super::{InboundError, Ingested, all_kept, kept};
use crate::delivery::{Recorded, StatusReport};
use crate::model::Channel;
use crate::platform::Database;
use crate::quarantine::{
    MALFORMED, Misfit, REFUSED, STRANGE_TOPIC, UNHANDLED, UNKNOWN_MESSAGE, UNREADABLE,
};
use comms_providers::aws_inbound::{self, Notification};
use comms_providers::event::mail::MailNotice;
use comms_providers::event::{EventKind, ProviderEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The name in quarantine of what came as a message of SNS.
pub const NOTIFICATIONS: &str = "AWS_NOTIFICATION";
/// And of what came as a line of a log.
pub const SMS_LOG: &str = "SMS_LOG";

/// Texts that people wrote. The numbers they wrote to say whose they are.
const TEXTS: Source = Source {
    channel: Channel::Sms,
    name: NOTIFICATIONS,
    again: text_again,
};

/// The member of a kept text that says when its topic had it: the text does not.
const TOPIC_HAD_IT: &str = "topic_had_it_at";

/// The provider's JSON, which reads again as the same event.
fn again(event: &ProviderEvent) -> Vec<u8> {
    event.raw.to_string().into_bytes()
}

fn text_again(event: &ProviderEvent) -> Vec<u8> {
    let mut raw = event.raw.clone();
    if let (EventKind::Message(message), Some(members)) = (&event.kind, raw.as_object_mut())
        && let Ok(at) = message.sent_at.format(&Rfc3339)
    {
        members.insert(TOPIC_HAD_IT.to_owned(), at.into());
    }
    raw.to_string().into_bytes()
}

/// When the topic had what quarantine keeps, where that is known.
pub(super) fn topic_had_it(payload: &[u8]) -> Option<OffsetDateTime> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    OffsetDateTime::parse(payload[TOPIC_HAD_IT].as_str()?, &Rfc3339).ok()
}

/// The account that our tag in the report names; nothing else is known of the owner yet.
#[derive(Debug, Clone, Serialize)]
struct Echoed {
    account_id: Option<Uuid>,
    /// As the provider names it: for quarantine, and never to find the owner by.
    #[serde(skip)]
    external_account_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    recorded: Recorded,
    /// Places of the reports whose message nobody has.
    unknown: Vec<usize>,
}

/// Logs and projects reports; what is no report is kept in quarantine under `source`.
///
/// # Errors
/// When the database does not answer: nothing is stored, and it must come again.
pub async fn reports(
    database: &Database,
    source: &str,
    events: Vec<ProviderEvent>,
) -> Result<Ingested, InboundError> {
    let pending = pending_reports(database, events).await?;
    Ok(pending.commit(source, Door::App).await?)
}

/// As [`reports`], where what the database never takes is kept, and takes no other with it: neither the log nor SNS sends it again for long.
///
/// # Errors
/// When the database does not answer.
pub async fn reports_one_by_one(
    database: &Database,
    source: &str,
    events: Vec<ProviderEvent>,
) -> Result<Ingested, InboundError> {
    let take = async |events| reports(database, source, events).await;
    or_one_by_one(database, source, events, again, take).await
}

async fn texts_one_by_one(
    database: &Database,
    events: Vec<ProviderEvent>,
) -> Result<Ingested, InboundError> {
    let take = async |events| {
        let pending = pending_texts(database, events).await?;
        Ok(pending.commit(NOTIFICATIONS, Door::App).await?)
    };
    or_one_by_one(database, NOTIFICATIONS, events, text_again, take).await
}

async fn or_one_by_one(
    database: &Database,
    source: &str,
    events: Vec<ProviderEvent>,
    again: fn(&ProviderEvent) -> Vec<u8>,
    take: impl AsyncFn(Vec<ProviderEvent>) -> Result<Ingested, InboundError>,
) -> Result<Ingested, InboundError> {
    match Box::pin(take(events.clone())).await {
        Err(InboundError::Database(error)) if error.is_about_rows() || error.is_too_much() => {
            tracing::error!(%error, "taking in one by one");
        }
        taken => return taken,
    }
    let mut ingested = Ingested::default();
    for event in events {
        let payload = again(&event);
        let taken = Box::pin(take(vec![event])).await;
        ingested.add(or_kept(database, source, payload, taken).await?);
    }
    Ok(ingested)
}

/// What the database never takes is where somebody sees it.
async fn or_kept(
    database: &Database,
    source: &str,
    payload: Vec<u8>,
    taken: Result<Ingested, InboundError>,
) -> Result<Ingested, InboundError> {
    match taken {
        Err(InboundError::Database(error)) if error.is_about_rows() => {
            tracing::error!(%error, "the database does not take it");
            kept(database, source, Door::App, REFUSED, payload).await
        }
        taken => taken,
    }
}

/// An event of the log that is none, and will be none next time.
///
/// # Errors
/// When the database does not answer.
pub async fn no_log(database: &Database, event: &Value) -> Result<Ingested, InboundError> {
    let payload = event.to_string().into_bytes();
    kept(database, SMS_LOG, Door::App, UNREADABLE, payload).await
}

pub(super) async fn pending_reports(
    database: &Database,
    events: Vec<ProviderEvent>,
) -> Result<Pending, InboundError> {
    let mut misfits = Vec::new();
    let mut reports: Vec<StatusReport<Echoed>> = Vec::new();
    for event in events {
        let reason = match event.kind {
            EventKind::Status(update) => {
                let account = event.account.unwrap_or_default();
                let echoed = Echoed {
                    account_id: account.account_id,
                    external_account_id: account.external_account_id,
                };
                reports.push(StatusReport::new(echoed, *update, Vec::new(), event.raw));
                continue;
            }
            EventKind::Malformed { .. } => MALFORMED,
            _ => UNHANDLED,
        };
        misfits.push(Misfit::of_event(reason, &event, again(&event)));
    }
    let (tx, answer): (_, Answer) = database.begin_with("aws_reports", &reports).await?;
    let unknown = answer
        .unknown
        .iter()
        .filter_map(|place| reports.get(*place));
    misfits.extend(unknown.map(|report| Misfit {
        external_account_id: report.of.external_account_id.clone(),
        ..Misfit::of(UNKNOWN_MESSAGE, report.raw.to_string().into_bytes())
    }));
    Ok(Pending {
        tx,
        misfits,
        document: Document::default(),
        recorded: answer.recorded,
    })
}

/// One message of SNS.
#[derive(Debug, Clone)]
pub struct Notified {
    message: String,
    /// `None`: none of our topics sent it.
    what: Option<Notification>,
}

impl Notified {
    /// `sent_at` is the envelope's time, for what has none of its own.
    #[must_use]
    pub fn of(message: &str, sent_at: OffsetDateTime) -> Self {
        Self {
            what: Some(aws_inbound::read(message, sent_at)),
            message: message.to_owned(),
        }
    }

    /// A body that none of our topics sent; nothing in it is acted on.
    #[must_use]
    pub fn strange(body: &str) -> Self {
        Self {
            what: None,
            message: body.to_owned(),
        }
    }

    /// A record in which there is no message; it is kept whole.
    #[must_use]
    pub fn unreadable(record: &Value) -> Self {
        Self {
            what: Some(Notification::Unreadable { raw: Value::Null }),
            message: record.to_string(),
        }
    }
}

/// Takes in everything: reports together, texts together, each mail by itself. What is repeated changes nothing.
///
/// # Errors
/// When the database or the mail bucket does not answer; the same again is safe.
pub async fn notified(
    database: &Database,
    mailroom: &Mailroom,
    all: Vec<Notified>,
) -> Result<Ingested, InboundError> {
    let (mut reported, mut texts, mut mails, mut misfits) = (vec![], vec![], vec![], vec![]);
    for Notified { message, what } in all {
        let Some(what) = what else {
            misfits.push(Misfit::of(STRANGE_TOPIC, message.into_bytes()));
            continue;
        };
        match what {
            Notification::SesEvents(events) | Notification::EumEvents(events) => {
                reported.extend(events);
            }
            Notification::InboundSms(event) => texts.push(*event),
            Notification::Mail(notice) => mails.push((message, notice)),
            Notification::Ignored(why) => tracing::debug!(why, "notification ignored"),
            Notification::Unknown { .. } => {
                misfits.push(Misfit::of(UNHANDLED, message.into_bytes()));
            }
            Notification::Malformed { reason, .. } => {
                misfits.push(Misfit {
                    fault: Some(reason.to_owned()),
                    ..Misfit::of(MALFORMED, message.into_bytes())
                });
            }
            Notification::Unreadable { .. } => {
                misfits.push(Misfit::of(UNREADABLE, message.into_bytes()));
            }
        }
    }
    let mut ingested = Ingested::default();
    if !reported.is_empty() {
        ingested.add(reports_one_by_one(database, NOTIFICATIONS, reported).await?);
    }
    if !texts.is_empty() {
        ingested.add(texts_one_by_one(database, texts).await?);
    }
    for (message, notice) in mails {
        let taken = arrived(database, mailroom, message.as_bytes(), &notice).await;
        ingested.add(or_kept(database, NOTIFICATIONS, message.into_bytes(), taken).await?);
    }
    // Last: where something before fails for now, all of it comes again, and what is kept is counted.
    if !misfits.is_empty() {
        ingested.add(all_kept(database, NOTIFICATIONS, Door::App, &misfits).await?);
    }
    Ok(ingested)
}

async fn arrived(
    database: &Database,
    mailroom: &Mailroom,
    message: &[u8],
    notice: &MailNotice,
) -> Result<Ingested, InboundError> {
    let raw = match mailroom.fetch(notice).await {
        Ok(raw) => raw,
        Err(error) if error.is_transient() => return Err(error.into()),
        // Kept with its notice: nobody can read it, and everybody can see that it came.
        Err(error) => {
            tracing::error!(%error, "a mail cannot be fetched");
            Vec::new()
        }
    };
    let arrived = Arrived {
        notice,
        message,
        raw: &raw,
    };
    mail::take_in(database, &mailroom.secrets().await?, arrived).await
}

pub(super) async fn pending_texts(
    database: &Database,
    events: Vec<ProviderEvent>,
) -> Result<Pending, InboundError> {
    Pending::of(database, TEXTS, Entrance::one(Door::App), events).await
}
