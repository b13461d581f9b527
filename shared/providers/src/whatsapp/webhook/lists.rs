//! Values that hold lists of items about people: messages, echoes, statuses, preferences, and faults beside them.

use super::again::home;
use super::json::{self, Members};
use super::people::Contacts;
use super::{
    ParseError, account, alone, broken, malformed, message, number, preference, room, status,
};
use crate::event::{AccountRef, EventKind, ProviderEvent};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The fields with such values. `standby` has the shape of `messages`: they come there while an agent of Meta's leads
/// the chat.
pub(super) const FIELDS: [&str; 4] = [
    "messages",
    "standby",
    "smb_message_echoes",
    "user_preferences",
];

/// Reads one item of a list, with the contacts beside it; the error says what is wrong.
type Reader = fn(&Value, &Contacts<'_>) -> Result<EventKind, &'static str>;

fn reader(list: &str) -> Option<Reader> {
    Some(match list {
        "messages" => message::read,
        "message_echoes" => message::read_echo,
        "statuses" => status::read,
        "user_preferences" => preference::read,
        "errors" => account::fault,
        _ => return None,
    })
}

/// Where items stand.
struct Place<'a> {
    entry: &'a Members<'a>,
    field: &'a str,
    account: Option<AccountRef>,
}

/// Walks the members in their order, so that messages and statuses keep theirs.
pub(super) fn read(
    entry: &Members<'_>,
    field: &str,
    value: &Members<'_>,
    events: &mut Vec<ProviderEvent>,
) -> Result<(), ParseError> {
    let place = Place {
        entry,
        field,
        account: number(entry, value),
    };
    let contacts = Contacts::of(value.list("contacts").unwrap_or_default());
    for (name, member) in value.iter() {
        let Some(read) = reader(name) else {
            continue;
        };
        // Written out, and nothing.
        if member.get() == "null" {
            continue;
        }
        room(events.len() + 1)?;
        let Some(items) = json::list(member) else {
            let raw = place.keep(name, &json::stored(member), Vec::new());
            let account = place.account.clone();
            events.push(malformed(account, raw, "not a list where one is due"));
            continue;
        };
        room(events.len() + items.len())?;
        let items = items.into_iter();
        events.extend(items.map(|item| place.read(name, item, read, &contacts)));
    }
    Ok(())
}

impl Place<'_> {
    fn read(
        &self,
        list: &str,
        item: &RawValue,
        read: Reader,
        contacts: &Contacts<'_>,
    ) -> ProviderEvent {
        let item = json::stored(item);
        let kind = read(&item, contacts).unwrap_or_else(broken);
        let raw = match home(&kind) {
            Some(_) => item,
            None => self.keep(list, &json!([item]), contacts.beside(&item)),
        };
        ProviderEvent {
            account: self.account.clone(),
            kind,
            raw,
        }
    }

    /// What does not say by its kind where it stood, in a change of its own, with whom it is about.
    fn keep(&self, list: &str, items: &Value, contacts: Vec<Value>) -> Value {
        let mut value = json!({ "messaging_product": "whatsapp", list: items });
        if !contacts.is_empty() {
            value["contacts"] = Value::Array(contacts);
        }
        let number = self
            .account
            .as_ref()
            .and_then(|account| account.external_account_id.as_deref());
        if let Some(number) = number {
            value["metadata"] = json!({ "phone_number_id": number });
        }
        alone(self.entry, &json!({ "field": self.field, "value": value }))
    }
}
