//! `NotificationRequest` by HTTP: `/api/notifications` and `/api/batches`, for programs with a token (docs/notification-pipeline-protocol.md).
//!
//! Errors have one shape, `{message, extensions: {code, retryable, field?}}`, and say the field first.

use comms_core::automation::AutomationError;
use comms_core::automation::batches::{self, BatchState, MoreRecipients, NewBatch};
use comms_core::automation::clients::{self, Client, Scope};
use comms_core::automation::request::{self, NotificationRequest, PreviewRequest, RequestError};
use comms_core::model::{BatchDispatchJob, RunId, TenantId};
use comms_core::platform::hasura::{ActionError, respond};
use comms_core::platform::queue::Hint;
use comms_core::platform::{
    Aws, BatchQueue, ConfigError, Database, Queues, Settings, Tx, telemetry,
};
use futures_util::FutureExt;
use http::{Method, Response, StatusCode, header::AUTHORIZATION};
use lambda_http::{Request, RequestExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use uuid::Uuid;

/// API Gateway takes ten megabytes; a request that long is a mistake.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub queues: Queues,
    pub batches: BatchQueue,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
            batches: BatchQueue::from_settings(&mut settings, &aws),
        };
        settings.done().map(|()| deps)
    }
}

/// Answers one call; a panic becomes a 500 of the usual shape.
pub async fn handle(deps: &Deps, request: Request) -> Response<String> {
    let answer = AssertUnwindSafe(answer(deps, &request))
        .catch_unwind()
        .await;
    match answer.unwrap_or_else(|_| Err(ActionError::internal())) {
        Ok(body) => respond(StatusCode::OK, &body),
        Err(error) => error.response(),
    }
}

/// What is asked for, by method and path.
enum Route {
    Create,
    Preview,
    State(RunId),
    Cancel(RunId),
    OrchestratorError,
    CreateBatch,
    Batch(Uuid, OfBatch),
}

/// What is asked of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OfBatch {
    State,
    Add,
    Start,
    Pause,
    Resume,
    Cancel,
}

impl Route {
    fn of(request: &Request) -> Result<Self, ActionError> {
        // A stage of the API may stand before it.
        let (_, below) = request
            .uri()
            .path()
            .split_once("/api/")
            .ok_or_else(|| ActionError::not_found("path"))?;
        let mut parts = below.split('/').filter(|part| !part.is_empty());
        let door = parts.next();
        let parts: Vec<&str> = parts.collect();
        match door {
            Some("notifications") => Self::of_run(request.method(), &parts),
            Some("batches") => Self::of_batch(request.method(), &parts),
            _ => Err(ActionError::not_found("path")),
        }
    }

    fn of_run(method: &Method, parts: &[&str]) -> Result<Self, ActionError> {
        let run = |text: &str| text.parse().map_err(|_| ActionError::not_found("run"));
        match (method, parts) {
            (&Method::POST, []) => Ok(Self::Create),
            (&Method::POST, ["preview"]) => Ok(Self::Preview),
            (&Method::POST, ["orchestrator-errors"]) => Ok(Self::OrchestratorError),
            (&Method::GET, [id]) => Ok(Self::State(run(id)?)),
            (&Method::POST, [id, "cancel"]) => Ok(Self::Cancel(run(id)?)),
            _ => Err(ActionError::not_found("path")),
        }
    }

    fn of_batch(method: &Method, parts: &[&str]) -> Result<Self, ActionError> {
        let (id, what) = match (method, parts) {
            (&Method::POST, []) => return Ok(Self::CreateBatch),
            (&Method::GET, [id]) => (id, OfBatch::State),
            (&Method::POST, [id, "recipients"]) => (id, OfBatch::Add),
            (&Method::POST, [id, "start"]) => (id, OfBatch::Start),
            (&Method::POST, [id, "pause"]) => (id, OfBatch::Pause),
            (&Method::POST, [id, "resume"]) => (id, OfBatch::Resume),
            (&Method::POST, [id, "cancel"]) => (id, OfBatch::Cancel),
            _ => return Err(ActionError::not_found("path")),
        };
        let id = id.parse().map_err(|_| ActionError::not_found("batch"))?;
        Ok(Self::Batch(id, what))
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Create | Self::Cancel(_) | Self::OrchestratorError => Scope::Write,
            Self::Preview | Self::State(_) | Self::Batch(_, OfBatch::State) => Scope::Read,
            Self::CreateBatch | Self::Batch(..) => Scope::Batches,
        }
    }
}

async fn answer(deps: &Deps, request: &Request) -> Result<Value, ActionError> {
    let route = Route::of(request)?;
    let mut tx = deps
        .database
        .begin()
        .await
        .map_err(|error| unavailable(&error))?;
    match serve(&mut tx, request, &route).await {
        Ok(served) => {
            tx.commit().await.map_err(|error| unavailable(&error))?;
            deps.queues.publish_or_leave_to_scan(&served.hints).await;
            deps.batches.announce(&served.jobs).await;
            Ok(served.body)
        }
        Err(error) => {
            // The refusal is the answer, whether the connection survives it or not.
            let _ = tx.rollback().await;
            Err(refusal(error))
        }
    }
}

/// What n8n's error workflow says: names, and not the error's text, which may quote what the workflow had in its hands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkflowError {
    workflow: String,
    execution_id: String,
    #[serde(default)]
    last_node: Option<String>,
}

/// The answer, and what to announce once it is committed.
struct Served {
    body: Value,
    hints: Vec<Hint>,
    jobs: Vec<BatchDispatchJob>,
}

