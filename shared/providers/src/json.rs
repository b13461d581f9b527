//! JSON that AWS sends, read without trust in its shape, and kept in a form that Postgres takes.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest id or word that is kept: longer ones do not fit into an index.
const ID_LIMIT: usize = 512;

/// Parses a text so that a `jsonb` and a `text` column take it: without NUL characters, and half a surrogate pair as U+FFFD. `None`: it is
/// no JSON.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let value = serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&whole_characters(text)))
        .ok()?;
    Some(if text.contains("\\u0000") {
        without_nul(value)
    } else {
        value
    })
}

/// JSON text in which whatever is half a surrogate pair is U+FFFD.
pub(crate) fn whole_characters(text: &str) -> String {
    with_escapes(text, |escape| match surrogate(escape)? {
        Surrogate::High if escape.get(6..).and_then(surrogate) == Some(Surrogate::Low) => {
            Some((escape.get(..12)?, 12))
        }
        _ => Some(("\\ufffd", 6)),
    })
}

#[derive(PartialEq)]
enum Surrogate {
    High,
    Low,
}

/// The half of a pair that the text begins with, as JSON escapes it: six characters.
fn surrogate(text: &str) -> Option<Surrogate> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Surrogate::High),
        0xDC00..=0xDFFF => Some(Surrogate::Low),
        _ => None,
    }
}

/// JSON text with other escapes: `other` says what stands for what the text begins with and how many bytes of it that is, or
/// nothing where it stays. Inside strings, the only place where a backslash may stand, it takes the next character with it:
/// `\\u0000` after another backslash is no NUL.
pub(crate) fn with_escapes<'a>(
    text: &'a str,
    other: impl Fn(&'a str) -> Option<(&'a str, usize)>,
) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.find('\\').map(|at| rest.split_at(at)) {
        written.push_str(before);
        let (piece, length) = other(escape).unwrap_or_else(|| {
            let next = escape.char_indices().nth(2);
            let (kept, _) = escape.split_at(next.map_or(escape.len(), |(at, _)| at));
            (kept, kept.len())
        });
        written.push_str(piece);
        (_, rest) = escape.split_at(length);
    }
    written.push_str(rest);
    written
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
