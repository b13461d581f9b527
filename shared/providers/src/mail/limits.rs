//! How much structure a mail may have, seen before anything is parsed.
//!
//! A mail in a mail in a mail costs its reader a level of stack for each, and a part that announces an end which never comes
//! costs a walk through the whole rest. People's mails have a dozen of either; what they talk about has no part in it, so a
//! word counts only where the parser could take it for an announcement. The parser takes more than the RFCs allow: it passes
//! over quotes and backslashes, and lets any comment stand between.

mod encoded;

/// Announcements of an inner mail or of a boundary.
const LIMIT: usize = 256;
/// Lines that may begin a part: each part takes some hundred bytes to be read, however short it is. Tables and scripts that people send
/// along have some thousand such lines.
const PARTS: usize = 100_000;
/// Lines that may be a header's field, and addresses. Each is kept while the mail is read.
const FIELDS: usize = 500_000;

/// Mails that are encoded, of one mail, and how often its length may be decoded. The parser reads those within three of one another.
const ENCODED: usize = 64;
const DECODED_AT_MOST: usize = 16;
const ENCODED_LAYERS: usize = 3;

/// Counts what would open a layer; in mails that were sent along encoded, as the parser will decode them, too.
pub(super) fn is_too_nested(raw: &[u8]) -> bool {
    let mut budget = Budget {
        mails: ENCODED,
        bytes: DECODED_AT_MOST * raw.len(),
    };
    is_too_nested_within(raw, ENCODED_LAYERS, &mut budget)
}

/// Of all layers together: what is decoded may hold what is decoded again.
struct Budget {
    mails: usize,
    bytes: usize,
}

impl Budget {
    /// `false`: nothing is left for so much.
    fn takes(&mut self, bytes: usize) -> bool {
        let left = (self.mails.checked_sub(1), self.bytes.checked_sub(bytes));
        let (Some(mails), Some(bytes)) = left else {
            return false;
        };
        *self = Self { mails, bytes };
        true
    }
}

fn is_too_nested_within(raw: &[u8], layers: usize, budget: &mut Budget) -> bool {
    if announcements(raw).nth(LIMIT).is_some()
        || part_lines(raw).nth(PARTS).is_some()
        || fields(raw) > FIELDS
    {
        return true;
    }
    let Some(layers) = layers.checked_sub(1) else {
        return false;
    };
    encoded::mails(raw).any(|mail| {
        !budget.takes(mail.len()) || is_too_nested_within(&mail.decoded(), layers, budget)
    })
}

fn announcements(raw: &[u8]) -> impl Iterator<Item = usize> {
    // Was the type named in this header, or what looks like one?
    let mut is_named = false;
    (0..raw.len()).filter(move |at| {
        let (before, rest) = raw.split_at(*at);
        match rest[0].to_ascii_lowercase() {
            b'\n' => {
                is_named &= is_continued(rest);
                false
            }
            b'm' => {
                is_named |= starts_with(rest, b"message") || starts_with(rest, b"multipart");
                false
            }
            b'b' => starts_with(rest, b"boundary") && names_a_value(&rest[b"boundary".len()..]),
            b'r' | b'g' | b'd' => {
                let words: [&[u8]; 3] = [b"rfc822", b"global", b"digest"];
                is_named
                    && words.iter().any(|word| starts_with(rest, word))
                    && follows_a_type(before)
            }
            _ => false,
        }
    })
}

/// Whatever its boundary is, a part begins where the parser finds it behind two dashes, anywhere in a line, and lasts to another line.
fn part_lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n')
        .filter(|line| line.windows(2).any(|two| two == b"--"))
}

/// Of all that stands in the mail: where its headers are, only its reader knows.
fn fields(raw: &[u8]) -> usize {
    let is_field = |line: &[u8]| {
        let end = line
            .iter()
            .position(|byte| !byte.is_ascii_graphic() || *byte == b':');
        end.is_some_and(|end| end > 0 && line[end] == b':')
    };
    let lines = raw.split(|byte| *byte == b'\n');
    let addresses = raw.split(|byte| *byte == b'@').skip(1).count();
    addresses + lines.filter(|line| is_field(line)).count()
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Does the header go on after this line's end?
fn is_continued(rest: &[u8]) -> bool {
    matches!(rest.get(1), Some(b' ' | b'\t'))
}

/// What the parser does not see between words.
fn is_passed_over(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'"' | b'\\')
}

/// `message/rfc822`, `message (x)/ (y) rfc822`, `message/z (y) rfc822`: a comment may hide all but the type itself.
fn follows_a_type(before: &[u8]) -> bool {
    let ends = |text: &[u8], is_blank: fn(u8) -> bool| {
        let end = text.iter().rposition(|byte| !is_blank(*byte));
        end.map_or(0, |end| end + 1)
    };
    let before = &before[..ends(before, is_passed_over)];
    match before.split_last() {
        Some((b')', _)) => true,
        Some((b'/', kind)) => {
            let kind = &kind[..ends(kind, |byte| byte == b'\n' || is_passed_over(byte))];
            let is_type = |word: &[u8]| {
                kind.len() >= word.len() && starts_with(&kind[kind.len() - word.len()..], word)
            };
            kind.ends_with(b")") || is_type(b"message") || is_type(b"multipart")
        }
        _ => false,
    }
}

/// `boundary=`, `boundary*0*=`. After a star that names nothing (`x*; y; boundary; =`) the parser takes whatever name came last.
fn names_a_value(rest: &[u8]) -> bool {
    let next = rest.iter().position(|byte| !is_passed_over(*byte));
    next.is_some_and(|next| match rest[next] {
        b'=' | b'*' | b';' | b'(' => true,
        b'\n' => is_continued(&rest[next..]),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
