//! The visible place for what can never be processed as it is. The same payload again is counted, not stored again.

use crate::model::TenantId;
use crate::platform::{DatabaseError, Tx, telemetry};
use aws_lc_rs::digest;
use comms_providers::event::{EventKind, ProviderEvent};
use std::collections::HashSet;
use uuid::Uuid;

/// The reason of events that this build knows to be something else than what it handles.
pub const UNHANDLED: &str = "UNHANDLED_FIELD";
/// It should have been something that is handled, and does not read.
pub const MALFORMED: &str = "MALFORMED";
/// Nobody has this number, or not behind this door.
pub const UNKNOWN_ACCOUNT: &str = "UNKNOWN_ACCOUNT";
/// The number is known and belongs to another business account than the payload says.
pub const WRONG_WABA: &str = "WRONG_WABA";
/// Not from a topic of ours: whatever it says, nothing of it is acted on.
pub const STRANGE_TOPIC: &str = "STRANGE_TOPIC";
/// The body is no webhook at all.
pub const UNREADABLE: &str = "UNREADABLE";

/// The database does not take it, and never will: a bug of ours, to be mended first.
pub const REFUSED: &str = "REFUSED";
/// A report about a message that nobody has: it may be ahead of our own commit, so the scan tries it again.
pub const UNKNOWN_MESSAGE: &str = "UNKNOWN_MESSAGE";
/// A mail that could not be fetched in this moment; why a replay left it. Nothing is stored under it.
pub const UNFETCHED: &str = "MAIL_UNAVAILABLE";
/// What is not taken in again from here; why a replay left it. Nothing is stored under it.
pub const ELSEWHERE: &str = "NOT_REPLAYABLE";
/// A mail that its provider found to be what nobody should get, or not from whom it says.
pub const VIRUS: &str = "VIRUS";
pub const SPAM: &str = "SPAM";
pub const FORGED: &str = "FORGED";
/// A mail of our own that came back.
pub const LOOP: &str = "LOOP";
/// An event of Hasura's that can never be processed.
pub const UNUSABLE_EVENT: &str = "UNUSABLE_EVENT";
/// What was in a queue of ours and is no job.
pub const POISON_JOB: &str = "POISON_JOB";

/// All that a row may have.
pub const REASONS: [&str; 14] = [
    UNHANDLED,
    MALFORMED,
    UNKNOWN_ACCOUNT,
    WRONG_WABA,
    STRANGE_TOPIC,
    UNREADABLE,
    REFUSED,
    UNKNOWN_MESSAGE,
    VIRUS,
    SPAM,
    FORGED,
    LOOP,
    UNUSABLE_EVENT,
    POISON_JOB,
];

/// Something that came in and has no place.
#[derive(Debug, Clone)]
pub struct Misfit {
    /// Why, in a word that an operator can filter by.
    pub reason: &'static str,
    /// What its reader missed in it, or what it is instead, in the reader's own words and with none of the payload's.
    pub fault: Option<String>,
    pub external_account_id: Option<String>,
    /// As it came, for replay.
    pub payload: Vec<u8>,
}

impl Misfit {
    /// Where the payload names no account.
    #[must_use]
    pub fn of(reason: &'static str, payload: Vec<u8>) -> Self {
        Self {
            reason,
            fault: None,
            external_account_id: None,
            payload,
        }
    }

    /// Of an event; `payload` is what is read again.
    #[must_use]
    pub fn of_event(reason: &'static str, event: &ProviderEvent, payload: Vec<u8>) -> Self {
        let account = event.account.as_ref();
        Self {
            fault: match &event.kind {
                EventKind::Malformed { reason } => Some(reason.clone()),
                _ => None,
            },
            external_account_id: account.and_then(|account| account.external_account_id.clone()),
            ..Self::of(reason, payload)
        }
    }
}

