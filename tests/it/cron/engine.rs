//! A stand-in for Hasura's cron triggers: ticks planned in advance, called at least once, dead when they are too old.
//!
//! A locked tick of an engine that died is never called again: nobody promises that it would be. Its clock is moved by hand,
//! and the sleepers' with it.

use comms_tests::calls;
use comms_tests::world::{HASURA_SECRET, World};
use hasura_events::Deps;
use lambda_http::Request;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

const METADATA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../hasura/metadata/cron_triggers.yaml"
);
/// Ticks that are planned ahead.
const AHEAD: usize = 100;
const START: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

/// A cron trigger as the metadata says it.
#[derive(Debug, Clone)]
pub struct CronTrigger {
    pub name: String,
    pub period: i64,
    pub payload: Value,
    pub retries: i64,
    pub interval: i64,
    pub tolerance: i64,
}

/// All of the metadata, as JSON.
pub fn metadata() -> Vec<Value> {
    serde_norway::from_str(&std::fs::read_to_string(METADATA).unwrap()).unwrap()
}

impl CronTrigger {
    pub fn of(entry: &Value) -> Self {
        let retry = &entry["retry_conf"];
        let seconds = |name: &str| retry[name].as_i64().unwrap();
        Self {
            name: entry["name"].as_str().unwrap().to_owned(),
            period: period(entry["schedule"].as_str().unwrap()),
            payload: entry["payload"].clone(),
            retries: seconds("num_retries"),
            interval: seconds("retry_interval_seconds"),
            tolerance: seconds("tolerance_seconds"),
        }
    }

    pub fn named(name: &str) -> Self {
        let all = metadata();
        let entry = all.iter().find(|entry| entry["name"] == name);
        Self::of(entry.unwrap())
    }
}

/// Seconds between two ticks, of the two kinds of schedule that are in use.
fn period(schedule: &str) -> i64 {
    let fields: Vec<&str> = schedule.split(' ').collect();
    match fields[..] {
        ["*", "*", "*", "*", "*"] => 60,
        [minute, "*", "*", "*", "*"] if minute.parse::<u8>().is_ok_and(|minute| minute < 60) => {
            3600
        }
        _ => panic!("{schedule}: not a schedule that this emulator knows"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Scheduled,
    Locked,
    Delivered,
    Error,
    Dead,
}

#[derive(Debug, Clone)]
pub struct Tick {
    id: Uuid,
    planned: i64,
    due: i64,
    tries: i64,
    pub state: State,
}

/// See the module.
pub struct CronEngine {
    trigger: CronTrigger,
    pub ticks: Vec<Tick>,
    now: i64,
}

impl CronEngine {
    pub fn new(trigger: CronTrigger) -> Self {
        let mut engine = Self {
            trigger,
            ticks: Vec::new(),
            now: 0,
        };
        engine.plans();
        engine
    }

    /// Whenever it runs it plans ahead, from the last that it planned.
    fn plans(&mut self) {
        let ahead = |tick: &&Tick| tick.planned > self.now;
        while self.ticks.iter().rev().take_while(ahead).count() < AHEAD {
            let planned = self.ticks.last().map_or(0, |tick| tick.planned) + self.trigger.period;
            self.ticks.push(Tick {
                id: Uuid::now_v7(),
                planned,
                due: planned,
                tries: 0,
                state: State::Scheduled,
            });
        }
    }

    /// For the engine and for whoever sleeps.
    pub async fn time_passes(&mut self, world: &World, seconds: i64) {
        self.now += seconds;
        self.plans();
        sqlx::query(
            "update communications.conversations
                set snoozed_until = snoozed_until - $1 * interval '1 second' where snoozed_until is not null",
        )
        .bind(seconds)
        .execute(&world.pool)
        .await
        .unwrap();
    }

    /// Locks what is due; what is older than the tolerance is dead without a call.
    pub fn fetch(&mut self) -> Vec<usize> {
        let (now, tolerance) = (self.now, self.trigger.tolerance);
        let mut due = Vec::new();
        for (nth, tick) in self.ticks.iter_mut().enumerate() {
            if tick.state == State::Scheduled && tick.due <= now {
                tick.state = if now - tick.planned > tolerance {
                    State::Dead
                } else {
                    due.push(nth);
                    State::Locked
                };
            }
        }
        due
    }

    pub fn call(&self, nth: usize) -> Request {
        let tick = &self.ticks[nth];
        let planned = START + Duration::seconds(tick.planned);
        let body = json!({
            "id": tick.id,
            "name": self.trigger.name,
            "scheduled_time": planned.format(&Rfc3339).unwrap(),
            "payload": self.trigger.payload,
            "comment": null
        });
        calls::from_hasura("/api/hasura/cron", HASURA_SECRET, &body)
    }

    pub fn mark(&mut self, nth: usize, status: Option<u16>) {
        let (now, trigger) = (self.now, &self.trigger);
        let tick = &mut self.ticks[nth];
        tick.state = if status.is_some_and(|status| status / 100 == 2) {
            State::Delivered
        } else if tick.tries < trigger.retries {
            tick.due = now + trigger.interval;
            State::Scheduled
        } else {
            State::Error
        };
        tick.tries += 1;
    }

    /// Fetches and calls as in good times. Answers how many ticks were called.
    pub async fn round(&mut self, sandbox: &Deps) -> usize {
        let due = self.fetch();
        for nth in &due {
            let status = answered(sandbox, self.call(*nth)).await;
            self.mark(*nth, Some(status));
        }
        due.len()
    }

    pub fn count(&self, state: State) -> usize {
        self.ticks.iter().filter(|tick| tick.state == state).count()
    }
}

pub async fn answered(sandbox: &Deps, call: Request) -> u16 {
    let response = Box::pin(hasura_events::handle(sandbox, call)).await;
    assert!(response.headers().get("retry-after").is_none());
    response.status().as_u16()
}
