//! JSON from outside, read without trust in its shape.
//!
//! The outer levels are walked as text ([`Members`], [`list`]) so that each message can be parsed on its own.
//! What is kept is made fit for Postgres by [`stored`].

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use time::OffsetDateTime;

/// The members of an object in the order of the document, their values not parsed yet.
pub(super) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// `None` where the value is no object.
    pub(super) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The last member of that name, as JSON parsers have it.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }

    pub(super) fn object(&self, name: &str) -> Option<Members<'a>> {
        Members::of(self.get(name)?)
    }

    pub(super) fn list(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        list(self.get(name)?)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(&stored(self.get(name)?), "")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Walk)
    }
}

/// The items of a list, not parsed yet; `None` where the value is no list.
pub(super) fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// Parses a piece so that a `jsonb` and a `text` column take it: without NUL characters, and what serde cannot
/// represent (nested deeper than 127, numbers beyond f64, half a surrogate pair) as one string of its text.
pub(super) fn stored(raw: &RawValue) -> Value {
    match serde_json::from_str(raw.get()) {
        Ok(value) if raw.get().contains("\\u0000") => without_nul(value),
        Ok(value) => value,
        Err(_) => Value::String(raw.get().to_owned()),
    }
}

fn without_nul(value: Value) -> Value {
    let clean = |text: String| text.replace('\0', "");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (clean(name), without_nul(value)))
            .collect(),
        other => other,
    }
}

/// What stands at the pointer, if it is a string and not empty, or an id that came as a number.
pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Longest id or word that anybody has seen is a fifth of this; longer ones do not fit into an index.
const ID_LIMIT: usize = 512;

/// Is it short enough for a key?
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= ID_LIMIT
}

/// Seconds since 1970, as a string (messages and statuses) or as an integer (account fields).
pub(super) fn seconds(value: Option<&Value>) -> Option<OffsetDateTime> {
    let seconds = match value? {
        Value::String(digits) => digits.parse().ok()?,
        number => number.as_i64()?,
    };
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}
