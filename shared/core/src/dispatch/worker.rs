//! The dispatch worker: a batch of jobs in, the jobs that must be delivered again out.

use super::claim::{Claimed, claim};
use super::metrics::Counts;
use super::policy::{Decision, decide, grace};
use super::send::Adapters;
use super::settle::{Settled, Settlement, follow_ups, release, settle};
use super::{doubts, fallback};
use crate::channels::vault::ProviderConfig;
use crate::delivery;
use crate::model::{AccountId, DispatchMessageJob, Effect, MessageStatus, TenantId};
use crate::platform::queue::Hint;
use crate::platform::{Database, DatabaseError, Queues, telemetry};
use comms_providers::{OutcomeClass, Refusal, SendOutcome};
use futures_util::{FutureExt, future::join_all};
use std::panic::AssertUnwindSafe;

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
    pub deferred: usize,
}

impl Worker {
    /// Claims, sends side by side, settles. Jobs that were not claimed need nothing: the row knows.
    ///
    /// # Errors
    /// When the claim or the settle did not reach the database. After a failed claim nothing happened; after a failed
    /// settle the leases end and the scan finds out. Either way the jobs may be delivered again.
    pub async fn dispatch(&self, jobs: &[DispatchMessageJob]) -> Result<Dispatched, DatabaseError> {
        let mut counts = Counts::default();
        let claimed = self.claim(jobs, &mut counts).await?;
        let mut dispatched = Dispatched {
            claimed: claimed.len(),
            accepted: 0,
            deferred: counts.deferred(),
        };
        if !claimed.is_empty() {
            let outcomes = join_all(claimed.iter().map(|message| self.send(message))).await;
            self.settle(&claimed, &outcomes, &mut counts).await?;
            let accepted = |outcome: &&SendOutcome| matches!(outcome, SendOutcome::Accepted(_));
            dispatched.accepted = outcomes.iter().filter(accepted).count();
        }
        counts.emit();
        Ok(dispatched)
    }

    async fn claim(
        &self,
        jobs: &[DispatchMessageJob],
        counts: &mut Counts,
    ) -> Result<Vec<Claimed>, DatabaseError> {
        let mut tx = self.database.begin().await?;
        let mut claim = claim(&mut tx, jobs).await?;
        let mut hints = std::mem::take(&mut claim.hints);
        if !claim.ended.is_empty() {
            let ended: Vec<_> = claim
                .ended
                .iter()
                .map(|ended| (ended.tenant, ended.message))
                .collect();
            hints.extend(fallback::of_ended(&mut tx, &claim.ended).await?);
            hints.extend(follow_ups(&mut tx, &ended).await?);
        }
        if claim.messages.len() + claim.ended.len() + claim.deferred.len() < jobs.len() {
            hints.extend(doubts::resolve_hinted(&mut tx, jobs).await?);
        }
        tx.commit().await?;
        counts.claim(&claim);
        self.queues.publish_or_leave_to_scan(&hints).await;
        Ok(claim.messages)
    }

    /// Waits for the message's slot and sends it.
    async fn send(&self, message: &Claimed) -> SendOutcome {
        if !message.send_in.is_zero() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a reserved slot, two seconds away at most: cheaper than another round through the queue"
            )]
            tokio::time::sleep(message.send_in).await;
        }
        survived(Box::pin(self.adapters.send(message))).await
    }

    async fn settle(
        &self,
        claimed: &[Claimed],
        outcomes: &[SendOutcome],
        counts: &mut Counts,
    ) -> Result<(), DatabaseError> {
        let settlements: Vec<Settlement<'_>> = claimed
            .iter()
            .zip(outcomes)
            .map(|(claimed, outcome)| Settlement {
                claimed,
                outcome,
                decision: decided(claimed, outcome),
            })
            .collect();
        // Said before it is written: what a provider answered must not be lost with the database.
        settlements.iter().for_each(report);
        let mut hints = self.settle_all(&settlements).await?;
        for settlement in &settlements {
            hints.extend(doubt_ends(settlement));
            counts.settled(settlement);
        }
        self.queues.publish_or_leave_to_scan(&hints).await;
        Ok(())
    }
}

/// A panic while one message is sent is that message's doubt and nobody else's.
async fn survived(send: impl Future<Output = SendOutcome>) -> SendOutcome {
    let outcome = AssertUnwindSafe(send).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        let refusal = Refusal::new(OutcomeClass::Ambiguous, "panic", "the adapter panicked");
        SendOutcome::Refused(refusal)
    })
}