/// What was stored, to be told once that is committed.
#[derive(Debug, Default)]
#[must_use = "operators hear of it by `tell`, once it is committed"]
pub struct Noted {
    source: String,
    door: Option<TenantId>,
    rows: Vec<(&'static str, Option<String>)>,
}

impl Noted {
    /// Counts each by what somebody has to do, and names it in the log.
    pub fn tell(self) {
        for (reason, fault) in self.rows {
            count(&self.source, reason);
            tracing::warn!(
                source = self.source,
                reason,
                fault,
                door.tenant.id = self.door.map(|door| door.to_string()),
                "payload quarantined"
            );
        }
    }
}

/// Stores all misfits in one statement, under the platform: no tenant may see what is not known to be its own.
///
/// # Errors
/// When the database does not answer.
pub async fn store(
    tx: &mut Tx,
    source: &str,
    door: Option<TenantId>,
    misfits: &[Misfit],
) -> Result<Noted, DatabaseError> {
    if misfits.is_empty() {
        return Ok(Noted::default());
    }
    let mut seen = HashSet::new();
    let hash = |misfit: &Misfit| {
        digest::digest(&digest::SHA256, &misfit.payload)
            .as_ref()
            .to_vec()
    };
    let distinct: Vec<(&Misfit, Vec<u8>)> = misfits
        .iter()
        .map(|misfit| (misfit, hash(misfit)))
        .filter(|(misfit, hash)| seen.insert((misfit.reason, hash.clone())))
        .collect();
    sqlx::query!(
        "insert into communications.quarantine
             (tenant_id, id, source, reason, external_account_id, path_tenant_id, payload, payload_hash)
         select communications.platform_tenant(), q.id, $1, q.reason, q.external_account_id, $2, q.payload, q.payload_hash
           from unnest($3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::bytea[])
                as q(id, reason, external_account_id, payload, payload_hash)
          -- Two who keep the same wait for each other, and not in a circle.
          order by q.reason, q.payload_hash
         on conflict on constraint quarantine_payload_key
            -- What comes again after it was dealt with is to be looked at again.
            do update set times_seen = quarantine.times_seen + 1, last_seen_at = now(), replayed_at = null,
                          replays = case when quarantine.replayed_at is null then quarantine.replays else 0 end",
        source,
        door.map(|door| door.0),
        &distinct.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &distinct.iter().map(|(misfit, _)| misfit.reason.to_owned()).collect::<Vec<_>>(),
        &distinct.iter().map(|(misfit, _)| misfit.external_account_id.clone()).collect::<Vec<_>>() as &[Option<String>],
        &distinct.iter().map(|(misfit, _)| misfit.payload.clone()).collect::<Vec<_>>(),
        &distinct.iter().map(|(_, hash)| hash.clone()).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    let row = |(misfit, _): (&Misfit, Vec<u8>)| (misfit.reason, misfit.fault.clone());
    Ok(Noted {
        source: source.to_owned(),
        door,
        rows: distinct.into_iter().map(row).collect(),
    })
}

/// By what somebody has to do: nothing for what is not handled yet, for unwanted mails, and for reports that may be ahead of our own
/// commit; all else raises the alarm.
fn count(source: &str, reason: &str) {
    let metric = match reason {
        UNHANDLED => "UnhandledField",
        VIRUS | SPAM | FORGED | LOOP => "UnwantedMail",
        UNKNOWN_MESSAGE => "EarlyReport",
        _ => "Quarantined",
    };
    telemetry::metric(metric, 1.0, &[("Source", source), ("Reason", reason)]);
}

/// Ends a row's time in quarantine, with the transaction that takes it in. `false`: somebody else has.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn mark_replayed(tx: &mut Tx, id: Uuid) -> Result<bool, DatabaseError> {
    let marked = sqlx::query!(
        "update communications.quarantine set replayed_at = now(), replays = replays + 1, replay_error = null
          where tenant_id = communications.platform_tenant() and id = $1 and replayed_at is null",
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// Why it stays.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn note_failed_replay(
    tx: &mut Tx,
    id: Uuid,
    reason: &str,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.quarantine set replays = replays + 1, replay_error = $2
          where tenant_id = communications.platform_tenant() and id = $1",
        id,
        reason
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
