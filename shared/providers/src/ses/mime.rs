//! The message itself, as RFC 5322 and MIME want it.
//!
//! Nothing of a command or an account can start a header of its own: addresses, ids and URLs are refused unless they
//! are made of harmless characters; names and subjects lose their control characters and are encoded by the builder.
//! `Message-ID` and `Date` are written because a message has them; SES replaces both. A header of our own marks every mail,
//! so that one which comes back is known for ours.
//!
//! Source: RFC 5322, 2045, 2047, 2231, 2369 and 8058; "Attachments", SES developer guide.

mod attachment;

use super::SesSender;
use crate::command::Email;
use crate::mail::LOOP_HEADER;
use crate::{Refusal, SendMessageCommand};
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::url::URL;
use mail_builder::mime::MimePart;
use std::borrow::Cow;

/// Of the message after encoding.
const SIZE_LIMIT: usize = 40_000_000;

/// Writes the whole message.
pub(super) fn write(
    sender: &SesSender,
    command: &SendMessageCommand,
    email: &Email,
    to: &str,
) -> Result<Vec<u8>, Refusal> {
    if !is_address(&sender.from_address) {
        return Err(Refusal::invalid_sender(
            "from_address is not an email address in ASCII",
        ));
    }
    let id = command.correlation_id.simple().to_string();
    let name = sender.from_name.as_deref().map(one_line);
    let mut message = MessageBuilder::new()
        .from(Address::new_address(name, sender.from_address.as_str()))
        .to(to)
        .subject(subject(email)?)
        .message_id(format!("{id}@{}", domain_of(&sender.from_address)));
    if let Some(reply_to) = reply_to(sender)? {
        message = message.reply_to(reply_to);
    }
    if let Some(answered) = command.reply_to.as_deref().and_then(message_id) {
        message = message
            .in_reply_to(MessageId::new(answered))
            .references(MessageId::new(answered));
    }
    message = message.header(LOOP_HEADER, Raw::new(id.as_str()));
    if email.unsubscribable {
        message = unsubscribable(message, sender, command)?;
    }
    let mut written = Vec::new();
    message.body(body(email, &id)?).serialize(&mut written);
    if written.len() > SIZE_LIMIT {
        return Err(Refusal::invalid_content(
            "the email is larger than 40 MB with its attachments",
        ));
    }
    Ok(written)
}

/// `local@domain` in plain ASCII, which is all that SES takes. The local part may stand in quotes, as one with two dots in a row must.
#[must_use]
pub fn is_address(address: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !r#"@<>()[],;:\""#.contains(c);
    address.rsplit_once('@').is_some_and(|(local, domain)| {
        let quoted = local
            .strip_prefix('"')
            .and_then(|local| local.strip_suffix('"'));
        let name = quoted.unwrap_or(local);
        local.len() <= 64 && !name.is_empty() && name.chars().all(plain) && is_domain(domain)
    })
}

fn is_domain(domain: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (1..=255).contains(&domain.len()) && domain.chars().all(plain)
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

fn subject(email: &Email) -> Result<Cow<'_, str>, Refusal> {
    if email.subject.trim().is_empty() {
        Err(Refusal::invalid_content("email.subject is empty"))
    } else {
        Ok(one_line(&email.subject))
    }
}

/// A line break in a subject or a name is an accident of a template, and no reason not to send.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.replace(char::is_control, " ").into()
    } else {
        text.into()
    }
}

fn reply_to(sender: &SesSender) -> Result<Option<&str>, Refusal> {
    match sender.reply_to.as_deref() {
        Some(address) if !is_address(address) => Err(Refusal::invalid_sender(
            "reply_to is not an email address in ASCII",
        )),
        address => Ok(address),
    }
}

fn reply_domain(sender: &SesSender) -> Result<Option<&str>, Refusal> {
    match sender.reply_domain.as_deref() {
        Some(domain) if !is_domain(domain) => {
            Err(Refusal::invalid_sender("reply_domain is not a domain"))
        }
        domain => Ok(domain),
    }
}

/// The id without its brackets. One of another shape, which a stranger's program made, is left out: the answer
/// matters more than its place in the recipient's list.
fn message_id(text: &str) -> Option<&str> {
    let id = text.trim();
    let id = id
        .strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .unwrap_or(id);
    let plain = |c: char| c.is_ascii_graphic() && c != '<' && c != '>';
    ((1..=900).contains(&id.len()) && id.chars().all(plain)).then_some(id)
}

/// By mail, by one click, or both; a sender with neither must not send what people may unsubscribe from.
fn unsubscribable<'a>(
    message: MessageBuilder<'a>,
    sender: &SesSender,
    command: &SendMessageCommand,
) -> Result<MessageBuilder<'a>, Refusal> {
    let mut ways = Vec::new();
    if let Some(base) = &sender.unsubscribe_url {
        if !is_base_url(base) {
            return Err(Refusal::invalid_sender(
                "unsubscribe_url is not an https URL without a query",
            ));
        }
        let id = command.correlation_id.hyphenated();
        ways.push(format!("{}/{id}", base.trim_end_matches('/')));
    }
    if let Some(domain) = reply_domain(sender)? {
        let id = command.correlation_id.simple();
        ways.push(format!("mailto:unsubscribe+{id}@{domain}"));
    }
    if ways.is_empty() {
        return Err(Refusal::invalid_sender(
            "the account has neither unsubscribe_url nor reply_domain, and the email must have one",
        ));
    }
    let message = message.header("List-Unsubscribe", URL::new_list(ways.into_iter()));
    Ok(if sender.unsubscribe_url.is_some() {
        message.header(
            "List-Unsubscribe-Post",
            Raw::new("List-Unsubscribe=One-Click"),
        )
    } else {
        message
    })
}

fn is_base_url(url: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"<>,\"?#".contains(c);
    url.strip_prefix("https://")
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

/// Text and HTML as alternatives, and beside them the attachments.
fn body<'a>(email: &'a Email, id: &str) -> Result<MimePart<'a>, Refusal> {
    let part = |kind: &'static str, text: &'a Option<String>| {
        text.as_deref()
            .filter(|text| !text.trim().is_empty())
            .map(|text| MimePart::new(kind, text))
    };
    let written = match (
        part("text/plain", &email.text),
        part("text/html", &email.html),
    ) {
        (Some(text), Some(html)) => multipart("multipart/alternative", id, vec![text, html]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => {
            return Err(Refusal::invalid_content(
                "email.text and email.html are both empty",
            ));
        }
    };
    if email.attachments.is_empty() {
        return Ok(written);
    }
    let mut parts = vec![written];
    parts.extend(attachment::parts(&email.attachments)?);
    Ok(multipart("multipart/mixed", id, parts))
}

/// `=_` can stand in no encoded part, and nobody who writes a part knows the id.
fn multipart<'a>(kind: &'static str, id: &str, parts: Vec<MimePart<'a>>) -> MimePart<'a> {
    let nature = kind.rsplit_once('/').map_or(kind, |(_, nature)| nature);
    let kind = ContentType::new(kind).attribute("boundary", format!("=_{nature}_{id}"));
    MimePart::new(kind, parts)
}

#[cfg(test)]
mod tests;
