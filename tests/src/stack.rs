//! An outside client of a running stack: over HTTP like Hasura and Meta, and reading the rows like Hasura does.
//!
//! Everything it knows comes from the environment that `cargo xtask up` writes to `.local/env`.

use crate::calls;
use crate::seed::{Operator, Trip};
use anyhow::{Context, Result, bail, ensure};
use comms_core::automation::Orchestrator;
use comms_core::platform::config::Secret;
use comms_core::platform::hasura::{Door, SECRET_HEADER};
use comms_core::platform::{Aws, Database, Queues, Settings};
use comms_simulator::SignedWebhook;
use reqwest::{RequestBuilder, Url};
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Generous, because the emulator polls; a fact that takes longer is a fault.
const PATIENCE: Duration = Duration::from_secs(90);
const GLANCE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct Stack {
    pub pool: PgPool,
    http: reqwest::Client,
    api: String,
    simulator: String,
    hasura_secret: String,
    pub app_secret: String,
}

/// A setting of the stack.
///
/// # Errors
/// When it is not set.
#[expect(
    clippy::disallowed_methods,
    reason = "the outside client's one place to read the environment"
)]
pub fn setting(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| {
        format!("{name} is not set: run `cargo xtask up` and `eval \"$(cargo xtask env)\"` first")
    })
}

impl Stack {
    /// # Errors
    /// When a setting is missing or the database is away.
    pub async fn from_env() -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&setting("DATABASE_URL")?)
            .await
            .context("connect to the database")?;
        #[expect(
            clippy::disallowed_methods,
            reason = "an outside client, not the service"
        )]
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self {
            pool,
            http,
            api: setting("API_URL")?,
            simulator: setting("SIMULATOR_URL")?,
            hasura_secret: setting("HASURA_SECRET")?,
            app_secret: setting("META_APP_SECRET")?,
        })
    }

    /// The function behind Hasura's event triggers, in this process, on the stack's rows and queues, with an orchestrator.
    ///
    /// # Errors
    /// When a setting is missing.
    pub fn events(&self, orchestrator: Orchestrator) -> Result<hasura_events::Deps> {
        let aws = Aws::default();
        let mut settings = Settings::from_env();
        let deps = hasura_events::Deps {
            door: Door::new(Secret::of(
                "HASURA_SECRETS",
                json!([self.hasura_secret]).to_string().into(),
            )),
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
            orchestrator: Some(orchestrator),
        };
        settings.done()?;
        Ok(deps)
    }

    /// The trip becomes late; the call that Hasura then makes.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delay(&self, trip: &Trip) -> Result<Value> {
        let (old, new) = trip.delay(&self.pool, 45).await?;
        Ok(calls::event_trigger(
            Uuid::now_v7(),
            "trip_delayed",
            &old,
            &new,
        ))
    }

    /// # Errors
    /// When the call fails or is not answered with 200.
    pub async fn hasura_reports(&self, body: &Value) -> Result<Value> {
        let (status, answer) = self.hasura_posts("/api/hasura/events", body).await?;
        ensure!(
            status == 200,
            "the event was answered with {status}: {answer}"
        );
        Ok(answer)
    }

    /// The answer of an action, or the error that Hasura would pass on.
    ///
    /// # Errors
    /// When the call itself fails.
    pub async fn agent_acts(
        &self,
        operator: &Operator,
        user: comms_core::model::UserId,
        name: &str,
        input: &Value,
    ) -> Result<(u16, Value)> {
        self.hasura_posts(
            "/api/hasura/actions",
            &calls::action(name, operator.tenant, user, "dispatcher", input),
        )
        .await
    }

    /// The answer of an action about channels, or the error that Hasura would pass on.
    ///
    /// # Errors
    /// When the call itself fails.
    pub async fn administers(
        &self,
        tenant: comms_core::model::TenantId,
        user: comms_core::model::UserId,
        name: &str,
        input: &Value,
    ) -> Result<(u16, Value)> {
        self.hasura_posts(
            "/api/hasura/channel-actions",
            &calls::action(name, tenant, user, "tenant_admin", input),
        )
        .await
    }

    /// Every code and token that the provider has given, and every verify token that it was.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn issued(&self) -> Result<Vec<String>> {
        let (_, answer) =
            json_answer(self.http.get(format!("{}/_sim/secrets", self.simulator))).await?;
        serde_json::from_value(answer).context("a list of secrets")
    }

    async fn hasura_posts(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let request = self
            .http
            .post(format!("{}{path}", self.api))
            .header(SECRET_HEADER, &self.hasura_secret);
        json_answer(
            request
                .body(body.to_string())
                .header("content-type", "application/json"),
        )
        .await
    }

    /// Meta posts a webhook; the answer's status.
    ///
    /// # Errors
    /// When the call itself fails.
    pub async fn meta_posts(
        &self,
        tenant: comms_core::model::TenantId,
        webhook: &SignedWebhook,
    ) -> Result<u16> {
        let request = self
            .http
            .post(format!("{}/api/webhooks/meta/{tenant}", self.api))
            .header("content-type", "application/json");
        let answer = request
            .header("x-hub-signature-256", &webhook.signature)
            .body(webhook.body.clone())
            .send()
            .await?;
        Ok(answer.status().as_u16())
    }

    /// Meta's handshake.
    ///
    /// # Errors
    /// When the call itself fails.
    pub async fn meta_verifies(
        &self,
        tenant: comms_core::model::TenantId,
        token: &str,
        challenge: &str,
    ) -> Result<(u16, String)> {
        let mut url: Url = format!("{}/api/webhooks/meta/{tenant}", self.api).parse()?;
        url.query_pairs_mut()
            .append_pair("hub.mode", "subscribe")
            .append_pair("hub.verify_token", token)
            .append_pair("hub.challenge", challenge);
        let answer = self.http.get(url).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Tells the provider simulator something (`tests/simulator/README.md`).
    ///
    /// # Errors
    /// When it refuses.
    pub async fn simulator(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self
            .http
            .post(format!("{}/_sim/{path}", self.simulator))
            .header("content-type", "application/json");
        let (status, answer) = json_answer(request.body(body.to_string())).await?;
        ensure!(
            status < 300,
            "the simulator answered {path} with {status}: {answer}"
        );
        Ok(answer)
    }

    /// The calls that the provider got for one message.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn calls_for(&self, message: Uuid) -> Result<Vec<Value>> {
        let (_, answer) =
            json_answer(self.http.get(format!("{}/_sim/calls", self.simulator))).await?;
        let calls = answer
            .as_array()
            .cloned()
            .or_else(|| answer["calls"].as_array().cloned())
            .context("no list of calls")?;
        Ok(calls
            .into_iter()
            .filter(|call| call["correlation"] == json!(message))
            .collect())
    }

    /// Waits until the query answers with a row, and answers it.
    ///
    /// # Errors
    /// When it does not within the patience of an outside client, naming what was waited for.
    pub async fn until<T>(&self, fact: &str, sql: &'static str, argument: Uuid) -> Result<T>
    where
        T: Send + Unpin + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(row) = sqlx::query_as(sql)
                .bind(argument)
                .fetch_optional(&self.pool)
                .await?
            {
                return Ok(row);
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the pause between two looks at a fact that another process makes"
            )]
            tokio::time::sleep(GLANCE).await;
        }
        bail!("after {} s still not true: {fact}", PATIENCE.as_secs())
    }
}

async fn json_answer(request: RequestBuilder) -> Result<(u16, Value)> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}
