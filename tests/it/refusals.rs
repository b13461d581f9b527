//! Every error code of Meta's table through the whole pipeline: what becomes of the message, and of its account.
//!
//! The codes are those of the listing that the providers crate keeps of its table, so a new row is walked as well. What a
//! class means is written down here once more, in terms of rows and not of code.

use comms_core::model::DispatchMessageJob;
use comms_providers::whatsapp::codes::{Hints, Verdict, classify};
use comms_providers::{OptOut, OutcomeClass, Scope};
use comms_simulator::{Answer, Script};
use comms_tests::seed::Traveller;
use comms_tests::world::{Reports, World};
use sqlx::FromRow;

const LISTING: &str = include_str!(
    "../../shared/providers/src/whatsapp/snapshots/comms_providers__whatsapp__codes__tests__every_code_of_the_table.snap"
);
/// In no table.
const UNLISTED: i64 = 999_999;

/// The first and the last code of each row.
fn codes() -> Vec<i64> {
    let rows = LISTING.split("---").nth(2).unwrap().lines();
    let mut codes: Vec<i64> = rows
        .filter_map(|row| row.split_once(' '))
        .flat_map(|(codes, _)| codes.split('-').map(|code| code.parse().unwrap()))
        .collect();
    codes.push(UNLISTED);
    codes
}

/// What one refusal left behind.
#[derive(Debug, FromRow)]
struct Left {
    status: String,
    attempts: i32,
    deferrals: i32,
    failed_code: Option<String>,
    /// Until the message is due.
    wait: f64,
    /// Nobody looks at it before its account can send again.
    parked: bool,
    account: String,
    resumes: bool,
    /// The account sends nothing for this long.
    pause: Option<f64>,
    /// Faults of the provider in a row.
    failures: i32,
    pair: Option<f64>,
    class: String,
    stopped: i64,
    /// Notices about the account.
    notices: i64,
}

const LEFT: &str = "
    select m.status, m.attempts, m.deferrals, m.failed_code, extract(epoch from m.due_at - now())::float8 as wait,
           m.hint_at = '-infinity' as parked, a.status as account, a.resume_at is not null as resumes,
           extract(epoch from k.open_until - now())::float8 as pause, coalesce(k.failures, 0) as failures,
           (select extract(epoch from b.tat - interval '60 seconds' - now())::float8 from communications.rate_buckets b
             where b.kind = 'PAIR' and b.subject = m.address) as pair,
           (select t.class from communications.message_attempts t where t.message_id = m.id and t.fence = m.fence) as class,
           (select count(*) from communications.consents c
             where c.contact_id = m.contact_id and c.category = 'MARKETING' and not c.granted) as stopped,
           (select count(*) from communications.channel_account_events e
             where e.account_id = m.account_id and e.alert and e.field = 'messages' and e.event = m.failed_code) as notices
      from communications.messages m
      join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
      left join communications.breakers k on k.tenant_id = a.tenant_id and k.account_id = a.id
     where m.id = $1";

/// One passenger for each code, all told of a delay that stays news for three days.
async fn one_message_for_each(world: &World, codes: &[i64]) -> Vec<DispatchMessageJob> {
    let travellers = (0..codes.len())
        .map(|nth| {
            // Leaked: a few kilobytes in a test process, and the fixture's texts are static.
            let phone = Box::leak(format!("+34600222{nth:03}").into_boxed_str());
            Traveller::new("Ana García", Some(phone), Some("es"))
        })
        .collect();
    let trip = world
        .iberia
        .schedule(&world.pool, "MAD-VLC-0815", travellers)
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    world
        .execute("update communications.messages set expires_at = now() + interval '3 days'")
        .await;
    let jobs = world.queued().await;
    assert_eq!(jobs.len(), codes.len());
    jobs
}

