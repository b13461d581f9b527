//! What was written, as text and as HTML, from the parts that are not files.
//!
//! Programs that do not say in which characters they write are read as UTF-8 where they are that, else as their HTML says, else as
//! Windows-1252, which is what such programs mean.

use super::{TEXT_LIMIT, flowed, html};
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::text_to_html;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessagePart, MimeHeaders, PartType};
use std::borrow::Cow;

/// All texts of the mail; where there are none, or empty ones, what its HTML says, and where it has none either, what nobody attached.
pub(super) fn text(mail: &Message<'_>) -> String {
    let written = written(mail, mail.text_bodies());
    if !written.is_empty() {
        return written;
    }
    match source(mail) {
        Some((html, _)) => as_text(&html).0.replace('\0', "").trim().to_owned(),
        None => self::written(mail, unattached(mail)),
    }
}

/// The last part of a mail that ends before its closing line counts as a file to the parser.
fn unattached<'a>(mail: &'a Message<'a>) -> impl Iterator<Item = &'a MessagePart<'a>> {
    let parts = mail.attachments.iter();
    parts
        .filter_map(|id| mail.parts.get(*id as usize))
        .filter(|part| part.content_disposition().is_none() && part.attachment_name().is_none())
}

/// The text, and how much was read for it.
fn as_text(source: &str) -> (String, usize) {
    let mut source = source.to_owned();
    html::shorten(&mut source);
    (html::text(&source), source.len())
}

fn written<'a>(mail: &Message<'_>, parts: impl Iterator<Item = &'a MessagePart<'a>>) -> String {
    let texts = parts.filter_map(|part| match &part.body {
        PartType::Text(text) => {
            let text = meant(mail, part, text).replace("\r\n", "\n");
            let read = text.len();
            Some((flowed::unbroken(part, text), read))
        }
        PartType::Html(source) => Some(as_text(&meant(mail, part, source))),
        _ => None,
    });
    joined(texts, "\n").replace('\0', "").trim().to_owned()
}

/// All parts of the mail as one HTML, made safe, and whether it was too long; `None` where none of them is HTML.
pub(super) fn html(mail: &Message<'_>) -> Option<(String, bool)> {
    let (source, cut) = source(mail)?;
    Some((html::safe(&source), cut))
}

/// Each part is made short by itself too: the pictures of one must not take the room of the next one's words.
fn source(mail: &Message<'_>) -> Option<(String, bool)> {
    let is_html = mail
        .html_bodies()
        .any(|part| matches!(&part.body, PartType::Html(_)));
    let mut cut = false;
    let parts = mail.html_bodies().filter_map(|part| match &part.body {
        PartType::Html(html) => {
            let mut html = meant(mail, part, html).into_owned();
            cut |= html::shorten(&mut html);
            let read = html.len();
            Some((html, read))
        }
        PartType::Text(text) => {
            let text = text_to_html(&meant(mail, part, text));
            let read = text.len();
            Some((text, read))
        }
        _ => None,
    });
    let mut source = joined(parts, "\n<br>\n").replace('\0', "");
    cut |= html::shorten(&mut source);
    is_html.then_some((source, cut))
}

/// Stops where more would be cut anyway, or where so much was read for nothing: a mail may have any number of parts.
fn joined(parts: impl Iterator<Item = (String, usize)>, between: &str) -> String {
    let mut joined = String::new();
    let mut all_read = 0;
    for (part, read) in parts {
        if !part.trim().is_empty() {
            if !joined.is_empty() {
                joined.push_str(between);
            }
            joined.push_str(&part);
        }
        all_read += read;
        if joined.len() > TEXT_LIMIT || all_read > 4 * TEXT_LIMIT {
            break;
        }
    }
    joined
}

/// What a part says that does not tell its characters, or tells those of English; else as the parser has read it.
fn meant<'a>(mail: &Message<'_>, part: &MessagePart<'_>, read: &'a str) -> Cow<'a, str> {
    let kind = part.content_type();
    let told = kind.and_then(|kind| kind.attribute("charset"));
    let is_told = told.is_some_and(|told| {
        !told.eq_ignore_ascii_case("us-ascii") && charset_decoder(told.as_bytes()).is_some()
    });
    if is_told || read.is_ascii() {
        return Cow::Borrowed(read);
    }
    let (from, to) = (part.offset_body as usize, part.offset_end as usize);
    let raw = mail.raw_message.get(from..to);
    let bytes = raw.and_then(|raw| match part.encoding {
        Encoding::None => Some(raw.to_vec()),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
        Encoding::Base64 => base64_decode(raw),
    });
    let Some(bytes) = bytes else {
        return Cow::Borrowed(read);
    };
    let other = |bytes: &[u8]| {
        let label = charset_of_html(bytes).filter(|label| label != b"utf-8");
        let decode = charset_decoder(&label.unwrap_or_default())
            .or_else(|| charset_decoder(b"windows-1252"));
        decode.map_or_else(|| read.to_owned(), |decode| decode(bytes))
    };
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| other(error.as_bytes())))
}

/// Bytes in which a page says its characters, as browsers look for them.
const HTML_HEAD: usize = 1024;

/// `<meta charset=iso-8859-1>`, or in what `http-equiv` says.
fn charset_of_html(page: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"charset=";
    let head = page.get(..HTML_HEAD).unwrap_or(page).to_ascii_lowercase();
    let at = head.windows(NAME.len()).position(|name| name == NAME)?;
    let value = head[at + NAME.len()..].iter().copied();
    let value = value.skip_while(|byte| matches!(byte, b'"' | b'\'' | b' '));
    Some(
        value
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
            .collect(),
    )
}
