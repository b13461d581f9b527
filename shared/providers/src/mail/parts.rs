//! The files in a mail.
//!
//! Everything that is not the text of the mail is one: calendar invitations, mails in the mail, signatures of PGP. Their
//! order is the mail's, and a file's place in it is how it is found again.

use super::{danger, one_line, parse};
use crate::filename::{self, FILENAME_LIMIT};
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, Encoding, Message, MessagePart, MimeHeaders, PartType};
use std::borrow::Cow;

/// Files of one mail.
const PARTS: usize = 50;

/// A file in a mail, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its place among the attachments; [`attachment`] finds it by this.
    pub ordinal: u16,
    /// Without path, control characters and length that a file system would refuse; made up where there is none.
    pub filename: String,
    /// As the mail says, in lower case; `application/octet-stream` where it says nothing.
    pub mime_type: String,
    /// Bytes of the file as it was attached: a text is counted, and handed out, in the charset that it came in.
    pub size: usize,
    /// Without brackets: what `cid:` in the HTML refers to.
    pub content_id: Option<String>,
    /// Part of the text (a picture in a signature), and no file that somebody attached.
    pub inline: bool,
    /// A program, by its name or its bytes: not to be handed to people as a file.
    pub dangerous: bool,
}

/// Takes one file out of a mail; `None` where there is none at that place.
#[must_use]
pub fn attachment(raw: &[u8], ordinal: u16) -> Option<(Attachment, Vec<u8>)> {
    let mail = parse(raw).ok()?;
    let html = super::body::html(&mail).map(|(html, _)| html);
    let part = files(&mail).nth(usize::from(ordinal))?;
    let bytes = bytes(&mail, part);
    let file = describe(part, &bytes, ordinal, html.as_deref());
    Some((file, bytes.into_owned()))
}

/// Does the mail have more files than are listed?
pub(super) fn has_more(mail: &Message<'_>) -> bool {
    mail.attachments.len() > PARTS
}

/// All files; `html` is what may refer to them.
pub(super) fn list(mail: &Message<'_>, html: Option<&str>) -> Vec<Attachment> {
    (0..)
        .zip(files(mail))
        .map(|(ordinal, part)| describe(part, &bytes(mail, part), ordinal, html))
        .collect()
}

fn files<'a>(mail: &'a Message<'a>) -> impl Iterator<Item = &'a MessagePart<'a>> {
    mail.attachments
        .iter()
        .filter_map(|id| mail.parts.get(*id as usize))
        .take(PARTS)
}

/// The file as it was before it was packed for sending. Its charset is left alone: what is said of it is often wrong, and the
/// file may say it itself, or be signed.
fn bytes<'a>(mail: &'a Message<'a>, part: &'a MessagePart<'a>) -> Cow<'a, [u8]> {
    let (start, end) = (part.offset_body as usize, part.offset_end as usize);
    let sent = mail.raw_message.get(start..end).unwrap_or_default();
    match &part.body {
        PartType::Message(_) if part.encoding == Encoding::None => sent.into(),
        PartType::Message(inner) => (*inner.raw_message).into(),
        PartType::Text(_) | PartType::Html(_) => unpacked(sent, part.encoding),
        _ => part.contents().into(),
    }
}

/// As the parser unpacked it, before it read the charset.
fn unpacked(sent: &[u8], encoding: Encoding) -> Cow<'_, [u8]> {
    let mut stream = MessageStream::new(sent);
    let (end, bytes) = match encoding {
        Encoding::None => return sent.into(),
        Encoding::QuotedPrintable => stream.decode_quoted_printable_mime(b""),
        Encoding::Base64 => stream.decode_base64_mime(b""),
    };
    // How the parser says that it was no such encoding.
    if end == usize::MAX {
        sent.into()
    } else {
        bytes
    }
}

fn describe(part: &MessagePart<'_>, bytes: &[u8], ordinal: u16, html: Option<&str>) -> Attachment {
    let mime_type = mime_type(part);
    let content_id = part
        .content_id()
        .map(|id| one_line(id.trim_matches(['<', '>', ' ']), FILENAME_LIMIT))
        .filter(|id| !id.is_empty());
    let named = part.attachment_name().and_then(filename::clean);
    let filename = named
        .clone()
        .unwrap_or_else(|| format!("file-{}.{}", u32::from(ordinal) + 1, extension(&mime_type)));
    let shown = content_id.as_deref().is_some_and(|id| refers(html, id));
    let is_attached = part
        .content_disposition()
        .is_some_and(ContentType::is_attachment);
    let is_picture = mime_type.starts_with("image/");
    Attachment {
        ordinal,
        size: bytes.len(),
        inline: shown || is_picture && named.is_none() && !is_attached,
        dangerous: danger::is_dangerous(&filename, bytes),
        filename,
        mime_type,
        content_id,
    }
}

fn refers(html: Option<&str>, content_id: &str) -> bool {
    let escaped = content_id.replace('&', "&amp;");
    html.is_some_and(|html| html.contains(&format!("\"cid:{escaped}\"")))
}

fn mime_type(part: &MessagePart<'_>) -> String {
    let plain = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c);
        (1..=100).contains(&text.len()) && text.chars().all(plain)
    };
    part.content_type()
        .and_then(|kind| Some((kind.ctype(), kind.subtype()?)))
        .filter(|(kind, sort)| plain(kind) && plain(sort))
        .map_or_else(
            || match part.body {
                PartType::Text(_) => "text/plain".to_owned(),
                PartType::Message(_) => "message/rfc822".to_owned(),
                _ => "application/octet-stream".to_owned(),
            },
            |(kind, sort)| format!("{kind}/{sort}").to_ascii_lowercase(),
        )
}

/// For files that nobody named.
fn extension(mime_type: &str) -> &str {
    match mime_type {
        "text/plain" => "txt",
        "text/calendar" => "ics",
        "text/vcard" | "text/x-vcard" => "vcf",
        "message/rfc822" | "message/global" => "eml",
        "image/jpeg" => "jpg",
        "image/svg+xml" => "svg",
        "audio/mpeg" => "mp3",
        "application/pgp-signature" => "asc",
        "application/pdf" | "application/zip" | "image/png" | "image/gif" | "image/webp"
        | "text/html" | "text/csv" => mime_type.rsplit_once('/').map_or("bin", |(_, sort)| sort),
        _ if mime_type.starts_with("text/") || mime_type.starts_with("message/") => "txt",
        _ => "bin",
    }
}