impl Served {
    fn only(body: Value) -> Self {
        Self {
            body,
            hints: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// A batch as it stands, and the job of its next step.
    fn batch(tenant: TenantId, state: &BatchState) -> Self {
        Self {
            jobs: state.job(tenant).into_iter().collect(),
            ..Self::only(json!(state))
        }
    }
}

async fn serve(tx: &mut Tx, request: &Request, route: &Route) -> Result<Served, RequestError> {
    let client = client(tx, request).await?;
    if !client.may(route.scope()) {
        return Err(request::forbidden(route.scope().as_str()).into());
    }
    if request.body().len() > BODY_LIMIT {
        let refused = format!("body: must be at most {BODY_LIMIT} bytes");
        let refused = ActionError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", refused);
        return Err(refused.into());
    }
    match route {
        Route::Create => {
            let wanted: NotificationRequest = request::parse(request.body())?;
            let tenant = client.tenant(wanted.tenant_id)?;
            let accepted = request::accept(tx, tenant, client.id, &wanted).await?;
            tracing::info!(tenant.id = %tenant, run.id = %accepted.answer.run_id, recipients = accepted.answer.recipients.len(), queued = accepted.hints.len(), "notification request");
            Ok(Served {
                hints: accepted.hints,
                ..Served::only(json!(accepted.answer))
            })
        }
        Route::Preview => {
            let wanted: PreviewRequest = request::parse(request.body())?;
            let tenant = client.tenant(wanted.tenant_id)?;
            let previewed = request::preview(tx, tenant, &wanted).await?;
            Ok(Served::only(json!(previewed)))
        }
        Route::OrchestratorError => {
            let failed: WorkflowError = request::parse(request.body())?;
            tracing::error!(
                client.id = %client.id,
                workflow = failed.workflow,
                execution = failed.execution_id,
                last_node = failed.last_node,
                "a workflow failed"
            );
            telemetry::metric("OrchestratorErrors", 1.0, &[]);
            Ok(Served::only(json!({"outcome": "noted"})))
        }
        Route::State(run) => {
            let tenant = client.tenant(named_tenant(request)?)?;
            let state = request::run_state(tx, tenant, *run).await?;
            Ok(Served::only(json!(state)))
        }
        Route::Cancel(run) => {
            let tenant = client.tenant(named_tenant(request)?)?;
            let cancelled = request::cancel_run(tx, tenant, *run).await?;
            tracing::info!(tenant.id = %tenant, run.id = %run, cancelled = cancelled.cancelled, "run cancelled");
            Ok(Served::only(json!(cancelled)))
        }
        Route::CreateBatch => {
            let new: NewBatch = request::parse(request.body())?;
            let tenant = client.tenant(new.tenant_id)?;
            let state = batches::create(tx, tenant, client.id, &new).await?;
            tracing::info!(tenant.id = %tenant, batch.id = %state.batch_id, recipients = state.recipients, "batch");
            Ok(Served::batch(tenant, &state))
        }
        Route::Batch(batch, OfBatch::Add) => {
            let more: MoreRecipients = request::parse(request.body())?;
            let tenant = client.tenant(more.tenant_id)?;
            let state = batches::add(tx, tenant, *batch, &more).await?;
            Ok(Served::only(json!(state)))
        }
        Route::Batch(batch, what) => {
            let tenant = client.tenant(named_tenant(request)?)?;
            let state = of_batch(tx, tenant, *batch, *what).await?;
            Ok(match what {
                OfBatch::Start | OfBatch::Resume => Served::batch(tenant, &state),
                // Looking moves nothing.
                _ => Served::only(json!(state)),
            })
        }
    }
}

async fn of_batch(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    what: OfBatch,
) -> Result<BatchState, RequestError> {
    match what {
        OfBatch::State | OfBatch::Add => batches::state(tx, tenant, batch).await,
        OfBatch::Start => batches::start(tx, tenant, batch).await,
        OfBatch::Pause => batches::pause(tx, tenant, batch).await,
        OfBatch::Resume => batches::resume(tx, tenant, batch).await,
        OfBatch::Cancel => batches::cancel(tx, tenant, batch).await,
    }
}

/// `?tenant_id=…`, where there is no body to say it.
fn named_tenant(request: &Request) -> Result<Option<TenantId>, ActionError> {
    let parameters = request.query_string_parameters();
    let named = parameters.first("tenant_id").map(str::parse);
    named
        .transpose()
        .map_err(|_| ActionError::invalid("tenant_id: must be a UUID"))
}

async fn client(tx: &mut Tx, request: &Request) -> Result<Client, RequestError> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim);
    let client = match token {
        Some(token) => clients::by_token(tx, token).await?,
        None => None,
    };
    Ok(client.ok_or_else(|| {
        ActionError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "header authorization: must be Bearer and the token of an API client",
        )
    })?)
}

fn refusal(error: RequestError) -> ActionError {
    match error {
        RequestError::Refused(refused) => {
            tracing::info!(code = refused.code, "request refused");
            refused
        }
        RequestError::Automation(AutomationError::Rule(error)) => {
            tracing::error!(error = telemetry::chain(&error), "a rule does not read");
            ActionError::conflict(format!("trigger_event: {error}"))
        }
        RequestError::Automation(AutomationError::Database(error)) if error.is_bad_data() => {
            tracing::error!(error = telemetry::chain(&error), "request not taken in");
            ActionError::invalid("the request holds something that cannot be stored")
        }
        RequestError::Automation(error) => unavailable(&error),
    }
}

fn unavailable(error: &dyn std::error::Error) -> ActionError {
    tracing::error!(error = telemetry::chain(error), "request not served");
    ActionError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        ..ActionError::unavailable()
    }
}
