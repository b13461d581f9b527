//! One event as a payload of its own: what could not be taken in is kept so, and reads again as the same event.

use crate::event::{Actor, EventKind, Person, ProviderEvent};
use serde_json::{Value, json};

/// The bytes of a webhook with this event and nothing else.
#[must_use]
pub fn again(event: &ProviderEvent) -> Vec<u8> {
    let entry = match home(&event.kind) {
        Some(home) => with_list(event, home),
        // The parser keeps these as the entry that they stood in, with nothing else in it.
        None => event.raw.clone(),
    };
    json!({"object": "whatsapp_business_account", "entry": [entry]})
        .to_string()
        .into_bytes()
}

/// The field and the list in which the items of a kind stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    field: &'static str,
    list: &'static str,
}

const MESSAGES: Home = Home {
    field: "messages",
    list: "messages",
};
const STATUSES: Home = Home {
    field: "messages",
    list: "statuses",
};
const ECHOES: Home = Home {
    field: "smb_message_echoes",
    list: "message_echoes",
};
const PREFERENCES: Home = Home {
    field: "user_preferences",
    list: "user_preferences",
};

/// `None` for kinds that are kept with their entry.
pub(super) fn home(kind: &EventKind) -> Option<Home> {
    match kind {
        EventKind::Message(_) | EventKind::PersonChanged(_) => Some(MESSAGES),
        EventKind::Echo(_) => Some(ECHOES),
        EventKind::Reaction(reaction) => Some(of_actor(&reaction.by)),
        EventKind::Edit(edit) => Some(of_actor(&edit.by)),
        EventKind::Revoke(revoke) => Some(of_actor(&revoke.by)),
        EventKind::Status(_) => Some(STATUSES),
        EventKind::Consent(_) => Some(PREFERENCES),
        EventKind::Template(_)
        | EventKind::Account(_)
        | EventKind::Unhandled { .. }
        | EventKind::Malformed { .. } => None,
    }
}

fn of_actor(by: &Actor) -> Home {
    match by {
        Actor::Customer(_) => MESSAGES,
        Actor::Us(_) => ECHOES,
    }
}

fn whom(by: &Actor) -> &Person {
    let (Actor::Customer(person) | Actor::Us(person)) = by;
    person
}

/// Whom the contact beside the item was about.
fn person(kind: &EventKind) -> Option<&Person> {
    match kind {
        EventKind::Message(message) => Some(&message.sender),
        EventKind::Echo(echo) => Some(&echo.recipient),
        EventKind::Reaction(reaction) => Some(whom(&reaction.by)),
        EventKind::Edit(edit) => Some(whom(&edit.by)),
        EventKind::Revoke(revoke) => Some(whom(&revoke.by)),
        EventKind::Status(update) => update.recipient.as_ref(),
        EventKind::Consent(change) => Some(&change.person),
        EventKind::PersonChanged(_)
        | EventKind::Template(_)
        | EventKind::Account(_)
        | EventKind::Unhandled { .. }
        | EventKind::Malformed { .. } => None,
    }
}

fn with_list(event: &ProviderEvent, home: Home) -> Value {
    let account = event.account.clone().unwrap_or_default();
    let mut value = json!({"messaging_product": "whatsapp", home.list: [event.raw]});
    if let Some(number) = account.external_account_id {
        value["metadata"] = json!({"phone_number_id": number});
    }
    if let Some(person) = person(&event.kind) {
        value["contacts"] = json!([contact(person)]);
    }
    json!({"id": account.waba_id, "changes": [{"field": home.field, "value": value}]})
}

fn contact(person: &Person) -> Value {
    json!({
        "wa_id": person.wa_id, "user_id": person.user_id, "parent_user_id": person.parent_user_id,
        "profile": {"name": person.name},
    })
}
