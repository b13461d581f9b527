//! One item of `messages[]`: a customer wrote.

use super::{content, json};
use crate::event::{EventKind, InboundMessage, InboundSender};
use serde_json::Value;

/// Reads the message; `contacts` are those beside it, in which the profile name stands.
pub(super) fn read(message: &Value, contacts: &[Value]) -> Result<EventKind, &'static str> {
    let (content, body) = content::read(message)?;
    Ok(EventKind::Message(InboundMessage {
        external_message_id: json::text(message, "/id").ok_or("a message has no id")?,
        sender: sender(message, contacts)?,
        content,
        body,
        reply_to: json::text(message, "/context/id"),
        sent_at: json::seconds(message.get("timestamp"))
            .ok_or("a message has no readable timestamp")?,
    }))
}

/// `from` is left out for people with a user name, and the `from_user_id` before April 2026; the matching contact
/// often knows the other half.
fn sender(message: &Value, contacts: &[Value]) -> Result<InboundSender, &'static str> {
    let wa_id = json::text(message, "/from");
    let user_id = json::text(message, "/from_user_id");
    if wa_id.is_none() && user_id.is_none() {
        return Err("a message has no sender");
    }
    let same = |ours: &Option<String>, theirs: Option<String>| ours.is_some() && *ours == theirs;
    let contact = contacts.iter().find(|contact| {
        same(&wa_id, json::text(contact, "/wa_id"))
            || same(&user_id, json::text(contact, "/user_id"))
    });
    let known = |pointer| contact.and_then(|contact| json::text(contact, pointer));
    Ok(InboundSender {
        wa_id: wa_id.or_else(|| known("/wa_id")),
        user_id: user_id.or_else(|| known("/user_id")),
        parent_user_id: json::text(message, "/from_parent_user_id")
            .or_else(|| known("/parent_user_id")),
        profile_name: known("/profile/name"),
    })
}
