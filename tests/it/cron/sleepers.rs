//! Who sleeps wakes: at the first tick after their time that comes through, once, and never before.

use super::engine::{CronEngine, CronTrigger, State, answered};
use crate::delivery::engine::cut_off;
use comms_tests::world::{Moment, World, killed_at};
use futures_util::future::join_all;
use hasura_events::Deps;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

/// So many threads of the first operator, each with somebody else.
async fn threads(world: &World, count: i32) -> Vec<Uuid> {
    sqlx::query_scalar(
        "with people as (
             insert into communications.contacts (tenant_id, id)
             select $1, gen_random_uuid() from generate_series(1, $2) returning id)
         insert into communications.conversations (tenant_id, id, contact_id)
         select $1, gen_random_uuid(), id from people returning id",
    )
    .bind(world.iberia.tenant)
    .bind(count)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

async fn snooze(world: &World, thread: Uuid, minutes: i64) {
    sqlx::query(
        "update communications.conversations
            set status = 'SNOOZED', snoozed_until = now() + $2 * interval '1 minute' where id = $1",
    )
    .bind(thread)
    .bind(minutes)
    .execute(&world.pool)
    .await
    .unwrap();
}

/// How often each woke, and whether it sleeps.
async fn states(world: &World, threads: &[Uuid]) -> Vec<(i64, bool)> {
    sqlx::query_as(
        "select (select count(*) from communications.conversation_events e
                  where e.conversation_id = c.id and e.kind = 'REOPENED' and e.actor_kind = 'SYSTEM'),
                c.status = 'SNOOZED'
           from unnest($1) with ordinality t (id, nth) join communications.conversations c on c.id = t.id
          order by t.nth",
    )
    .bind(threads)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

fn engine() -> CronEngine {
    CronEngine::new(CronTrigger::named("conversation_snooze_wakeup"))
}

#[tokio::test]
async fn a_tick_that_is_late_or_comes_again_wakes_everybody_whose_time_has_come_once() {
    let world = World::new().await;
    let threads = threads(&world, 3).await;
    let mut engine = engine();
    for (thread, minutes) in threads.iter().zip([1, 2, 30]) {
        snooze(&world, *thread, minutes).await;
    }
    // Planned for minute 1, called when minute 2 has nearly come.
    engine.time_passes(&world, 60 + 45).await;
    let due = engine.fetch();
    assert_eq!(due.len(), 1);
    for _ in 0..2 {
        assert_eq!(answered(&world.events, engine.call(due[0])).await, 200);
        let now = states(&world, &threads).await;
        assert_eq!(now, [(1, false), (0, true), (0, true)]);
    }
    engine.mark(due[0], Some(200));
    engine.time_passes(&world, 15).await;
    assert_eq!(engine.round(&world.events).await, 1);
    // The first tick once more, long after the second: what it was planned for does not matter.
    engine.time_passes(&world, 28 * 60).await;
    assert_eq!(answered(&world.events, engine.call(due[0])).await, 200);
    assert_eq!(states(&world, &threads).await, [(1, false); 3]);
}

#[tokio::test]
async fn ticks_at_once_and_the_stacks_own_schedule_beside_them_wake_each_once() {
    let world = World::new().await;
    // More than one step of the sweep.
    let threads = threads(&world, 1200).await;
    world
        .execute("update communications.conversations set status = 'SNOOZED', snoozed_until = now() - interval '1 minute'")
        .await;
    let mut engine = engine();
    engine.time_passes(&world, 60).await;
    let due = engine.fetch();
    let beside = world.database();
    let ticks = join_all((0..2).map(|_| answered(&world.events, engine.call(due[0]))));
    let (statuses, summary) = futures_util::join!(ticks, snooze_wakeup::handle(&beside));
    assert_eq!(statuses, [200, 200]);
    summary.unwrap();
    engine.mark(due[0], Some(200));
    engine.time_passes(&world, 60).await;
    engine.round(&world.events).await;
    assert_eq!(states(&world, &threads).await, vec![(1, false); 1200]);
}

/// Hasura is away for an hour: its ticks are dead, nobody makes up for them, and the next one is enough.
#[tokio::test]
async fn after_an_outage_of_hasura_one_tick_wakes_everybody() {
    let world = World::new().await;
    let threads = threads(&world, 40).await;
    for (thread, minutes) in threads.iter().zip(1_i64..) {
        snooze(&world, *thread, minutes).await;
    }
    let mut engine = engine();
    engine.time_passes(&world, 3600).await;
    assert_eq!(engine.round(&world.events).await, 1);
    assert_eq!(
        (engine.count(State::Dead), engine.count(State::Delivered)),
        (59, 1)
    );
    assert_eq!(states(&world, &threads).await, [(1, false); 40]);
}

/// Our database is away: ticks are tried again, end as errors, and the next one is enough.
#[tokio::test]
async fn after_an_outage_of_ours_one_tick_wakes_everybody() {
    let world = World::new().await;
    let threads = threads(&world, 5).await;
    for thread in &threads {
        snooze(&world, *thread, 1).await;
    }
    let (mut engine, away) = (engine(), cut_off(&world));
    for _ in 0..30 {
        engine.time_passes(&world, 20).await;
        engine.round(&away).await;
    }
    assert_eq!(engine.count(State::Delivered), 0);
    assert!(engine.count(State::Error) >= 9, "{:?}", engine.ticks);
    engine.time_passes(&world, 60).await;
    assert!(engine.round(&world.events).await >= 1);
    assert_eq!(states(&world, &threads).await, [(1, false); 5]);
}

