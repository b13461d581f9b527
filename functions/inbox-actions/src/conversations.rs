//! What agents do with a conversation, but for writing in it.

use crate::unknown;
use comms_core::inbox::{self, InboxError};
use comms_core::model::ConversationId;
use comms_core::platform::Tx;
use comms_core::platform::hasura::{ActionRequest, Session};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    conversation_id: ConversationId,
}

pub(crate) async fn act(
    tx: &mut Tx,
    session: &Session,
    call: &ActionRequest,
) -> Result<Value, InboxError> {
    let which = || {
        call.arguments()
            .map(|Which { conversation_id }| conversation_id)
    };
    Ok(match call.action.name.as_str() {
        "claimConversation" => json!(inbox::claim_conversation(tx, session, which()?).await?),
        "releaseConversation" => json!(inbox::release_conversation(tx, session, which()?).await?),
        "reassignConversation" => {
            json!(inbox::reassign_conversation(tx, session, &call.arguments()?).await?)
        }
        "resolveConversation" => {
            json!(inbox::resolve_conversation(tx, session, &call.arguments()?).await?)
        }
        "reopenConversation" => {
            json!(inbox::reopen_conversation(tx, session, &call.arguments()?).await?)
        }
        "snoozeConversation" => {
            json!(inbox::snooze_conversation(tx, session, &call.arguments()?).await?)
        }
        "markConversationRead" => json!(inbox::mark_read(tx, session, &call.arguments()?).await?),
        "markConversationUnread" => json!(inbox::mark_unread(tx, session, which()?).await?),
        "addNote" => json!(inbox::add_note(tx, session, &call.arguments()?).await?),
        "linkConversation" => {
            json!(inbox::link_conversation(tx, session, &call.arguments()?).await?)
        }
        _ => return Err(unknown()),
    })
}
