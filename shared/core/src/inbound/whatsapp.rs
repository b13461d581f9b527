//! Meta's webhook: the handshake, and the payload.

use super::known::{Asked, Door, Entrance};
use super::pending::Pending;
use super::sorted::Source;
use super::text::{self, Text};
use super::{InboundError, Ingested, kept, people, taken_in};
use crate::channels::accounts;
use crate::delivery::{Recorded, StatusReport};
use crate::model::{Channel, TenantId};
use crate::platform::{Database, DatabaseError, Tx};
use crate::quarantine;
use aws_lc_rs::{constant_time, digest};
use comms_providers::event::{EventKind, ProviderEvent};
use comms_providers::whatsapp::VerifiedWebhook;
use comms_providers::whatsapp::webhook::{self, ParseError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::IgnoredAny};
use serde_json::json;
use std::collections::BTreeSet;

/// The name in quarantine.
pub(super) const NAME: &str = "META_WEBHOOK";

pub(super) const SOURCE: Source = Source {
    channel: Channel::WhatsApp,
    name: NAME,
    again: webhook::again,
};

/// A payload that shares its transaction with no other.
pub(super) async fn ingest(
    database: &Database,
    entrance: Entrance<'_>,
    events: Vec<ProviderEvent>,
    raw: &VerifiedWebhook<'_>,
) -> Result<Ingested, InboundError> {
    match in_one(database, entrance, events).await {
        Err(InboundError::Database(error)) => {
            or_piece_by_piece(database, entrance, error, raw).await
        }
        taken => taken,
    }
}

/// What the database never takes must not hold back its neighbours for the days that Meta sends it again, and neither must their number.
pub(super) async fn or_piece_by_piece(
    database: &Database,
    entrance: Entrance<'_>,
    error: DatabaseError,
    raw: &VerifiedWebhook<'_>,
) -> Result<Ingested, InboundError> {
    if !error.is_about_rows() && !error.is_too_much() {
        return Err(error.into());
    }
    tracing::error!(%error, "taking in a payload piece by piece");
    piece_by_piece(database, entrance, raw).await
}

/// The events of a payload, or why it does not read.
pub(super) fn read(raw: &VerifiedWebhook<'_>) -> Result<Vec<ProviderEvent>, &'static str> {
    webhook::parse(raw).map_err(|error| {
        tracing::warn!(error = %error, "webhook body does not read");
        unread(&error)
    })
}

/// All events of a payload in one transaction.
pub(super) async fn in_one(
    database: &Database,
    entrance: Entrance<'_>,
    events: Vec<ProviderEvent>,
) -> Result<Ingested, InboundError> {
    if let Some(ingested) = statuses(database, entrance, &events).await? {
        return Ok(ingested);
    }
    if let Some(text) = Text::of(SOURCE.channel, &events)
        && let Some(stored) = text.store(database, entrance, &events, SOURCE).await?
    {
        return Ok(Ingested {
            messages: stored.messages,
            ..Ingested::default()
        });
    }
    taken_in(database, SOURCE, entrance, events).await
}

/// Of payloads that share a transaction, which are one text of somebody known and nothing else: these are stored. Nobody's text goes ahead of
/// what the same person did before it.
pub(super) async fn texts<'a>(
    database: &Database,
    entrance: Entrance<'_>,
    payloads: impl Iterator<Item = &'a [ProviderEvent]> + Clone,
) -> Result<BTreeSet<usize>, InboundError> {
    let text = |events: &'a [ProviderEvent]| Text::of(SOURCE.channel, events);
    if payloads.clone().all(|events| text(events).is_none()) {
        return Ok(BTreeSet::new());
    }
    let mut behind = BTreeSet::new();
    let (mut places, mut texts) = (Vec::new(), Vec::new());
    for (place, events) in payloads.enumerate() {
        match text(events) {
            Some(text) if !text.is_by_one_of(&behind) => {
                places.push(place);
                texts.push(text);
            }
            _ => behind.extend(people::seen(events).into_iter().flat_map(|person| {
                let aliases = person.aliases.into_iter();
                aliases.map(move |alias| (person.number, alias))
            })),
        }
    }
    let stored = text::store_known(database, SOURCE.channel, entrance, &texts).await?;
    let place = |n: usize| places.get(n).copied();
    Ok(stored.into_iter().filter_map(place).collect())
}

/// Each event in a transaction of its own. The door has let the payload in: something of it had an owner.
async fn piece_by_piece(
    database: &Database,
    entrance: Entrance<'_>,
    raw: &VerifiedWebhook<'_>,
) -> Result<Ingested, InboundError> {
    let mut ingested = Ingested::default();
    for event in webhook::parse(raw).unwrap_or_default() {
        let payload = webhook::again(&event);
        match in_one(database, entrance.let_in(), vec![event]).await {
            Ok(taken) => ingested.add(taken),
            Err(InboundError::Database(error)) if error.is_about_rows() => {
                tracing::error!(%error, "the database does not take an event");
                let (door, reason) = (entrance.door(), quarantine::REFUSED);
                ingested.add(kept(database, NAME, door, reason, payload).await?);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ingested)
}

/// What quarantine keeps, as events again, or why it does not read.
pub(super) fn events_again(payload: &[u8]) -> Result<Vec<ProviderEvent>, &'static str> {
    webhook::parse(&VerifiedWebhook::kept(payload)).map_err(|error| unread(&error))
}

/// Why a body that is not read stays whole in quarantine.
fn unread(error: &ParseError) -> &'static str {
    match error {
        ParseError::NotJson(_) | ParseError::NoEntries => quarantine::UNREADABLE,
        ParseError::TooMany => quarantine::MALFORMED,
    }
}

