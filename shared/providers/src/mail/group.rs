//! Who wrote what came through a group.
//!
//! A group that keeps a member's `From` breaks what their domain signed, so many write their own address there (`Ana via Info
//! <info@tren.example>`) and the member's elsewhere. Nobody vouches for that: the group took it from a `From` that it may have
//! checked or not.
//!
//! Source: RFC 2369 (`List-Post`), RFC 2919 (`List-Id`); `X-Original-From` is a habit of Google Groups and others.

use super::headers::{self, Headers};
use super::mailbox::{self, Mailbox};
use mail_parser::{HeaderName, MessageParser};

/// Headers of which a group writes one at least.
const SIGNS: [&str; 4] = ["List-Id", "List-Post", "Mailing-List", "X-Google-Group-Id"];

/// Where one writes to the group.
pub(super) fn post(headers: &Headers<'_>) -> Option<String> {
    headers.raw("List-Post").iter().find_map(|ways| {
        // `<https://…>, <mailto:info@tren.example?subject=…>`
        ways.split('<').find_map(|way| {
            let (scheme, rest) = way.trim().split_once(':')?;
            let address = rest.split(['>', '?']).next()?;
            let is_mailto = scheme.eq_ignore_ascii_case("mailto");
            is_mailto.then(|| mailbox::address(address)).flatten()
        })
    })
}

/// See [`super::Mail::rewritten_from`].
pub(super) fn rewritten_from(
    headers: &Headers<'_>,
    from: Option<&Mailbox>,
    post: Option<&str>,
) -> Option<Mailbox> {
    let from = from?;
    let sender = headers.mailboxes(HeaderName::Sender).into_iter().next();
    let is_the_groups = Some(from.address.as_str()) == post
        || sender.is_some_and(|sender| sender.address == from.address)
        || from
            .name
            .as_deref()
            .is_some_and(|name| name.contains(" via "));
    if !is_the_groups || !SIGNS.iter().any(|name| headers.has(name)) {
        return None;
    }
    // Groups whose answers go to all name themselves there, and that is nobody.
    let is_somebody =
        |found: &Mailbox| found.address != from.address && Some(found.address.as_str()) != post;
    original(headers)
        .into_iter()
        .chain(headers.mailboxes(HeaderName::ReplyTo))
        .find(is_somebody)
}

/// The library reads addresses only where it expects them, so the header is given to it as a `From`.
fn original(headers: &Headers<'_>) -> Option<Mailbox> {
    let value = headers.raw("X-Original-From").into_iter().next()?;
    let raw = format!("From: {value}\r\n\r\n");
    let parsed = MessageParser::default().parse_headers(&raw)?;
    headers::of(&parsed).from().mailbox
}
