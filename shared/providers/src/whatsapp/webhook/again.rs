//! One event as a payload of its own: what could not be taken in is kept so, and reads again as the same event.

use super::MESSAGE_FIELDS;
use crate::event::{EventKind, Person, ProviderEvent};
use serde_json::{Value, json};

/// The bytes of a webhook with this event and nothing else.
#[must_use]
pub fn again(event: &ProviderEvent) -> Vec<u8> {
    let entry = match (&event.kind, list(&event.kind)) {
        (kind, Some(list)) => with_list(event, list, person(kind)),
        // The parser keeps these as the entry with its one change.
        (_, None) => event.raw.clone(),
    };
    json!({"object": "whatsapp_business_account", "entry": [entry]})
        .to_string()
        .into_bytes()
}

/// The member of the value in which such an event stands; `None` for those that are a whole change.
fn list(kind: &EventKind) -> Option<&'static str> {
    match kind {
        EventKind::Message(_)
        | EventKind::Reaction(_)
        | EventKind::Edit(_)
        | EventKind::Revoke(_)
        | EventKind::PersonChanged(_) => Some("messages"),
        EventKind::Status(_) => Some("statuses"),
        _ => None,
    }
}

fn person(kind: &EventKind) -> Option<&Person> {
    match kind {
        EventKind::Message(message) => Some(&message.sender),
        _ => None,
    }
}

fn with_list(event: &ProviderEvent, list: &str, person: Option<&Person>) -> Value {
    let account = event.account.clone().unwrap_or_default();
    let mut value = json!({"messaging_product": "whatsapp", list: [event.raw]});
    if let Some(number) = account.external_account_id {
        value["metadata"] = json!({"phone_number_id": number});
    }
    if let Some(person) = person {
        value["contacts"] = json!([contact(person)]);
    }
    json!({"id": account.waba_id, "changes": [{"field": MESSAGE_FIELDS[0], "value": value}]})
}

fn contact(person: &Person) -> Value {
    json!({
        "wa_id": person.wa_id, "user_id": person.user_id, "parent_user_id": person.parent_user_id,
        "profile": {"name": person.name},
    })
}
