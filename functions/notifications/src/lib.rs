//! `NotificationRequest` by HTTP: `/api/notifications` and `/api/batches`, for programs with a token (docs/notification-pipeline-protocol.md).
//!
//! Errors have one shape, `{message, extensions: {code, retryable, field?}}`, and say the field first.

mod route;

pub use route::{Call, OfBatch, ROUTES, Route};

use comms_core::automation::AutomationError;
use comms_core::automation::batches::{self, BatchState, MOST_A_PAGE, MoreRecipients, NewBatch};
use comms_core::automation::clients::{self, Client, Scope};
use comms_core::automation::request::{self, NotificationRequest, PreviewRequest, RequestError};
use comms_core::model::{BatchDispatchJob, TenantId};
use comms_core::platform::hasura::{ActionError, respond};
use comms_core::platform::queue::Hint;
use comms_core::platform::{
    Aws, BatchQueue, ConfigError, Database, Queues, Settings, Tx, telemetry,
};
use futures_util::FutureExt;
use http::{Response, StatusCode, header::AUTHORIZATION};
use lambda_http::{Request, RequestExt};
use schemars::JsonSchema;
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

async fn answer(deps: &Deps, request: &Request) -> Result<Value, ActionError> {
    let (route, call) = Route::of(request)?;
    let mut tx = deps
        .database
        .begin()
        .await
        .map_err(|error| unavailable(&error))?;
    match serve(&mut tx, request, route.scope, call).await {
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkflowError {
    #[schemars(length(max = NAME_LIMIT))]
    workflow: String,
    #[schemars(length(max = NAME_LIMIT))]
    execution_id: String,
    #[serde(default)]
    #[schemars(length(max = NAME_LIMIT))]
    last_node: Option<String>,
}

/// Characters of a name in it.
const NAME_LIMIT: usize = 200;

impl WorkflowError {
    fn check(&self) -> Result<(), ActionError> {
        let last_node = self.last_node.as_deref().unwrap_or_default();
        for (member, name) in [
            ("workflow", self.workflow.as_str()),
            ("execution_id", self.execution_id.as_str()),
            ("last_node", last_node),
        ] {
            if name.chars().count() > NAME_LIMIT {
                let refused = format!("{member}: must be at most {NAME_LIMIT} characters");
                return Err(ActionError::invalid(refused));
            }
        }
        Ok(())
    }
}

/// A caller's word for a log that holds nobody's number, address or sentence: its letters, and a sign for each digit.
fn loggable(name: &str) -> String {
    let plain = |c: char| match c {
        _ if c.is_numeric() => '#',
        _ if c.is_alphabetic() || matches!(c, '.' | '_' | '-' | ':') => c,
        _ => '?',
    };
    let word = |word: &str| {
        if word.contains('@') {
            "?".to_owned()
        } else {
            word.chars().map(plain).collect()
        }
    };
    let words: Vec<String> = name.split_whitespace().map(word).collect();
    words.join(" ")
}

/// n8n's own id of an execution, by which it is found there.
fn loggable_id(id: &str) -> &str {
    let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.len() <= 40 && id.chars().all(is_id) {
        id
    } else {
        "?"
    }
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

async fn serve(
    tx: &mut Tx,
    request: &Request,
    scope: Scope,
    call: Call,
) -> Result<Served, RequestError> {
    let client = client(tx, request).await?;
    if !client.may(scope) {
        return Err(request::forbidden(scope.as_str()).into());
    }
    if request.body().len() > BODY_LIMIT {
        let refused = format!("body: must be at most {BODY_LIMIT} bytes");
        let refused = ActionError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", refused);
        return Err(refused.into());
    }
    match call {
        Call::Create => {
            let wanted: NotificationRequest = request::parse(request.body())?;
            let tenant = client.tenant(wanted.tenant_id)?;
            let accepted = request::accept(tx, tenant, &client, &wanted).await?;
            tracing::info!(tenant.id = %tenant, run.id = %accepted.answer.run_id, recipients = accepted.answer.recipients.len(), queued = accepted.hints.len(), "notification request");
            Ok(Served {
                hints: accepted.hints,
                ..Served::only(json!(accepted.answer))
            })
        }
        Call::Preview => {
            let wanted: PreviewRequest = request::parse(request.body())?;
            let tenant = client.tenant(wanted.tenant_id)?;
            let previewed = request::preview(tx, tenant, &wanted).await?;
            Ok(Served::only(json!(previewed)))
        }
        Call::OrchestratorError => {
            let failed: WorkflowError = request::parse(request.body())?;
            failed.check()?;
            tracing::error!(
                client.id = %client.id,
                workflow = loggable(&failed.workflow),
                execution = loggable_id(&failed.execution_id),
                last_node = failed.last_node.as_deref().map(loggable),
                "a workflow failed"
            );
            telemetry::metric("OrchestratorErrors", 1.0, &[]);
            Ok(Served::only(json!({"outcome": "noted"})))
        }
        Call::State(run) => {
            let tenant = client.tenant(named_tenant(request)?)?;
            let state = request::run_state(tx, tenant, run).await?;
            Ok(Served::only(json!(state)))
        }
        Call::Cancel(run) => {
            let tenant = client.tenant(named_tenant(request)?)?;
            let cancelled = request::cancel_run(tx, tenant, run).await?;
            tracing::info!(tenant.id = %tenant, run.id = %run, cancelled = cancelled.cancelled, "run cancelled");
            Ok(Served::only(json!(cancelled)))
        }
        Call::CreateBatch => {
            let new: NewBatch = request::parse(request.body())?;
            let tenant = client.tenant(new.tenant_id)?;
            let state = batches::create(tx, tenant, client.id, &new).await?;
            tracing::info!(tenant.id = %tenant, batch.id = %state.batch_id, recipients = state.recipients, "batch");
            Ok(Served::batch(tenant, &state))
        }
        Call::Batch(batch, OfBatch::Add) => {
            let more: MoreRecipients = request::parse(request.body())?;
            let tenant = client.tenant(more.tenant_id)?;
            let state = batches::add(tx, tenant, batch, &more).await?;
            Ok(Served::only(json!(state)))
        }
        Call::Outcomes(batch) => {
            let tenant = client.tenant(named_tenant(request)?)?;
            let page = batches::outcomes(tx, tenant, batch, page(request)?).await?;
            Ok(Served::only(json!(page)))
        }
        Call::Batch(batch, what) => {
            let tenant = client.tenant(named_tenant(request)?)?;
            let state = of_batch(tx, tenant, batch, what).await?;
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

/// `?after=…&limit=…`: from which place on, and how many.
fn page(request: &Request) -> Result<(i32, i32), ActionError> {
    let parameters = request.query_string_parameters();
    let number = |name: &str, absent: i32, (least, most): (i32, i32)| {
        let given = parameters.first(name).map(str::parse);
        let known = given.unwrap_or(Ok(absent)).ok();
        known
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                let refused = format!("{name}: must be a whole number from {least} to {most}");
                ActionError::invalid(refused).with_details(json!({"field": name}))
            })
    };
    let after = number("after", 0, (0, i32::MAX))?;
    Ok((after, number("limit", MOST_A_PAGE, (1, MOST_A_PAGE))?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_log_is_no_number_and_no_address() {
        for (name, logged) in [
            ("Trip delayed → WhatsApp 24h", "Trip delayed ? WhatsApp ##h"),
            ("Aviso +34 600 11-12.22", "Aviso ?## ### ##-##.##"),
            ("٦٠٠١١١ ana.garcia@example.org\n", "###### ?"),
        ] {
            assert_eq!(loggable(name), logged);
        }
        assert_eq!(loggable_id("1234567"), "1234567");
        assert_eq!(loggable_id("+34600111222"), "?");
    }
}
