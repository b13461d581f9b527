//! One test's own world: a database, a queue and a provider, with verbs on them.
//!
//! Postgres and the emulated AWS are real and shared; everything a test can see is its own. Workers are stepped by hand,
//! so a test says when what happens. A world that is dropped while a message is still being sent fails its test.

mod agents;
pub mod aws;
mod databases;
mod faults;
pub mod files;

use crate::{calls, seed};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_lc_rs::digest;
use comms_core::channels::whatsapp::Connector;
use comms_core::channels::{Cloud, Vault};
use comms_core::dispatch::{Adapters, DeadLetters, Worker};
use comms_core::inbound::Reception;
use comms_core::media::{MediaDeadLetters, MediaWorker};
use comms_core::model::{ConversationId, DispatchMessageJob, MessageId, TenantId};
use comms_core::platform::config::Secret;
use comms_core::platform::hasura::Door;
use comms_core::platform::{Aws, Backend, BatchQueue, Database, MediaQueue, Queues, telemetry};
use comms_providers::http::{GraphUrl, client};
use comms_providers::whatsapp::WhatsAppClient;
use comms_simulator::{Inbound, SignedWebhook, Simulator, SimulatorConfig, StatusStep};
use futures_util::future::join_all;
use http::Response;
use seed::{Operator, Trip};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

pub use faults::{End, Moment, Reports, killed_at};
pub use files::{Row, Sent};

pub const HASURA_SECRET: &str = "local-hasura-secret";
const SMS_POOL: &str = "pool-shared";
/// What provisioned configuration sets and numbers tell.
pub const EVENTS_TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:provider-events";
/// Of the Meta app that operators connect their accounts to.
pub const APP_ID: &str = "300000000000001";
pub const APP_SECRET: &str = "test_app_secret";
/// Signs the addresses that answers to emails go to.
pub const REPLY_TOKEN_SECRET: &str = "test_reply_token_secret";
pub const VERIFY_TOKEN: &str = "local-verify-token";
/// Of the app's own callback, which no tenant's account has.
pub const APP_TOKEN: &str = "app-verify-token";

/// See the module.
pub struct World {
    pub pool: PgPool,
    pub simulator: Simulator,
    pub iberia: Operator,
    pub albion: Operator,
    pub worker: Worker,
    pub events: hasura_events::Deps,
    pub actions: inbox_actions::Deps,
    pub channels: channel_actions::Deps,
    pub webhook: meta_webhook::Deps,
    pub scan: stuck_scan::Deps,
    pub aws_events: aws_events::Deps,
    pub media: MediaWorker,
    aws: Aws,
    queue_url: String,
    media_queue_url: String,
    batch_queue_url: String,
    media_dead_letter_url: String,
    dead_letter_url: String,
    url: String,
    server: String,
    may_leave_sending: bool,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Settings of the shared servers; `cargo xtask test` gives them.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests read the environment"
)]
fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `cargo xtask test`, or `eval \"$(cargo xtask env)\"` first"))
}

impl World {
    /// Two operators, connected and ACTIVE; nobody has written or been written to.
    pub async fn new() -> Self {
        // On the heap: every test would carry the whole of it in its own future.
        Box::pin(Self::build()).await
    }

