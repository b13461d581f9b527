//! Subjects as careless programs write them: letters without a word about their charset, and a letter that begins in one encoded word
//! and ends in the next, which RFC 2047 forbids.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::MessageParser;
use mail_parser::decoders::charsets::map::charset_decoder;

/// Bytes of a subject that are looked at.
const LIMIT: usize = 4096;

/// The header's value, read with more patience; `None` where that helps nothing.
pub(super) fn subject(raw: &[u8]) -> Option<String> {
    let raw = raw.get(..LIMIT).unwrap_or(raw);
    let Ok(text) = std::str::from_utf8(raw) else {
        let decode = charset_decoder(b"windows-1252")?;
        return Some(decode(raw));
    };
    let mail = format!("Subject: {}\r\n\r\n", joined(text));
    let parsed = MessageParser::default().parse(mail.as_bytes())?;
    parsed.subject().map(str::to_owned)
}

/// Encoded words of one charset and encoding that follow each other, as one.
fn joined(text: &str) -> String {
    let mut written = String::new();
    let mut open: Option<Word<'_>> = None;
    let mut rest = text;
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start().len();
        let Some((word, behind)) = open.as_ref().and_then(|_| Word::at(&rest[blank..])) else {
            if let Some(word) = open.take() {
                written.push_str(&word.text());
            }
            let begins = rest.find("=?").unwrap_or(rest.len());
            let (plain, from) = rest.split_at(begins);
            written.push_str(plain);
            if let Some((word, behind)) = Word::at(from) {
                (open, rest) = (Some(word), behind);
            } else {
                let step = from.len().min(2);
                written.push_str(&from[..step]);
                rest = &from[step..];
            }
            continue;
        };
        open = match open.take() {
            Some(mut before) if before.is_like(&word) => {
                before.bytes.extend_from_slice(&word.bytes);
                Some(before)
            }
            Some(before) => {
                written.push_str(&before.text());
                written.push(' ');
                Some(word)
            }
            None => Some(word),
        };
        rest = behind;
    }
    if let Some(word) = open {
        written.push_str(&word.text());
    }
    written
}

/// `=?utf-8?B?w7Gx?=`
struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

impl<'a> Word<'a> {
    fn at(text: &'a str) -> Option<(Self, &'a str)> {
        let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
        let (encoding, rest) = rest.split_once('?')?;
        let (data, behind) = rest.split_once("?=")?;
        let bytes = match encoding {
            "B" | "b" => STANDARD.decode(data).ok()?,
            "Q" | "q" => unquoted(data)?,
            _ => return None,
        };
        Some((Self { charset, bytes }, behind))
    }

    fn is_like(&self, other: &Self) -> bool {
        self.charset.eq_ignore_ascii_case(other.charset)
    }

    fn text(&self) -> String {
        format!("=?{}?B?{}?=", self.charset, STANDARD.encode(&self.bytes))
    }
}

fn unquoted(data: &str) -> Option<Vec<u8>> {
    let mut bytes = data.bytes();
    let mut read = Vec::with_capacity(data.len());
    while let Some(byte) = bytes.next() {
        read.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_may_be_torn_and_a_charset_untold() {
        for (raw, meant) in [
            (&b"=?utf-8?B?w7HD?= =?utf-8?B?sQ==?="[..], "ññ"),
            (
                b"Re: =?UTF-8?Q?a=C3?=\r\n =?utf-8?q?=B1o_nuevo?= ya",
                "Re: año nuevo ya",
            ),
            (b"Reserva para ma\xf1ana", "Reserva para mañana"),
            (b"=?utf-8?B?w7E=?= =?iso-8859-1?Q?=F1?=", "ññ"),
            (b"=? is no word =?x", "=? is no word =?x"),
        ] {
            assert_eq!(subject(raw).as_deref(), Some(meant));
        }
    }
}