async fn refused(world: &World, job: DispatchMessageJob, script: Script) -> Left {
    world.simulator.script(Script {
        correlation: Some(job.message_id.to_string()),
        ..script
    });
    world.worker.dispatch(&[job]).await.unwrap();
    sqlx::query_as(LEFT)
        .bind(job.message_id)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

/// The account as it was before; what was only for this refusal is undone by a person or by time.
async fn account_recovers(world: &World) {
    world
        .execute("update communications.channel_accounts set status = 'ACTIVE', resume_at = null, status_reason = null")
        .await;
    world
        .execute("truncate communications.breakers, communications.rate_buckets")
        .await;
}

#[tokio::test]
async fn every_code_has_its_effect_and_what_is_not_final_is_sent_once_in_the_end() {
    let world = World::new().await;
    let codes = codes();
    assert!(codes.len() > 80, "the listing is read: {codes:?}");
    let jobs = one_message_for_each(&world, &codes).await;
    // Everybody wanted marketing, so that a stop is seen.
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
             select tenant_id, communications.uuid_v7(), contact_id, channel, 'MARKETING', true, 'opt-in', 'agent'
               from communications.messages",
        )
        .await;
    let mut last = Vec::new();
    for (code, job) in codes.iter().zip(&jobs) {
        let left = refused(&world, *job, Script::fail(*code)).await;
        let verdict = classify(*code, Hints::default());
        has_its_effect(*code, verdict, &left);
        last.push(left.status);
        account_recovers(&world).await;
    }
    assert_eq!(world.simulator.calls().len(), codes.len(), "one call each");
    let ends = world.everything_ends(Reports::Withheld).await;
    for ((end, code), last) in ends.iter().zip(&codes).zip(&last) {
        let expected = if last == "FAILED" {
            ("FAILED", 0)
        } else {
            ("SENT", 1)
        };
        assert_eq!(
            (end.status.as_str(), end.accepted),
            expected,
            "{code}: {end:?}"
        );
    }
}

/// The class table of the pipeline protocol, for the first attempt of a transactional message.
fn has_its_effect(code: i64, verdict: Verdict, left: &Left) {
    let told = format!("{code} {verdict:?}: {left:?}");
    assert_eq!(left.failed_code, Some(code.to_string()), "{told}");
    assert_eq!(left.class, verdict.class.as_str(), "{told}");
    let stopped = i64::from(verdict.opt_out == Some(OptOut::Marketing));
    assert_eq!(left.stopped, stopped, "{told}");
    let notices = i64::from(verdict.class == OutcomeClass::AccountConfig);
    assert_eq!(left.notices, notices, "{told}");
    let wish = verdict.wait.unwrap_or_default().as_secs_f64();
    match verdict.class {
        OutcomeClass::Retryable => {
            queued(left, 1, wish..(wish * 1.2).max(1.0), &told);
            assert_eq!(left.failures, 1, "{told}");
        }
        OutcomeClass::Unknown => queued(left, 1, 0.0..1.0, &told),
        OutcomeClass::MarketingLimit => queued(left, 1, 86_400.0..86_401.0, &told),
        OutcomeClass::RateLimited(Scope::Pair) => {
            queued(left, 0, 6.0..7.2, &told);
            near(left.pair, 6.0, &told);
        }
        OutcomeClass::RateLimited(_) => {
            queued(left, 0, 3.0..3.6, &told);
            near(left.pause, 3.0, &told);
        }
        OutcomeClass::Hold(Scope::Template) => queued(left, 0, 3600.0..4320.0, &told),
        OutcomeClass::Hold(_) => parked(left, "SUSPENDED", true, &told),
        OutcomeClass::Auth => parked(left, "REAUTH_REQUIRED", false, &told),
        OutcomeClass::PolicyWindow
        | OutcomeClass::PermanentRecipient
        | OutcomeClass::PermanentContent
        | OutcomeClass::PermanentTemplate
        | OutcomeClass::AccountConfig => {
            assert_eq!(
                (left.status.as_str(), left.attempts),
                ("FAILED", 1),
                "{told}"
            );
            undisturbed(left, &told);
        }
        OutcomeClass::Ambiguous => panic!("a code is never in doubt: {told}"),
    }
}

