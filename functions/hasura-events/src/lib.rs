//! What Hasura starts by itself: event triggers at `POST /api/hasura/events`, cron triggers at `POST /api/hasura/cron`.
//!
//! Any 2xx ends a delivery for Hasura and anything else burns a retry. So at both doors: 401 without the secret, 503 while
//! the database is away, and 200 for everything that is settled. No `Retry-After`, ever: Hasura honours it even after its
//! last retry, and would go round for ever.

mod cron;
mod events;

pub use cron::CRON_TRIGGERS;

use comms_core::automation::Orchestrator;
use comms_core::platform::hasura::Door;
use comms_core::platform::hasura::{ActionError, SECRET_HEADER, respond};
use comms_core::platform::{Aws, Database, Queues, Settings, telemetry};
use futures_util::FutureExt;
use http::{Response, StatusCode};
use lambda_http::{Error, Request};
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub door: Door,
    pub database: Database,
    pub queues: Queues,
    pub orchestrator: Option<Orchestrator>,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing or unusable.
    pub fn from_env() -> Result<Self, Error> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            door: Door::new(settings.secret("HASURA_SECRETS", &aws)),
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
            orchestrator: Orchestrator::from_settings(&mut settings, &aws)?,
        };
        settings.done()?;
        Ok(deps)
    }
}

/// Answers one call; a panic becomes a 500 of the usual shape.
pub async fn handle(deps: &Deps, request: Request) -> Response<String> {
    let answer = AssertUnwindSafe(answer(deps, &request))
        .catch_unwind()
        .await;
    answer.unwrap_or_else(|_| ActionError::internal().response())
}

async fn answer(deps: &Deps, request: &Request) -> Response<String> {
    match deps.door.admits(header(request)).await {
        Ok(true) => {}
        Ok(false) => return ActionError::unauthorized().response(),
        Err(error) => return later(&error),
    }
    // A stage of the API may stand before it.
    if request.uri().path().ends_with("/api/hasura/cron") {
        cron::answer(deps, request).await
    } else {
        events::answer(deps, request).await
    }
}

fn header(request: &Request) -> Option<&str> {
    request.headers().get(SECRET_HEADER)?.to_str().ok()
}

fn settled(body: &Value) -> Response<String> {
    respond(StatusCode::OK, body)
}

fn later(error: &dyn std::error::Error) -> Response<String> {
    tracing::error!(error = telemetry::chain(error), "call not taken in");
    respond(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({"message": "try again later"}),
    )
}
