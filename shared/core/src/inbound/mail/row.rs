//! A mail as a row of `messages`.

use super::claims::{self, Thread};
use super::{Sender, is_our_domain, room};
use crate::inbound::document::{NewMedia, NewMessage, preview};
use crate::model::{Channel, ContactId, MediaId, MessageId};
use crate::platform::clock;
use comms_providers::Content;
use comms_providers::command::Email;
use comms_providers::event::mail::MailNotice;
use comms_providers::mail::{Attachment, Automatic, Mail, Mailbox};
use serde_json::{Value, json};
use time::Duration;

/// How long a mail's files may be taken out of its bucket, from when we took it in: a mail that comes late, or out of quarantine, has as
/// long as any other.
const MAIL_LIFE: Duration = Duration::days(30);

/// What is shown is the new part; the whole text, and the HTML that is safe to show, stand in the content.
pub(super) fn of(
    thread: &Thread,
    contact: ContactId,
    notice: &MailNotice,
    mail: &Mail,
    sender: &Sender,
) -> NewMessage {
    let address = answers_go_to(notice, mail, sender);
    // An answer that is drawn elsewhere says nothing about who writes from there.
    let from = (address != sender.address).then_some(&sender.address);
    let named = mail.from.as_ref().map(|named| &named.address);
    let named = named.filter(|named| **named != sender.address);
    let subject = mail.subject.clone().unwrap_or_default();
    let body = if mail.visible_text.trim().is_empty() {
        subject.clone()
    } else {
        mail.visible_text.clone()
    };
    let answered = thread.answered_by(contact);
    let is_proven = sender.is_proven(notice);
    NewMessage {
        id: MessageId::generate(),
        owner: thread.owner,
        channel: Channel::Email,
        contact_id: contact,
        direction: "INBOUND",
        // An absence notice is nobody's question.
        wakes: mail.automatic == Automatic::No,
        opens_window: false,
        muted: false,
        written_from: is_proven.then(|| sender.address.clone()),
        preview: preview(&if subject.is_empty() {
            body.clone()
        } else {
            format!("{subject} – {body}")
        }),
        body,
        content: Content::Email(Email {
            subject,
            text: Some(mail.text.clone()).filter(|text| !text.is_empty()),
            html: mail.html.clone(),
            ..Email::default()
        }),
        external_message_id: notice.external_message_id.clone(),
        reply_to: match answered {
            Some((_, external_message_id)) => external_message_id.cloned(),
            // It may come later. An answer to a message of another contact is shown as what it is: somebody else's mail.
            None if thread.answered.is_none() => claims::named_first(mail),
            None => None,
        },
        replied_to: answered.map(|(message, _)| message),
        rfc_message_id: mail.message_id.clone(),
        context: Some(context(
            notice,
            mail,
            is_proven,
            (from, named),
            thread.answered.is_some() && answered.is_none(),
        )),
        address,
        sent_at: notice.received_at,
        media: files(notice, &mail.attachments),
    }
}

fn context(
    notice: &MailNotice,
    mail: &Mail,
    is_proven: bool,
    (from, named): (Option<&String>, Option<&String>),
    answers_another: bool,
) -> Value {
    let mut context = json!({
        "automatic": word(mail.automatic),
        "verdicts": notice.verdicts,
        // Has the sender written it for sure?
        "proven": is_proven,
        "to": mail.to.iter().map(|to| &to.address).collect::<Vec<_>>(),
        "cc": mail.cc.iter().map(|to| &to.address).collect::<Vec<_>>(),
        "cut": mail.cut,
        // Somebody wrote to the address that another contact was given.
        "answers_another": answers_another,
    });
    for (key, address) in [("from", from), ("named", named)] {
        if let Some(address) = address {
            context[key] = json!(address);
        }
    }
    context
}

/// Where the sender wants answers, if it is the sender who wants it: a mail that anybody may have written turns nobody's thread elsewhere. What
/// comes to us, or to a group of ours, is no place for them.
fn answers_go_to(notice: &MailNotice, mail: &Mail, sender: &Sender) -> String {
    let is_theirs = |to: &&Mailbox| {
        !is_our_domain(notice, &to.address) && mail.list_post.as_ref() != Some(&to.address)
    };
    let wanted = mail.reply_to.iter().find(is_theirs);
    let wanted = wanted.filter(|_| sender.is_proven(notice));
    wanted.map_or_else(|| sender.address.clone(), |to| to.address.clone())
}

fn word(automatic: Automatic) -> Option<&'static str> {
    match automatic {
        Automatic::No => None,
        Automatic::AutoReply => Some("auto-reply"),
        Automatic::Bounce => Some("bounce"),
        Automatic::List => Some("list"),
    }
}

/// Taken out of the mail later.
fn files(notice: &MailNotice, attachments: &[Attachment]) -> Vec<NewMedia> {
    let key = room::key(notice);
    let expires_at = notice.received_at.max(clock::now()) + MAIL_LIFE;
    let file = |(ordinal, file): (i16, &Attachment)| NewMedia {
        id: MediaId::generate(),
        ordinal,
        kind: if file.inline { "inline" } else { "attachment" }.to_owned(),
        source: "MAIL",
        source_ref: format!("{key}#{}", file.ordinal),
        source_url: None,
        mime_type: Some(file.mime_type.clone()),
        filename: Some(file.filename.clone()),
        content_id: file.content_id.clone(),
        declared_sha256: None,
        expires_at,
    };
    (0..).zip(attachments).map(file).collect()
}