/// Waits on its own, while the account goes on.
fn queued(left: &Left, attempts: i32, wait: std::ops::Range<f64>, told: &str) {
    assert_eq!(left.status, "QUEUED", "{told}");
    assert_eq!(
        (left.attempts, left.deferrals),
        (attempts, 1 - attempts),
        "{told}"
    );
    // The row is read a moment after it was written.
    assert!(
        wait.start - 1.0 <= left.wait && left.wait <= wait.end,
        "{told}"
    );
    // A queue cannot delay a hint by more than a quarter of an hour; the scan publishes it then.
    assert_eq!(left.parked, wait.start > 900.0, "{told}");
    undisturbed(left, told);
}

fn undisturbed(left: &Left, told: &str) {
    assert_eq!(
        (left.account.as_str(), left.resumes),
        ("ACTIVE", false),
        "{told}"
    );
}

/// Waits with its account, at no cost.
fn parked(left: &Left, account: &str, resumes: bool, told: &str) {
    assert_eq!(
        (left.status.as_str(), left.attempts, left.deferrals),
        ("QUEUED", 0, 1),
        "{told}"
    );
    assert!(left.parked, "{told}");
    assert_eq!(
        (left.account.as_str(), left.resumes),
        (account, resumes),
        "{told}"
    );
    assert_eq!(left.failures, 0, "{told}");
}

fn near(seconds: Option<f64>, wanted: f64, told: &str) {
    assert!(
        seconds.is_some_and(|seconds| (wanted - 1.0..=wanted).contains(&seconds)),
        "{told}"
    );
}

#[tokio::test]
async fn a_code_that_keeps_coming_uses_up_its_own_budget() {
    // Unknown codes get one more try, doubtful ones what the table gives them, others the lane's eight.
    let budgets = [
        (1, 3),
        (135_000, 2),
        (UNLISTED, 2),
        (131_000, 8),
        (131_049, 2),
    ];
    let world = World::new().await;
    let codes = budgets.map(|(code, _)| code);
    let jobs = one_message_for_each(&world, &codes).await;
    for ((code, budget), job) in budgets.into_iter().zip(jobs) {
        for attempt in 1..=budget {
            let left = refused(&world, job, Script::fail(code)).await;
            let expected = if attempt < budget { "QUEUED" } else { "FAILED" };
            assert_eq!(
                (left.status.as_str(), left.attempts),
                (expected, attempt),
                "{code}: {left:?}"
            );
            account_recovers(&world).await;
            world
                .execute(
                    "update communications.messages set due_at = now() where status = 'QUEUED'",
                )
                .await;
        }
    }
}

#[tokio::test]
async fn the_providers_wish_is_kept_whatever_the_code() {
    let world = World::new().await;
    let codes = [131_000, 131_056, 130_429, 4, UNLISTED, 131_049];
    let jobs = one_message_for_each(&world, &codes).await;
    for (code, job) in codes.into_iter().zip(jobs) {
        let answer = Answer::Fail {
            code,
            http_status: Some(429),
            subcode: None,
            is_transient: false,
            retry_after: Some(90_000),
        };
        let script = Script {
            answer,
            ..Script::default()
        };
        let left = refused(&world, job, script).await;
        assert_eq!(left.status, "QUEUED", "{code}: {left:?}");
        // The wish is cut to a day (and a moment passes until the row is read).
        assert!(left.wait > 86_400.0 - 1.0, "{code}: {left:?}");
        account_recovers(&world).await;
    }
}

#[tokio::test]
async fn a_retry_that_would_come_too_late_fails_with_its_cause() {
    let world = World::new().await;
    let jobs = one_message_for_each(&world, &[131_049]).await;
    world
        .execute("update communications.messages set expires_at = now() + interval '23 hours'")
        .await;
    let left = refused(&world, jobs[0], Script::fail(131_049)).await;
    assert_eq!(
        (left.status.as_str(), left.failed_code.as_deref()),
        ("FAILED", Some("131049"))
    );
}
