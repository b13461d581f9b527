//! What follows from an outcome: the retry table, the ends of the state machine, and what it means for others. Pure.

use crate::model::{Category, Effect, Lane, MessageStatus};
use comms_providers::{OptOut, OutcomeClass, Refusal, Scope, SendOutcome};
use std::time::Duration;

/// What settle writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub status: MessageStatus,
    /// For QUEUED: not before this long from now.
    pub retry_in: Duration,
    /// A throttle is no attempt: it is given back.
    pub refund: bool,
    pub effect: Effect,
    /// For how long the effect holds.
    pub pause: Duration,
}

impl Decision {
    pub(super) const fn end(status: MessageStatus) -> Self {
        Self {
            status,
            retry_in: Duration::ZERO,
            refund: false,
            effect: Effect::None,
            pause: Duration::ZERO,
        }
    }

    const fn with(self, effect: Effect) -> Self {
        Self { effect, ..self }
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

/// A throttle without the provider's own wish: a sender's budget is counted by the second, a pair's by six.
const THROTTLED: Duration = Duration::from_secs(3);
const PAIR_THROTTLED: Duration = Duration::from_secs(6);
/// A campaign to the same person can wait longer.
const PAIR_THROTTLED_BULK: Duration = Duration::from_secs(60);
/// A hold is asked again so rarely that it hurts nobody; by one message alone.
const HELD: Duration = Duration::from_secs(3600);
const ONE_DAY: Duration = Duration::from_secs(86_400);

/// How long the provider's report may take before a doubtful send is decided without it. `None`: never sent again.
#[must_use]
pub const fn grace(category: Category) -> Option<Duration> {
    match category {
        Category::Otp => Some(Duration::from_secs(10)),
        Category::Transactional | Category::Service => Some(Duration::from_secs(120)),
        Category::Marketing => None,
    }
}

/// `attempt` counts the one that just ended; `jitter` is uniform in 0..1 (full jitter: two workers never march in step).
#[must_use]
pub fn decide(outcome: &SendOutcome, lane: Lane, attempt: i32, jitter: f64) -> Decision {
    let refusal = match outcome {
        SendOutcome::Accepted(_) => return Decision::end(MessageStatus::Sent),
        SendOutcome::Refused(refusal) => refusal,
    };
    let wish = refusal.retry_after.unwrap_or_default();
    let retry = |schedule| retry(schedule, attempt, jitter, refusal);
    match refusal.class {
        OutcomeClass::Ambiguous => Decision::end(MessageStatus::Uncertain).with(trouble(refusal)),
        OutcomeClass::Retryable => retry(schedule(lane)).with(trouble(refusal)),
        OutcomeClass::Unknown => retry(&schedule(lane)[..1]),
        OutcomeClass::RateLimited(Scope::Pair) => {
            let least = match lane {
                Lane::Bulk => PAIR_THROTTLED_BULK,
                Lane::Interactive | Lane::Transactional => PAIR_THROTTLED,
            };
            wait(wish.max(least), jitter).with(Effect::Pair)
        }
        OutcomeClass::RateLimited(Scope::App) => {
            wait(wish.max(THROTTLED), jitter).with(Effect::ThrottleProvider)
        }
        OutcomeClass::RateLimited(_) => wait(wish.max(THROTTLED), jitter).with(Effect::Throttle),
        // Only templates are stopped: answers in open windows must go on.
        OutcomeClass::Hold(Scope::Template) => wait(wish.max(HELD), jitter),
        OutcomeClass::Hold(_) => park(Effect::ParkHold, wish.max(HELD)),
        OutcomeClass::Auth => park(Effect::ParkAuth, Duration::ZERO),
        OutcomeClass::MarketingLimit => Decision {
            retry_in: ONE_DAY.max(wish),
            ..retry(&[ONE_DAY])
        },
        OutcomeClass::PolicyWindow
        | OutcomeClass::PermanentRecipient
        | OutcomeClass::PermanentContent
        | OutcomeClass::PermanentTemplate
        | OutcomeClass::AccountConfig => {
            Decision::end(MessageStatus::Failed).with(match refusal.opt_out {
                None if refusal.class == OutcomeClass::AccountConfig => Effect::Notice,
                None => Effect::None,
                Some(OptOut::Marketing) => Effect::OptOutMarketing,
                Some(OptOut::Everything) => Effect::OptOut,
            })
        }
    }
}

fn schedule(lane: Lane) -> &'static [Duration] {
    match lane {
        Lane::Interactive => INTERACTIVE,
        Lane::Transactional => TRANSACTIONAL,
        Lane::Bulk => BULK,
    }
}

/// Our own faults (KMS away, a panic) say nothing about the provider.
fn trouble(refusal: &Refusal) -> Effect {
    match refusal.code.as_str() {
        "vault" | "panic" => Effect::None,
        _ => Effect::Trouble,
    }
}

/// The next delay of the schedule, or FAILED when it or the code's own budget is used up. Never earlier than the
/// provider wished, and after a wish only a little later.
fn retry(schedule: &[Duration], attempt: i32, jitter: f64, refusal: &Refusal) -> Decision {
    let used = usize::try_from(attempt - 1).unwrap_or_default();
    let spent = refusal
        .max_attempts
        .is_some_and(|most| attempt >= i32::from(most));
    match schedule.get(used).filter(|_| !spent) {
        Some(delay) => Decision {
            retry_in: refusal.retry_after.map_or_else(
                || delay.mul_f64(jitter),
                |wish| wish.mul_f64(1.0 + 0.2 * jitter),
            ),
            ..Decision::end(MessageStatus::Queued)
        },
        None => Decision::end(MessageStatus::Failed),
    }
}

/// A wish is honoured for its message; an account is not closed for longer than this on one answer's word.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Waiting that costs no attempt: the wish, plus up to a fifth of it so that not all come back at once.
fn wait(at_least: Duration, jitter: f64) -> Decision {
    Decision {
        retry_in: at_least.mul_f64(1.0 + 0.2 * jitter),
        refund: true,
        pause: at_least.min(LONGEST_PAUSE),
        ..Decision::end(MessageStatus::Queued)
    }
}

/// Back into the queue, at no cost, to wait with everything else of its account.
const fn park(effect: Effect, pause: Duration) -> Decision {
    Decision {
        refund: true,
        effect,
        pause,
        ..Decision::end(MessageStatus::Queued)
    }
}

#[cfg(test)]
mod tests;
