//! Random days of trips and of everything between them and us. Whatever happens in whatever order: one run for each time that
//! a trip became late, of the state that the trip was in then, and one message for each passenger of it.
//!
//! A failing day is printed whole, with the seeds of its rounds, and can be run again.

use super::engine::{Answer, Engine, Event, answered, cut_off};
use super::{becomes, told};
use comms_tests::seed::{Traveller, Trip};
use comms_tests::world::{HASURA_SECRET, Moment, Reports, World, killed_at};
use hasura_events::Deps;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[derive(Debug, Clone)]
enum Step {
    /// The staff changes a trip.
    Becomes(usize, &'static str),
    /// The engine fetches, shuffles by this seed, and every delivery meets a fate by it.
    Round(u64, Weather),
    Minutes(i64),
    /// Somebody redelivers an event by hand, finished or not.
    Redeliver(usize),
    /// Somebody presses the button for a trip.
    Invoke(usize),
    /// The workers send what is queued.
    Sends,
}

#[derive(Debug, Clone, Copy)]
enum Weather {
    Fine,
    /// Each delivery by itself.
    Rough,
    DatabaseAway,
    WrongSecret,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop::sample::select(vec!["SCHEDULED", "DELAYED", "DELAYED", "BOARDING"]);
    let weather = prop::sample::select(vec![
        Weather::Fine,
        Weather::Rough,
        Weather::Rough,
        Weather::Rough,
        Weather::DatabaseAway,
        Weather::WrongSecret,
    ]);
    let step = prop_oneof![
        5 => (0_usize..3, status).prop_map(|(trip, status)| Step::Becomes(trip, status)),
        5 => (any::<u64>(), weather).prop_map(|(seed, weather)| Step::Round(seed, weather)),
        3 => prop::sample::select(vec![1_i64, 1, 5, 31]).prop_map(Step::Minutes),
        1 => any::<usize>().prop_map(Step::Redeliver),
        1 => (0_usize..3).prop_map(Step::Invoke),
        1 => Just(Step::Sends),
    ];
    prop::collection::vec(step, 10..50)
}

/// Numbers from a seed, as even as a test needs them.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let sides = u64::try_from(sides).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % sides).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// What a day takes place in.
struct Day<'a> {
    world: &'a World,
    away: Deps,
    trips: Vec<Trip>,
    engine: Engine,
}

impl Day<'_> {
    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Becomes(trip, status) => becomes(self.world, &self.trips[trip], status).await,
            Step::Round(seed, weather) => self.round(Dice(seed), weather).await,
            Step::Minutes(minutes) => self.engine.time_passes(60 * minutes),
            Step::Redeliver(nth) => {
                let ids = self.engine.ids().await;
                if !ids.is_empty() {
                    self.engine.redeliver(&ids[nth % ids.len()]).await;
                }
            }
            Step::Invoke(trip) => {
                let trip = self.trips[trip].id.0;
                self.engine.invoke(trip).await.unwrap();
            }
            Step::Sends => self.world.hints_are_followed().await,
        }
    }

    async fn round(&mut self, mut dice: Dice, weather: Weather) {
        let mut events = self.engine.fetch().await;
        dice.shuffle(&mut events);
        for event in &events {
            match weather {
                Weather::Fine => self.delivered(event).await,
                Weather::Rough => self.rough(event, &mut dice).await,
                Weather::DatabaseAway => {
                    let answer = answered(&self.away, self.engine.call(event)).await;
                    // What is not wanted is known without the database.
                    assert!(
                        matches!(answer.status, Some(200 | 503)),
                        "{:?}",
                        answer.status
                    );
                    self.engine.mark(event, answer).await;
                }
                Weather::WrongSecret => {
                    self.engine.secret = "wrong";
                    let answer = answered(&self.world.events, self.engine.call(event)).await;
                    assert_eq!(answer.status, Some(401));
                    self.engine.mark(event, answer).await;
                    self.engine.secret = HASURA_SECRET;
                }
            }
        }
    }

    async fn delivered(&mut self, event: &Event) {
        let answer = answered(&self.world.events, self.engine.call(event)).await;
        assert_eq!(answer.status, Some(200));
        self.engine.mark(event, answer).await;
    }

    async fn rough(&mut self, event: &Event, dice: &mut Dice) {
        let events = &self.world.events;
        match dice.below(6) {
            0 => self.delivered(event).await,
            // The engine dies before its call, or after.
            1 => {}
            2 => drop(answered(events, self.engine.call(event)).await),
            // Two at once, of which the engine hears one.
            3 => {
                let (one, two) = (self.engine.call(event), self.engine.call(event));
                let (one, two) = futures_util::join!(answered(events, one), answered(events, two));
                assert_eq!((one.status, two.status), (Some(200), Some(200)));
                self.engine.mark(event, one).await;
            }
            // The sandbox dies somewhere.
            4 | 5 => {
                let moment = [Moment::Waiting, Moment::Waking][dice.below(2)];
                let call = answered(events, self.engine.call(event));
                let answer = killed_at(1 + dice.below(24), moment, call).await;
                self.engine
                    .mark(event, answer.unwrap_or(Answer::NONE))
                    .await;
            }
            _ => unreachable!(),
        }
    }

    /// The weather clears, and somebody redelivers what was given up.
    async fn clears_up(&mut self) {
        self.engine.time_passes(31 * 60);
        self.engine.catches_up().await;
        for id in self.engine.ids().await {
            self.engine.redeliver(&id).await;
        }
        self.engine.catches_up().await;
        assert_eq!(self.engine.count("not delivered").await, 0);
    }
}

