//! What was written, as text and as HTML, from the parts that are not files.

use super::{TEXT_LIMIT, html};
use mail_parser::decoders::html::text_to_html;
use mail_parser::{Message, MessagePart, MimeHeaders, PartType};

/// All texts of the mail; where there are none, or empty ones, what its HTML says, and where it has none either, what nobody attached.
pub(super) fn text(mail: &Message<'_>) -> String {
    let written = written(mail.text_bodies());
    if !written.is_empty() {
        return written;
    }
    match source(mail) {
        Some((html, _)) => as_text(&html).replace('\0', "").trim().to_owned(),
        None => self::written(unattached(mail)),
    }
}

/// The last part of a mail that ends before its closing line counts as a file to the parser.
fn unattached<'a>(mail: &'a Message<'a>) -> impl Iterator<Item = &'a MessagePart<'a>> {
    let parts = mail.attachments.iter();
    parts
        .filter_map(|id| mail.parts.get(*id as usize))
        .filter(|part| part.content_disposition().is_none() && part.attachment_name().is_none())
}

fn as_text(source: &str) -> String {
    let mut source = source.to_owned();
    html::shorten(&mut source);
    html::text(&source)
}

fn written<'a>(parts: impl Iterator<Item = &'a MessagePart<'a>>) -> String {
    let texts = parts.filter_map(|part| match &part.body {
        PartType::Text(text) => Some(text.replace("\r\n", "\n")),
        PartType::Html(source) => Some(as_text(source)),
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
            let mut html = html.to_string();
            cut |= html::shorten(&mut html);
            Some(html)
        }
        PartType::Text(text) => Some(text_to_html(text)),
        _ => None,
    });
    let mut source = joined(parts, "\n<br>\n").replace('\0', "");
    cut |= html::shorten(&mut source);
    is_html.then_some((source, cut))
}

/// Stops where more would be cut anyway: a mail may have any number of parts.
fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    let mut joined = String::new();
    for part in parts.filter(|part| !part.trim().is_empty()) {
        if !joined.is_empty() {
            joined.push_str(between);
        }
        joined.push_str(&part);
        if joined.len() > TEXT_LIMIT {
            break;
        }
    }
    joined
}