/// What becomes of a minute.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Called,
    Twice,
    AtOnce,
    /// The engine dies before its call; the tick stays locked for ever.
    EngineDies,
    /// So many waits into it.
    SandboxDies(usize),
    DatabaseAway,
    /// The engine is away for so many minutes.
    Missed(i64),
    /// Only the stack's own schedule comes through.
    OwnSchedule,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Snooze(usize, i64),
    Minute(Fate),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![
        3 => Just(Fate::Called),
        1 => Just(Fate::Twice),
        1 => Just(Fate::AtOnce),
        1 => Just(Fate::EngineDies),
        2 => (1_usize..16).prop_map(Fate::SandboxDies),
        1 => Just(Fate::DatabaseAway),
        1 => (2_i64..90).prop_map(Fate::Missed),
        1 => Just(Fate::OwnSchedule),
    ];
    let step = prop_oneof![
        3 => (0_usize..6, 1_i64..10).prop_map(|(thread, minutes)| Step::Snooze(thread, minutes)),
        4 => fate.prop_map(Step::Minute),
    ];
    prop::collection::vec(step, 10..60)
}

/// Until nothing of ours is in a transaction: a killed sandbox's goes when Postgres notices.
async fn the_dead_let_go(world: &World) {
    let held = "select count(*) from pg_stat_activity where datname = current_database()
                   and application_name = 'communications' and xact_start is not null";
    while world.scalar::<i64>(held).await > 0 {
        tokio::task::yield_now().await;
    }
}

/// Lets a minute pass. Answers whether a sweep certainly came through.
async fn minute(world: &World, engine: &mut CronEngine, away: &Deps, fate: Fate) -> bool {
    let minutes = if let Fate::Missed(minutes) = fate {
        minutes
    } else {
        1
    };
    engine.time_passes(world, 60 * minutes).await;
    if let Fate::Missed(_) = fate {
        return false;
    }
    let due = engine.fetch();
    let mut swept = false;
    for nth in due {
        let call = || answered(&world.events, engine.call(nth));
        let status = match fate {
            Fate::Called => Some(call().await),
            Fate::Twice => {
                call().await;
                Some(call().await)
            }
            Fate::AtOnce => {
                let (one, two) = futures_util::join!(call(), call());
                assert_eq!((one, two), (200, 200));
                Some(one)
            }
            Fate::SandboxDies(waits) => {
                let status = killed_at(waits, Moment::Waking, call()).await;
                the_dead_let_go(world).await;
                status
            }
            Fate::DatabaseAway => Some(answered(away, engine.call(nth)).await),
            Fate::EngineDies | Fate::OwnSchedule | Fate::Missed(_) => continue,
        };
        swept |= status == Some(200);
        engine.mark(nth, status);
    }
    if let Fate::OwnSchedule = fate {
        snooze_wakeup::handle(&world.database()).await.unwrap();
        swept = true;
    }
    swept
}

async fn live(world: &World, threads: &[Uuid], steps: &[Step]) -> Result<(), TestCaseError> {
    world
        .execute("truncate communications.conversation_events")
        .await;
    world
        .execute("update communications.conversations set status = 'OPEN', snoozed_until = null")
        .await;
    let (mut engine, away) = (engine(), cut_off(world));
    // When each wakes, in minutes from the beginning, and how often it did.
    let mut model: Vec<(Option<i64>, i64)> = vec![(None, 0); threads.len()];
    let mut now = 0;
    let rest = [Step::Minute(Fate::Missed(90)), Step::Minute(Fate::Called)];
    for step in steps.iter().chain(&rest) {
        let swept = match *step {
            Step::Snooze(nth, minutes) => {
                if model[nth].0.is_none() {
                    snooze(world, threads[nth], minutes).await;
                    model[nth].0 = Some(now + minutes);
                }
                continue;
            }
            Step::Minute(fate) => {
                now += if let Fate::Missed(minutes) = fate {
                    minutes
                } else {
                    1
                };
                minute(world, &mut engine, &away, fate).await
            }
        };
        let real = states(world, threads).await;
        for (place, (woken, sleeps)) in model.iter_mut().zip(real) {
            let due = place.0.is_some_and(|at| at <= now);
            // A sweep that nobody heard of may have happened.
            if due && (swept || !sleeps) {
                *place = (None, place.1 + 1);
            }
            prop_assert_eq!((woken, sleeps), (place.1, place.0.is_some()), "{:?}", step);
        }
    }
    prop_assert!(
        model.iter().all(|(asleep, _)| asleep.is_none()),
        "{:?}",
        model
    );
    Ok(())
}

#[test]
fn whatever_becomes_of_the_ticks_each_sleeper_wakes_once_and_not_before_its_time() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let threads = runtime.block_on(threads(&world, 6));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 20,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(Box::pin(live(&world, &threads, &steps)))
        })
        .unwrap();
    runtime.block_on(async { drop(world) });
}
