//! The rules that several kinds of message share. A reason names the member and its limit, never its value.

use crate::Refusal;

/// There and not too long, counted in characters.
pub(super) fn text<'a>(member: &str, value: &'a str, limit: usize) -> Result<&'a str, Refusal> {
    if value.trim().is_empty() {
        return Err(invalid(member, "is empty"));
    }
    at_most(member, value, limit)
}

/// As [`text`], where the member may be absent.
pub(super) fn optional<'a>(
    member: &str,
    value: Option<&'a str>,
    limit: usize,
) -> Result<Option<&'a str>, Refusal> {
    value.map(|value| text(member, value, limit)).transpose()
}

/// Between one and `limit` of something.
pub(super) fn count(member: &str, count: usize, limit: usize) -> Result<(), Refusal> {
    match count {
        0 => Err(invalid(member, "is empty")),
        _ if count > limit => Err(invalid(member, &format!("has more than {limit} entries"))),
        _ => Ok(()),
    }
}

/// No value twice.
pub(super) fn unique<'a, T: Ord>(
    member: &str,
    values: impl Iterator<Item = T> + 'a,
) -> Result<(), Refusal> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    if values.windows(2).any(|pair| pair[0] == pair[1]) {
        Err(invalid(member, "is there twice"))
    } else {
        Ok(())
    }
}

pub(super) fn invalid(member: &str, fault: &str) -> Refusal {
    Refusal::invalid_content(format!("{member} {fault}"))
}

fn at_most<'a>(member: &str, value: &'a str, limit: usize) -> Result<&'a str, Refusal> {
    if value.chars().count() > limit {
        Err(invalid(
            member,
            &format!("is longer than {limit} characters"),
        ))
    } else {
        Ok(value)
    }
}
