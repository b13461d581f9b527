//! Faults, and what must hold after each: every message ends, nothing accepted is called again against the evidence.
//!
//! Time is moved by SQL, all of it and by the same amount, so that what waits longer than the rest still waits longer.
//! From then on only the service's own means are used: its scan, and the hints that the scan finds missing.

use super::{REPLY_TOKEN_SECRET, World};
use crate::calls;
use comms_core::channels::Vault;
use comms_core::dispatch::{Adapters, Worker};
use comms_core::platform::{Aws, Queues};
use comms_providers::http::GraphUrl;
use comms_providers::whatsapp::WhatsAppClient;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::task::Poll;
use std::time::Duration;
use uuid::Uuid;

/// How an outbound message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub id: Uuid,
    pub address: String,
    pub status: String,
    pub attempts: i32,
    /// How often the provider took it.
    pub accepted: usize,
}

/// Whether the provider's reports reach us while things end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reports {
    Posted,
    Withheld,
}

/// When a sandbox is killed: as it begins to wait, or when what it waits for has come and it has not seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Waiting,
    Waking,
}

/// Polls the future and drops it at its `nth` wait, as a killed sandbox does; answers what it came to when it ended before
/// that.
pub async fn killed_at<F: Future>(nth: usize, moment: Moment, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut waits = 0;
    std::future::poll_fn(|context| {
        if moment == Moment::Waking && waits == nth {
            return Poll::Ready(None);
        }
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                waits += 1;
                if moment == Moment::Waiting && waits == nth {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                }
            }
        }
    })
    .await
}

/// Three days in minutes. Each step is longer than what is due by then can wait, and shorter than an expiry of a day.
const STEPS: [i64; 13] = [3, 3, 5, 10, 20, 40, 60, 120, 120, 120, 240, 1440, 1440];