pub(super) async fn pending(
    database: &Database,
    events: Vec<ProviderEvent>,
) -> Result<Pending, InboundError> {
    Pending::of(database, SOURCE, Entrance::one(Door::App), events).await
}

/// The account as the payload names it.
#[derive(Debug, Serialize)]
struct Named<'a> {
    number: &'a str,
    waba_id: Option<&'a str>,
}

/// What `communications.inbound_statuses` takes.
#[derive(Debug, Serialize)]
pub(super) struct Statuses<'a> {
    channel: Channel,
    #[serde(flatten)]
    entrance: Asked<'a>,
    reports: Vec<StatusReport<Named<'a>>>,
}

impl<'a> Statuses<'a> {
    /// `None`: there is something else among the events.
    pub(super) fn of(entrance: Entrance<'a>, events: &'a [ProviderEvent]) -> Option<Self> {
        let report = |event: &'a ProviderEvent| {
            let EventKind::Status(update) = &event.kind else {
                return None;
            };
            let account = event.account.as_ref()?;
            let named = Named {
                number: account.external_account_id.as_deref()?,
                waba_id: account.waba_id.as_deref(),
            };
            let aliases = people::pair(update);
            let update = update.as_ref().clone();
            Some(StatusReport::new(named, update, aliases, event.raw.clone()))
        };
        Some(Self {
            channel: Channel::WhatsApp,
            entrance: entrance.into(),
            reports: events.iter().map(report).collect::<Option<_>>()?,
        })
    }
}

/// Most payloads are one status. Statuses need no people, so the database finds their owners itself, in one round trip.
/// `None`: there is something else in the payload, or somebody else's, and nothing was written.
pub(super) async fn statuses(
    database: &Database,
    entrance: Entrance<'_>,
    events: &[ProviderEvent],
) -> Result<Option<Ingested>, InboundError> {
    let Some(statuses) = Statuses::of(entrance, events) else {
        return Ok(None);
    };
    if statuses.reports.is_empty() {
        return Ok(Some(Ingested::default()));
    }
    let recorded: Option<Recorded> = database.call("inbound_statuses", &statuses).await?;
    Ok(recorded.map(|recorded| {
        recorded.tell();
        Ingested {
            statuses: recorded.new,
            ..Ingested::default()
        }
    }))
}

/// Asks what is asked with reports, and with messages, about none.
pub(super) async fn ask_nothing(tx: &mut Tx) -> Result<(), DatabaseError> {
    let channel = Channel::WhatsApp;
    let questions = [
        (
            "inbound_statuses",
            json!({"channel": channel, "reports": []}),
        ),
        ("inbound_texts", json!({"channel": channel, "texts": []})),
        (
            "inbound_load",
            json!({"channel": channel, "numbers": [], "wabas": [], "people": []}),
        ),
    ];
    for (function, question) in questions {
        let _: IgnoredAny = tx.call(function, &question).await?;
    }
    Ok(())
}

/// Meta's GET handshake (`hub.mode`, `hub.verify_token`).
#[derive(Debug, Clone, Default)]
pub struct Verification<'a> {
    pub mode: Option<&'a str>,
    pub verify_token: Option<&'a str>,
}

impl Verification<'_> {
    /// Does it name a verify token of the tenant's accounts?
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_of_tenant(
        &self,
        database: &Database,
        tenant: TenantId,
    ) -> Result<bool, DatabaseError> {
        let Some(given) = self.hash() else {
            return Ok(false);
        };
        let mut tx = database.begin().await?;
        let hashes = accounts::verify_token_hashes(&mut tx, tenant).await?;
        tx.commit().await?;
        Ok(is_among(&given, hashes.iter().map(String::as_str)))
    }

    /// Does it name one of these tokens?
    #[must_use]
    pub fn names_one_of(&self, tokens: &[SecretString]) -> bool {
        let hashes: Vec<String> = tokens
            .iter()
            .map(|token| hash(token.expose_secret()))
            .collect();
        self.hash()
            .is_some_and(|given| is_among(&given, hashes.iter().map(String::as_str)))
    }

    fn hash(&self) -> Option<String> {
        match (self.mode, self.verify_token) {
            (Some("subscribe"), Some(token)) => Some(hash(token)),
            _ => None,
        }
    }
}

fn hash(token: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

/// Compared as hashes, in constant time.
fn is_among<'a>(given: &str, hashes: impl Iterator<Item = &'a str>) -> bool {
    let same = |hash: &str| {
        constant_time::verify_slices_are_equal(given.as_bytes(), hash.as_bytes()).is_ok()
    };
    hashes.fold(false, |matches, hash| matches | same(hash))
}
