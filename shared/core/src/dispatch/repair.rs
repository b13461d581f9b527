//! The scan: puts right what a crash, a lost hint or a dead worker left behind, and only then raises an alarm.
//!
//! Global by nature: it looks at all tenants, in bounded batches, skipping rows that somebody holds, safe to run twice.
//! Every change to a message that is a repair, and not the ordinary release of due work, writes a row of `repairs`. Each
//! kind has a brake: what needs more than five thousand repairs in a minute is an incident, which blind repair would
//! multiply. The rest waits for the next minute, and an alarm says so.

mod gauges;
mod release;
mod rows;

use super::{doubts, fallback};
use crate::platform::queue::Hint;
use crate::platform::{Database, DatabaseError, Queues, Tx, telemetry};
pub use gauges::{Gauges, OfLane, gauges};

/// Rows of one kind that one step may touch.
const BATCH: i64 = 500;
/// Steps of one kind in one run; together with [`BATCH`] the brake.
const STEPS: usize = 10;

/// What one run of the scan did.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// Due messages without a live hint.
    pub republished: usize,
    /// Leases that ended without a settle.
    pub uncertain: usize,
    /// Doubtful sends that were decided.
    pub doubts_ended: usize,
    /// Queued messages past their expiry.
    pub expired: usize,
    /// Provider reports that had waited for their message.
    pub matched: usize,
    /// Fallback timers that run from now on, of what waits for an account.
    pub armed: usize,
    /// Fallback timers that were over.
    pub timers: usize,
    /// Due messages that got their turn: no repair, but this is where they get it when their sender is idle.
    pub released: usize,
    /// Held accounts whose time was over.
    pub resumed: usize,
    /// Messages that moved to another sender.
    pub failed_over: usize,
    /// The kinds that were stopped by their brake.
    pub braked: Vec<&'static str>,
}

/// Runs every kind of repair until nothing is left, or its brake stops it. A kind that fails does not keep the others from
/// their work.
///
/// # Errors
/// The first one, at the end: the database does not answer, or one kind met a row that it cannot handle.
pub async fn repair(database: &Database, queues: &Queues) -> Result<Repaired, DatabaseError> {
    let mut scan = Scan {
        database,
        queues,
        braked: Vec::new(),
        failure: None,
    };
    let mut repaired = Repaired {
        uncertain: scan.all("LEASE_ENDED", Kind::Leases).await,
        expired: scan.all("EXPIRED", Kind::Expired).await,
        matched: scan.all("STATUS_MATCHED", Kind::Reports).await,
        doubts_ended: scan.all("DOUBT_ENDED", Kind::Doubts).await,
        armed: scan.all("PARKED", Kind::Parked).await,
        timers: scan.all("FALLBACK", Kind::Timers).await,
        resumed: scan.all("RESUMED", Kind::Holds).await,
        failed_over: scan.all("FAILED_OVER", Kind::Stranded).await,
        republished: scan.all("HINT_LOST", Kind::Hints).await,
        ..Repaired::default()
    };
    scan.all("PAIR_FORGOTTEN", Kind::QuietPairs).await;
    repaired.released = match scan.release().await {
        Ok(released) => released,
        Err(error) => scan.failed("RELEASED", error),
    };
    repaired.braked = scan.braked;
    scan.failure.map_or(Ok(repaired), Err)
}

#[derive(Clone, Copy)]
enum Kind {
    Leases,
    Expired,
    Reports,
    Doubts,
    Parked,
    Timers,
    Holds,
    Stranded,
    Hints,
    QuietPairs,
}

struct Scan<'a> {
    database: &'a Database,
    queues: &'a Queues,
    braked: Vec<&'static str>,
    failure: Option<DatabaseError>,
}

impl Scan<'_> {
    async fn all(&mut self, name: &'static str, kind: Kind) -> usize {
        let mut total = 0;
        for _ in 0..STEPS {
            match self.step(kind).await {
                Ok(step) => {
                    total += step;
                    if i64::try_from(step).is_ok_and(|step| step < BATCH) {
                        return total;
                    }
                }
                Err(error) => return total + self.failed(name, error),
            }
        }
        self.braked.push(name);
        total
    }

    /// Notes the failure of a kind, which has then done nothing more.
    fn failed(&mut self, kind: &'static str, error: DatabaseError) -> usize {
        tracing::error!(kind, error = telemetry::chain(&error), "a repair failed");
        self.failure.get_or_insert(error);
        0
    }

    /// One transaction. Hints go out after its commit: a failure there is a hint lost once more, for a later run to find.
    async fn step(&self, kind: Kind) -> Result<usize, DatabaseError> {
        let mut tx = self.database.begin().await?;
        let (count, hints) = one(&mut tx, kind).await?;
        tx.commit().await?;
        self.queues.publish_or_leave_to_scan(&hints).await;
        Ok(count)
    }

    /// Every account's turn, round after round, until no slot is left within the horizon.
    async fn release(&self) -> Result<usize, DatabaseError> {
        let mut total = 0;
        for _ in 0..STEPS * 4 {
            let mut tx = self.database.begin().await?;
            let hints = release::one_round(&mut tx).await?;
            tx.commit().await?;
            self.queues.publish_or_leave_to_scan(&hints).await;
            if hints.is_empty() {
                break;
            }
            total += hints.len();
        }
        Ok(total)
    }
}

async fn one(tx: &mut Tx, kind: Kind) -> Result<(usize, Vec<Hint>), DatabaseError> {
    Ok(match kind {
        Kind::Leases => (rows::end_leases(tx, BATCH).await?, Vec::new()),
        Kind::Expired => (rows::expire(tx, BATCH).await?, Vec::new()),
        Kind::Reports => (rows::match_waiting(tx, BATCH).await?, Vec::new()),
        Kind::Doubts => {
            let resolved = doubts::resolve(tx, None, BATCH).await?;
            (resolved.messages, resolved.hints)
        }
        Kind::Parked => (rows::arm_parked(tx, BATCH).await?, Vec::new()),
        Kind::Timers => fallback::fire(tx, BATCH).await?,
        Kind::Holds => (release::resume(tx, BATCH).await?, Vec::new()),
        Kind::Stranded => {
            let hints = release::fail_over(tx, BATCH).await?;
            (hints.len(), hints)
        }
        Kind::QuietPairs => (rows::forget_pairs(tx, BATCH).await?, Vec::new()),
        Kind::Hints => {
            let hints = rows::unhinted(tx, BATCH).await?;
            (hints.len(), hints)
        }
    })
}
