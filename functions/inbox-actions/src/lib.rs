//! Hasura Actions: the agents' inbox, and what administrators set for automated messages. `POST /api/hasura/actions`.
//!
//! One envelope for all; `action.name` picks. Tenant, user and role come from the session variables and from nowhere else.

mod automation;
mod conversations;
mod messages;
mod people;

use comms_core::inbox::InboxError;
use comms_core::platform::hasura::{self, ActionError, ActionRequest, Session, unavailable};
use comms_core::platform::queue::Hint;
use comms_core::platform::{Backend, Tx};
use http::Response;
use lambda_http::Request;
use serde_json::Value;

/// The actions that this function answers, as `hasura/metadata/actions.graphql` declares them.
pub const ACTIONS: &[&str] = &[
    "addNote",
    "blockContact",
    "cancelMessage",
    "claimConversation",
    "createApiClient",
    "disableApiClient",
    "dismissContactReview",
    "linkConversation",
    "markConversationRead",
    "markConversationUnread",
    "maskContact",
    "mergeContacts",
    "previewTemplate",
    "publishTemplate",
    "reassignConversation",
    "releaseConversation",
    "reopenConversation",
    "replayMessages",
    "resolveConversation",
    "retryMessage",
    "saveTemplate",
    "sendAgentMessage",
    "setReadReceipts",
    "setTyping",
    "snoozeConversation",
    "startConversation",
    "unblockContact",
    "unmaskContact",
    "unmergeContacts",
];

/// Answers one call; a panic becomes a 500 of the usual shape.
pub async fn handle(deps: &Backend, request: Request) -> Response<String> {
    Box::pin(hasura::serve(answer(deps, &request))).await
}

async fn answer(deps: &Backend, request: &Request) -> Result<Value, ActionError> {
    let call = deps.door.call(request.headers(), request.body()).await?;
    let session = call.session()?;
    let mut tx = deps
        .database
        .begin()
        .await
        .map_err(|error| unavailable(&error))?;
    match act(&mut tx, &session, &call).await {
        Ok((body, hints)) => {
            tx.commit().await.map_err(|error| unavailable(&error))?;
            deps.queues.publish_or_leave_to_scan(&hints).await;
            Ok(body)
        }
        Err(error) => {
            // The refusal is the answer, whether the connection survives it or not.
            let _ = tx.rollback().await;
            Err(refusal(&call, error))
        }
    }
}

/// The typed object of an action, and what to hint at once it is committed.
type Acted = Result<(Value, Vec<Hint>), InboxError>;

async fn act(tx: &mut Tx, session: &Session, call: &ActionRequest) -> Acted {
    match call.action.name.as_str() {
        "sendAgentMessage" | "startConversation" | "cancelMessage" | "retryMessage"
        | "replayMessages" => messages::act(tx, session, call).await,
        "blockContact"
        | "dismissContactReview"
        | "maskContact"
        | "mergeContacts"
        | "unblockContact"
        | "unmaskContact"
        | "unmergeContacts" => Ok((people::act(tx, session, call).await?, Vec::new())),
        "createApiClient" | "disableApiClient" | "previewTemplate" | "publishTemplate"
        | "saveTemplate" => Ok((automation::act(tx, session, call).await?, Vec::new())),
        _ => conversations::act(tx, session, call).await,
    }
}

/// A name that is none of ours.
fn unknown() -> InboxError {
    ActionError::invalid("action.name: no such action here").into()
}

fn refusal(call: &ActionRequest, error: InboxError) -> ActionError {
    match error {
        InboxError::Refused(refusal) => hasura::refused(ACTIONS, call, refusal),
        InboxError::Database(error) => unavailable(&error),
    }
}
