//! Requests that are in the process at the same time share a transaction.
//!
//! An environment of Lambda serves one request at a time unless it runs on Managed Instances, where it serves many
//! (`AWS_LAMBDA_MAX_CONCURRENCY`). Then what comes while transactions are under way stands in line, and the next takes it all: begun,
//! planned, flushed and answered once; of messages, what people say whom everything is known about has one of its own, ahead of the rest.
//! Nobody waits for company, and a request that finds nobody goes as if alone.
//!
//! What is stored is what one payload with all of it would store. Each request's door is asked for each number that it names; whatever is
//! not as usual (a number that is not the door's, something for quarantine, whatever the database refuses, somebody who is locked for
//! longer) sends everybody of the transaction on their own way, on which nothing has happened yet.

mod rehearsal;
mod serve;

use super::known::{Door, Entrance};
use super::whatsapp;
use super::{InboundError, Ingested, kept};
use crate::platform::{Database, DatabaseError, telemetry};
use comms_providers::event::{EventKind, ProviderEvent};
use comms_providers::whatsapp::VerifiedWebhook;
use futures_util::future::try_join_all;
use rehearsal::rehearse;
use serve::serve;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

/// Events of one transaction at most.
const MOST: usize = 256;
/// Of a request that shares at most: whoever brings more would hold up the others.
const EVERYDAY: usize = 64;
/// Lines. Each has one transaction under way: the more wait for it, the less each of them costs.
const LINES: usize = 2;
/// Whoever has stood in line for longer than this stands behind a transaction that waits for something: another one is begun beside it.
const LONG: Duration = Duration::from_millis(50);
/// Transactions of those who go alone, at the same time.
const ALONE: usize = 4;
/// How long a transaction of a line waits for each thing that others have locked.
const IN_LINE: &str = "500ms";
/// What was sent out of its line, until the provider is told to come again: behind it stand those who were sent with it.
const AFTER_THE_LINE: &str = "250ms";
/// What never stood in line.
const GOING_ALONE: &str = "1s";
/// A transaction of a line that takes longer has lost its database: the line goes on without it.
const LOST: Duration = Duration::from_secs(5);

/// Where Meta's requests arrive.
#[derive(Debug)]
pub struct Reception {
    /// Of the lines.
    lanes: Database,
    /// Of everything else.
    pub database: Database,
    /// Reports alone: one round trip, however many.
    reports: Line,
    /// Messages, and reports that came with some: one to three round trips.
    messages: Line,
}

/// What became of a request that was taken in.
#[derive(Debug)]
pub enum Taken {
    /// What its transaction came to, of this many requests.
    Here { requests: usize, ingested: Ingested },
    /// Another request of the same transaction has that.
    Elsewhere,
}

/// Requests that wait for a transaction.
#[derive(Debug)]
struct Line {
    waiting: Mutex<Waiting>,
    lane: Semaphore,
    /// For the time that the lane is held up.
    spare: Semaphore,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The longest waiting first.
    calls: Vec<Call>,
    /// How many were here before them.
    taken: u64,
}

#[derive(Debug)]
struct Call {
    door: Door,
    events: Vec<ProviderEvent>,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
enum Answer {
    Taken(Result<Taken, InboundError>),
    /// Nothing was written: the request must go on its own way.
    Alone,
}

impl Reception {
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self {
            lanes: database.beside(2 * LINES),
            database: database.beside(ALONE),
            reports: Line::new(),
            messages: Line::new(),
        }
    }

