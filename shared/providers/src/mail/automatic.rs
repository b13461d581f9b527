//! Did a person write this, or a program that nobody needs to hear?
//!
//! What is automatic wakes nobody, and a STOP in it is not heard. So only what says of itself that it is an answer by machine, a
//! report or a newsletter is taken for one, and whatever is in doubt is a person's. Much else only asks that no machine answers
//! it: `X-Auto-Response-Suppress`, which Exchange servers add to people's mails; `Auto-Submitted: auto-generated`, which ticket
//! systems and forms on web pages write above what people said there; `auto-forwarded`, which a rule of a mailbox writes; and
//! `Precedence` and the `List-` headers, which every mail has that came through a group, as all do of a tenant whose info@ is one.
//! Nothing of ours answers a mail by machine; what ever does must look for these first. Nothing is read from subjects or texts:
//! people write those.
//!
//! Source: RFC 3834 (`Auto-Submitted`), RFC 5436 (`auto-notified`), RFC 2369 and 2919 (`List-`), RFC 3798 and 3464
//! (`multipart/report`), MS-OXCMAIL (`X-Auto-Response-Suppress`); the other `X-` headers and `Precedence` are habits of mail
//! programs.

use super::headers::{Headers, is_mail_server};
use super::one_line;

/// The header that our own mails carry (see `ses::mime`): one that comes back with it was sent by us.
pub(crate) const LOOP_HEADER: &str = "X-Communications-Loop";
/// Characters of it that are kept: ours have 32.
const LOOP_LIMIT: usize = 64;

/// What kind of program wrote a mail. Only `No` wakes anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automatic {
    /// A person did, as far as one can tell.
    No,
    /// An absence notice or a receipt: an answer that nobody wrote.
    AutoReply,
    /// A report that a mail did not arrive.
    Bounce,
    /// A newsletter. What came through a group is no such thing.
    List,
}

/// Headers that only programs write which answer, whatever stands in them.
const SIGNS: [&str; 7] = [
    "X-Autoreply",
    "X-Autoreply-From",
    "X-Auto-Reply",
    "X-Mail-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-Failed-Recipients",
];

pub(super) fn of(headers: &Headers<'_>, is_report: bool) -> Automatic {
    let precedence = first(headers, "Precedence");
    let precedence = precedence.as_deref().unwrap_or_default();
    if is_report || is_report_without_form(headers) {
        Automatic::Bounce
    } else if says_so(headers) || precedence == "auto_reply" {
        Automatic::AutoReply
    } else if ["bulk", "junk"].contains(&precedence) && is_newsletter(headers) {
        Automatic::List
    } else if headers.return_path().as_deref() == Some("") {
        Automatic::AutoReply
    } else {
        Automatic::No
    }
}

pub(super) fn loop_of(headers: &Headers<'_>) -> Option<String> {
    let value = headers.raw(LOOP_HEADER).into_iter().next()?;
    let value = one_line(&value, LOOP_LIMIT);
    (!value.is_empty()).then_some(value)
}

/// Is a mail to many people one that its readers may end, and that nobody discusses? A group names where one writes to it
/// (`List-Post: NO` where one cannot), and what answers a mail is somebody's answer.
fn is_newsletter(headers: &Headers<'_>) -> bool {
    let says_how_to_end_it = headers.has("List-Unsubscribe");
    let is_group = ["Mailing-List", "X-Google-Group-Id"]
        .iter()
        .any(|name| headers.has(name))
        || first(headers, "List-Post").is_some_and(|post| !post.starts_with("no"));
    let is_answer = ["In-Reply-To", "References"]
        .iter()
        .any(|name| headers.has(name));
    says_how_to_end_it && !is_group && !is_answer
}

/// Reports without the form of one come from a mail server, and to nobody's address.
fn is_report_without_form(headers: &Headers<'_>) -> bool {
    let unanswerable = headers
        .return_path()
        .is_none_or(|path| path.is_empty() || is_mail_server(&path));
    unanswerable && headers.is_from_a_mail_server()
}

fn says_so(headers: &Headers<'_>) -> bool {
    let submitted = first(headers, "Auto-Submitted").unwrap_or_default();
    let submitted = submitted
        .split([';', ' ', '('])
        .next()
        .unwrap_or_default()
        .trim();
    let kind = first(headers, "Content-Type").unwrap_or_default();
    ["auto-replied", "auto-notified"].contains(&submitted)
        || SIGNS.iter().any(|name| headers.has(name))
        || kind.starts_with("multipart/report")
}

fn first(headers: &Headers<'_>, name: &str) -> Option<String> {
    let value = headers.raw(name).into_iter().next()?;
    Some(value.trim().to_lowercase())
}