/// An event that became late, its runs, the trip's status when they were made, and their messages.
type Outcome = (String, Vec<String>, Option<String>, i64);

async fn outcomes(world: &World) -> Vec<Outcome> {
    sqlx::query_as(
        "select e.id,
                array(select r.status from communications.trigger_runs r
                       where r.source = 'hasura-event' and r.idempotency_key = e.id),
                (select h.status from operations.history h
                   join communications.trigger_runs r on r.idempotency_key = e.id
                  where h.trip = (e.payload #>> '{data,new,id}')::uuid and h.at <= r.created_at
                  order by h.at desc limit 1),
                (select count(*) from communications.messages m
                   join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
                  where r.idempotency_key = e.id)
           from hdb_catalog.event_log e
          where e.payload #>> '{data,new,status}' = 'DELAYED'
            and coalesce(e.payload #>> '{data,old,status}', '') <> 'DELAYED'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

async fn live(day: &mut Day<'_>, steps: &[Step]) -> Result<(), TestCaseError> {
    for trip in &day.trips {
        becomes(day.world, trip, "SCHEDULED").await;
    }
    day.world.forget_messages().await;
    day.world
        .execute("truncate hdb_catalog.event_log, hdb_catalog.event_invocation_logs")
        .await;
    for step in steps {
        day.take(step).await;
    }
    day.clears_up().await;

    let outcomes = outcomes(day.world).await;
    let mut completed = 0;
    for (event, runs, status, messages) in &outcomes {
        prop_assert_eq!(runs.len(), 1, "{}: one run: {:?}", event, runs);
        let is_late = status.as_deref() == Some("DELAYED");
        prop_assert_eq!(runs[0] == "COMPLETED", is_late, "{}: {:?}", event, status);
        prop_assert_eq!(*messages, if is_late { 2 } else { 0 }, "{}", event);
        completed += i64::from(is_late);
    }
    let all = i64::try_from(outcomes.len()).unwrap();
    let (done, stale, messages) = told(day.world).await;
    prop_assert_eq!(
        (done, stale),
        (completed, all - completed),
        "no run of anything else"
    );
    prop_assert_eq!(messages, 2 * completed);
    prop_assert_eq!(day.world.count("quarantine").await, 0);
    for end in day.world.everything_ends(Reports::Posted).await {
        prop_assert_eq!(end.accepted, 1, "told once: {:?}", end);
    }
    Ok(())
}

async fn day(world: &World) -> Day<'_> {
    let mut engine = Engine::new(world).await;
    engine.trigger.enable_manual = true;
    engine
        .run(
            "create table operations.history (trip uuid, status text, at timestamptz default clock_timestamp());
             create function operations.remember() returns trigger language plpgsql as $$
             begin insert into operations.history (trip, status) values (new.id, new.status); return null; end $$;
             create trigger remember after update on operations.trips
                 for each row execute function operations.remember()",
        )
        .await;
    let mut trips = Vec::new();
    for (code, ana, tom) in [
        ("A-1", "+34600111001", "+447700900101"),
        ("A-2", "+34600111002", "+447700900102"),
        ("A-3", "+34600111003", "+447700900103"),
    ] {
        let travellers = vec![
            Traveller::new("Ana García", Some(ana), Some("es")),
            Traveller::new("Tom Baker", Some(tom), Some("en")),
        ];
        let trip = world.iberia.schedule(&world.pool, code, travellers).await;
        trips.push(trip.unwrap());
    }
    Day {
        away: cut_off(world),
        world,
        trips,
        engine,
    }
}

#[test]
fn whatever_happens_between_a_trip_and_its_passengers_each_is_told_once_for_each_delay() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let day = std::cell::RefCell::new(runtime.block_on(day(&world)));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(Box::pin(live(&mut day.borrow_mut(), &steps)))
        })
        .unwrap();
    runtime.block_on(async { drop(day) });
    runtime.block_on(async { drop(world) });
}
