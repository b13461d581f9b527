//! Did a person write this, or a program?
//!
//! Two programs that answer each other never stop, so whatever says of itself that it is one is believed. Nothing is read
//! from subjects or texts: people write those.
//!
//! Source: RFC 3834 (`Auto-Submitted`), RFC 2919 (`List-Id`), RFC 3798 and 3464 (`multipart/report`); the `X-` headers and
//! `Precedence` are habits of mail programs.

use super::headers::Headers;

/// The header that our own mails carry (see `ses::mime`): one that comes back with it was sent by us.
pub(crate) const LOOP_HEADER: &str = "X-Communications-Loop";

/// What kind of program wrote a mail. Only `No` is answered by programs of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automatic {
    /// A person did, as far as one can tell.
    No,
    /// An absence notice, a receipt, or another program's message.
    AutoReply,
    /// A report that a mail did not arrive.
    Bounce,
    /// To many people at once.
    List,
    /// A mail of our own that came back: never to be taken for a customer's.
    Loop,
}

/// Headers that only programs write, whatever stands in them.
const SIGNS: [&str; 5] = [
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-Auto-Response-Suppress",
    "X-Failed-Recipients",
];

pub(super) fn of(headers: &Headers<'_>, is_report: bool) -> Automatic {
    let precedence = first(headers, "Precedence");
    let precedence = precedence.as_deref().unwrap_or_default();
    if headers.has(LOOP_HEADER) {
        Automatic::Loop
    } else if is_report || is_from_a_mail_server(headers) {
        Automatic::Bounce
    } else if says_so(headers) || precedence == "auto_reply" {
        Automatic::AutoReply
    } else if ["bulk", "list", "junk"].contains(&precedence)
        || ["List-Id", "List-Unsubscribe", "List-Post"]
            .iter()
            .any(|name| headers.has(name))
    {
        Automatic::List
    } else if headers.return_path().as_deref() == Some("") {
        Automatic::AutoReply
    } else {
        Automatic::No
    }
}

/// Reports without the form of one come from these, and to nobody's address.
fn is_from_a_mail_server(headers: &Headers<'_>) -> bool {
    let is_server = |address: &str| {
        ["mailer-daemon", "postmaster"]
            .iter()
            .any(|name| address.split('@').next() == Some(name))
    };
    let unanswerable = headers
        .return_path()
        .is_none_or(|path| path.is_empty() || is_server(&path));
    let from = headers.from().map(|from| from.address);
    let from = from.or_else(|| headers.raw("From").first().map(|text| text.to_lowercase()));
    unanswerable && from.is_some_and(|from| is_server(&from) || from.contains("mailer-daemon"))
}

fn says_so(headers: &Headers<'_>) -> bool {
    let submitted = first(headers, "Auto-Submitted").unwrap_or_default();
    let submitted = submitted
        .split([';', ' ', '('])
        .next()
        .unwrap_or_default()
        .trim();
    let kind = first(headers, "Content-Type").unwrap_or_default();
    !["", "no"].contains(&submitted)
        || SIGNS.iter().any(|name| headers.has(name))
        || kind.starts_with("multipart/report")
}

fn first(headers: &Headers<'_>, name: &str) -> Option<String> {
    let value = headers.raw(name).into_iter().next()?;
    Some(value.trim().to_lowercase())
}
