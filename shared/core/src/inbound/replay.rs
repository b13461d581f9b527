//! Quarantine, taken in again: after the account was connected, the parser learnt, or an operator looked.
//!
//! Each row is a payload of its own and a transaction of its own: it ends in quarantine as replayed together with what became of it, or
//! stays with the reason. Twice at once, or after it was replayed, is once. A payload was verified when it came in, so it goes to whoever
//! owns its number, whichever door it came through.

use super::mail::{self, Arrived, Mailroom, Release};
use super::pending::Pending;
use super::{Door, InboundError, aws, whatsapp};
use crate::model::{MediaId, TenantId};
use crate::platform::Database;
use crate::quarantine::{self, REFUSED};
use comms_providers::aws_inbound::{self, Notification};
use comms_providers::event::ProviderEvent;
use comms_providers::event::mail::MailNotice;
use comms_providers::sns;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Rows of one call.
pub const MOST: u32 = 1_000;
/// Whose payloads are taken in again here.
const SOURCES: [&str; 3] = [whatsapp::NAME, aws::NOTIFICATIONS, aws::SMS_LOG];

/// Which rows. All that is named must hold; rows that were replayed are left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    pub ids: Option<Vec<Uuid>>,
    /// `META_WEBHOOK`, `AWS_NOTIFICATION` or `SMS_LOG`.
    pub source: Option<String>,
    /// Such as `UNKNOWN_ACCOUNT`; see docs/runbook.md.
    pub reason: Option<String>,
    /// As the provider names it: a phone number id.
    pub external_account_id: Option<String>,
    /// First seen not before, and before.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
    /// At most so many, what was tried least often first, of these the oldest; 1,000 is the most.
    pub limit: Option<u32>,
    /// Say what would be tried, and try nothing.
    pub dry_run: bool,
}

impl Selection {
    /// Whoever names rows, or asks for what was found to be spam, forged or our own, has looked at it.
    fn release(&self) -> Release {
        let by_reason = self.reason.as_deref();
        let looked_at = self.ids.is_some()
            || by_reason.is_some_and(|reason| {
                [quarantine::SPAM, quarantine::FORGED, quarantine::LOOP].contains(&reason)
            });
        if looked_at {
            Release::ByOperator
        } else {
            Release::Unseen
        }
    }

