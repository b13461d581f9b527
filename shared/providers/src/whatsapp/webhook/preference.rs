//! One item of `user_preferences[]`: what somebody told WhatsApp that they want from us.

use super::json;
use super::people::{Contacts, Ids};
use crate::OptOut;
use crate::event::{ConsentChange, EventKind};
use serde_json::Value;

const PERSON: Ids = Ids {
    whatsapp: "/wa_id",
    user: "/user_id",
    parent: "/parent_user_id",
};

/// A category or a word that is new is not guessed at: it is kept, unhandled.
pub(super) fn read(item: &Value, contacts: &Contacts<'_>) -> Result<EventKind, &'static str> {
    let word = json::id(item, "/value").ok_or("a preference has no value")?;
    let category = json::text(item, "/category");
    let granted = match (category.as_deref(), word.as_str()) {
        (Some("marketing_messages"), "stop") => false,
        (Some("marketing_messages"), "resume" | "signup") => true,
        _ => {
            return Ok(EventKind::Unhandled {
                field: "user_preferences".to_owned(),
            });
        }
    };
    Ok(EventKind::Consent(ConsentChange {
        person: contacts
            .person(item, &PERSON)
            .ok_or("a preference names nobody")?,
        what: OptOut::Marketing,
        granted,
        word,
        at: json::seconds(item.get("timestamp")).ok_or("a preference has no readable timestamp")?,
    }))
}
