//! Hasura Event Triggers: `POST /api/hasura/events`.
//!
//! Any 2xx ends an event for Hasura and anything else burns a retry. So: 401 without the secret, 503 while the database
//! is away, and 200 for everything that is settled, the event that can never be processed (kept in quarantine) included.

use comms_core::automation::{self, Accepted, AutomationError, Handled};
use comms_core::platform::hasura::{
    ActionError, EventRequest, SECRET_HEADER, respond, without_values,
};
use comms_core::platform::{Backend, telemetry};
use futures_util::FutureExt;
use http::{Response, StatusCode};
use lambda_http::Request;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;

/// Answers one call; a panic becomes a 500 of the usual shape.
pub async fn handle(deps: &Backend, request: Request) -> Response<String> {
    let answer = AssertUnwindSafe(answer(deps, &request))
        .catch_unwind()
        .await;
    answer.unwrap_or_else(|_| ActionError::internal().response())
}

async fn answer(deps: &Backend, request: &Request) -> Response<String> {
    match deps.door.admits(header(request)).await {
        Ok(true) => {}
        Ok(false) => return ActionError::unauthorized().response(),
        Err(error) => return later(&error),
    }
    let event: EventRequest = match serde_json::from_slice(request.body()) {
        Ok(event) => event,
        Err(error) => {
            return not_an_event(deps, request, &error).await;
        }
    };
    match automation::handle_event(&deps.database, &event).await {
        Ok(Handled::NotWanted) => settled(&json!({"outcome": "not-wanted"})),
        Ok(Handled::Accepted(accepted)) => accept(deps, &event, accepted).await,
        Err(AutomationError::Database(error)) if !error.is_bad_data() => later(&error),
        Err(error) => keep(deps, request, &error).await,
    }
}

fn header(request: &Request) -> Option<&str> {
    request.headers().get(SECRET_HEADER)?.to_str().ok()
}

async fn accept(deps: &Backend, event: &EventRequest, accepted: Accepted) -> Response<String> {
    let Accepted { answer, hints } = accepted;
    tracing::info!(run.id = %answer.run_id, event.id = event.id, status = ?answer.status, recipients = answer.recipients.len(), queued = hints.len(), "run");
    deps.queues.publish_or_leave_to_scan(&hints).await;
    settled(&json!({"outcome": "accepted", "run": answer}))
}

/// Not from Hasura, or from one that we do not know: kept all the same, and refused by the field that is wrong.
async fn not_an_event(
    deps: &Backend,
    request: &Request,
    error: &serde_json::Error,
) -> Response<String> {
    match automation::keep_unusable(&deps.database, request.body()).await {
        Ok(()) => {
            let problem = without_values(error);
            ActionError::invalid(format!("not an event trigger call: {problem}")).response()
        }
        Err(error) => later(&error),
    }
}

/// Never to be processed: kept where people see it, then acknowledged.
async fn keep(deps: &Backend, request: &Request, error: &AutomationError) -> Response<String> {
    tracing::error!(error = telemetry::chain(error), "event kept in quarantine");
    match automation::keep_unusable(&deps.database, request.body()).await {
        Ok(()) => settled(&json!({"outcome": "quarantined", "reason": telemetry::chain(error)})),
        Err(error) => later(&error),
    }
}

fn settled(body: &Value) -> Response<String> {
    respond(StatusCode::OK, body)
}

fn later(error: &dyn std::error::Error) -> Response<String> {
    tracing::error!(error = telemetry::chain(error), "event not taken in");
    respond(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({"message": "try again later"}),
    )
}
