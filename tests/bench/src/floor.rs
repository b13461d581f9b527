//! The floor: the worker's own statements, replayed by a client that does nothing else.
//!
//! Every statement of the recording goes out with its recorded parameters and in its recorded transaction, over as many
//! connections as there were sandboxes, each taking the next batch when it has finished one; or over one, each transaction in
//! the order of their ends, where batches share them. A statement costs one round trip, as with pgbench: what the worker's driver asks beyond that
//! (pings, preparing in a round trip of its own) is the worker's cost, and is left out here.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    recorder::{Flight, Recording},
    wire::{Connection, Server, cstring},
};

/// What is sent in one go before the next answer.
type Bytes = Vec<u8>;

/// The recording as it is replayed.
pub struct Script {
    startup: Vec<u8>,
    batches: Vec<Vec<Bytes>>,
}

impl Script {
    pub fn of(recording: &Recording) -> Result<Self> {
        for message in recording.batches.iter().flatten().flatten() {
            if message.tag == b'P' && !cstring(message.payload())?.0.is_empty() {
                bail!(
                    "the worker prepares a named statement, which a replay on other connections cannot use"
                );
            }
        }
        let batches: Vec<Vec<Bytes>> = recording
            .batches
            .iter()
            .map(|batch| condense(batch))
            .filter(|batch| !batch.is_empty())
            .collect();
        if batches.is_empty() {
            bail!("the recorder heard no statement");
        }
        Ok(Self {
            startup: recording.startup.clone(),
            batches,
        })
    }

    /// As many sessions as will replay, logged in as the worker was.
    pub fn connect(&self, server: &Server, connections: usize) -> Result<Vec<Connection>> {
        (0..connections)
            .map(|_| server.connect_with(&self.startup))
            .collect::<Result<Vec<Connection>>>()
            .context("open the floor's connections")
    }

    /// Replays everything over these sessions; the time that it took.
    pub fn replay(&self, sessions: &mut [Connection]) -> Result<Duration> {
        let waiting: Mutex<VecDeque<&Vec<Bytes>>> = Mutex::new(self.batches.iter().collect());
        let next = || {
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
        };
        let begin = Instant::now();
        thread::scope(|scope| {
            let running: Vec<_> = sessions
                .iter_mut()
                .map(|session| {
                    scope.spawn(|| -> Result<()> {
                        while let Some(batch) = next() {
                            for bytes in batch {
                                session.send(bytes)?;
                                session.answers()?;
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            for thread in running {
                match thread.join() {
                    Ok(result) => result.context("replay the recorded statements")?,
                    Err(_) => bail!("a thread of the replay panicked"),
                }
            }
            Ok(())
        })?;
        Ok(begin.elapsed())
    }
}

/// One round trip per statement: what executes nothing travels with the statement that follows, without the question
/// what it will answer and without a `Sync` of its own.
fn condense(flights: &[Flight]) -> Vec<Bytes> {
    let mut condensed = Vec::new();
    let mut pending = Bytes::new();
    for flight in flights {
        let executes = flight
            .iter()
            .any(|message| matches!(message.tag, b'E' | b'Q'));
        for message in flight {
            if executes || !matches!(message.tag, b'D' | b'S') {
                pending.extend_from_slice(&message.bytes);
            }
        }
        if executes {
            condensed.push(std::mem::take(&mut pending));
        }
    }
    condensed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    fn flight(tags: &[u8]) -> Flight {
        tags.iter()
            .map(|tag| Message::new(*tag, b"").unwrap())
            .collect()
    }

    #[test]
    fn a_statement_costs_one_round_trip_and_a_ping_none() {
        let recorded = [
            flight(b"S"),
            flight(b"Q"),
            flight(b"PDS"),
            flight(b"BECS"),
            flight(b"Q"),
            flight(b"S"),
        ];
        let tags = |bytes: &Bytes| {
            bytes
                .chunks(5)
                .map(|message| message[0])
                .collect::<Vec<u8>>()
        };
        let sent: Vec<Vec<u8>> = condense(&recorded).iter().map(tags).collect();
        assert_eq!(sent, [b"Q".to_vec(), b"PBECS".to_vec(), b"Q".to_vec()]);
    }
}
