//! A mail that somebody wrote to one of our domains becomes a message of their thread.
//!
//! Whose it is, the envelope says: the tenant by the domain, and by the signed token in the address that answers go to. Who wrote it, its
//! `From` says, and nothing else: a token or a `References` header only helps to tell apart people who share a mailbox, and shows what was
//! answered. So whoever gets hold of a token writes in a thread of their own and never in somebody else's. What the provider found to be
//! malicious, unwanted or forged is kept in quarantine, where an operator can release it; a virus never is.

mod claims;
mod room;
mod row;

pub use room::{FetchError, Mailroom};

use super::InboundError;
use super::document::{Document, NewWish};
use super::pending::Pending;
use crate::contacts::{self, Alias, AliasKind, Sighting, Wish, opt_out};
use crate::delivery::Recorded;
use crate::model::{Channel, ContactId};
use crate::platform::Database;
use crate::quarantine::{self, Misfit};
use claims::{Loaded, Question, Thread};
use comms_providers::event::mail::{MailNotice, Verdict, is_of};
use comms_providers::mail::{self, Automatic, Mail, Mailbox};
use secrecy::SecretString;

/// A mail and what its provider said of it.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    pub notice: &'a MailNotice,
    /// The notice as it came: what quarantine keeps.
    pub message: &'a [u8],
    /// The mail itself.
    pub raw: &'a [u8],
}

/// Does a person stand behind it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// Nobody has looked.
    Unseen,
    /// An operator let it out of quarantine: spam and forgery are taken in.
    ByOperator,
}

/// Stores a mail for everybody it was sent to; it is kept in quarantine as well where one of its domains is nobody's.
///
/// # Errors
/// When the database does not answer: nothing is stored, and the mail must come again.
pub async fn take_in(
    database: &Database,
    reply_secrets: &[SecretString],
    arrived: Arrived<'_>,
) -> Result<super::Ingested, InboundError> {
    let pending = pending(database, reply_secrets, arrived, Release::Unseen).await?;
    Ok(pending
        .commit(super::aws::NOTIFICATIONS, super::Door::App)
        .await?)
}

pub(super) async fn pending(
    database: &Database,
    reply_secrets: &[SecretString],
    arrived: Arrived<'_>,
    release: Release,
) -> Result<Pending, InboundError> {
    let unwanted = unwanted(arrived.notice, release);
    if let Some(reason) = unwanted
        && (reason == quarantine::VIRUS || !claims::only_unsubscribes(arrived.notice))
    {
        return misfit(database, reason, arrived).await;
    }
    let Ok(mut mail) = mail::read(arrived.raw) else {
        return misfit(database, quarantine::UNREADABLE, arrived).await;
    };
    // Whoever took it over need not have written the envelope's sender into it.
    if arrived.notice.is_from_nobody && mail.automatic == Automatic::No {
        mail.automatic = Automatic::AutoReply;
    }
    let Some(sender) = Sender::of(arrived.notice, &mail) else {
        return misfit(database, quarantine::MALFORMED, arrived).await;
    };
    let question = Question::of(arrived.notice, &mail, &sender);
    let (tx, mut loaded): (_, Loaded) = database.begin_with("mail_load", &question).await?;
    let threads = loaded.threads(&question, reply_secrets);
    let nobodys_domain = question.nobodys_domain(&threads).map(str::to_lowercase);
    // Whose message it says that it is, the database knows: the others get it as anybody's.
    let came_back = mail.loop_of.is_some() && release == Release::Unseen && loaded.drop_own();
    let threads = if came_back {
        loaded.threads(&question, reply_secrets)
    } else {
        threads
    };
    let mut pending = Pending {
        tx,
        misfits: Vec::new(),
        document: Document::default(),
        recorded: Recorded::default(),
    };
    // Whoever has such an address may unsubscribe, and nothing else, whatever the checks say of the mail.
    let only_unsubscribes =
        |thread: &Thread| thread.unsubscribes().is_some() && !thread.is_written_to(arrived.notice);
    if let Some(reason) = unwanted
        && (threads.is_empty() || !threads.iter().all(only_unsubscribes))
    {
        pending.misfits.push(kept(reason, arrived));
        return Ok(pending);
    }
    // Quarantine has room for one.
    if nobodys_domain.is_some() {
        pending.misfits.push(Misfit {
            external_account_id: nobodys_domain,
            ..Misfit::of(quarantine::UNKNOWN_ACCOUNT, arrived.message.to_vec())
        });
    } else if came_back {
        pending.misfits.push(kept(quarantine::LOOP, arrived));
    }
    let contacts = decide(
        &loaded,
        &threads,
        &sender,
        arrived.notice,
        &mut pending.document,
    );
    for (thread, contact) in threads.iter().zip(contacts) {
        file(
            thread,
            contact,
            arrived.notice,
            &mail,
            &sender,
            &mut pending.document,
        );
    }
    Ok(pending)
}

