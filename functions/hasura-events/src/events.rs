//! Event triggers. What can never be processed is kept in quarantine and acknowledged: a refusal would only be repeated.

use crate::{Deps, later, settled};
use comms_core::automation::{self, Accepted, AutomationError, Handled};
use comms_core::platform::hasura::{ActionError, EventRequest, without_values};
use comms_core::platform::telemetry;
use http::Response;
use lambda_http::Request;
use serde_json::json;

pub(super) async fn answer(deps: &Deps, request: &Request) -> Response<String> {
    let event: EventRequest = match serde_json::from_slice(request.body()) {
        Ok(event) => event,
        Err(error) => {
            return not_an_event(deps, request, &error).await;
        }
    };
    match automation::handle_event(&deps.database, &event).await {
        Ok(Handled::NotWanted) => settled(&json!({"outcome": "not-wanted"})),
        Ok(Handled::Accepted(accepted)) => accept(deps, &event, *accepted).await,
        Err(AutomationError::Database(error)) if !error.is_bad_data() => later(&error),
        Err(error) => keep(deps, request, &error).await,
    }
}

async fn accept(deps: &Deps, event: &EventRequest, accepted: Accepted) -> Response<String> {
    // Whether it was heard or not, the run is taken in.
    let _heard = automation::announce(deps.orchestrator.as_ref(), &accepted).await;
    let Accepted { answer, hints, .. } = accepted;
    tracing::info!(run.id = %answer.run_id, event.id = event.id, status = ?answer.status, recipients = answer.recipients.len(), queued = hints.len(), "run");
    deps.queues.publish_or_leave_to_scan(&hints).await;
    settled(&json!({"outcome": "accepted", "run": answer}))
}

/// Not from Hasura, or from one that we do not know: kept all the same, and refused by the field that is wrong.
async fn not_an_event(
    deps: &Deps,
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
async fn keep(deps: &Deps, request: &Request, error: &AutomationError) -> Response<String> {
    tracing::error!(error = telemetry::chain(error), "event kept in quarantine");
    match automation::keep_unusable(&deps.database, request.body()).await {
        Ok(()) => settled(&json!({"outcome": "quarantined", "reason": telemetry::chain(error)})),
        Err(error) => later(&error),
    }
}
