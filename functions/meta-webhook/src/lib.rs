//! Meta's webhook: `GET` and `POST /api/webhooks/meta/{tenant_id}`, and `/api/webhooks/meta` for the app itself.
//!
//! A tenant's own path gets its messages and statuses. What is about accounts and templates comes to the app's path, which must
//! therefore always exist; there whoever owns the number or the business account gets what is about it.
//!
//! 401 for what Meta did not sign, 503 while nothing can be stored (Meta then sends it again, for days), 200 for all
//! that is committed, quarantine included: an error would only bring the same payload back. Requests that are here at the same time share
//! transactions; one of them answers and logs for all, the others say `elsewhere`.

use comms_core::inbound::{Door, InboundError, Reception, Taken, Verification};
use comms_core::platform::config::Secret;
use comms_core::platform::{Aws, ConfigError, Database, MediaQueue, Settings, telemetry};
use comms_providers::whatsapp::signature::{self, verify};
use http::{Method, Response, StatusCode};
use lambda_http::{Request, RequestExt};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// Lambda gives an environment ten seconds to start.
const START: Duration = Duration::from_secs(5);

/// All that the function stands on, made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub reception: Reception,
    /// One secret per Meta app, and two of an app while it rotates.
    pub app_secrets: Secret,
    /// What Meta is told in the app's dashboard; two while it changes.
    pub verify_tokens: Secret,
    /// Hears of the files that messages name.
    pub media: MediaQueue,
    /// Requests that this process serves at a time: one, or as many as Lambda Managed Instances say.
    pub at_once: usize,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            reception: Reception::new(&Database::new(settings.secret("DATABASE_URL", &aws))),
            app_secrets: settings.secret("META_APP_SECRETS", &aws),
            verify_tokens: settings.secret("META_VERIFY_TOKENS", &aws),
            media: MediaQueue::from_settings(&mut settings, &aws),
            at_once: settings
                .or("AWS_LAMBDA_MAX_CONCURRENCY", "1")
                .parse()
                .unwrap_or(1),
        };
        settings.done().map(|()| deps)
    }

    /// Has at hand what every delivery needs. While Lambda starts an environment it gives it a whole processor, whatever its memory; the
    /// first request would make TLS handshakes with a fraction of one. What cannot be had, the first request asks for again.
    pub async fn prepare(&self) {
        let secrets = async { Ok(self.app_secrets.list().await.map(drop)?) };
        let ready = async { tokio::try_join!(secrets, self.reception.prepare(self.at_once)) };
        match timeout(START, Box::pin(ready)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = telemetry::chain(&error), "started unprepared");
            }
            Err(_) => tracing::warn!("started unprepared: nobody has answered in time"),
        }
    }
}

/// Answers one call.
pub async fn handle(deps: &Deps, request: Request) -> Response<String> {
    let Some(door) = door(&request) else {
        return text(StatusCode::NOT_FOUND, "no such tenant");
    };
    match *request.method() {
        Method::GET => handshake(deps, door, &request).await,
        Method::POST => receive(deps, door, &request).await,
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET or POST"),
    }
}

/// `None` for a path whose tenant is no id.
fn door(request: &Request) -> Option<Door> {
    let parameters = request.path_parameters_ref();
    match parameters.and_then(|parameters| parameters.first("tenant_id")) {
        Some(tenant) => tenant.parse().ok().map(Door::Tenant),
        None => Some(Door::App),
    }
}

/// Meta asks whether the endpoint is ours; only the challenge, as it came, is the answer.
async fn handshake(deps: &Deps, door: Door, request: &Request) -> Response<String> {
    let query = request.query_string_parameters();
    let call = Verification {
        mode: query.first("hub.mode"),
        verify_token: query.first("hub.verify_token"),
    };
    match is_ours(deps, door, &call).await {
        Ok(true) => match query.first("hub.challenge") {
            Some(challenge) => text(StatusCode::OK, challenge),
            None => text(StatusCode::BAD_REQUEST, "hub.challenge is missing"),
        },
        Ok(false) => text(StatusCode::FORBIDDEN, "wrong verify token"),
        Err(error) => later(&error),
    }
}

async fn is_ours(deps: &Deps, door: Door, call: &Verification<'_>) -> Result<bool, InboundError> {
    match door {
        Door::Tenant(tenant) => Ok(call.is_of_tenant(&deps.reception.database, tenant).await?),
        Door::App => Ok(call.names_one_of(&deps.verify_tokens.list().await?)),
    }
}

async fn receive(deps: &Deps, door: Door, request: &Request) -> Response<String> {
    let tenant = door.tenant().map(tracing::field::display);
    match ingest(deps, door, request).await {
        Ok(Taken::Elsewhere) => text(StatusCode::OK, r#"{"elsewhere":true}"#),
        Ok(Taken::Here { requests, ingested }) => {
            // Those who shared the transaction may have come through other doors.
            let tenant = tenant.filter(|_| requests == 1);
            deps.media.announce(&ingested.media).await;
            tracing::info!(
                tenant.id = tenant,
                requests,
                messages = ingested.messages,
                statuses = ingested.statuses,
                quarantined = ingested.quarantined,
                "webhook"
            );
            let body = json!({"messages": ingested.messages, "statuses": ingested.statuses, "quarantined": ingested.quarantined});
            text(StatusCode::OK, &body.to_string())
        }
        Err(InboundError::Signature(error)) => {
            telemetry::metric("SignatureRefused", 1.0, &[("Door", "META")]);
            tracing::warn!(tenant.id = tenant, %error, "webhook refused");
            text(StatusCode::UNAUTHORIZED, "signature refused")
        }
        Err(error) => later(&error),
    }
}

async fn ingest(deps: &Deps, door: Door, request: &Request) -> Result<Taken, InboundError> {
    let header = request
        .headers()
        .get(signature::HEADER)
        .and_then(|value| value.to_str().ok());
    let secrets = deps.app_secrets.list().await?;
    let verified = verify(request.body(), header, &secrets)?;
    deps.reception.ingest(door, &verified).await
}

fn later(error: &dyn std::error::Error) -> Response<String> {
    tracing::error!(error = telemetry::chain(error), "webhook not taken in");
    text(StatusCode::SERVICE_UNAVAILABLE, "try again later")
}

fn text(status: StatusCode, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    // Plain, whatever a challenge may contain.
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
