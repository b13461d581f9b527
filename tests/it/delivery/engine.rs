//! A stand-in for Hasura's delivery of events: real triggers into a log, and a dispatcher by the engine's rules.
//!
//! Batches of a hundred, locked with SKIP LOCKED; any 2xx is success and everything else costs a try; a fixed interval, or
//! what `Retry-After` says, even after the last try; what is locked for thirty minutes is taken again; no order. Its clock is
//! moved by hand. It calls the function's own handler. No engine runs here: this is what is known of one.

use super::trigger::Trigger;
use comms_core::platform::config::Secret;
use comms_core::platform::hasura::Door;
use comms_tests::calls;
use comms_tests::world::{HASURA_SECRET, World};
use futures_util::future::join_all;
use hasura_events::Deps;
use http::Response;
use lambda_http::Request;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection};

const CATALOG: &str = include_str!("catalog.sql");
/// Events of one fetch.
const BATCH: i64 = 100;

/// An event that was fetched and is locked.
#[derive(Debug, Clone, FromRow)]
pub struct Event {
    pub id: String,
    schema_name: String,
    table_name: String,
    trigger_name: String,
    payload: Value,
    pub tries: i32,
    created_at: Value,
}

/// What came back of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Without one nobody answered.
    pub status: Option<u16>,
    pub retry_after: Option<i64>,
}

impl Answer {
    pub const NONE: Self = Self {
        status: None,
        retry_after: None,
    };

    pub fn of(response: &Response<String>) -> Self {
        let header = response.headers().get("retry-after");
        Self {
            status: Some(response.status().as_u16()),
            retry_after: header.map(|value| value.to_str().unwrap().parse().unwrap()),
        }
    }
}

/// What the log says of one event.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Logged {
    pub delivered: bool,
    pub error: bool,
    pub tries: i32,
    pub locked: bool,
}

/// See the module.
pub struct Engine {
    /// Of its own: what happens to the service's connections does not happen to it.
    connection: PgConnection,
    pub trigger: Trigger,
    /// What it sends in the header.
    pub secret: &'static str,
    /// Its clock's lead over the database's.
    ahead: i64,
    /// As many sandboxes of the function as answer at once.
    sandboxes: Vec<Deps>,
}

impl Engine {
    /// With the event trigger of the host's example.
    pub async fn new(world: &World) -> Self {
        let mut engine = Self::second(world, Trigger::of_the_example()).await;
        engine.run(CATALOG).await;
        let trigger = engine.trigger.sql();
        engine.run(&trigger).await;
        engine
    }

    /// One more on the same log.
    pub async fn second(world: &World, trigger: Trigger) -> Self {
        let options: PgConnectOptions = (*world.pool.connect_options()).clone();
        Self {
            connection: PgConnection::connect_with(&options).await.unwrap(),
            trigger,
            secret: HASURA_SECRET,
            ahead: 0,
            sandboxes: (0..4).map(|_| sandbox(world, world.database())).collect(),
        }
    }

