//! Meta's webhook as provider-neutral events.
//!
//! The *whole* payload is read: every entry, change, message and status, in the order of the document. Nothing
//! vanishes (what is not understood becomes `Unhandled` or `Malformed`, with its JSON), and one broken piece does
//! not take its siblings with it: each message and status is parsed on its own.
//!
//! Phone numbers of recipients stay in `raw`; an update names its message by id.
//!
//! Source: "Webhooks" of the Cloud API documentation. The payload version follows the subscription and not our
//! calls, so unknown members, fields, types and statuses are normal.

mod again;
mod content;
mod json;
mod message;
mod status;
#[cfg(test)]
mod tests;

pub use again::again;

use super::VerifiedWebhook;
use crate::event::{AccountRef, EventKind, ProviderEvent};
use json::Members;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Fields whose value holds messages and statuses. `standby` has the same shape; messages come there while an
/// agent of Meta's leads the chat.
const MESSAGE_FIELDS: [&str; 2] = ["messages", "standby"];

/// The body is no webhook at all. Sending it again would not help, so the caller keeps it and acknowledges.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the webhook is not a JSON object")]
    NotJson(#[source] serde_json::Error),
    #[error("the webhook has no list of entries")]
    NoEntries,
}

/// Reads one item of a list. The second argument is the `contacts` beside the list; the error says what is wrong.
type Reader = fn(&Value, &[Value]) -> Result<EventKind, &'static str>;

/// Reads the whole payload.
///
/// # Errors
///
/// [`ParseError`] when it is not an object with a list `entry`; faults further down become events.
pub fn parse(webhook: &VerifiedWebhook<'_>) -> Result<Vec<ProviderEvent>, ParseError> {
    // Meta sends ASCII. Should a broken byte come, it costs one character and not the payload.
    let text = String::from_utf8_lossy(webhook.raw());
    let body: Members<'_> = serde_json::from_str(&text).map_err(ParseError::NotJson)?;
    let mut events = Vec::new();
    for entry in body.list("entry").ok_or(ParseError::NoEntries)? {
        read_entry(entry, &mut events);
    }
    Ok(events)
}

fn read_entry(raw: &RawValue, events: &mut Vec<ProviderEvent>) {
    let Some(entry) = Members::of(raw) else {
        return events.push(malformed(None, raw, "an entry is not an object"));
    };
    let Some(changes) = entry.list("changes") else {
        return events.push(malformed(None, raw, "an entry has no list of changes"));
    };
    for change in changes {
        read_change(&entry, change, events);
    }
}

fn read_change(entry: &Members<'_>, raw: &RawValue, events: &mut Vec<ProviderEvent>) {
    let Some(change) = Members::of(raw) else {
        return events.push(malformed(None, raw, "a change is not an object"));
    };
    let field = change.text("field").unwrap_or_default();
    let value = change.object("value");
    let account = value.as_ref().and_then(|value| account(entry, value));
    let before = events.len();
    if MESSAGE_FIELDS.contains(&field.as_str()) {
        match value {
            Some(value) => read_value(&value, account.as_ref(), events),
            None => events.push(malformed(None, raw, "a change of messages has no value")),
        }
    }
    if events.len() == before {
        let raw = alone(entry, raw);
        events.push(ProviderEvent {
            account,
            kind: EventKind::Unhandled { field },
            raw,
        });
    }
}

/// Walks the members in their order, so that messages and statuses keep theirs.
fn read_value(value: &Members<'_>, account: Option<&AccountRef>, events: &mut Vec<ProviderEvent>) {
    let contacts: Vec<Value> = value
        .list("contacts")
        .unwrap_or_default()
        .into_iter()
        .map(json::stored)
        .collect();
    for (name, member) in value.iter() {
        let read: Reader = match name {
            "messages" => message::read,
            "statuses" => status::read,
            "errors" => |_, _| {
                Ok(EventKind::Unhandled {
                    field: "errors".to_owned(),
                })
            },
            _ => continue,
        };
        match json::list(member) {
            Some(items) => events.extend(
                items
                    .into_iter()
                    .map(|item| read_item(account, item, read, &contacts)),
            ),
            None => events.push(malformed(
                account.cloned(),
                member,
                "not a list where one is due",
            )),
        }
    }
}

fn read_item(
    account: Option<&AccountRef>,
    raw: &RawValue,
    read: Reader,
    contacts: &[Value],
) -> ProviderEvent {
    let raw = json::stored(raw);
    let kind = match read(&raw, contacts) {
        Ok(kind) => kind,
        Err(reason) => EventKind::Malformed {
            reason: reason.to_owned(),
        },
    };
    ProviderEvent {
        account: account.cloned(),
        kind,
        raw,
    }
}

/// `None` where the value has no `metadata`. The id of the entry alone would not do: for some fields it is the
/// business portfolio's.
fn account(entry: &Members<'_>, value: &Members<'_>) -> Option<AccountRef> {
    let external_account_id = value.object("metadata")?.text("phone_number_id")?;
    Some(AccountRef {
        external_account_id: Some(external_account_id),
        account_id: None,
        waba_id: entry.text("id"),
    })
}

fn malformed(account: Option<AccountRef>, raw: &RawValue, reason: &str) -> ProviderEvent {
    let kind = EventKind::Malformed {
        reason: reason.to_owned(),
    };
    ProviderEvent {
        account,
        kind,
        raw: json::stored(raw),
    }
}

/// The entry with this one change: an account-level change says nothing without the id and time around it.
fn alone(entry: &Members<'_>, change: &RawValue) -> Value {
    let member = |name| entry.get(name).map_or(Value::Null, json::stored);
    json!({ "id": member("id"), "time": member("time"), "changes": [json::stored(change)] })
}
