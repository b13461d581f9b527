//! What every function behind Hasura's actions does around its own work: the door before it, the envelope after.

use super::{ActionError, ActionRequest, Door, SECRET_HEADER, respond, without_values};
use crate::platform::telemetry;
use futures_util::FutureExt;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use std::error::Error;
use std::panic::AssertUnwindSafe;

/// The response to a call; a panic becomes a 500 of the usual shape.
pub async fn serve(answer: impl Future<Output = Result<Value, ActionError>>) -> Response<String> {
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    match answer.unwrap_or_else(|_| Err(ActionError::internal())) {
        Ok(body) => respond(StatusCode::OK, &body),
        Err(error) => error.response(),
    }
}

impl Door {
    /// The call of an action, from Hasura and from nobody else.
    ///
    /// # Errors
    /// `unauthorized`; `validation-failed` for what is no call; `unavailable` when the secret cannot be had.
    pub async fn call(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<ActionRequest, ActionError> {
        let header = headers
            .get(SECRET_HEADER)
            .and_then(|value| value.to_str().ok());
        let admitted = self.admits(header).await;
        if !admitted.map_err(|error| unavailable(&error))? {
            return Err(ActionError::unauthorized());
        }
        serde_json::from_slice(body).map_err(|error| {
            ActionError::invalid(format!("not an action call: {}", without_values(&error)))
        })
    }
}

/// What the caller is told of a fault of ours; the log has the rest.
pub fn unavailable(error: &dyn Error) -> ActionError {
    tracing::error!(error = telemetry::chain(error), "action not carried out");
    ActionError::unavailable()
}

/// Logs a refusal under the action's name, if it is one of these: a name that is none of ours is somebody's text.
#[must_use]
pub fn refused(
    actions: &[&'static str],
    call: &ActionRequest,
    refusal: ActionError,
) -> ActionError {
    let action = actions.iter().find(|known| **known == call.action.name);
    tracing::info!(
        action = action.copied().unwrap_or("unknown"),
        code = refusal.code,
        "action refused"
    );
    refusal
}