    pub async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await
            .unwrap();
    }

    pub fn time_passes(&mut self, seconds: i64) {
        self.ahead += seconds;
    }

    /// Takes what is due, in an order that means nothing.
    pub async fn fetch(&mut self) -> Vec<Event> {
        sqlx::query_as(
            "update hdb_catalog.event_log
                set locked = now() + $2 * interval '1 second'
              where id in (
                  select l.id from hdb_catalog.event_log l
                   where not l.delivered and not l.error and not l.archived and l.trigger_name = $3
                     and (l.locked is null or l.locked < now() + $2 * interval '1 second' - interval '30 minutes')
                     and (l.next_retry_at is null
                          or l.next_retry_at <= timezone('utc', now() + $2 * interval '1 second'))
                   order by l.locked nulls first, l.next_retry_at nulls first, l.created_at
                   limit $1 for update skip locked)
             returning id, schema_name, table_name, trigger_name, payload, tries, to_jsonb(created_at) as created_at",
        )
        .bind(BATCH)
        .bind(self.ahead)
        .bind(&self.trigger.name)
        .fetch_all(&mut self.connection)
        .await
        .unwrap()
    }

    /// The call, member for member.
    pub fn call(&self, event: &Event) -> Request {
        let body = json!({
            "id": event.id,
            "created_at": event.created_at,
            "trigger": {"name": event.trigger_name},
            "table": {"schema": event.schema_name, "name": event.table_name},
            "event": event.payload,
            "delivery_info": {"current_retry": event.tries, "max_retries": self.trigger.retries}
        });
        calls::from_hasura("/api/hasura/events", self.secret, &body)
    }

    /// Writes down how a delivery went.
    pub async fn mark(&mut self, event: &Event, answer: Answer) {
        let delivered = answer.status.is_some_and(|status| status / 100 == 2);
        let exhausted = i64::from(event.tries) >= self.trigger.retries;
        let wait = if delivered {
            None
        } else if answer.retry_after.is_some() {
            answer.retry_after
        } else {
            (!exhausted).then_some(self.trigger.interval)
        };
        sqlx::query(
            "with called as (
                 insert into hdb_catalog.event_invocation_logs (trigger_name, event_id, status, request, response)
                 values ($1, $2, $3, '{}', '{}'))
             update hdb_catalog.event_log
                set tries = tries + 1, locked = null, delivered = $4, error = not $4 and $5::bigint is null,
                    next_retry_at = timezone('utc', now() + ($5 + $6) * interval '1 second')
              where id = $2",
        )
        .bind(&event.trigger_name)
        .bind(&event.id)
        .bind(answer.status.map(i32::from))
        .bind(delivered)
        .bind(wait)
        .bind(self.ahead)
        .execute(&mut self.connection)
        .await
        .unwrap();
    }

    /// Fetches and delivers as in good times, several at once. Answers how many there were.
    pub async fn round(&mut self) -> usize {
        let events = self.fetch().await;
        for some in events.chunks(2 * self.sandboxes.len()) {
            let calls = some.iter().enumerate().map(|(nth, event)| {
                let sandbox = &self.sandboxes[nth % self.sandboxes.len()];
                answered(sandbox, self.call(event))
            });
            let answers = join_all(calls).await;
            for (event, answer) in some.iter().zip(answers) {
                self.mark(event, answer).await;
            }
        }
        events.len()
    }

    /// Rounds, and time in between, until nothing is left that is not delivered or given up.
    pub async fn catches_up(&mut self) {
        for _ in 0..200 {
            if self.round().await == 0 {
                if self.count("not delivered and not error").await == 0 {
                    return;
                }
                self.time_passes(60);
            }
        }
        panic!("events are left for ever");
    }

    /// `pg_redeliver_event`.
    pub async fn redeliver(&mut self, id: &str) {
        sqlx::query(
            "update hdb_catalog.event_log
                set delivered = false, error = false, tries = 0, next_retry_at = null where id = $1 and locked is null",
        )
        .bind(id)
        .execute(&mut self.connection)
        .await
        .unwrap();
    }

    /// `pg_invoke_event_trigger`: somebody presses the button for this trip.
    pub async fn invoke(&mut self, trip: uuid::Uuid) -> Result<String, &'static str> {
        if !self.trigger.enable_manual {
            return Err("manual mode is not enabled for event trigger");
        }
        let id = sqlx::query_scalar(
            "select hdb_catalog.insert_event_log('operations', 'trips', $2, 'MANUAL',
                        json_build_object('old', null, 'new', to_json(t)))
               from operations.trips t where id = $1",
        )
        .bind(trip)
        .bind(&self.trigger.name)
        .fetch_one(&mut self.connection)
        .await;
        Ok(id.unwrap())
    }

    pub async fn count(&mut self, which: &str) -> i64 {
        let sql = format!("select count(*) from hdb_catalog.event_log where {which}");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut self.connection)
            .await
            .unwrap()
    }

    /// The only event of the log.
    pub async fn only(&mut self) -> Logged {
        sqlx::query_as(
            "select delivered, error, tries, locked is not null as locked from hdb_catalog.event_log",
        )
        .fetch_one(&mut self.connection)
        .await
        .unwrap()
    }

    pub async fn ids(&mut self) -> Vec<String> {
        sqlx::query_scalar("select id from hdb_catalog.event_log order by created_at, id")
            .fetch_all(&mut self.connection)
            .await
            .unwrap()
    }

    /// The statuses that calls ended with, and how often.
    pub async fn calls(&mut self) -> Vec<(Option<i32>, i64)> {
        sqlx::query_as(
            "select status, count(*) from hdb_catalog.event_invocation_logs group by 1 order by 1",
        )
        .fetch_all(&mut self.connection)
        .await
        .unwrap()
    }
}

/// The function answers. It never asks to be spared for a while: the engine would come back for ever.
pub async fn answered(sandbox: &Deps, call: Request) -> Answer {
    let response = Box::pin(hasura_events::handle(sandbox, call)).await;
    let answer = Answer::of(&response);
    assert_eq!(answer.retry_after, None, "{}", response.body());
    answer
}

/// One more sandbox of the function, on this database.
pub fn sandbox(world: &World, database: comms_core::platform::Database) -> Deps {
    let secrets = format!("[\"{HASURA_SECRET}\"]");
    Deps {
        door: Door::new(Secret::of("HASURA_SECRETS", secrets.into())),
        database,
        queues: world.events.queues.clone(),
        orchestrator: None,
    }
}

/// A sandbox whose database is away.
pub fn cut_off(world: &World) -> Deps {
    let nobody = Secret::of("DATABASE_URL", "postgres://x@127.0.0.1:1/x".into());
    sandbox(world, comms_core::platform::Database::new(nobody))
}
