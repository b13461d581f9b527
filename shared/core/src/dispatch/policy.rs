//! What follows from an outcome: the retry table and the ends of the state machine. Pure.

use crate::model::{Lane, MessageStatus};
use comms_providers::{OutcomeClass, SendOutcome};
use std::time::Duration;

/// What settle writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub status: MessageStatus,
    /// For QUEUED: not before this long from now.
    pub retry_in: Duration,
    /// A throttle is no attempt: it is given back.
    pub refund: bool,
}

impl Decision {
    const fn end(status: MessageStatus) -> Self {
        Self {
            status,
            retry_in: Duration::ZERO,
            refund: false,
        }
    }
}

const INTERACTIVE: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(20),
];
const TRANSACTIONAL: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(7200),
];
const BULK: &[Duration] = &[
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(1800),
    Duration::from_secs(7200),
    Duration::from_secs(21600),
];

/// A throttle without the provider's own wish.
const THROTTLED: Duration = Duration::from_secs(6);
/// What only a person or the provider can clear; asked again so rarely that it hurts nobody.
const HELD: Duration = Duration::from_secs(900);
const ONE_DAY: Duration = Duration::from_secs(86_400);

/// `attempt` counts the one that just ended; `jitter` is uniform in 0..1 (full jitter: two workers never march in step).
#[must_use]
pub fn decide(outcome: &SendOutcome, lane: Lane, attempt: i32, jitter: f64) -> Decision {
    let refusal = match outcome {
        SendOutcome::Accepted(_) => return Decision::end(MessageStatus::Sent),
        SendOutcome::Refused(refusal) => refusal,
    };
    let wish = refusal.retry_after.unwrap_or_default();
    let budget = refusal.max_attempts.map_or(i32::MAX, i32::from);
    let retried = matches!(
        refusal.class,
        OutcomeClass::Retryable | OutcomeClass::Unknown | OutcomeClass::MarketingLimit
    );
    if retried && attempt >= budget {
        return Decision::end(MessageStatus::Failed);
    }
    match refusal.class {
        OutcomeClass::Ambiguous => Decision::end(MessageStatus::Uncertain),
        OutcomeClass::Retryable => retry(schedule(lane), attempt, jitter, wish),
        OutcomeClass::Unknown => retry(&schedule(lane)[..1], attempt, jitter, wish),
        OutcomeClass::RateLimited(_) => wait(wish.max(THROTTLED), jitter),
        OutcomeClass::Hold(_) | OutcomeClass::Auth => wait(wish.max(HELD), jitter),
        OutcomeClass::MarketingLimit => retry(&[ONE_DAY], attempt, 1.0, wish),
        OutcomeClass::PolicyWindow
        | OutcomeClass::PermanentRecipient
        | OutcomeClass::PermanentContent
        | OutcomeClass::PermanentTemplate
        | OutcomeClass::AccountConfig => Decision::end(MessageStatus::Failed),
    }
}

fn schedule(lane: Lane) -> &'static [Duration] {
    match lane {
        Lane::Interactive => INTERACTIVE,
        Lane::Transactional => TRANSACTIONAL,
        Lane::Bulk => BULK,
    }
}

/// The next delay of the schedule, or FAILED when it is used up. Never earlier than the provider wished.
fn retry(schedule: &[Duration], attempt: i32, jitter: f64, wish: Duration) -> Decision {
    let used = usize::try_from(attempt - 1).unwrap_or_default();
    match schedule.get(used) {
        Some(delay) => Decision {
            status: MessageStatus::Queued,
            retry_in: delay.mul_f64(jitter).max(wish),
            refund: false,
        },
        None => Decision::end(MessageStatus::Failed),
    }
}

/// Waiting that costs no attempt: the wish, plus up to a fifth of it so that not all come back at once.
fn wait(at_least: Duration, jitter: f64) -> Decision {
    Decision {
        status: MessageStatus::Queued,
        retry_in: at_least.mul_f64(1.0 + 0.2 * jitter),
        refund: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use comms_providers::{Refusal, Scope};

    fn refused(class: OutcomeClass, retry_after: Option<u64>) -> SendOutcome {
        let retry_after = retry_after.map(Duration::from_secs);
        SendOutcome::Refused(Refusal {
            retry_after,
            ..Refusal::new(class, "1", "r")
        })
    }

    #[test]
    fn a_retryable_refusal_follows_the_lane_and_then_fails() {
        let outcome = refused(OutcomeClass::Retryable, None);
        for (attempt, delay) in [(1, 1), (2, 5), (3, 30), (7, 7200)] {
            let decision = decide(&outcome, Lane::Transactional, attempt, 1.0);
            assert_eq!(
                (decision.status, decision.retry_in.as_secs()),
                (MessageStatus::Queued, delay),
                "attempt {attempt}"
            );
        }
        assert_eq!(
            decide(&outcome, Lane::Transactional, 8, 1.0).status,
            MessageStatus::Failed
        );
        assert_eq!(
            decide(&outcome, Lane::Interactive, 5, 1.0).status,
            MessageStatus::Failed
        );
    }

    #[test]
    fn a_refusal_with_a_budget_of_its_own_fails_sooner() {
        let SendOutcome::Refused(refusal) = refused(OutcomeClass::Retryable, None) else {
            panic!("accepted")
        };
        let outcome = SendOutcome::Refused(Refusal {
            max_attempts: Some(2),
            ..refusal
        });
        let status = |attempt| decide(&outcome, Lane::Transactional, attempt, 1.0).status;
        assert_eq!(status(1), MessageStatus::Queued);
        assert_eq!(status(2), MessageStatus::Failed);
    }

    #[test]
    fn never_earlier_than_the_provider_wished() {
        let decision = decide(
            &refused(OutcomeClass::Retryable, Some(9)),
            Lane::Interactive,
            1,
            0.0,
        );
        assert_eq!(decision.retry_in.as_secs(), 9);
    }

    #[test]
    fn waiting_gives_the_attempt_back() {
        for class in [
            OutcomeClass::RateLimited(Scope::Pair),
            OutcomeClass::Hold(Scope::Account),
            OutcomeClass::Auth,
        ] {
            let decision = decide(&refused(class, None), Lane::Bulk, 99, 0.5);
            assert!(
                decision.refund && decision.status == MessageStatus::Queued,
                "{class:?}"
            );
        }
    }

    #[test]
    fn nobody_knows_is_not_a_retry() {
        assert_eq!(
            decide(
                &refused(OutcomeClass::Ambiguous, None),
                Lane::Interactive,
                1,
                0.5
            )
            .status,
            MessageStatus::Uncertain
        );
    }

    #[test]
    fn an_unknown_code_gets_one_more_try() {
        let outcome = refused(OutcomeClass::Unknown, None);
        assert_eq!(
            decide(&outcome, Lane::Bulk, 1, 1.0).status,
            MessageStatus::Queued
        );
        assert_eq!(
            decide(&outcome, Lane::Bulk, 2, 1.0).status,
            MessageStatus::Failed
        );
    }
}
