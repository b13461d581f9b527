//! A proxy between the worker and Postgres that writes down every message, in the order in which they came.
//!
//! It sits in an unmeasured round. What it heard is both the exact count of round trips and the script of the floor:
//! nobody pastes a statement that could then differ from the worker's.

use std::{
    collections::BTreeMap,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Result};

use crate::wire::{self, Message, Server};

/// What the client sent before it waited for the server: its messages up to a `Sync`, or one simple query.
pub type Flight = Vec<Message>;

/// All that was heard.
#[derive(Debug, Default)]
pub struct Recording {
    /// The client's startup message, which names user, database and session settings.
    pub startup: Vec<u8>,
    /// The flights of each batch, or of each transaction in the order in which they ended.
    pub batches: Vec<Vec<Flight>>,
    pub counts: Counts,
}

/// What the flights are kept by: a batch, or a transaction where batches share them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    #[default]
    Batch,
    Transaction,
}

/// What the server answered, over all batches.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// How often the client waited for `ReadyForQuery`.
    pub network_round_trips: u64,
    /// Statements that ran, without those that begin and end transactions.
    pub statements: u64,
    /// Transactions in which something ran.
    pub transactions: u64,
}

#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    by: By,
    recording: Recording,
    /// Of each connection's transaction that has not ended.
    open: BTreeMap<usize, Vec<Flight>>,
    /// What is said before the first batch is none's.
    begun: bool,
}

impl Recorder {
    /// Starts a proxy to `server`; it lives as long as the process.
    pub fn start(server: &Server, by: By) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen for the recorder")?;
        let address = listener.local_addr()?;
        let recorder = Self(Arc::new(Mutex::new(Heard {
            by,
            ..Heard::default()
        })));
        let (handle, port) = (recorder.clone(), server.port);
        thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                if let Err(error) = handle.connect(number, client, port) {
                    eprintln!("  the recorder lost a connection: {error:#}");
                }
            }
        });
        Ok((recorder, address))
    }

    /// What is sent from now on belongs to the next batch.
    pub fn begin_batch(&self) {
        let mut heard = self.lock();
        heard.begun = true;
        if heard.by == By::Batch {
            heard.recording.batches.push(Vec::new());
        }
    }

    /// Ends the recording and hands it over.
    pub fn take(&self) -> Recording {
        std::mem::take(&mut self.lock().recording)
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, number: usize, client: TcpStream, port: u16) -> Result<()> {
        let server = TcpStream::connect(("127.0.0.1", port)).context("connect to Postgres")?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (recorder, from, to) = (self.clone(), client.try_clone()?, server.try_clone()?);
        thread::spawn(move || {
            // The worker hangs up when the round is over.
            let _ended = recorder.forward(number, from, to);
        });
        let recorder = self.clone();
        thread::spawn(move || {
            let _ended = recorder.give_back(number, server, client);
        });
        Ok(())
    }

    fn forward(&self, number: usize, mut from: TcpStream, mut to: TcpStream) -> Result<()> {
        let startup = wire::read_startup(&mut from)?;
        to.write_all(&startup)?;
        self.lock().recording.startup = startup;
        let mut reader = std::io::BufReader::new(from);
        let mut flight = Vec::new();
        while let Some(message) = Message::read(&mut reader)? {
            flight.push(message);
            if matches!(flight.last(), Some(last) if matches!(last.tag, b'S' | b'Q')) {
                let whole = std::mem::take(&mut flight);
                let bytes: Vec<u8> = whole.iter().flat_map(|one| &one.bytes).copied().collect();
                self.lock().asks(number, whole);
                to.write_all(&bytes)?;
            }
        }
        to.shutdown(std::net::Shutdown::Both)?;
        Ok(())
    }

    fn give_back(&self, number: usize, from: TcpStream, mut to: TcpStream) -> Result<()> {
        let mut reader = std::io::BufReader::new(from);
        let mut session = Session::default();
        // Handed on in whole flights, as the server sends them.
        let mut bytes = Vec::new();
        while let Some(message) = Message::read(&mut reader)? {
            bytes.extend_from_slice(&message.bytes);
            if session.hears(&message) {
                self.lock().answered(number, session.flight(), &message);
            }
            if message.tag == b'Z' || reader.buffer().is_empty() {
                to.write_all(&bytes)?;
                bytes.clear();
            }
        }
        to.shutdown(std::net::Shutdown::Both)?;
        Ok(())
    }
}

