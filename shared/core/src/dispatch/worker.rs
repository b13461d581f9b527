//! The dispatch worker: a batch of jobs in, the jobs that must be delivered again out.

use super::claim::{Claimed, claim};
use super::policy::decide;
use super::send::Adapters;
use super::settle::{Settlement, follow_ups, settle};
use crate::model::{DispatchMessageJob, MessageId};
use crate::platform::{Database, DatabaseError, Queues, telemetry};
use comms_providers::{OutcomeClass, Refusal, SendOutcome};
use futures_util::{FutureExt, future::join_all};
use std::{collections::HashMap, panic::AssertUnwindSafe};

/// All that the worker stands on, made once per sandbox.
#[derive(Debug)]
pub struct Worker {
    pub database: Database,
    pub queues: Queues,
    pub adapters: Adapters,
}

/// What a batch came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Dispatched {
    pub claimed: usize,
    pub accepted: usize,
}

impl Worker {
    /// Claims, sends side by side, settles. Jobs that were not claimed need nothing: the row knows.
    ///
    /// # Errors
    /// When the claim or the settle did not reach the database. After a failed claim nothing happened; after a failed
    /// settle the leases end and the scan finds out. Either way the jobs may be delivered again.
    pub async fn dispatch(&self, jobs: &[DispatchMessageJob]) -> Result<Dispatched, DatabaseError> {
        let claimed = self.claim(jobs).await?;
        if claimed.is_empty() {
            return Ok(Dispatched::default());
        }
        let outcomes = join_all(claimed.iter().map(|message| self.send(message))).await;
        self.settle(&claimed, &outcomes).await?;
        let accepted = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, SendOutcome::Accepted(_)))
            .count();
        Ok(Dispatched {
            claimed: claimed.len(),
            accepted,
        })
    }

    async fn claim(&self, jobs: &[DispatchMessageJob]) -> Result<Vec<Claimed>, DatabaseError> {
        let mut tx = self.database.begin().await?;
        let claim = claim(&mut tx, jobs).await?;
        let hints = if claim.ended.is_empty() {
            Vec::new()
        } else {
            follow_ups(&mut tx, &claim.ended).await?
        };
        tx.commit().await?;
        self.queues.publish_or_leave_to_scan(&hints).await;
        Ok(claim.messages)
    }

    /// A panic while one message is sent is that message's doubt and nobody else's.
    async fn send(&self, message: &Claimed) -> SendOutcome {
        let outcome = AssertUnwindSafe(self.adapters.send(message))
            .catch_unwind()
            .await;
        outcome.unwrap_or_else(|_| {
            SendOutcome::Refused(Refusal::new(
                OutcomeClass::Ambiguous,
                "panic",
                "the adapter panicked",
            ))
        })
    }

    async fn settle(
        &self,
        claimed: &[Claimed],
        outcomes: &[SendOutcome],
    ) -> Result<(), DatabaseError> {
        let settlements: Vec<Settlement<'_>> = claimed
            .iter()
            .zip(outcomes)
            .map(|(claimed, outcome)| Settlement {
                claimed,
                outcome,
                decision: decide(outcome, claimed.lane, claimed.attempt, jitter()),
            })
            .collect();
        let mut tx = self.database.begin().await?;
        let hints = settle(&mut tx, &settlements).await?;
        tx.commit().await?;
        report(&settlements);
        self.queues.publish_or_leave_to_scan(&hints).await;
        Ok(())
    }
}

/// One log line for each refusal and one metric line for each class.
fn report(settlements: &[Settlement<'_>]) {
    let mut counts: HashMap<(&str, &str), f64> = HashMap::new();
    for settlement in settlements {
        let class = match settlement.outcome {
            SendOutcome::Accepted(_) => "ACCEPTED",
            SendOutcome::Refused(refusal) => {
                log_refusal(settlement.claimed.message, settlement, refusal);
                refusal.class.as_str()
            }
        };
        *counts
            .entry((settlement.claimed.lane.as_str(), class))
            .or_default() += 1.0;
    }
    for ((lane, class), count) in counts {
        telemetry::metric("SendOutcome", count, &[("Lane", lane), ("Class", class)]);
    }
}

fn log_refusal(message: MessageId, settlement: &Settlement<'_>, refusal: &Refusal) {
    tracing::warn!(
        tenant.id = %settlement.claimed.tenant,
        message.id = %message,
        attempt = settlement.claimed.attempt,
        class = refusal.class.as_str(),
        code = refusal.code,
        reason = refusal.reason,
        next = settlement.decision.status.as_str(),
        "send refused"
    );
}

/// Uniform in 0..1, from the random bits of a fresh UUID.
fn jitter() -> f64 {
    let [.., a, b, c, d] = uuid::Uuid::now_v7().into_bytes();
    let bits = u32::from_be_bytes([a, b, c, d]);
    f64::from(bits) / f64::from(u32::MAX)
}