/// Why nobody gets it.
fn unwanted(notice: &MailNotice, release: Release) -> Option<&'static str> {
    let verdicts = &notice.verdicts;
    if verdicts.virus == Verdict::Fail {
        Some(quarantine::VIRUS)
    } else if release == Release::ByOperator {
        None
    } else if verdicts.sender_is_forged() {
        Some(quarantine::FORGED)
    } else if verdicts.spam == Verdict::Fail {
        Some(quarantine::SPAM)
    } else {
        None
    }
}

async fn misfit(
    database: &Database,
    reason: &'static str,
    arrived: Arrived<'_>,
) -> Result<Pending, InboundError> {
    Ok(Pending {
        tx: database.begin().await?,
        misfits: vec![kept(reason, arrived)],
        document: Document::default(),
        recorded: Recorded::default(),
    })
}

fn kept(reason: &'static str, arrived: Arrived<'_>) -> Misfit {
    Misfit {
        external_account_id: arrived.notice.recipients.first().and_then(|to| domain(to)),
        ..Misfit::of(reason, arrived.message.to_vec())
    }
}

/// As accounts of email are named.
fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    Some(domain.to_lowercase())
}

/// Who wrote: whom `From` names, else who would get the bounce. Where a group of the tenant's wrote its own address there, or a form, whom an
/// answer is wanted to: what a stranger's group says of its writers is the stranger's word.
struct Sender {
    address: String,
    name: Option<String>,
    /// Is it the one whom the provider's checks are about?
    vouched: bool,
    /// Does the mail itself say that they wrote it?
    named: bool,
}

impl Sender {
    fn of(notice: &MailNotice, mail: &Mail) -> Option<Self> {
        let of = |mailbox: &Mailbox, named: bool| Self {
            address: mailbox.address.clone(),
            name: mailbox.name.clone(),
            vouched: named && mail.from_is_sole,
            named,
        };
        if let Some(behind) = behind_a_group(notice, mail).or_else(|| behind_a_form(notice, mail)) {
            return Some(of(behind, false));
        }
        let named = mail.from.as_ref().map(|from| of(from, true));
        let bounced_to = || {
            Some(Self {
                address: notice.envelope_from.clone()?,
                name: None,
                vouched: false,
                named: true,
            })
        };
        named.or_else(bounced_to)
    }

    /// A no of whomever `From` names ends marketing; that they want nothing at all, not even that their coach is late, they must have said
    /// themselves. Of somebody behind `From` nobody knows who says it.
    fn heard(&self, wish: Wish, notice: &MailNotice) -> Option<Wish> {
        if self.is_proven(notice) {
            return Some(wish);
        }
        (self.named && wish.is_a_no()).then_some(Wish::StopMarketing)
    }

    /// Is it certain that they wrote it?
    fn is_proven(&self, notice: &MailNotice) -> bool {
        self.vouched && notice.proves(&self.address)
    }

    fn alias(&self) -> Alias {
        Alias::new(AliasKind::Email, &self.address)
    }
}

