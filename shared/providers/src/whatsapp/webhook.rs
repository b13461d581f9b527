//! Meta's webhook as provider-neutral events.
//!
//! The *whole* payload is read: every entry, change, message and status, in the order of the document. Nothing
//! vanishes (what is not understood becomes `Unhandled` or `Malformed`, with its JSON), and one broken piece does
//! not take its siblings with it: each item of a list is parsed on its own. Every event can be written [`again`] as
//! a payload of its own that reads as the same event.
//!
//! Two kinds of change: those whose value holds lists of items about people ([`lists`]), and those that are one
//! notice about a template or an account.
//!
//! Source: "Webhooks" of the Cloud API documentation. The payload version follows the subscription and not our
//! calls, so unknown members, fields, types and statuses are normal.

mod account;
mod again;
mod card;
mod content;
mod context;
mod json;
mod lists;
mod message;
mod people;
mod preference;
mod status;
mod system;
mod template;
#[cfg(test)]
mod tests;

pub use again::again;

use super::VerifiedWebhook;
use crate::event::{AccountRef, EventKind, ProviderEvent};
use json::Members;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use time::OffsetDateTime;

/// The body is no webhook at all, or more of one than can be stored. Sending it again would not help, so the caller keeps it
/// and acknowledges.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the webhook is not a JSON object")]
    NotJson(#[source] serde_json::Error),
    #[error("the webhook has no list of entries")]
    NoEntries,
    #[error("the webhook has too many items")]
    TooMany,
}

/// Items of one payload, of whatever kind; Meta puts a thousand into one. Three megabytes of tiny ones are hundreds of thousands,
/// which cannot be kept one by one before the call times out, and then they come again.
const MOST: usize = 5_000;

/// Reads the value of a change that is one notice. The error says what is wrong.
type NoticeReader = fn(&Value, Option<OffsetDateTime>) -> Result<EventKind, &'static str>;

/// Reads the whole payload.
///
/// # Errors
///
/// [`ParseError`] when it is not an object with a list `entry`, or has too many items; faults further down become events.
pub fn parse(webhook: &VerifiedWebhook<'_>) -> Result<Vec<ProviderEvent>, ParseError> {
    // Meta sends ASCII. Should a broken byte come, it costs one character and not the payload.
    let text = String::from_utf8_lossy(webhook.raw());
    let text: Cow<'_, str> = json::without_nul(&text);
    let body: Members<'_> = serde_json::from_str(&text).map_err(ParseError::NotJson)?;
    let mut events = Vec::new();
    for entry in body.list("entry").ok_or(ParseError::NoEntries)? {
        read_entry(entry, &mut events)?;
    }
    Ok(events)
}

/// There is room for so many, or the whole payload is refused.
fn room(count: usize) -> Result<(), ParseError> {
    if count > MOST {
        return Err(ParseError::TooMany);
    }
    Ok(())
}

fn read_entry(raw: &RawValue, events: &mut Vec<ProviderEvent>) -> Result<(), ParseError> {
    room(events.len() + 1)?;
    let Some(entry) = Members::of(raw) else {
        events.push(malformed(None, json::stored(raw), "an entry is no object"));
        return Ok(());
    };
    let Some(changes) = entry.list("changes") else {
        let raw = json::shallow(raw);
        events.push(malformed(None, raw, "an entry has no list of changes"));
        return Ok(());
    };
    for change in changes {
        room(events.len() + 1)?;
        read_change(&entry, change, events)?;
    }
    Ok(())
}

fn read_change(
    entry: &Members<'_>,
    raw: &RawValue,
    events: &mut Vec<ProviderEvent>,
) -> Result<(), ParseError> {
    let Some(change) = Members::of(raw) else {
        let raw = alone(entry, &json::stored(raw));
        events.push(malformed(None, raw, "a change is no object"));
        return Ok(());
    };
    let field = change.text("field").unwrap_or_default();
    let before = events.len();
    if lists::FIELDS.contains(&field.as_str()) {
        let Some(value) = change.object("value") else {
            let raw = alone(entry, &whole(&change));
            events.push(malformed(None, raw, "a change of messages has no value"));
            return Ok(());
        };
        lists::read(entry, &field, &value, events)?;
    } else if let Some(read) = notice(&field) {
        events.push(read_notice(entry, &change, read));
    }
    if events.len() == before {
        events.push(unhandled(entry, &change, field));
    }
    Ok(())
}