    /// What in it can be of no row.
    ///
    /// # Errors
    /// Naming the member.
    pub fn check(&self) -> Result<(), String> {
        let known = |member: &str, value: &Option<String>, words: &[&str]| match value {
            Some(value) if !words.contains(&value.as_str()) => Err(format!(
                "{member}: {value:?} is none of {}",
                words.join(", ")
            )),
            _ => Ok(()),
        };
        known("source", &self.source, &SOURCES)?;
        known("reason", &self.reason, &quarantine::REASONS)?;
        if self.ids.as_ref().is_some_and(Vec::is_empty) {
            return Err("ids: names none".to_owned());
        }
        if self.limit.is_some_and(|limit| !(1..=MOST).contains(&limit)) {
            return Err(format!("limit: from 1 to {MOST}"));
        }
        match (self.since, self.until) {
            (Some(since), Some(until)) if since >= until => {
                Err("until: not behind since".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Does it name nothing to select by?
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.ids.is_none()
            && self.source.is_none()
            && self.reason.is_none()
            && self.external_account_id.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }
}

/// What became of the rows.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Rows that were looked at; in a dry run those that would be.
    pub matched: usize,
    /// Rows that are where they belong now.
    pub replayed: usize,
    /// Rows that stay, each with its reason of now.
    pub kept: Vec<Kept>,
    /// Messages that came of it.
    pub messages: usize,
    pub statuses: usize,
    #[serde(skip)]
    pub media: Vec<(TenantId, MediaId)>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub id: Uuid,
    pub reason: String,
}

struct Row {
    id: Uuid,
    source: String,
    payload: Vec<u8>,
    first_seen_at: OffsetDateTime,
}

/// Takes in again what the selection names. A row that fails stays, and the others go on.
///
/// # Errors
/// When the database does not answer; rows that were replayed until then stay replayed.
pub async fn replay(
    database: &Database,
    mailroom: &Mailroom,
    selection: &Selection,
) -> Result<Replayed, InboundError> {
    let rows = select(database, selection).await?;
    let mut replayed = Replayed {
        matched: rows.len(),
        ..Replayed::default()
    };
    if selection.dry_run {
        return Ok(replayed);
    }
    for row in rows {
        let taken = pending(database, mailroom, &row, selection.release()).await;
        finish(database, &row, taken, &mut replayed).await?;
    }
    Ok(replayed)
}

/// Reports whose message was not known when they came: after a minute, two, four …, for a day and a half.
///
/// # Errors
/// As [`replay`].
pub async fn waiting(database: &Database, limit: i64) -> Result<Replayed, InboundError> {
    let mut tx = database.begin().await?;
    let rows = sqlx::query_as!(
        Row,
        // The reason as its index has it: quarantine::UNKNOWN_MESSAGE.
        "select id, source, payload, first_seen_at from communications.quarantine
          where tenant_id = communications.platform_tenant() and reason = 'UNKNOWN_MESSAGE' and replayed_at is null
            and replays < 12 and first_seen_at + interval '1 minute' * 2 ^ replays <= now()
          order by first_seen_at limit $1",
        limit
    )
    .fetch_all(tx.conn())
    .await
    .map_err(crate::platform::DatabaseError::from)?;
    tx.commit().await?;
    let mut replayed = Replayed {
        matched: rows.len(),
        ..Replayed::default()
    };
    for row in rows {
        let taken = report(database, &row).await;
        finish(database, &row, taken, &mut replayed).await?;
    }
    Ok(replayed)
}

async fn select(database: &Database, selection: &Selection) -> Result<Vec<Row>, InboundError> {
    let limit = selection.limit.unwrap_or(MOST);
    let mut tx = database.begin().await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, source, payload, first_seen_at from communications.quarantine
          -- Nothing that a strange topic said is ever acted on: quarantine::STRANGE_TOPIC.
          where tenant_id = communications.platform_tenant() and replayed_at is null and reason <> 'STRANGE_TOPIC'
            and ($1::uuid[] is null or id = any($1))
            and ($2::text is null or source = $2)
            and ($3::text is null or reason = $3)
            and ($4::text is null or external_account_id = $4)
            and ($5::timestamptz is null or first_seen_at >= $5)
            and ($6::timestamptz is null or first_seen_at < $6)
          -- What was tried in vain before lets the others pass.
          order by replays, first_seen_at, id limit $7",
        selection.ids.as_deref(),
        selection.source.as_deref(),
        selection.reason.as_deref(),
        selection.external_account_id.as_deref(),
        selection.since,
        selection.until,
        i64::from(limit)
    )
    .fetch_all(tx.conn())
    .await
    .map_err(crate::platform::DatabaseError::from)?;
    tx.commit().await?;
    Ok(rows)
}

/// Ends the row's time in quarantine together with what became of it, or says why it stays.
async fn finish(
    database: &Database,
    row: &Row,
    taken: Result<Pending, Fault>,
    replayed: &mut Replayed,
) -> Result<(), InboundError> {
    let mut pending = match taken {
        Ok(pending) => pending,
        // About this payload alone.
        Err(Fault::Payload(reason)) => return keep(database, row, reason, replayed).await,
        Err(Fault::Inbound(InboundError::Database(error))) if error.is_about_rows() => {
            return keep(database, row, REFUSED, replayed).await;
        }
        Err(Fault::Inbound(error)) => return Err(error),
    };
    let stays = pending.misfits.drain(..).next();
    if stays.is_none() && !quarantine::mark_replayed(&mut pending.tx, row.id).await? {
        // Somebody else was faster.
        return Ok(pending.tx.rollback().await?);
    }
    // Also beside what stays: a mail to several domains is stored for whoever has one by now.
    match pending.commit(&row.source, Door::App).await {
        Ok(ingested) => {
            replayed.messages += ingested.messages;
            replayed.statuses += ingested.statuses;
            replayed.media.extend(ingested.media);
            if let Some(misfit) = stays {
                return keep(database, row, misfit.reason, replayed).await;
            }
            replayed.replayed += 1;
            Ok(())
        }
        Err(error) if error.is_about_rows() => keep(database, row, REFUSED, replayed).await,
        Err(error) => Err(error.into()),
    }
}

enum Fault {
    /// The reason why this payload cannot be taken in.
    Payload(&'static str),
    Inbound(InboundError),
}

impl<E: Into<InboundError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Inbound(error.into())
    }
}