fn behind_a_group<'a>(notice: &MailNotice, mail: &'a Mail) -> Option<&'a Mailbox> {
    // Where it would have one write to it is the group's own word as well.
    let group = mail.from.as_ref()?;
    let is_ours = is_our_domain(notice, &group.address);
    mail.rewritten_from.as_ref().filter(|_| is_ours)
}

/// A form on the tenant's pages writes in the tenant's name, and says whom to answer.
fn behind_a_form<'a>(notice: &MailNotice, mail: &'a Mail) -> Option<&'a Mailbox> {
    let ours = |mailbox: &Mailbox| is_our_domain(notice, &mailbox.address);
    let written_by_us = mail.from.as_ref().is_some_and(ours);
    mail.reply_to
        .iter()
        .find(|wanted| written_by_us && !ours(wanted))
}

/// Is it at a domain that the mail came to, or at one above or beneath it?
fn is_our_domain(notice: &MailNotice, address: &str) -> bool {
    let mut ours = notice.recipients.iter();
    ours.any(|ours| is_of(ours, address) || is_of(address, ours))
}

/// The contact in each tenant where people read it. People who share a mailbox are told apart by the message of ours that they answer from the
/// very address it went to.
fn decide(
    loaded: &Loaded,
    threads: &[Thread],
    sender: &Sender,
    notice: &MailNotice,
    document: &mut Document,
) -> Vec<Option<ContactId>> {
    let read = |thread: &&Thread| thread.is_written_to(notice);
    let unknown: Vec<Sighting> = threads
        .iter()
        .filter(read)
        .filter(|thread| thread.addressee(&sender.address).is_none())
        .map(|thread| Sighting {
            aliases: vec![sender.alias()],
            display_name: sender.name.clone(),
            at: Some(notice.received_at),
            ..Sighting::new(thread.owner.tenant_id)
        })
        .collect();
    let nobody = contacts::Known::default();
    let decisions = contacts::decide(loaded.people.as_ref().unwrap_or(&nobody), &unknown);
    let mut decided = decisions.contacts.clone().into_iter();
    let contacts = threads
        .iter()
        .map(|thread| {
            let thread = Some(thread).filter(read)?;
            thread.addressee(&sender.address).or_else(|| decided.next())
        })
        .collect();
    document.people = (!decisions.is_empty()).then_some(decisions);
    contacts
}

fn file(
    thread: &Thread,
    contact: Option<ContactId>,
    notice: &MailNotice,
    mail: &Mail,
    sender: &Sender,
    document: &mut Document,
) {
    let wished = |contact, wish, address: &String| NewWish {
        tenant_id: thread.owner.tenant_id,
        contact_id: contact,
        channel: Channel::Email,
        wish,
        basis: "said so",
        source: "message",
        address: Some(address.clone()),
        at: notice.received_at,
    };
    if let Some(of) = thread.unsubscribes() {
        let wish = wished(of.contact_id, Wish::StopMarketing, &of.address);
        document.wishes.push(wish);
    }
    let Some(contact) = contact else { return };
    if let Some(wish) = wish(mail).and_then(|wish| sender.heard(wish, notice)) {
        let wish = wished(contact, wish, &sender.address);
        document.wishes.push(wish);
    }
    let row = row::of(thread, contact, notice, mail, sender);
    document.messages.push(row);
}

/// In the text, or in the subject of a mail that says nothing of its own: a signature is no text, and neither is a quote. A file says something:
/// "Baja" stands above a driver's sick note.
fn wish(mail: &Mail) -> Option<Wish> {
    if mail.automatic != Automatic::No {
        return None;
    }
    if mail.has_new_text {
        // Where the logo under it was, Outlook writes its name.
        let is_picture = |line: &&str| line.starts_with("[cid:") && line.ends_with(']');
        let lines = mail.visible_text.lines().map(str::trim);
        let said: Vec<&str> = lines.filter(|line| !is_picture(line)).collect();
        return opt_out::wish(&said.join("\n"), Channel::Email);
    }
    let brings_a_file = mail.attachments.iter().any(|file| !file.inline);
    let subject = mail.subject.as_deref().filter(|_| !brings_a_file)?;
    opt_out::wish(subject, Channel::Email)
}
