//! Mails in a mail that are encoded, decoded as generously as any parser might.

use base64::Engine as _;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};

const HEADER: &[u8] = b"content-transfer-encoding";
const GENEROUS: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A part that may be a mail, and what follows it.
pub(super) enum Encoded<'a> {
    Base64(&'a [u8]),
    QuotedPrintable(&'a [u8]),
}

impl Encoded<'_> {
    /// Bytes that are walked through to decode it.
    pub fn len(&self) -> usize {
        let (Self::Base64(body) | Self::QuotedPrintable(body)) = self;
        body.len()
    }

    pub fn decoded(&self) -> Vec<u8> {
        match self {
            Self::Base64(body) => from_base64(body),
            Self::QuotedPrintable(body) => from_quoted_printable(body),
        }
    }
}

/// Every part that may be a mail.
pub(super) fn mails(raw: &[u8]) -> impl Iterator<Item = Encoded<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + find(raw.get(from..)?, HEADER)?;
            let headers = headers(raw, at);
            from = headers.end;
            let body = raw.get(headers.end..).unwrap_or_default();
            let headers = raw[headers].to_ascii_lowercase();
            if !may_be_a_mail(&headers) {
                continue;
            }
            if find(&headers, b"base64").is_some() {
                return Some(Encoded::Base64(up_to_a_boundary(body)));
            }
            if find(&headers, b"quoted-printable").is_some() {
                return Some(Encoded::QuotedPrintable(body));
            }
        }
    })
}

/// From behind the blank line or the boundary before to the blank line after: one walk through each, however often the name stands in it.
fn headers(raw: &[u8], at: usize) -> std::ops::Range<usize> {
    let line_start = |end: usize| {
        let before = raw[..end].iter().rposition(|byte| *byte == b'\n');
        before.map_or(0, |newline| newline + 1)
    };
    let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
    let mut start = line_start(at);
    while start > 0 {
        let before = line_start(start - 1);
        let line = &raw[before..start];
        if is_blank(line) || line.starts_with(b"--") {
            break;
        }
        start = before;
    }
    let mut end = at;
    for line in raw[at..].split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if is_blank(line) {
            break;
        }
    }
    start..end
}

/// A part of another type than `message` is none; one without a type is, in a digest.
fn may_be_a_mail(headers: &[u8]) -> bool {
    let mut rest = headers;
    while let Some(at) = find(rest, b"message") {
        rest = &rest[at + b"message".len()..];
        let next = rest
            .iter()
            .find(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\\'));
        if matches!(next, Some(b'/' | b'(')) {
            return true;
        }
    }
    find(headers, b"content-type").is_none()
}

/// Where the word stands first, in whatever case.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len())
        .position(|window| window.eq_ignore_ascii_case(word))
}

/// A line that may be one can stand in no base64.
fn up_to_a_boundary(body: &[u8]) -> &[u8] {
    let end = body.windows(3).position(|window| window == b"\n--");
    &body[..end.unwrap_or(body.len())]
}

fn from_base64(body: &[u8]) -> Vec<u8> {
    let letters: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        .collect();
    // A letter over is no byte.
    let whole = letters.len() - usize::from(letters.len() % 4 == 1);
    GENEROUS.decode(&letters[..whole]).unwrap_or_default()
}

/// To the end: what looks like a boundary may be one of its lines.
fn from_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'=' {
            decoded.push(*byte);
            continue;
        }
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(value) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(value);
            rest = &after[2..];
        } else if let Some(end) = after
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r'))
            && after[end] == b'\n'
        {
            rest = &after[end + 1..];
        }
    }
    decoded
}
