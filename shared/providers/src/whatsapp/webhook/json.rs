//! JSON from outside, read without trust in its shape.
//!
//! The outer levels are walked as text ([`Members`], [`list`]) so that each item can be parsed on its own.
//! What is kept is made fit for Postgres by [`without_nul`] and [`stored`], and reads the same when it is parsed again.

use crate::json::{whole_characters, with_escapes};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
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

/// Parses a piece so that a `jsonb` column takes it. Half a surrogate pair, as clients leave it that cut a text between them,
/// becomes U+FFFD; what serde cannot represent (nested deeper than 127, numbers beyond f64) one string of its text.
pub(super) fn stored(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get())
        .or_else(|_| serde_json::from_str(&whole_characters(raw.get())))
        .unwrap_or_else(|_| Value::String(raw.get().to_owned()))
}

/// As [`stored`], for each member of an object on its own.
pub(super) fn shallow(raw: &RawValue) -> Value {
    let Some(members) = Members::of(raw) else {
        return stored(raw);
    };
    let members = members
        .iter()
        .map(|(name, member)| (name.to_owned(), stored(member)));
    Value::Object(members.collect())
}

const NUL: &str = "\\u0000";

/// JSON text without NUL characters, which Postgres stores nowhere.
pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    if !text.contains(NUL) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(with_escapes(text, |escape| {
        let is_nul = escape.starts_with(NUL);
        is_nul.then_some(("", NUL.len()))
    }))
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

/// What stands at the pointer, if it is short enough for a key.
pub(super) fn id(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer).filter(|id| id.len() <= ID_LIMIT)
}

/// 2001 in milliseconds; in seconds no calendar has it.
const MILLISECONDS: i64 = 1_000_000_000_000;

/// Seconds since 1970, as a string (messages and statuses) or as an integer (account fields). What no clock of this century shows
/// is none: it could be neither stored nor added to. What would be such a time in seconds and is one in milliseconds is meant in those.
pub(super) fn seconds(value: Option<&Value>) -> Option<OffsetDateTime> {
    let seconds = match value? {
        Value::String(digits) => digits.parse().ok()?,
        number => number.as_i64()?,
    };
    let at = if seconds < MILLISECONDS {
        OffsetDateTime::from_unix_timestamp(seconds).ok()?
    } else {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(seconds) * 1_000_000).ok()?
    };
    crate::json::YEARS.contains(&at.year()).then_some(at)
}