impl World {
    /// Every clock of the dispatch pipeline goes forward: what was due in an hour is due, what expires in a day has
    /// `minutes` less.
    pub async fn time_passes(&self, minutes: i64) {
        let mut tx = self.pool.begin().await.unwrap();
        // Also past the trigger that writes updated_at.
        sqlx::query("set local session_replication_role = replica")
            .execute(&mut *tx)
            .await
            .unwrap();
        for sql in [
            "update communications.messages
                set due_at = due_at - $1 * interval '1 minute', hint_at = hint_at - $1 * interval '1 minute',
                    lease_until = lease_until - $1 * interval '1 minute', slot_at = slot_at - $1 * interval '1 minute',
                    expires_at = expires_at - $1 * interval '1 minute', sent_at = sent_at - $1 * interval '1 minute',
                    created_at = created_at - $1 * interval '1 minute', updated_at = updated_at - $1 * interval '1 minute'",
            "update communications.message_fallbacks set due_at = due_at - $1 * interval '1 minute'",
            "update communications.channel_accounts set resume_at = resume_at - $1 * interval '1 minute'",
            "update communications.breakers set open_until = open_until - $1 * interval '1 minute'",
            "update communications.rate_buckets set tat = tat - $1 * interval '1 minute'",
        ] {
            sqlx::query(sql)
                .bind(minutes)
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// The provider reports on everything that it has accepted so far.
    pub async fn provider_catches_up(&self) {
        for wamid in self
            .simulator
            .calls()
            .into_iter()
            .filter_map(|call| call.wamid)
        {
            let response = self.provider_reports(&wamid, &"delivered".into()).await;
            assert_eq!(response.status(), 200, "{}", response.body());
        }
    }

    /// Lets time pass, scans and dispatches what the scan asks for until every outbound message has ended, and checks the
    /// promise on the way: a message whose acceptance was reported is not accepted once more.
    ///
    /// Answers the ends in the order of the messages' making.
    pub async fn everything_ends(&self, reports: Reports) -> Vec<End> {
        for minutes in STEPS {
            let reported = match reports {
                Reports::Posted => {
                    let known = self.acceptances();
                    self.provider_catches_up().await;
                    known
                }
                Reports::Withheld => BTreeMap::new(),
            };
            if self.unfinished().await == 0 {
                return self.ends().await;
            }
            self.time_passes(minutes).await;
            stuck_scan::handle(&self.scan).await.unwrap();
            self.hints_are_followed().await;
            let now = self.acceptances();
            for (message, times) in reported {
                assert_eq!(now[&message], times, "{message} was known to be accepted");
            }
        }
        let mut ends = self.ends().await;
        let ended = |end: &End| !["QUEUED", "SENDING", "UNCERTAIN"].contains(&end.status.as_str());
        if !ends.iter().all(ended) {
            ends.retain(|end| !ended(end));
            panic!("never ended: {ends:?}");
        }
        ends
    }

    /// The worker handles every hint that is in the queue, ten a batch, until there is none.
    pub async fn hints_are_followed(&self) {
        loop {
            let hints = self.take_hints().await;
            if hints.is_empty() {
                return;
            }
            for batch in hints.chunks(10) {
                let response = dispatch_worker::handle(&self.worker, calls::sqs(batch)).await;
                assert!(response.batch_item_failures.is_empty(), "{response:?}");
            }
        }
    }

    /// How often the provider took each message. A call for a message that does not exist fails the test.
    #[must_use]
    pub fn acceptances(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for call in self.simulator.calls() {
            if call.accepted {
                *times.entry(call.correlation.unwrap()).or_default() += 1;
            }
        }
        times
    }

    async fn unfinished(&self) -> i64 {
        self.count("messages where direction = 'OUTBOUND' and status in ('QUEUED', 'SENDING', 'UNCERTAIN')")
            .await
    }

    /// Where every outbound message stands, in the order of their making.
    pub async fn ends(&self) -> Vec<End> {
        let rows: Vec<(Uuid, String, String, i32)> = sqlx::query_as(
            "select id, address, status, attempts from communications.messages where direction = 'OUTBOUND' order by id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut acceptances = self.acceptances();
        let ends = rows.into_iter().map(|(id, address, status, attempts)| End {
            id,
            address,
            status,
            attempts,
            accepted: acceptances.remove(&id.to_string()).unwrap_or_default(),
        });
        let ends = ends.collect();
        assert!(
            acceptances.is_empty(),
            "sent without a row: {acceptances:?}"
        );
        ends
    }

    /// All messages and what the provider knows of them are gone, so that the next run of a test starts from nothing.
    pub async fn forget_messages(&self) {
        self.execute(
            "truncate communications.messages, communications.message_status_events, communications.trigger_runs,
                      communications.breakers, communications.rate_buckets cascade",
        )
        .await;
        self.take_hints().await;
        self.simulator.reset();
    }

    /// Everybody who ever wrote, too.
    pub async fn forget_everything(&self) {
        self.execute("truncate communications.contacts cascade")
            .await;
        self.forget_messages().await;
    }

    /// A worker whose provider calls end after this, where waiting for the real limit would take ten seconds.
    #[must_use]
    pub fn impatient_worker(&self, patience: Duration) -> Worker {
        #[expect(
            clippy::disallowed_methods,
            reason = "the client of the providers crate, but for its patience"
        )]
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(patience)
            .build()
            .unwrap();
        let graph = GraphUrl::parse(&format!("{}/v26.0", self.simulator.url())).unwrap();
        Worker {
            database: self.database(),
            queues: Queues::single(&self.aws, &self.queue_url),
            adapters: Adapters::new(
                &self.aws,
                self.vault(),
                super::reply_secrets(),
                WhatsAppClient::new(http, graph),
            ),
        }
    }

    /// The vault of the shared key; nothing is in its memory yet.
    #[must_use]
    pub fn vault(&self) -> Vault {
        Vault::new(&self.aws, &super::setting("KMS_KEY_ID"))
    }

    #[must_use]
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// Every connection of the functions to this world's database is cut; the test's own stay.
    pub async fn connections_break(&self) {
        self.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and application_name = 'communications'",
        )
        .await;
    }

    /// From now on, or again, new connections to this world's database are refused.
    pub async fn database_refuses_connections(&self, refuses: bool) {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&self.server).await.unwrap();
        let name = self
            .url
            .rsplit('/')
            .next()
            .unwrap()
            .split('?')
            .next()
            .unwrap();
        let sql = format!("alter database {name} with allow_connections {}", !refuses);
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// The program that is deployed, as a process of its own that asks this Runtime API for its work. `cargo xtask up`
    /// builds it beside the tests.
    #[must_use]
    pub fn worker_process(&self, runtime_api: &str) -> Child {
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        Command::new(program.join("dispatch-worker"))
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
            .env("AWS_LAMBDA_FUNCTION_NAME", "dispatch-worker")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("DATABASE_URL", &self.url)
            .env("META_GRAPH_URL", format!("{}/v26.0", self.simulator.url()))
            .env("REPLY_TOKEN_SECRETS", format!("[\"{REPLY_TOKEN_SECRET}\"]"))
            .env("INTERACTIVE_QUEUE_URL", &self.queue_url)
            .env("TRANSACTIONAL_QUEUE_URL", &self.queue_url)
            .env("BULK_QUEUE_URL", &self.queue_url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}