fn notice(field: &str) -> Option<NoticeReader> {
    Some(match field {
        "message_template_status_update" => template::status,
        "message_template_quality_update" => template::quality,
        "template_category_update" => template::category,
        "message_template_components_update" => template::components,
        "account_update" => account::update,
        "account_review_update" => account::review,
        "account_alerts" => account::alert,
        "business_capability_update" => account::capability,
        "phone_number_quality_update" => account::quality,
        "phone_number_name_update" => account::name,
        "security" => account::security,
        "messaging_handovers" => account::handover,
        _ => return None,
    })
}

fn read_notice(entry: &Members<'_>, change: &Members<'_>, read: NoticeReader) -> ProviderEvent {
    let value = change.get("value").map_or(Value::Null, json::shallow);
    let at = json::seconds(entry.get("time").map(json::stored).as_ref());
    ProviderEvent {
        account: business(entry, &value),
        kind: read(&value, at).unwrap_or_else(broken),
        raw: alone(entry, &whole(change)),
    }
}

fn unhandled(entry: &Members<'_>, change: &Members<'_>, field: String) -> ProviderEvent {
    let value = change.object("value");
    let account = value.and_then(|value| {
        let waba = || json::text(&json::stored(value.get("waba_info")?), "/waba_id");
        number(entry, &value).or_else(|| {
            waba().map(|waba_id| AccountRef {
                waba_id: Some(waba_id),
                ..AccountRef::default()
            })
        })
    });
    ProviderEvent {
        account,
        kind: EventKind::Unhandled { field },
        raw: alone(entry, &whole(change)),
    }
}

/// The account of items about people: by the number alone. Without it nobody knows which of a business account's
/// numbers they wrote to, and the id of the entry is no help.
fn number(entry: &Members<'_>, value: &Members<'_>) -> Option<AccountRef> {
    let metadata = json::stored(value.get("metadata")?);
    Some(AccountRef {
        external_account_id: Some(json::text(&metadata, "/phone_number_id")?),
        account_id: None,
        waba_id: entry.text("id"),
    })
}

/// Events whose entry bears the id of a business portfolio (the partner's), not of a WhatsApp business account.
const OF_A_PORTFOLIO: [&str; 6] = [
    "PARTNER_ADDED",
    "PARTNER_REMOVED",
    "PARTNER_APP_INSTALLED",
    "PARTNER_APP_UNINSTALLED",
    "AD_ACCOUNT_LINKED",
    "MM_LITE_TERMS_SIGNED",
];

/// The account of a notice: what the value names, else the entry.
fn business(entry: &Members<'_>, value: &Value) -> Option<AccountRef> {
    let of_a_portfolio =
        json::text(value, "/event").is_some_and(|event| OF_A_PORTFOLIO.contains(&event.as_str()));
    let of_the_entry = || (!of_a_portfolio).then(|| entry.text("id")).flatten();
    let account = AccountRef {
        external_account_id: json::text(value, "/metadata/phone_number_id")
            .or_else(|| alerted(value)),
        account_id: None,
        waba_id: json::text(value, "/waba_info/waba_id").or_else(of_the_entry),
    };
    (account != AccountRef::default()).then_some(account)
}

/// The number that an alert is about, if it is about one.
fn alerted(value: &Value) -> Option<String> {
    let is_of_a_number = json::text(value, "/entity_type")? == "PHONE_NUMBER";
    is_of_a_number
        .then(|| json::id(value, "/entity_id"))
        .flatten()
}

fn malformed(account: Option<AccountRef>, raw: Value, reason: &'static str) -> ProviderEvent {
    ProviderEvent {
        account,
        kind: broken(reason),
        raw,
    }
}

fn broken(reason: &'static str) -> EventKind {
    EventKind::Malformed {
        reason: reason.to_owned(),
    }
}

/// The entry with this one change: a notice says nothing without the id and time around it.
fn alone(entry: &Members<'_>, change: &Value) -> Value {
    let member = |name| entry.get(name).map_or(Value::Null, json::stored);
    json!({ "id": member("id"), "time": member("time"), "changes": [change] })
}

/// A change with all its members. Each is stored on its own, so that one that cannot be represented does not hide
/// the others.
fn whole(change: &Members<'_>) -> Value {
    let members = change.iter().map(|(name, member)| {
        let member = match name {
            "value" => json::shallow(member),
            _ => json::stored(member),
        };
        (name.to_owned(), member)
    });
    Value::Object(members.collect())
}
