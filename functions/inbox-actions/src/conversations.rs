//! What agents do with a conversation, but for writing in it.

use crate::{Acted, unknown};
use comms_core::inbox;
use comms_core::model::ConversationId;
use comms_core::platform::Tx;
use comms_core::platform::hasura::{ActionRequest, Session};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    conversation_id: ConversationId,
}

pub(crate) async fn act(tx: &mut Tx, session: &Session, call: &ActionRequest) -> Acted {
    let which = || {
        call.arguments()
            .map(|Which { conversation_id }| conversation_id)
    };
    let mut hints = Vec::new();
    let answer = match call.action.name.as_str() {
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
        "markConversationRead" => {
            let (unread, receipt) = inbox::mark_read(tx, session, &call.arguments()?).await?;
            hints.extend(receipt);
            json!(unread)
        }
        "markConversationUnread" => json!(inbox::mark_unread(tx, session, which()?).await?),
        "addNote" => json!(inbox::add_note(tx, session, &call.arguments()?).await?),
        "linkConversation" => {
            json!(inbox::link_conversation(tx, session, &call.arguments()?).await?)
        }
        "setTyping" => {
            let (typing, receipt) = inbox::set_typing(tx, session, which()?).await?;
            hints.extend(receipt);
            json!(typing)
        }
        "setReadReceipts" => {
            json!(inbox::set_read_receipts(tx, session, &call.arguments()?).await?)
        }
        _ => return Err(unknown()),
    };
    Ok((answer, hints))
}
