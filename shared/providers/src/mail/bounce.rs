//! A report that a mail did not arrive, written by a mail server. What became of our own mails the provider tells by its events; of this
//! it is enough to know that nobody wrote it.
//!
//! Source: RFC 3462 (`multipart/report`) and RFC 3464 (`message/delivery-status`).

use super::headers::{self, Headers};
use mail_parser::{Message, MessagePart, MimeHeaders};

/// Is the mail such a report?
pub(super) fn is_report(mail: &Message<'_>) -> bool {
    let headers = headers::of(mail);
    let is_status = |part: &MessagePart<'_>| {
        part.is_content_type("message", "delivery-status")
            || part.is_content_type("message", "global-delivery-status")
    };
    mail.parts.iter().any(is_status) && is_from_a_server(mail, &headers)
        || !headers.raw("X-Failed-Recipients").is_empty()
}

/// Somebody who passes a report on, and some programs do so part by part, is a person.
fn is_from_a_server(mail: &Message<'_>, headers: &Headers<'_>) -> bool {
    let root = mail.parts.first();
    root.is_some_and(|root| root.is_content_type("multipart", "report"))
        || headers.return_path().as_deref() == Some("")
        || headers.is_from_a_mail_server()
}