impl Worker {
    /// All in one transaction. If that fails (a deadlock, a connection that broke, a row that cannot be written), each by
    /// itself, so that one row does not take the outcomes of the others with it. What was written already is not written
    /// twice: the fence has moved on.
    async fn settle_all(&self, settlements: &[Settlement<'_>]) -> Result<Vec<Hint>, DatabaseError> {
        match self.settle_once(settlements).await {
            Ok(hints) => return Ok(hints),
            Err(error) => {
                tracing::warn!(error = telemetry::chain(&error), "settling one by one");
            }
        }
        let mut hints = Vec::new();
        let mut failure = None;
        for settlement in settlements {
            match self.settle_once(std::slice::from_ref(settlement)).await {
                Ok(more) => hints.extend(more),
                Err(error) => failure = Some(error),
            }
        }
        let Some(error) = failure else {
            return Ok(hints);
        };
        self.queues.publish_or_leave_to_scan(&hints).await;
        Err(error)
    }

    async fn settle_once(
        &self,
        settlements: &[Settlement<'_>],
    ) -> Result<Vec<Hint>, DatabaseError> {
        let mut tx = self.database.begin().await?;
        let Settled {
            mut hints,
            waiting,
            refused,
        } = settle(&mut tx, settlements).await?;
        tx.commit().await?;
        delivery::tell_of_refusals(&refused);
        if !waiting.is_empty() {
            match self.next_in_line(&waiting).await {
                Ok(next) => hints.extend(next),
                Err(error) => {
                    tracing::warn!(
                        error = telemetry::chain(&error),
                        "who is next is left to the scan"
                    );
                }
            }
        }
        Ok(hints)
    }

    async fn next_in_line(
        &self,
        waiting: &[(TenantId, AccountId)],
    ) -> Result<Vec<Hint>, DatabaseError> {
        let mut tx = self.database.begin().await?;
        let hints = release(&mut tx, waiting).await?;
        tx.commit().await?;
        Ok(hints)
    }
}

/// Credentials that are being tried and are refused say nothing about the account, and are not tried again.
fn decided(claimed: &Claimed, outcome: &SendOutcome) -> Decision {
    let decision = decide(outcome, claimed.lane, claimed.attempt, jitter());
    let is_canary = |config: &ProviderConfig| config.is_canary(claimed.message);
    let accuses = matches!(decision.effect, Effect::ParkAuth | Effect::Notice);
    if accuses && claimed.sender.config.as_ref().is_some_and(is_canary) {
        return Decision::end(MessageStatus::Failed);
    }
    decision
}

/// When to decide about a doubtful send, if nobody reports on it before.
fn doubt_ends(settlement: &Settlement<'_>) -> Option<Hint> {
    let claimed = settlement.claimed;
    if settlement.decision.status != MessageStatus::Uncertain {
        return None;
    }
    let job = DispatchMessageJob::new(claimed.tenant, claimed.message);
    grace(claimed.category).map(|grace| Hint::after(job, claimed.lane, grace.as_secs_f64() + 0.5))
}

/// One log line for each refusal; a parked account and an unknown code are errors that somebody must see to.
fn report(settlement: &Settlement<'_>) {
    let SendOutcome::Refused(refusal) = settlement.outcome else {
        return;
    };
    let (claimed, decision) = (settlement.claimed, settlement.decision);
    tracing::warn!(
        tenant.id = %claimed.tenant,
        message.id = %claimed.message,
        account.id = %claimed.sender.account,
        attempt = claimed.attempt,
        class = refusal.class.as_str(),
        code = refusal.code,
        reason = refusal.reason,
        next = decision.status.as_str(),
        "send refused"
    );
    if matches!(decision.effect, Effect::ParkAuth | Effect::ParkHold) {
        tracing::error!(
            tenant.id = %claimed.tenant,
            account.id = %claimed.sender.account,
            effect = decision.effect.as_str(),
            code = refusal.code,
            "the account is parked"
        );
    }
}

/// Uniform in 0..1, from the random bits of a fresh UUID.
fn jitter() -> f64 {
    let [.., a, b, c, d] = uuid::Uuid::now_v7().into_bytes();
    let bits = u32::from_be_bytes([a, b, c, d]);
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Category, Lane};
    use comms_providers::Accepted;
    use futures_util::future::LocalBoxFuture;

    #[tokio::test]
    async fn a_panic_is_the_doubt_of_its_message_and_nobody_elses() {
        let accepted = SendOutcome::Accepted(Accepted::new("wamid.X"));
        let sends: [LocalBoxFuture<'_, SendOutcome>; 3] = [
            async { accepted.clone() }.boxed_local(),
            async { panic!("in an adapter, before anything else") }.boxed_local(),
            async {
                tokio::task::yield_now().await;
                panic!("in an adapter, after it has waited")
            }
            .boxed_local(),
        ];
        let outcomes = join_all(sends.into_iter().map(survived)).await;
        assert_eq!(outcomes[0], accepted);
        for outcome in &outcomes[1..] {
            let decision = decide(outcome, Lane::Transactional, 1, 1.0);
            assert_eq!(decision.status, MessageStatus::Uncertain, "{outcome:?}");
            assert_eq!(decision.effect, Effect::None, "our fault");
            assert!(grace(Category::Transactional).is_some(), "and sent again");
        }
    }
}
