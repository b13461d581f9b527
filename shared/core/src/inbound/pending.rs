//! One payload on its way into the database: owners and people are found and locked, nothing is committed.

use super::document::Document;
use super::known::{Door, Entrance, Loaded};
use super::sorted::{Sorted, Source};
use super::{InboundError, Ingested, people};
use crate::delivery::Recorded;
use crate::platform::{Database, DatabaseError, Tx};
use crate::quarantine::{self, Misfit};
use comms_providers::event::ProviderEvent;

/// See the module. Dropped, it never happened.
#[derive(Debug)]
pub(super) struct Pending {
    pub tx: Tx,
    /// What has no place.
    pub misfits: Vec<Misfit>,
    /// What is still to be written.
    pub document: Document,
    /// Reports that are written already.
    pub recorded: Recorded,
}

impl Pending {
    /// Sorts the events of one payload by their owners.
    pub async fn of(
        database: &Database,
        source: Source,
        entrance: Entrance<'_>,
        events: Vec<ProviderEvent>,
    ) -> Result<Self, InboundError> {
        let people = people::seen(&events);
        let (tx, known) =
            Loaded::begin(database, source.channel, entrance, &events, people).await?;
        let Sorted { document, misfits } = Sorted::of(events, &known, source);
        Ok(Self {
            tx,
            misfits,
            document,
            recorded: Recorded::default(),
        })
    }

    /// Keeps in quarantine what has no place, writes the rest, and ends the transaction.
    pub async fn commit(mut self, source: &str, door: Door) -> Result<Ingested, DatabaseError> {
        let noted = quarantine::store(&mut self.tx, source, door.tenant(), &self.misfits).await?;
        let mut ingested = Ingested {
            quarantined: self.misfits.len(),
            statuses: self.recorded.new,
            ..Ingested::default()
        };
        if self.document.is_empty() {
            self.tx.commit().await?;
        } else {
            let stored = self.document.store(self.tx).await?;
            ingested.messages = stored.messages;
            ingested.statuses += stored.reports.new;
            ingested.media = stored.media;
        }
        noted.tell();
        self.recorded.tell();
        Ok(ingested)
    }
}
