//! What agents do with messages: write them, take them back, send them again.

use crate::{Acted, unknown};
use comms_core::model::MessageId;
use comms_core::platform::Tx;
use comms_core::platform::hasura::{ActionRequest, Session};
use comms_core::{dispatch, inbox};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    message_id: MessageId,
}

pub(crate) async fn act(tx: &mut Tx, session: &Session, call: &ActionRequest) -> Acted {
    let which = || call.arguments().map(|Which { message_id }| message_id);
    match call.action.name.as_str() {
        "sendAgentMessage" => {
            let (sent, hints) = inbox::send_agent_message(tx, session, &call.arguments()?).await?;
            Ok((json!(sent), hints))
        }
        "startConversation" => {
            let (sent, hints) = inbox::start_conversation(tx, session, &call.arguments()?).await?;
            Ok((json!(sent), hints))
        }
        "cancelMessage" => {
            let (cancelled, hints) = dispatch::cancel_message(tx, session, which()?).await?;
            Ok((json!(cancelled), hints))
        }
        "retryMessage" => {
            let (retried, hints) = dispatch::retry_message(tx, session, which()?).await?;
            Ok((json!(retried), hints))
        }
        "replayMessages" => {
            let replayed = dispatch::replay_messages(tx, session, &call.arguments()?).await?;
            // No hints: the copies wait for their turn at their sender's rate.
            Ok((json!(replayed), Vec::new()))
        }
        _ => Err(unknown()),
    }
}