    /// Connects as often as so many requests at once need it, and has the database read what reports and messages need, which takes it
    /// longer than any of them; where many wait for one another, what it compiles and plans for them, too. No request then waits for
    /// that. The first one finds out for itself what could not be done.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prepare(&self, at_once: usize) -> Result<(), DatabaseError> {
        let lanes = at_once.clamp(1, LINES);
        let connections = (0..lanes).map(|_| async {
            let mut tx = self.lanes.begin().await?;
            whatsapp::ask_nothing(&mut tx).await?;
            if at_once > 1
                && let Err(error) = rehearse(&mut tx).await
            {
                // As a database refuses that may only be read: connected it is.
                tracing::warn!(error = telemetry::chain(&error), "started unrehearsed");
            }
            tx.rollback().await
        });
        try_join_all(connections).await.map(drop)
    }

    /// Stores everything in the payload for its owners. Accounts in any state still ingest.
    ///
    /// # Errors
    /// When the database does not answer: nothing is stored, and the provider must send it again.
    pub async fn ingest(
        &self,
        door: Door,
        raw: &VerifiedWebhook<'_>,
    ) -> Result<Taken, InboundError> {
        let events = match whatsapp::read(raw) {
            Ok(events) => events,
            Err(reason) => {
                let payload = raw.raw().to_vec();
                return here(kept(&self.database, whatsapp::NAME, door, reason, payload).await);
            }
        };
        let Some(line) = self.line(&events) else {
            let alone = Entrance::one(door).waiting(GOING_ALONE);
            return here(whatsapp::ingest(&self.database, alone, events, raw).await);
        };
        let alone = Entrance::one(door).waiting(AFTER_THE_LINE);
        match line.take(&self.lanes, door, events).await {
            // Alone in its transaction, or else it would have been told to go alone.
            Answer::Taken(Err(InboundError::Database(error))) => {
                here(whatsapp::or_piece_by_piece(&self.database, alone, error, raw).await)
            }
            Answer::Taken(taken) => taken,
            Answer::Alone => {
                let events = whatsapp::read(raw).unwrap_or_default();
                here(whatsapp::ingest(&self.database, alone, events, raw).await)
            }
        }
    }

    /// Where such a request may share a transaction; nowhere if something of it is not everyday.
    fn line(&self, events: &[ProviderEvent]) -> Option<&Line> {
        if events.is_empty() || events.len() > EVERYDAY || !events.iter().all(is_everyday) {
            return None;
        }
        let reports = events.iter().all(is_report);
        Some(if reports {
            &self.reports
        } else {
            &self.messages
        })
    }
}

fn here(ingested: Result<Ingested, InboundError>) -> Result<Taken, InboundError> {
    ingested.map(|ingested| Taken::Here {
        requests: 1,
        ingested,
    })
}

/// What says whose it is, and neither changes who somebody is nor is about an account.
fn is_everyday(event: &ProviderEvent) -> bool {
    let account = event.account.as_ref();
    account.is_some_and(|account| account.external_account_id.is_some())
        && matches!(
            event.kind,
            EventKind::Status(_)
                | EventKind::Message(_)
                | EventKind::Reaction(_)
                | EventKind::Echo(_)
                | EventKind::Edit(_)
                | EventKind::Revoke(_)
        )
}

fn is_report(event: &ProviderEvent) -> bool {
    matches!(event.kind, EventKind::Status(_))
}

impl Line {
    fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            lane: Semaphore::new(1),
            spare: Semaphore::new(1),
        }
    }

    async fn take(&self, database: &Database, door: Door, events: Vec<ProviderEvent>) -> Answer {
        let (answer, mut answered) = oneshot::channel();
        let mine = self.stand(Call {
            door,
            events,
            answer,
        });
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return or_alone(answer),
                _turn = self.turn() => match self.next(mine) {
                    // Somebody has it in hand already, and its answer must not wait for what came later.
                    None => break,
                    Some(calls) => serve(database, calls).await,
                }
            }
        }
        or_alone(answered.await)
    }

    /// One's turn to begin a transaction, for as long as this is held.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        let mut lane = pin!(self.lane.acquire());
        if let Ok(turn) = timeout(LONG, lane.as_mut()).await {
            return turn;
        }
        tokio::select! {
            turn = lane => turn,
            turn = self.spare.acquire() => turn,
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // A panic elsewhere cannot leave the line half written.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number in the line.
    fn stand(&self, call: Call) -> u64 {
        let mut waiting = self.waiting();
        waiting.calls.push(call);
        waiting.taken + waiting.calls.len() as u64
    }

    /// The longest waiting first; `None` where the one of this number waits no more.
    fn next(&self, mine: u64) -> Option<Vec<Call>> {
        let mut waiting = self.waiting();
        if mine <= waiting.taken {
            return None;
        }
        let sums = waiting.calls.iter().scan(0, |sum, call| {
            *sum += call.events.len();
            Some(*sum)
        });
        let many = sums.take_while(|sum| *sum <= MOST).count();
        waiting.taken += many as u64;
        Some(waiting.calls.drain(..many).collect())
    }
}

/// Whoever had taken the call and was given up has stored nothing, or what may be stored again.
fn or_alone(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    answer.unwrap_or(Answer::Alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            door: Door::App,
            events: Vec::new(),
            answer: oneshot::channel().0,
        }
    }

    #[test]
    fn who_is_in_hand_takes_nobody_else() {
        let line = Line::new();
        let (first, second) = (line.stand(call()), line.stand(call()));
        assert_eq!(line.next(first).unwrap().len(), 2);
        let third = line.stand(call());
        assert!(line.next(second).is_none());
        assert_eq!(line.next(third).unwrap().len(), 1);
        assert!(line.next(third).is_none());
    }
}
