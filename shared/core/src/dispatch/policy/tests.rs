//! The retry table, and what never holds for any outcome.

use super::*;
use proptest::prelude::*;

fn refused(class: OutcomeClass, retry_after: Option<u64>) -> SendOutcome {
    SendOutcome::Refused(Refusal {
        retry_after: retry_after.map(Duration::from_secs),
        ..Refusal::new(class, "1", "r")
    })
}

const CLASSES: &[OutcomeClass] = &[
    OutcomeClass::Retryable,
    OutcomeClass::RateLimited(Scope::App),
    OutcomeClass::RateLimited(Scope::Account),
    OutcomeClass::RateLimited(Scope::PhoneNumber),
    OutcomeClass::RateLimited(Scope::Pair),
    OutcomeClass::Ambiguous,
    OutcomeClass::Hold(Scope::Account),
    OutcomeClass::Hold(Scope::Template),
    OutcomeClass::Auth,
    OutcomeClass::PolicyWindow,
    OutcomeClass::MarketingLimit,
    OutcomeClass::PermanentRecipient,
    OutcomeClass::PermanentContent,
    OutcomeClass::PermanentTemplate,
    OutcomeClass::AccountConfig,
    OutcomeClass::Unknown,
];

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
    for (lane, attempt) in [
        (Lane::Transactional, 8),
        (Lane::Interactive, 5),
        (Lane::Bulk, 6),
    ] {
        assert_eq!(
            decide(&outcome, lane, attempt, 1.0).status,
            MessageStatus::Failed
        );
    }
}

#[test]
fn a_code_may_have_a_smaller_budget_than_its_class() {
    let outcome = |most| {
        SendOutcome::Refused(Refusal {
            max_attempts: Some(most),
            ..Refusal::new(OutcomeClass::Retryable, "1", "r")
        })
    };
    let status = |most, attempt| decide(&outcome(most), Lane::Transactional, attempt, 1.0).status;
    assert_eq!(status(2, 1), MessageStatus::Queued);
    assert_eq!(status(2, 2), MessageStatus::Failed);
}

#[test]
fn waiting_gives_the_attempt_back_and_tells_the_others() {
    for (class, effect) in [
        (OutcomeClass::RateLimited(Scope::Pair), Effect::Pair),
        (
            OutcomeClass::RateLimited(Scope::PhoneNumber),
            Effect::Throttle,
        ),
        (
            OutcomeClass::RateLimited(Scope::App),
            Effect::ThrottleProvider,
        ),
        (OutcomeClass::Hold(Scope::Account), Effect::ParkHold),
        (OutcomeClass::Hold(Scope::Template), Effect::None),
        (OutcomeClass::Auth, Effect::ParkAuth),
    ] {
        let decision = decide(&refused(class, None), Lane::Bulk, 99, 0.5);
        assert_eq!(
            (decision.status, decision.refund, decision.effect),
            (MessageStatus::Queued, true, effect),
            "{class:?}"
        );
    }
}

#[test]
fn nobody_knows_is_not_a_retry() {
    let decision = decide(
        &refused(OutcomeClass::Ambiguous, None),
        Lane::Interactive,
        1,
        0.5,
    );
    assert_eq!(
        (decision.status, decision.effect),
        (MessageStatus::Uncertain, Effect::Trouble)
    );
}

#[test]
fn our_own_faults_do_not_trip_the_providers_breaker() {
    for code in ["vault", "panic"] {
        let outcome = SendOutcome::Refused(Refusal::new(OutcomeClass::Retryable, code, "r"));
        assert_eq!(
            decide(&outcome, Lane::Bulk, 1, 0.5).effect,
            Effect::None,
            "{code}"
        );
    }
}

#[test]
fn an_unknown_code_gets_one_more_try_and_marketing_a_day() {
    let unknown = refused(OutcomeClass::Unknown, None);
    assert_eq!(
        decide(&unknown, Lane::Bulk, 1, 1.0).status,
        MessageStatus::Queued
    );
    assert_eq!(
        decide(&unknown, Lane::Bulk, 2, 1.0).status,
        MessageStatus::Failed
    );
    let capped = refused(OutcomeClass::MarketingLimit, None);
    assert_eq!(decide(&capped, Lane::Bulk, 1, 0.0).retry_in, ONE_DAY);
    assert_eq!(
        decide(&capped, Lane::Bulk, 2, 0.0).status,
        MessageStatus::Failed
    );
}

#[test]
fn what_is_refused_for_the_accounts_own_sake_is_told_of_it() {
    let decision = decide(
        &refused(OutcomeClass::AccountConfig, None),
        Lane::Bulk,
        1,
        0.5,
    );
    assert_eq!(
        (decision.status, decision.effect),
        (MessageStatus::Failed, Effect::Notice)
    );
}

#[test]
fn who_stops_a_channel_is_heard() {
    let outcome = |opt_out| {
        SendOutcome::Refused(Refusal {
            opt_out: Some(opt_out),
            ..Refusal::new(OutcomeClass::PermanentRecipient, "1", "r")
        })
    };
    let effect = |opt_out| decide(&outcome(opt_out), Lane::Bulk, 1, 0.5).effect;
    assert_eq!(effect(OptOut::Marketing), Effect::OptOutMarketing);
    assert_eq!(effect(OptOut::Everything), Effect::OptOut);
}

proptest! {
    #[test]
    fn never_earlier_than_the_provider_wished_and_never_for_ever(
        class in prop::sample::select(CLASSES),
        lane in prop::sample::select(Lane::ALL),
        wish in prop::option::of(1_u64..100_000),
        attempt in 1_i32..20,
        jitter in 0.0_f64..1.0,
    ) {
        let decision = decide(&refused(class, wish), lane, attempt, jitter);
        match decision.status {
            // What is parked comes back with its account.
            MessageStatus::Queued if !matches!(decision.effect, Effect::ParkAuth | Effect::ParkHold) => {
                prop_assert!(decision.retry_in >= Duration::from_secs(wish.unwrap_or_default()));
                prop_assert!(decision.refund || attempt <= 7);
            }
            MessageStatus::Queued => prop_assert!(decision.refund),
            MessageStatus::Uncertain => prop_assert_eq!(class, OutcomeClass::Ambiguous),
            MessageStatus::Failed => prop_assert!(!decision.refund),
            other => prop_assert!(false, "a refusal cannot end as {other}"),
        }
    }
}
