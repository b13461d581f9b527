//! What providers tell us becomes rows: verified, parsed and attributed, in one transaction a request.
//!
//! The whole payload counts. What belongs to somebody behind the door is stored; what cannot be attributed or read goes to
//! quarantine, and the rest of the payload goes on. Two round trips: one finds the owners and locks and finds the people, one
//! writes and commits; reports alone take one, and so does one text of somebody known.

pub mod aws;
mod document;
mod known;
pub mod mail;
mod notices;
mod pending;
mod people;
pub mod replay;
mod sorted;
mod text;
mod together;
mod whatsapp;

pub use document::{Document, NewMedia, NewMessage, NewWish, Stored};
pub use known::Door;
pub use sorted::Source;
pub use together::{Reception, Taken};
pub use whatsapp::Verification;

use crate::model::{MediaId, TenantId};
use crate::platform::{ConfigError, Database, DatabaseError};
use crate::quarantine::{self, Misfit};
use comms_providers::event::ProviderEvent;
use comms_providers::whatsapp::signature::SignatureError;
use known::Entrance;
use pending::Pending;
use std::sync::Arc;

/// Why a webhook call was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// Not from the provider. Nothing was looked at.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Mail(#[from] mail::FetchError),
    /// What became of it is unknown.
    #[error("the database has not answered in time")]
    Lost,
    /// The transaction that the request shared with others.
    #[error(transparent)]
    Shared(Arc<InboundError>),
}

/// What a payload came to. A repeat of the same one comes to nothing new.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ingested {
    pub messages: usize,
    pub statuses: usize,
    pub quarantined: usize,
    /// Files to fetch.
    pub media: Vec<(TenantId, MediaId)>,
}

impl Ingested {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.statuses += other.statuses;
        self.quarantined += other.quarantined;
        self.media.extend(other.media);
    }
}

/// Stores all events for their owners, in one transaction. Accounts in any state still ingest.
///
/// # Errors
/// When the database does not answer: nothing is stored, and the provider must send it again.
pub async fn take_in(
    database: &Database,
    source: Source,
    door: Door,
    events: Vec<ProviderEvent>,
) -> Result<Ingested, InboundError> {
    taken_in(database, source, Entrance::one(door), events).await
}

/// Quarantine, and nothing else.
async fn kept(
    database: &Database,
    source: &str,
    door: Door,
    reason: &'static str,
    payload: Vec<u8>,
) -> Result<Ingested, InboundError> {
    all_kept(database, source, door, &[Misfit::of(reason, payload)]).await
}

async fn all_kept(
    database: &Database,
    source: &str,
    door: Door,
    misfits: &[Misfit],
) -> Result<Ingested, InboundError> {
    let mut tx = database.begin().await?;
    let noted = quarantine::store(&mut tx, source, door.tenant(), misfits).await?;
    tx.commit().await?;
    noted.tell();
    Ok(Ingested {
        quarantined: misfits.len(),
        ..Ingested::default()
    })
}

async fn taken_in(
    database: &Database,
    source: Source,
    entrance: Entrance<'_>,
    events: Vec<ProviderEvent>,
) -> Result<Ingested, InboundError> {
    let pending = Pending::of(database, source, entrance, events).await?;
    Ok(pending.commit(source.name, entrance.door()).await?)
}
