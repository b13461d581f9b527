//! Random lives of one message: whatever happens to it in whatever order, it keeps the rules of its state machine.
//!
//! The steps are the service's own statements (claim, settle, scan, reports) and what a person may do by SQL. A model
//! beside it counts what the rules say, and nothing else.

use crate::faults::messages;
use comms_core::dispatch::repair;
use comms_core::model::DispatchMessageJob;
use comms_simulator::{StatusReport, StatusStep};
use comms_tests::world::World;
use proptest::prelude::*;
use sqlx::FromRow;

#[derive(Debug, Clone)]
enum Step {
    Claim,
    /// The nth claim's holder settles, also if it lost its lease long ago.
    Settle(usize, Outcome),
    LeaseEnds,
    DoubtEnds,
    /// The provider reports, on the nth claim's call.
    Report(usize, &'static str),
    Cancel,
    Expire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Retry,
    /// Retried at no cost.
    Wait,
    Failed,
    Doubt,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = || {
        prop::sample::select(vec![
            Outcome::Accepted,
            Outcome::Retry,
            Outcome::Wait,
            Outcome::Failed,
            Outcome::Doubt,
        ])
    };
    let word = || prop::sample::select(vec!["sent", "delivered", "read", "failed"]);
    let step = prop_oneof![
        6 => Just(Step::Claim),
        6 => (0_usize..4, outcome()).prop_map(|(nth, outcome)| Step::Settle(nth, outcome)),
        2 => Just(Step::LeaseEnds),
        2 => Just(Step::DoubtEnds),
        3 => (0_usize..4, word()).prop_map(|(nth, word)| Step::Report(nth, word)),
        1 => Just(Step::Cancel),
        1 => Just(Step::Expire),
    ];
    prop::collection::vec(step, 1..24)
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
struct Row {
    status: String,
    fence: i32,
    attempts: i32,
    has_lease: bool,
    external: Option<String>,
}

/// What the rules say beside the row.
#[derive(Debug, Default)]
struct Model {
    /// The fence of each claim that was won.
    claims: Vec<i32>,
    /// Attempts that were given back.
    refunds: i32,
}

async fn row(world: &World) -> Row {
    sqlx::query_as(
        "select status, fence, attempts, lease_until is not null as has_lease, external_message_id as external
           from communications.messages",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// The nth claim's call is known to the provider by this id.
fn wamid(nth: usize) -> String {
    format!("wamid.{nth}")
}

async fn claim(
    world: &World,
    job: DispatchMessageJob,
    model: &mut Model,
    before: &Row,
) -> Result<(), TestCaseError> {
    // Due again, whatever it waited for.
    world
        .execute("update communications.messages set due_at = now() where status = 'QUEUED'")
        .await;
    world
        .execute("truncate communications.breakers, communications.rate_buckets")
        .await;
    let taken: Vec<(String, i32)> = sqlx::query_as(
        "select status, fence from communications.claim_messages(array [$1], array [$2], 45)",
    )
    .bind(job.tenant_id)
    .bind(job.message_id)
    .fetch_all(&world.pool)
    .await
    .unwrap();
    for (status, fence) in taken {
        if status == "SENDING" {
            prop_assert_eq!(
                &before.status,
                "QUEUED",
                "only what is queued is given to a holder"
            );
            model.claims.push(fence);
        }
    }
    Ok(())
}

async fn settle(
    world: &World,
    job: DispatchMessageJob,
    model: &mut Model,
    nth: usize,
    outcome: Outcome,
    before: &Row,
) {
    let Some(fence) = model.claims.get(nth) else {
        return;
    };
    let (status, external) = match outcome {
        Outcome::Accepted => ("SENT", Some(wamid(nth))),
        Outcome::Retry | Outcome::Wait => ("QUEUED", None),
        Outcome::Failed => ("FAILED", None),
        Outcome::Doubt => ("UNCERTAIN", None),
    };
    let is_holder = before.status == "SENDING" && before.fence == *fence;
    model.refunds += i32::from(is_holder && outcome == Outcome::Wait);
    sqlx::query(
        "select communications.settle_messages(array [$1], array [$2], array [$3], array [$4], array ['CLASS'],
             array [null::text], array [null::text], array [$5], array [0.0::float8], array [$6], array [''],
             array [0.0::float8], array [null::int], 900)",
    )
    .bind(job.tenant_id)
    .bind(job.message_id)
    .bind(fence)
    .bind(status)
    .bind(external)
    .bind(outcome == Outcome::Wait)
    .execute(&world.pool)
    .await
    .unwrap();
}

async fn report(world: &World, job: DispatchMessageJob, nth: usize, reported: &str) {
    let step = match reported {
        "failed" => StatusStep::failed(131_026),
        other => StatusStep::from(other),
    };
    let report = StatusReport {
        correlation: Some(job.message_id.to_string()),
        ..StatusReport::new(&wamid(nth), step, "34600333000")
    };
    let webhook = world
        .simulator
        .builder()
        .status(&world.iberia.number(), &report)
        .build();
    let response = world.meta_posts(world.iberia.tenant, &webhook).await;
    assert_eq!(response.status(), 200);
}

async fn take(
    world: &World,
    job: DispatchMessageJob,
    model: &mut Model,
    step: &Step,
    before: &Row,
) -> Result<(), TestCaseError> {
    match *step {
        Step::Claim => claim(world, job, model, before).await?,
        Step::Settle(nth, outcome) => settle(world, job, model, nth, outcome, before).await,
        Step::LeaseEnds => {
            world
                .execute("update communications.messages set lease_until = now() - interval '1 second' where status = 'SENDING'")
                .await;
            repair(&world.scan.database, &world.scan.queues)
                .await
                .unwrap();
        }
        Step::DoubtEnds => {
            world.time_passes(3).await;
            repair(&world.scan.database, &world.scan.queues)
                .await
                .unwrap();
        }
        // Nobody reports on a call that was not made.
        Step::Report(nth, reported) if nth < model.claims.len() => {
            report(world, job, nth, reported).await;
        }
        Step::Report(..) => {}
        Step::Cancel => {
            world
                .execute("update communications.messages set status = 'CANCELLED' where status in ('QUEUED', 'UNCERTAIN')")
                .await;
        }
        Step::Expire => {
            world
                .execute(
                    "update communications.messages set expires_at = now() - interval '1 second'",
                )
                .await;
            repair(&world.scan.database, &world.scan.queues)
                .await
                .unwrap();
        }
    }
    Ok(())
}

/// Where a state may lead in one step of ours, however many transitions that step makes.
fn may_become(from: &str, to: &str) -> bool {
    match from {
        "QUEUED" | "SENDING" | "UNCERTAIN" => true,
        "SENT" => ["SENT", "DELIVERED", "READ", "FAILED"].contains(&to),
        "DELIVERED" => ["DELIVERED", "READ"].contains(&to),
        // A delivery is the stronger evidence.
        "FAILED" => ["FAILED", "DELIVERED", "READ"].contains(&to),
        end => end == to,
    }
}

fn keeps_the_rules(
    step: &Step,
    before: &Row,
    after: &Row,
    model: &Model,
) -> Result<(), TestCaseError> {
    let told = format!("{step:?}: {before:?} became {after:?}, {model:?}");
    if let Step::Settle(nth, outcome) = step {
        let is_holder = before.status == "SENDING" && model.claims.get(*nth) == Some(&before.fence);
        if !is_holder {
            prop_assert_eq!(before, after, "changed by who does not hold it: {}", told);
        } else if *outcome == Outcome::Accepted {
            prop_assert_eq!(&after.status, "SENT", "{}", told);
        }
    }
    prop_assert!(may_become(&before.status, &after.status), "{told}");
    prop_assert!(after.fence >= before.fence, "{told}");
    prop_assert_eq!(after.has_lease, after.status == "SENDING", "{}", told);
    let won = i32::try_from(model.claims.len()).unwrap();
    prop_assert_eq!(after.attempts, won - model.refunds, "{}", told);
    // Fences rise with every claim, so of all who ever held it one at most can settle.
    prop_assert!(
        model.claims.windows(2).all(|pair| pair[0] < pair[1]),
        "{told}"
    );
    prop_assert!(
        model.claims.iter().all(|fence| *fence <= after.fence),
        "{told}"
    );
    if after.status == "SENDING" {
        prop_assert_eq!(model.claims.last(), Some(&after.fence), "{}", told);
    }
    prop_assert!(
        before.external.is_none() || before.external == after.external,
        "{told}"
    );
    Ok(())
}

async fn live(world: &World, steps: &[Step]) -> Result<(), TestCaseError> {
    world.forget_messages().await;
    let job = messages(world, 1).await[0];
    let mut model = Model::default();
    for step in steps {
        let before = row(world).await;
        take(world, job, &mut model, step, &before).await?;
        keeps_the_rules(step, &before, &row(world).await, &model)?;
    }
    let attempts: i64 = world.count("message_attempts").await;
    prop_assert_eq!(
        usize::try_from(attempts).unwrap(),
        model.claims.len(),
        "a claim without its attempt"
    );
    // Nobody holds it for ever.
    world.time_passes(3).await;
    repair(&world.scan.database, &world.scan.queues)
        .await
        .unwrap();
    prop_assert_ne!(row(world).await.status, "SENDING");
    Ok(())
}

#[test]
fn whatever_happens_to_a_message_it_keeps_the_rules() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(Box::pin(live(&world, &steps)))
        })
        .unwrap();
    runtime.block_on(async { drop(world) });
}
