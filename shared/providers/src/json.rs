//! JSON that AWS sends, read without trust in its shape, and kept in a form that Postgres takes.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest id or word that is kept: longer ones do not fit into an index.
const ID_LIMIT: usize = 512;

/// Parses a text so that a `jsonb` and a `text` column take it: without NUL characters. `None`: it is no JSON.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let value = serde_json::from_str(text).ok()?;
    Some(if text.contains("\\u0000") {
        without_nul(value)
    } else {
        value
    })
}

/// A text that is no JSON, as `jsonb` takes it.
pub(crate) fn unparsed(text: &str) -> Value {
    Value::String(text.replace('\0', ""))
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

/// What stands at the pointer, if it is a string and not empty.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// As [`text`], where it is short enough for a key.
pub(crate) fn id(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer)
        .filter(|text| text.len() <= ID_LIMIT)
        .map(ToOwned::to_owned)
}

/// The items of a list; none where there is no list.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// An instant such as `2026-11-23T10:00:00.000Z`.
pub(crate) fn instant(text: &str) -> Option<OffsetDateTime> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    YEARS.contains(&at.year()).then_some(at)
}

/// Years that a provider's clock may show.
pub(crate) const YEARS: std::ops::RangeInclusive<i32> = 1970..=2100;

/// Milliseconds since 1970.
pub(crate) fn milliseconds(value: Option<&Value>) -> Option<OffsetDateTime> {
    let milliseconds = i128::from(value?.as_i64()?);
    let at = OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).ok()?;
    YEARS.contains(&at.year()).then_some(at)
}
