//! How much structure a mail may have, seen before anything is parsed.
//!
//! A mail in a mail in a mail costs its reader a level of stack for each, and a part that announces an end which never comes
//! costs a walk through the whole rest. People's mails have a dozen of either.

/// Announcements of an inner mail or of a boundary.
const LIMIT: usize = 256;

/// Counts what would open a layer; a text that only speaks of such things counts too, for a parser could be tricked.
pub(super) fn is_too_nested(raw: &[u8]) -> bool {
    let opens = |at: &usize| {
        let rest = &raw[*at..];
        starts_with(rest, b"boundary")
            || [b"rfc822", b"global", b"digest"]
                .iter()
                .any(|word| starts_with(rest, *word))
                && follows_a_slash(&raw[..*at])
    };
    (0..raw.len())
        .filter(|at| matches!(raw[*at].to_ascii_lowercase(), b'b' | b'r' | b'g' | b'd'))
        .filter(opens)
        .nth(LIMIT)
        .is_some()
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// `message/rfc822`, and what a parser may take for it: `message/ (x) rfc822`.
fn follows_a_slash(before: &[u8]) -> bool {
    before
        .iter()
        .rev()
        .find(|byte| !byte.is_ascii_whitespace())
        .is_some_and(|byte| matches!(byte, b'/' | b')'))
}
