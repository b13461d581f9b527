//! Hasura Actions: the agents' inbox, and what administrators set for automated messages. `POST /api/hasura/actions`.
//!
//! One envelope for all; `action.name` picks. Tenant, user and role come from the session variables and from nowhere else.

mod automation;
mod conversations;
mod messages;
mod people;

use comms_core::inbox::{self, InboxError};
use comms_core::media::FileLinks;
use comms_core::platform::hasura::{self, ActionError, ActionRequest, Session, unavailable};
use comms_core::platform::queue::Hint;
use comms_core::platform::{Aws, Backend, ConfigError, Settings, Tx};
use http::Response;
use lambda_http::Request;
use serde_json::{Value, json};

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
    "openFiles",
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

/// All that the function stands on, made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub backend: Backend,
    pub files: FileLinks,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            backend: Backend::from_settings(&mut settings, &aws),
            files: FileLinks::from_settings(&mut settings, &aws),
        };
        settings.done().map(|()| deps)
    }
}

/// Answers one call; a panic becomes a 500 of the usual shape.
pub async fn handle(deps: &Deps, request: Request) -> Response<String> {
    Box::pin(hasura::serve(answer(deps, &request))).await
}

async fn answer(deps: &Deps, request: &Request) -> Result<Value, ActionError> {
    let Deps { backend, files } = deps;
    let call = backend.door.call(request.headers(), request.body()).await?;
    let session = call.session()?;
    let mut tx = backend
        .database
        .begin()
        .await
        .map_err(|error| unavailable(&error))?;
    match act(&mut tx, &session, &call, files).await {
        Ok((body, hints)) => {
            tx.commit().await.map_err(|error| unavailable(&error))?;
            backend.queues.publish_or_leave_to_scan(&hints).await;
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

async fn act(tx: &mut Tx, session: &Session, call: &ActionRequest, files: &FileLinks) -> Acted {
    match call.action.name.as_str() {
        "openFiles" => {
            let opened = inbox::open_files(tx, session, files, &call.arguments()?).await?;
            Ok((json!(opened), Vec::new()))
        }
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
