//! An email as people sent it, read without trust: what it says, what it answers, what hangs on it.
//!
//! [`read`] takes the mail apart once; [`attachment`] takes one file out of it again, for whoever stores it. Neither ever
//! fails for something that is missing: a mail without date, subject, sender or id is still somebody's mail. Nothing here
//! decides whose it is; `From` is the sender's word.

mod automatic;
mod body;
mod bounce;
mod danger;
mod flowed;
mod group;
mod headers;
mod html;
mod limits;
mod mailbox;
mod parts;
mod quotes;
#[cfg(test)]
mod tests;

pub use automatic::Automatic;
#[cfg(feature = "adapters")]
pub(crate) use automatic::LOOP_HEADER;
pub use danger::is_dangerous;
pub use mailbox::Mailbox;
pub use parts::{Attachment, attachment};

use mail_parser::{HeaderName, Message, MessageParser};

/// Everything of one mail but the bytes of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender's `Message-ID` without its brackets, as all ids here; `None` where there is none or it is no id.
    pub message_id: Option<String>,
    /// The mails that this one answers.
    pub in_reply_to: Vec<String>,
    /// The thread, oldest first: to be searched from its end.
    pub references: Vec<String>,
    /// `None` where nobody is named that could be answered.
    pub from: Option<Mailbox>,
    /// Is `from` the one mailbox of the one `From`? Nobody vouches for anything else: DMARC is about a `From` that SES found in its own
    /// way, and `Sender` stands in for one that cannot be read.
    pub from_is_sole: bool,
    /// Who wrote, where `from` is a group's own address that it put in their place; `None` where `from` is whoever wrote. The group's word.
    pub rewritten_from: Option<Mailbox>,
    /// Where one writes to the group that it came through, in lower case.
    pub list_post: Option<String>,
    pub reply_to: Vec<Mailbox>,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    pub subject: Option<String>,
    /// All that was written, as text; made from the HTML where there is no text.
    pub text: String,
    /// What is new of it: without the mails that it quotes and without a signature. Never empty where `text` is not.
    pub visible_text: String,
    /// Is anything new? Where nothing is (a quote, or a phone's advertisement for itself), `visible_text` is all of `text`.
    pub has_new_text: bool,
    /// Safe to show: no scripts, styles or forms, and remote images under `data-src`, so that opening a mail tells nobody.
    pub html: Option<String>,
    pub automatic: Automatic,
    /// What stands in the header that marks our own mails: the id of a message of ours, without hyphens, if we wrote it. Anybody may
    /// have copied it.
    pub loop_of: Option<String>,
    /// In the order of the mail; at most 50.
    pub attachments: Vec<Attachment>,
    /// Something was left out because it was too long or there was too much of it; the stored mail has it.
    pub cut: bool,
}

/// Why a mail is not read. Trying again would not help; the stored bytes are all there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    #[error("the mail is empty or has no header")]
    NoHeader,
    #[error("the mail is larger than 40 MB")]
    TooLarge,
    #[error("the mail has more layers or parts than a mail has")]
    TooNested,
}

/// Bytes of a mail: what SES takes, 40 MB.
pub const SIZE_LIMIT: usize = 40 * 1024 * 1024;
/// Bytes of the text that is kept, and of the HTML that is made safe.
const TEXT_LIMIT: usize = 256 * 1024;

/// Reads a mail.
///
/// # Errors
///
/// [`MailError`] names the limit; what is missing in a mail is no error.
pub fn read(raw: &[u8]) -> Result<Mail, MailError> {
    let parsed = parse(raw)?;
    let headers = headers::of(&parsed);
    let mut text = body::text(&parsed);
    let text_is_cut = shorten(&mut text, TEXT_LIMIT);
    let (html, html_is_cut) = body::html(&parsed).unzip();
    let cut = text_is_cut || html_is_cut == Some(true) || parts::has_more(&parsed);
    let attachments = parts::list(&parsed, html.as_deref());
    let subject = headers.subject();
    let from = headers.from();
    let list_post = group::post(&headers);
    let (in_reply_to, references) = (headers.ids("In-Reply-To"), headers.ids("References"));
    let names_an_older = !in_reply_to.is_empty() || !references.is_empty();
    let new = quotes::new_part(&text, subject.as_deref(), names_an_older);
    let has_new_text = !new.is_empty();
    Ok(Mail {
        message_id: headers.ids("Message-ID").into_iter().next(),
        in_reply_to,
        references,
        rewritten_from: group::rewritten_from(
            &headers,
            from.mailbox.as_ref(),
            list_post.as_deref(),
        ),
        list_post,
        from: from.mailbox,
        from_is_sole: from.is_sole,
        reply_to: headers.mailboxes(HeaderName::ReplyTo),
        to: headers.mailboxes(HeaderName::To),
        cc: headers.mailboxes(HeaderName::Cc),
        visible_text: if has_new_text { new } else { text.clone() },
        has_new_text,
        subject,
        text,
        html,
        automatic: automatic::of(&headers, bounce::is_report(&parsed)),
        loop_of: automatic::loop_of(&headers),
        attachments,
        cut,
    })
}

fn parse(raw: &[u8]) -> Result<Message<'_>, MailError> {
    if raw.len() > SIZE_LIMIT {
        return Err(MailError::TooLarge);
    }
    if limits::is_too_nested(raw) {
        return Err(MailError::TooNested);
    }
    MessageParser::default()
        .parse(raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw))
        .filter(has_header)
        .ok_or(MailError::NoHeader)
}

/// Bytes that are no mail at all parse as a header without a name.
fn has_header(mail: &Message<'_>) -> bool {
    let headers = mail.parts.first().map_or(&[][..], |root| &root.headers);
    headers.iter().any(|header| {
        let name = header.name();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

/// Ends a text before `limit`, between two characters. Was it longer?
fn shorten(text: &mut String, limit: usize) -> bool {
    if text.len() <= limit {
        return false;
    }
    text.truncate(text.floor_char_boundary(limit));
    true
}

/// What a `text` column takes, on one line.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let clean: String = text
        .chars()
        .filter(|c| !is_hidden(*c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit)
        .collect();
    clean.trim().to_owned()
}

/// Characters that are not seen but change how others are: they can make `exe.fdp` look like `pdf.exe` backwards.
fn is_hidden(c: char) -> bool {
    matches!(c, '\0' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
