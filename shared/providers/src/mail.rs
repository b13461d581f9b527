//! An email as people sent it, read without trust: what it says, what it answers, what hangs on it.
//!
//! [`read`] takes the mail apart once; [`attachment`] takes one file out of it again, for whoever stores it. Neither ever
//! fails for something that is missing: a mail without date, subject, sender or id is still somebody's mail. Nothing here
//! decides whose it is; `From` is the sender's word.

mod automatic;
mod bounce;
mod danger;
mod headers;
mod html;
mod parts;
mod quotes;
#[cfg(test)]
mod tests;

pub use automatic::Automatic;
pub use bounce::{Bounce, BouncedRecipient};
pub use danger::is_dangerous;
pub use headers::Mailbox;
pub use parts::{Attachment, attachment};

use time::OffsetDateTime;

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
    pub reply_to: Vec<Mailbox>,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    pub subject: Option<String>,
    /// The sender's clock.
    pub date: Option<OffsetDateTime>,
    /// All that was written, as text; made from the HTML where there is no text.
    pub text: String,
    /// What is new of it: without the mails that it quotes and without a signature. Never empty where `text` is not.
    pub visible_text: String,
    /// Safe to show: no scripts, styles or forms, and remote images under `data-src`, so that opening a mail tells nobody.
    pub html: Option<String>,
    pub automatic: Automatic,
    /// Where it reports that a mail of ours did not arrive.
    pub bounce: Option<Bounce>,
    /// In the order of the mail; at most 50.
    pub attachments: Vec<Attachment>,
    /// Something was left out because it was too long or there was too much of it; the stored mail has it.
    pub cut: bool,
}

/// The bytes are no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    #[error("the mail is empty or has no header")]
    NoHeader,
    #[error("the mail is larger than 40 MB")]
    TooLarge,
}

/// Reads a mail.
///
/// # Errors
///
/// [`MailError`]; sending it again would not help.
pub fn read(raw: &[u8]) -> Result<Mail, MailError> {
    let _ = raw;
    Err(MailError::NoHeader)
}