    async fn build() -> Self {
        telemetry::init("warn");
        let server = setting("DATABASE_URL");
        let url = databases::fresh(&server).await;
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect(&url)
            .await
            .unwrap();
        let simulator = Simulator::start(SimulatorConfig {
            app_id: APP_ID.to_owned(),
            app_secret: APP_SECRET.to_owned(),
            ..SimulatorConfig::default()
        })
        .await
        .unwrap();
        let aws = Aws::default();
        let (iberia, albion) = (seed::iberia(), seed::albion());
        let configs = sealed_configs(&aws).await;
        for (operator, config) in [(&iberia, &configs.0), (&albion, &configs.1)] {
            connect(operator, config, &pool, &simulator).await;
        }
        let (queue_url, media_queue_url, batch_queue_url, dead_letter_url, media_dead_letter_url) = tokio::join!(
            fresh_queue(&aws, "hints"),
            fresh_queue(&aws, "media"),
            fresh_queue(&aws, "batches"),
            fresh_queue(&aws, "dead"),
            fresh_queue(&aws, "media-dead")
        );
        let media_queue = MediaQueue::at(&aws, &media_queue_url);
        let queues = Queues::single(&aws, &queue_url);
        let database = || Database::new(Secret::of("DATABASE_URL", url.clone().into()));
        let door = || {
            Door::new(Secret::of(
                "HASURA_SECRETS",
                format!("[\"{HASURA_SECRET}\"]").into(),
            ))
        };
        let backend = || Backend {
            door: door(),
            database: database(),
            queues: queues.clone(),
        };
        Self {
            aws_events: aws::deps(database(), &aws, media_queue.clone()),
            worker: worker(database(), queues.clone(), &aws, &simulator.url()),
            events: hasura_events::Deps {
                door: door(),
                database: database(),
                queues: queues.clone(),
                orchestrator: None,
            },
            actions: files::with_links(backend(), &aws),
            channels: channels(backend(), &aws, &simulator.url()).await,
            webhook: webhook(&database(), media_queue.clone()),
            scan: stuck_scan::Deps {
                database: database(),
                queues: queues.clone(),
                dead_letters: DeadLetters::at(&aws, &dead_letter_url),
                media: media_queue.clone(),
                media_dead_letters: MediaDeadLetters::at(&aws, &media_dead_letter_url),
                batches: BatchQueue::at(&aws, &batch_queue_url),
            },
            media: files::worker(database(), media_queue, &aws, &simulator.url()),
            pool,
            simulator,
            iberia,
            albion,
            aws,
            queue_url,
            media_queue_url,
            batch_queue_url,
            media_dead_letter_url,
            dead_letter_url,
            url,
            server,
            may_leave_sending: false,
        }
    }

    /// This test means to leave a message in SENDING.
    pub fn leaves_messages_in_flight(&mut self) {
        self.may_leave_sending = true;
    }

    /// The queue of what could not be handled.
    #[must_use]
    pub fn dead_letter_url(&self) -> &str {
        &self.dead_letter_url
    }

    /// A second worker on the same rows, as another sandbox would be.
    #[must_use]
    pub fn another_worker(&self, graph_url: &str) -> Worker {
        worker(
            self.database(),
            Queues::single(&self.aws, &self.queue_url),
            &self.aws,
            graph_url,
        )
    }