impl Heard {
    fn asks(&mut self, connection: usize, flight: Flight) {
        if !self.begun {
            return;
        }
        match self.by {
            By::Batch => {
                if let Some(batch) = self.recording.batches.last_mut() {
                    batch.push(flight);
                }
            }
            By::Transaction => self.open.entry(connection).or_default().push(flight),
        }
    }

    /// With `ready`, the `ReadyForQuery` that says whether a transaction goes on.
    fn answered(&mut self, connection: usize, counts: Counts, ready: &Message) {
        if !self.begun {
            return;
        }
        self.recording.counts.add(counts);
        if ready.payload() == b"I" {
            self.recording.batches.extend(self.open.remove(&connection));
        }
    }
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.network_round_trips += more.network_round_trips;
        self.statements += more.statements;
        self.transactions += more.transactions;
    }
}

/// One connection's answers on their way to being counted.
#[derive(Default)]
struct Session {
    /// The `ReadyForQuery` that ends the login answers nothing that was asked.
    logged_in: bool,
    counted: Counts,
    /// Whether a statement ran since the last transaction ended.
    worked: bool,
}

impl Session {
    /// Takes note of one answer; true when it ends a round trip.
    fn hears(&mut self, message: &Message) -> bool {
        match message.tag {
            b'C' => {
                let tag = String::from_utf8_lossy(message.payload());
                if !["BEGIN", "COMMIT", "ROLLBACK", "START"]
                    .iter()
                    .any(|word| tag.starts_with(word))
                {
                    self.counted.statements += 1;
                    self.worked = true;
                }
                false
            }
            b'Z' if !self.logged_in => {
                self.logged_in = true;
                false
            }
            b'Z' => {
                self.counted.network_round_trips += 1;
                if message.payload() == b"I" && std::mem::take(&mut self.worked) {
                    self.counted.transactions += 1;
                }
                true
            }
            _ => false,
        }
    }

    fn flight(&mut self) -> Counts {
        std::mem::take(&mut self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_that_share_a_time_are_kept_in_the_order_of_their_ends() {
        let message = |tag, payload: &[u8]| Message::new(tag, payload).unwrap();
        let flights = |batch: &Vec<Flight>| batch.iter().map(|one| one[0].tag).collect::<Vec<u8>>();
        let mut heard = Heard {
            by: By::Transaction,
            ..Heard::default()
        };
        let (goes_on, ended) = (message(b'Z', b"T"), message(b'Z', b"I"));
        heard.asks(0, vec![message(b'Q', b"rehearsed")]);
        heard.answered(0, Counts::default(), &ended);
        heard.begun = true;
        heard.asks(0, vec![message(b'Q', b"begin")]);
        heard.answered(0, Counts::default(), &goes_on);
        heard.asks(1, vec![message(b'P', b"all at once")]);
        heard.asks(0, vec![message(b'S', b"commit")]);
        heard.answered(1, Counts::default(), &ended);
        heard.answered(0, Counts::default(), &ended);
        let batches: Vec<Vec<u8>> = heard.recording.batches.iter().map(flights).collect();
        assert_eq!(batches, [b"P".to_vec(), b"QS".to_vec()]);
    }

    #[test]
    fn counts_what_ran_and_not_what_only_held_it_together() {
        let answer = |tag, payload: &[u8]| Message::new(tag, payload).unwrap();
        let mut session = Session::default();
        let mut counts = Counts::default();
        let heard = [
            answer(b'Z', b"I"), // logged in
            answer(b'Z', b"I"), // a ping
            answer(b'C', b"BEGIN\0"),
            answer(b'Z', b"T"),
            answer(b'C', b"SELECT 10\0"),
            answer(b'Z', b"T"),
            answer(b'C', b"COMMIT\0"),
            answer(b'Z', b"I"),
            answer(b'C', b"UPDATE 1\0"),
            answer(b'Z', b"I"),
        ];
        for message in &heard {
            if session.hears(message) {
                counts.add(session.flight());
            }
        }
        assert_eq!(
            counts,
            Counts {
                network_round_trips: 5,
                statements: 2,
                transactions: 2
            }
        );
    }
}
