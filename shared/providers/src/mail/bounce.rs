//! A report that a mail did not arrive, written by a mail server: for mails that did not leave by a provider which tells of
//! bounces itself, and for those that came back late.
//!
//! Source: RFC 3462 (`multipart/report`) and RFC 3464 (`message/delivery-status`).

use super::headers::{self, Headers};
use super::mailbox;
use super::one_line;
use mail_parser::{Message, MessagePart, MimeHeaders, PartType};

/// Recipients of one report.
const RECIPIENTS: usize = 50;

/// What the report says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounce {
    /// The `Message-ID` of the mail that did not arrive, without brackets.
    pub original_message_id: Option<String>,
    pub recipients: Vec<BouncedRecipient>,
}

/// One recipient of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BouncedRecipient {
    /// In lower case.
    pub address: String,
    /// `failed`, `delayed` …
    pub action: Option<String>,
    /// Such as `5.1.1`.
    pub status: Option<String>,
}

/// `None` where the mail is no such report.
pub(super) fn read(mail: &Message<'_>) -> Option<Bounce> {
    let headers = headers::of(mail);
    let is_status = |part: &&MessagePart<'_>| {
        part.is_content_type("message", "delivery-status")
            || part.is_content_type("message", "global-delivery-status")
    };
    let status = mail.parts.iter().find(is_status);
    let status = status.filter(|_| is_from_a_server(mail, &headers));
    let failed = headers.raw("X-Failed-Recipients");
    if status.is_none() && failed.is_empty() {
        return None;
    }
    let mut recipients = status
        .map(text)
        .map(|text| recipients(&text))
        .unwrap_or_default();
    if recipients.is_empty() {
        recipients = failed
            .iter()
            .flat_map(|list| list.split(','))
            .filter_map(mailbox::address)
            .take(RECIPIENTS)
            .map(|address| BouncedRecipient {
                address,
                action: Some("failed".to_owned()),
                status: None,
            })
            .collect();
    }
    Some(Bounce {
        original_message_id: mail.parts.iter().find_map(original),
        recipients,
    })
}

/// Somebody who passes a report on, and some programs do so part by part, is a person.
fn is_from_a_server(mail: &Message<'_>, headers: &Headers<'_>) -> bool {
    let root = mail.parts.first();
    root.is_some_and(|root| root.is_content_type("multipart", "report"))
        || headers.return_path().as_deref() == Some("")
        || headers.is_from_a_mail_server()
}

fn text(part: &MessagePart<'_>) -> String {
    String::from_utf8_lossy(part.contents()).replace("\r\n", "\n")
}

/// Paragraphs of fields; the first is about the report itself and has no recipient.
fn recipients(status: &str) -> Vec<BouncedRecipient> {
    let read = |paragraph: &str| {
        let field = |name: &str| {
            paragraph.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found
                    .trim()
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim())
            })
        };
        let address = field("Final-Recipient").or_else(|| field("Original-Recipient"))?;
        // `rfc822; ana@example.com`
        let address = address
            .split_once(';')
            .map_or(address, |(_, address)| address);
        Some(BouncedRecipient {
            address: mailbox::address(address)?,
            action: field("Action").map(|action| one_line(action, 40).to_ascii_lowercase()),
            status: field("Status").and_then(code),
        })
    };
    status
        .split("\n\n")
        .filter_map(read)
        .take(RECIPIENTS)
        .collect()
}

/// Servers put words behind it.
fn code(status: &str) -> Option<String> {
    let code = status.split_whitespace().next()?;
    let is_code = code.len() <= 11
        && code.split('.').count() == 3
        && code
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_code.then(|| code.to_owned())
}

/// The mail itself, or its headers alone, come back with the report.
fn original(part: &MessagePart<'_>) -> Option<String> {
    if let PartType::Message(inner) = &part.body {
        return Headers::ids(&headers::of(inner), "Message-ID")
            .into_iter()
            .next();
    }
    let is_headers = part.is_content_type("text", "rfc822-headers")
        || part.is_content_type("message", "rfc822-headers");
    if !is_headers {
        return None;
    }
    let unfolded = text(part).replace("\n ", " ").replace("\n\t", " ");
    unfolded.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_id = name.trim().eq_ignore_ascii_case("Message-ID");
        is_id
            .then(|| headers::ids(value).into_iter().next())
            .flatten()
    })
}