    /// Where another server finds the same rows.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another function's own way to the same rows.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::new(Secret::of("DATABASE_URL", self.url.clone().into()))
    }

    /// What fires reminders, as a sandbox of its own has it.
    #[must_use]
    pub fn clock(&self) -> timed_triggers::Deps {
        timed_triggers::Deps {
            database: self.database(),
            queues: Queues::single(&self.aws, &self.queue_url),
            orchestrator: None,
        }
    }

    /// What accounts need by the clock, as a sandbox of its own has it.
    pub async fn upkeep(&self) -> channel_upkeep::Deps {
        channel_upkeep::Deps {
            database: self.database(),
            queues: Queues::single(&self.aws, &self.queue_url),
            vault: self.vault(),
            connector: connector(&self.simulator.url()),
            aws: self.aws.clone(),
            events_topic: EVENTS_TOPIC.to_owned(),
            cloud: OnceCell::new_with(Some(cloud(&self.aws, &self.simulator.url()).await)),
        }
    }

    /// The API for programs, as a sandbox of its own has it.
    #[must_use]
    pub fn api(&self) -> notifications::Deps {
        notifications::Deps {
            database: self.database(),
            queues: Queues::single(&self.aws, &self.queue_url),
            batches: BatchQueue::at(&self.aws, &self.batch_queue_url),
        }
    }

    /// What fans batches out, as a sandbox of its own has it.
    #[must_use]
    pub fn batch_worker(&self) -> batch_worker::Deps {
        batch_worker::Deps {
            database: self.database(),
            queues: Queues::single(&self.aws, &self.queue_url),
            batches: BatchQueue::at(&self.aws, &self.batch_queue_url),
        }
    }

    /// The jobs of batches that are in their queue now; they are gone from it then.
    pub async fn take_batch_jobs(&self) -> Vec<String> {
        self.take_from(&self.batch_queue_url).await
    }

    /// Hasura reports a change of a trip's row.
    pub async fn hasura_reports(&self, id: Uuid, (old, new): &(Value, Value)) -> Response<String> {
        let body = calls::event_trigger(id, "trip_delayed", old, new);
        hasura_events::handle(
            &self.events,
            calls::from_hasura("/api/hasura/events", HASURA_SECRET, &body),
        )
        .await
    }

    /// The trip becomes late and Hasura reports it. Answers the parsed body of a 200.
    pub async fn trip_is_delayed(&self, trip: &Trip) -> Value {
        let change = trip.delay(&self.pool, 45).await.unwrap();
        let response = self.hasura_reports(Uuid::now_v7(), &change).await;
        assert_eq!(response.status(), 200, "{}", response.body());
        serde_json::from_str(response.body()).unwrap()
    }

    /// Meta posts a webhook to a tenant's endpoint.
    pub async fn meta_posts(&self, tenant: TenantId, webhook: &SignedWebhook) -> Response<String> {
        meta_webhook::handle(&self.webhook, calls::from_meta(tenant, webhook)).await
    }

    /// Meta posts these at once, and eight sandboxes, each with a request at a time, have them all.
    pub async fn meta_posts_to_sandboxes(
        &self,
        tenant: TenantId,
        webhooks: &[SignedWebhook],
    ) -> Vec<Response<String>> {
        const SANDBOXES: usize = 8;
        let sandbox = |first: usize| async move {
            let media = MediaQueue::at(&self.aws, &self.media_queue_url);
            let deps = webhook(&self.database(), media);
            let mut answers = Vec::new();
            for webhook in webhooks.iter().skip(first).step_by(SANDBOXES) {
                let request = calls::from_meta(tenant, webhook);
                answers.push(meta_webhook::handle(&deps, request).await);
            }
            answers
        };
        join_all((0..SANDBOXES).map(sandbox)).await.concat()
    }

    /// Meta posts a body to the app's own callback.
    pub async fn meta_tells_the_app(&self, body: &Value) -> Response<String> {
        let webhook = calls::signed_by_meta(APP_SECRET, body);
        meta_webhook::handle(&self.webhook, calls::from_meta_to_app(&webhook)).await
    }

    /// A customer of the first operator writes, and Meta posts it.
    pub async fn customer_writes(&self, inbound: &Inbound) -> Response<String> {
        let number = self.iberia.phone_number_id;
        let webhook = self.simulator.signed_inbound(number, inbound).unwrap();
        self.meta_posts(self.iberia.tenant, &webhook).await
    }

    /// Meta reports on a message that the first operator sent.
    pub async fn provider_reports(&self, wamid: &str, step: &StatusStep) -> Response<String> {
        let webhook = self.simulator.signed_status(wamid, step).unwrap();
        self.meta_posts(self.iberia.tenant, &webhook).await
    }

    /// The worker handles one batch with every queued message, due or not: the claim decides.
    pub async fn step_dispatch(&self) {
        let jobs = self.queued().await;
        let response = dispatch_worker::handle(&self.worker, calls::batch(&jobs)).await;
        assert!(response.batch_item_failures.is_empty(), "{response:?}");
    }

    /// A job for every QUEUED message, in the order of their making.
    pub async fn queued(&self) -> Vec<DispatchMessageJob> {
        let rows: Vec<(TenantId, MessageId)> = sqlx::query_as(
            "select tenant_id, id from communications.messages where status = 'QUEUED' order by id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(tenant, message)| DispatchMessageJob::new(tenant, message))
            .collect()
    }

    /// The bodies of all hints that are visible in the queue now; they are gone from it then.
    pub async fn take_hints(&self) -> Vec<String> {
        self.take_from(&self.queue_url).await
    }

    /// One value of a query.
    pub async fn scalar<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn count(&self, from: &str) -> i64 {
        let sql = format!("select count(*) from communications.{from}");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }

    /// The states of all outbound messages, in the order of their making.
    pub async fn outbound(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select status from communications.messages where direction = 'OUTBOUND' order by id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    pub async fn only_conversation(&self) -> ConversationId {
        self.scalar("select id from communications.conversations")
            .await
    }
}

/// The operator is ACTIVE, and its number known to the provider with all templates approved.
async fn connect(operator: &Operator, config: &Value, pool: &PgPool, simulator: &Simulator) {
    operator.write(pool, config).await.unwrap();
    let mut number = operator.number();
    number.templates.extend(seed::approved(pool).await.unwrap());
    simulator.register(number).unwrap();
}

fn reply_secrets() -> Secret {
    Secret::of(
        "REPLY_TOKEN_SECRETS",
        format!("[\"{REPLY_TOKEN_SECRET}\"]").into(),
    )
}

async fn channels(backend: Backend, aws: &Aws, simulator: &str) -> channel_actions::Deps {
    channel_actions::Deps {
        backend,
        vault: Vault::new(aws, &setting("KMS_KEY_ID")),
        connector: connector(simulator),
        aws: aws.clone(),
        events_topic: EVENTS_TOPIC.to_owned(),
        sms_pool: SMS_POOL.to_owned(),
        cloud: OnceCell::new_with(Some(cloud(aws, simulator).await)),
    }
}

fn connector(simulator: &str) -> Connector {
    Connector {
        graph: GraphUrl::parse(&format!("{simulator}/v26.0")).unwrap(),
        app_id: APP_ID.to_owned(),
        app_secrets: Secret::of("META_APP_SECRETS", format!("[\"{APP_SECRET}\"]").into()),
        public_url: "https://comms.example".to_owned(),
    }
}

/// The simulator plays SES's and End User Messaging's managing calls as well.
async fn cloud(aws: &Aws, simulator: &str) -> Cloud {
    Cloud::of(&simulated(aws, simulator).await, EVENTS_TOPIC, SMS_POOL)
}

async fn simulated(aws: &Aws, simulator: &str) -> SdkConfig {
    let shared = aws.config().await;
    // Made anew: a copy of the shared one would ask the environment for the endpoint.
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(shared.region().cloned())
        .credentials_provider(shared.credentials_provider().unwrap())
        .endpoint_url(simulator)
        .build()
}

fn webhook(database: &Database, media: MediaQueue) -> meta_webhook::Deps {
    let secret = |name, value| Secret::of(name, format!("[\"{value}\"]").into());
    meta_webhook::Deps {
        reception: Reception::new(database),
        app_secrets: secret("META_APP_SECRETS", APP_SECRET),
        verify_tokens: secret("META_VERIFY_TOKENS", APP_TOKEN),
        media,
        at_once: 1,
    }
}

fn worker(database: Database, queues: Queues, aws: &Aws, simulator: &str) -> Worker {
    let graph =
        GraphUrl::parse(&format!("{}/v26.0", simulator.trim_end_matches("/v26.0"))).unwrap();
    let vault = Vault::new(aws, &setting("KMS_KEY_ID"));
    Worker {
        database,
        queues,
        adapters: Adapters::new(
            aws,
            vault,
            reply_secrets(),
            WhatsAppClient::new(client().unwrap(), graph),
        ),
    }
}

/// KMS seals each operator's token once a process; the envelopes fit every world, because the ids are the same.
async fn sealed_configs(aws: &Aws) -> (Value, Value) {
    static SEALED: OnceCell<(Value, Value)> = OnceCell::const_new();
    SEALED
        .get_or_init(|| async {
            let vault = Vault::new(aws, &setting("KMS_KEY_ID"));
            let token = hex::encode(digest::digest(&digest::SHA256, VERIFY_TOKEN.as_bytes()));
            (
                seed::iberia()
                    .provider_config(&vault, &token)
                    .await
                    .unwrap(),
                seed::albion()
                    .provider_config(&vault, &token)
                    .await
                    .unwrap(),
            )
        })
        .await
        .clone()
}

async fn fresh_queue(aws: &Aws, what: &str) -> String {
    let answer = aws
        .sqs()
        .await
        .create_queue()
        .queue_name(format!("world-{what}-{}", Uuid::now_v7().simple()))
        .send()
        .await
        .unwrap();
    answer.queue_url.unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        let (server, url) = (self.server.clone(), self.url.clone());
        let queues = [
            self.queue_url.clone(),
            self.media_queue_url.clone(),
            self.media_dead_letter_url.clone(),
            self.dead_letter_url.clone(),
        ];
        let left = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                // Clients of a runtime of their own: the test's is ending.
                let aws = Aws::default();
                for queue in queues {
                    let call = aws.sqs().await.delete_queue().queue_url(queue);
                    call.send().await.unwrap();
                }
                databases::tear_down(&server, &url).await
            })
        })
        .join()
        .unwrap_or_default();
        assert!(
            left == 0 || self.may_leave_sending || std::thread::panicking(),
            "{left} messages are still SENDING: the test ended in the middle"
        );
    }
}