async fn pending(
    database: &Database,
    mailroom: &Mailroom,
    row: &Row,
    release: Release,
) -> Result<Pending, Fault> {
    if !SOURCES.contains(&row.source.as_str()) {
        return Err(Fault::Payload(quarantine::ELSEWHERE));
    }
    if row.source == whatsapp::NAME {
        let events = whatsapp::events_again(&row.payload).map_err(Fault::Payload)?;
        return Ok(whatsapp::pending(database, events).await?);
    }
    match notification(row) {
        Some(Notification::InboundSms(event)) => {
            Ok(aws::pending_texts(database, vec![*event]).await?)
        }
        Some(Notification::Mail(notice)) => letter(database, mailroom, row, &notice, release).await,
        _ => report(database, row).await,
    }
}

fn notification(row: &Row) -> Option<Notification> {
    let message = String::from_utf8_lossy(&row.payload);
    let sent_at = || aws::topic_had_it(&row.payload).unwrap_or(row.first_seen_at);
    (row.source == aws::NOTIFICATIONS).then(|| aws_inbound::read(&message, sent_at()))
}

/// A report about a message of ours.
async fn report(database: &Database, row: &Row) -> Result<Pending, Fault> {
    let events = match (row.source.as_str(), notification(row)) {
        (aws::SMS_LOG, _) => lines(row)?,
        (_, Some(Notification::SesEvents(events) | Notification::EumEvents(events))) => events,
        (_, Some(Notification::Malformed { .. })) => {
            return Err(Fault::Payload(quarantine::MALFORMED));
        }
        (_, Some(Notification::Unreadable { .. })) => {
            return Err(Fault::Payload(quarantine::UNREADABLE));
        }
        _ => return Err(Fault::Payload(quarantine::UNHANDLED)),
    };
    Ok(aws::pending_reports(database, events).await?)
}

/// A line of the log, or an event of it that did not read when it came.
fn lines(row: &Row) -> Result<Vec<ProviderEvent>, Fault> {
    let event: Option<Value> = serde_json::from_slice(&row.payload).ok();
    let Some(event) = event.filter(|event| event.get("awslogs").is_some()) else {
        return Ok(vec![sns::log::again(&row.payload, row.first_seen_at)]);
    };
    let read = sns::log::read(&event).map_err(|_| Fault::Payload(quarantine::UNREADABLE))?;
    Ok(read.lines.into_iter().map(|line| line.event).collect())
}

async fn letter(
    database: &Database,
    mailroom: &Mailroom,
    row: &Row,
    notice: &MailNotice,
    release: Release,
) -> Result<Pending, Fault> {
    let raw = match mailroom.fetch(notice).await {
        Ok(raw) => raw,
        // It may be about this mail alone: the others go on.
        Err(error) if error.is_transient() => return Err(Fault::Payload(quarantine::UNFETCHED)),
        Err(_gone) => return Err(Fault::Payload(quarantine::UNREADABLE)),
    };
    let arrived = Arrived {
        notice,
        message: &row.payload,
        raw: &raw,
    };
    let secrets = mailroom.secrets().await?;
    Ok(mail::pending(database, &secrets, arrived, release).await?)
}

async fn keep(
    database: &Database,
    row: &Row,
    reason: &'static str,
    replayed: &mut Replayed,
) -> Result<(), InboundError> {
    let mut tx = database.begin().await?;
    quarantine::note_failed_replay(&mut tx, row.id, reason).await?;
    tx.commit().await?;
    replayed.kept.push(Kept {
        id: row.id,
        reason: reason.to_owned(),
    });
    Ok(())
}
