//! One item of `messages[]`: a customer wrote.

use super::{content, json};
use crate::event::{EventKind, InboundMessage, Person};
use serde_json::Value;

/// Reads the message; `contacts` are those beside it, in which the profile name stands.
pub(super) fn read(message: &Value, contacts: &[Value]) -> Result<EventKind, &'static str> {
    let (content, body) = content::read(message)?;
    Ok(EventKind::Message(Box::new(InboundMessage {
        external_message_id: json::text(message, "/id")
            .filter(|id| json::is_id(id))
            .ok_or("a message has no usable id")?,
        sender: sender(message, contacts)?,
        content,
        body,
        reply_to: json::text(message, "/context/id").filter(|id| json::is_id(id)),
        context: None,
        media: Vec::new(),
        sent_at: json::seconds(message.get("timestamp"))
            .ok_or("a message has no readable timestamp")?,
    })))
}

/// `from` is left out for people with a user name, and the `from_user_id` before April 2026; the matching contact
/// often knows the other half.
fn sender(message: &Value, contacts: &[Value]) -> Result<Person, &'static str> {
    let wa_id = json::text(message, "/from").map(|id| id.trim_start_matches('+').to_owned());
    let user_id = json::text(message, "/from_user_id");
    if wa_id.is_none() && user_id.is_none() {
        return Err("a message has no sender");
    }
    if !wa_id.as_deref().is_none_or(is_wa_id) || !user_id.as_deref().is_none_or(json::is_id) {
        return Err("a message has an unusable sender");
    }
    let same = |ours: &Option<String>, theirs: Option<String>| ours.is_some() && *ours == theirs;
    let contact = contacts.iter().find(|contact| {
        same(&wa_id, json::text(contact, "/wa_id"))
            || same(&user_id, json::text(contact, "/user_id"))
    });
    let known = |pointer| contact.and_then(|contact| json::text(contact, pointer));
    Ok(Person {
        wa_id: wa_id.or_else(|| known("/wa_id").filter(|id| is_wa_id(id))),
        user_id: user_id.or_else(|| known("/user_id").filter(|id| json::is_id(id))),
        parent_user_id: json::text(message, "/from_parent_user_id")
            .or_else(|| known("/parent_user_id"))
            .filter(|id| json::is_id(id)),
        name: known("/profile/name").map(|name| name.chars().take(NAME_LIMIT).collect()),
        ..Person::default()
    })
}

/// Characters of a profile name that are kept; WhatsApp allows 25.
const NAME_LIMIT: usize = 200;

/// Digits, as WhatsApp names an account; the longest number has 15.
fn is_wa_id(text: &str) -> bool {
    (5..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
