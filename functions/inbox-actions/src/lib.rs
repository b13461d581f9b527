//! Hasura Actions of the agents' inbox: `POST /api/hasura/actions`.
//!
//! One envelope for all; `action.name` picks. Tenant, user and role come from the session variables and from nowhere else.

use comms_core::dispatch::{self, ReplayArguments};
use comms_core::inbox::{self, AgentMessage, InboxError};
use comms_core::model::{ContactId, ConversationId, MergeId, MessageId, ReviewId};
use comms_core::platform::hasura::{
    ActionError, ActionRequest, SECRET_HEADER, Session, respond, without_values,
};
use comms_core::platform::queue::Hint;
use comms_core::platform::{Backend, Tx, telemetry};
use futures_util::FutureExt;
use http::{Response, StatusCode};
use lambda_http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;

/// The actions that this function answers, as `hasura/metadata/actions.graphql` declares them.
pub const ACTIONS: &[&str] = &[
    "blockContact",
    "cancelMessage",
    "claimConversation",
    "dismissContactReview",
    "mergeContacts",
    "replayMessages",
    "resolveConversation",
    "retryMessage",
    "sendAgentMessage",
    "unblockContact",
    "unmergeContacts",
];

/// Answers one call; a panic becomes a 500 of the usual shape.
pub async fn handle(deps: &Backend, request: Request) -> Response<String> {
    let answer = AssertUnwindSafe(answer(deps, &request))
        .catch_unwind()
        .await;
    match answer.unwrap_or_else(|_| Err(ActionError::internal())) {
        Ok(body) => respond(StatusCode::OK, &body),
        Err(error) => error.response(),
    }
}

async fn answer(deps: &Backend, request: &Request) -> Result<Value, ActionError> {
    let header = request
        .headers()
        .get(SECRET_HEADER)
        .and_then(|value| value.to_str().ok());
    if !deps
        .door
        .admits(header)
        .await
        .map_err(|error| unavailable(&error))?
    {
        return Err(ActionError::unauthorized());
    }
    let call: ActionRequest = serde_json::from_slice(request.body()).map_err(|error| {
        ActionError::invalid(format!("not an action call: {}", without_values(&error)))
    })?;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimArguments {
    conversation_id: ConversationId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveArguments {
    conversation_id: ConversationId,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageArguments {
    message_id: MessageId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactArguments {
    contact_id: ContactId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeArguments {
    kept_contact_id: ContactId,
    merged_contact_id: ContactId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnmergeArguments {
    merge_id: MergeId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewArguments {
    review_id: ReviewId,
}

async fn act(
    tx: &mut Tx,
    session: &Session,
    call: &ActionRequest,
) -> Result<(Value, Vec<Hint>), InboxError> {
    match call.action.name.as_str() {
        "claimConversation" => {
            let arguments: ClaimArguments = call.arguments()?;
            let claimed = inbox::claim_conversation(tx, session, arguments.conversation_id).await?;
            Ok((json!(claimed), Vec::new()))
        }
        "resolveConversation" => {
            let arguments: ResolveArguments = call.arguments()?;
            let resolved = inbox::resolve_conversation(
                tx,
                session,
                arguments.conversation_id,
                arguments.note.as_deref(),
            )
            .await?;
            Ok((json!(resolved), Vec::new()))
        }
        "sendAgentMessage" => {
            let arguments: AgentMessage = call.arguments()?;
            let (replied, hints) = inbox::send_agent_message(tx, session, &arguments).await?;
            Ok((json!(replied), hints))
        }
        "cancelMessage" => {
            let arguments: MessageArguments = call.arguments()?;
            let (cancelled, hints) =
                dispatch::cancel_message(tx, session, arguments.message_id).await?;
            Ok((json!(cancelled), hints))
        }
        "retryMessage" => {
            let arguments: MessageArguments = call.arguments()?;
            let (retried, hints) =
                dispatch::retry_message(tx, session, arguments.message_id).await?;
            Ok((json!(retried), hints))
        }
        "replayMessages" => {
            let arguments: ReplayArguments = call.arguments()?;
            let replayed = dispatch::replay_messages(tx, session, &arguments).await?;
            // No hints: the copies wait for their turn at their sender's rate.
            Ok((json!(replayed), Vec::new()))
        }
        _ => Ok((about_people(tx, session, call).await?, Vec::new())),
    }
}

async fn about_people(
    tx: &mut Tx,
    session: &Session,
    call: &ActionRequest,
) -> Result<Value, InboxError> {
    match call.action.name.as_str() {
        "blockContact" => {
            let ContactArguments { contact_id } = call.arguments()?;
            Ok(json!(inbox::block_contact(tx, session, contact_id).await?))
        }
        "unblockContact" => {
            let ContactArguments { contact_id } = call.arguments()?;
            Ok(json!(
                inbox::unblock_contact(tx, session, contact_id).await?
            ))
        }
        "mergeContacts" => {
            let MergeArguments {
                kept_contact_id: kept,
                merged_contact_id: merged,
            } = call.arguments()?;
            Ok(json!(
                inbox::merge_contacts(tx, session, kept, merged).await?
            ))
        }
        "unmergeContacts" => {
            let UnmergeArguments { merge_id } = call.arguments()?;
            Ok(json!(inbox::unmerge_contacts(tx, session, merge_id).await?))
        }
        "dismissContactReview" => {
            let ReviewArguments { review_id } = call.arguments()?;
            let reviewed = inbox::dismiss_contact_review(tx, session, review_id).await?;
            Ok(json!(reviewed))
        }
        _ => Err(ActionError::invalid("action.name: no such action here").into()),
    }
}

fn refusal(call: &ActionRequest, error: InboxError) -> ActionError {
    match error {
        InboxError::Refused(refused) => {
            // A name that is none of ours is somebody's text.
            let action = ACTIONS.iter().find(|known| **known == call.action.name);
            tracing::info!(
                action = action.copied().unwrap_or("unknown"),
                code = refused.code,
                "action refused"
            );
            refused
        }
        InboxError::Database(error) => unavailable(&error),
    }
}

fn unavailable(error: &dyn std::error::Error) -> ActionError {
    tracing::error!(error = telemetry::chain(error), "action not carried out");
    ActionError::unavailable()
}
