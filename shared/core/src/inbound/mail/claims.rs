//! Whose a mail is, and what it answers: what its addresses and headers claim, and what of that the database bears out.

use super::Sender;
use crate::contacts::{Alias, Known};
use crate::model::{AccountId, ContactId, MessageId, Owner, TenantId};
use comms_providers::event::mail::MailNotice;
use comms_providers::mail::Mail;
use comms_providers::ses::message_id;
use comms_providers::ses::reply_token::{self, Token};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Ids of a mail that are looked up, nearest first; a long thread names hundreds.
const ANSWERS: usize = 20;
/// The local part of the address behind `List-Unsubscribe`.
const UNSUBSCRIBE: &str = "unsubscribe+";

#[derive(Debug, Serialize)]
pub(super) struct Question {
    recipients: Vec<Recipient>,
    /// Ids that the mail says it answers: the provider's, where it wrote them, and the headers' own.
    answers: Vec<String>,
    aliases: Vec<Alias>,
    /// The message of ours that the mail says it is, come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    loop_of: Option<Uuid>,
}

#[derive(Debug, Serialize)]
struct Recipient {
    domain: String,
    message_id: Option<Uuid>,
    #[serde(skip)]
    token: Option<Token>,
}

impl Question {
    pub fn of(notice: &MailNotice, mail: &Mail, sender: &Sender) -> Self {
        let mut answers = Vec::new();
        for id in nearest(mail).take(ANSWERS) {
            answers.extend(message_id::own(id).map(str::to_owned));
            answers.push(id.clone());
        }
        Self {
            recipients: notice
                .recipients
                .iter()
                .filter_map(|r| recipient(r))
                .collect(),
            answers,
            aliases: vec![sender.alias()],
            loop_of: mail
                .loop_of
                .as_ref()
                .and_then(|id| Uuid::try_parse(id).ok()),
        }
    }

    /// Is this the message of a token that was signed for the tenant?
    fn signed(&self, message: MessageId, tenant: TenantId, secrets: &[SecretString]) -> bool {
        let tokens = self
            .recipients
            .iter()
            .filter_map(|recipient| recipient.token);
        tokens
            .filter(|token| token.message == message.0)
            .any(|token| reply_token::verify(&token, secrets, tenant.0))
    }
}

/// The ids of what it says that it answers, nearest first.
fn nearest(mail: &Mail) -> impl Iterator<Item = &String> {
    mail.in_reply_to.iter().chain(mail.references.iter().rev())
}

/// The id of the nearest: SES's, where it wrote it, else its own.
pub(super) fn named_first(mail: &Mail) -> Option<String> {
    let id = nearest(mail).next()?;
    Some(message_id::own(id).unwrap_or(id).to_owned())
}

fn recipient(address: &str) -> Option<Recipient> {
    let (local, domain) = address.rsplit_once('@')?;
    let token = reply_token::read(local);
    Some(Recipient {
        domain: domain.to_owned(),
        message_id: token
            .map(|token| token.message)
            .or_else(|| unsubscribed(local)),
        token,
    })
}

/// Did it go to addresses for that, and to no other?
pub(super) fn only_unsubscribes(notice: &MailNotice) -> bool {
    let mut recipients = notice.recipients.iter();
    recipients.all(|to| unsubscribed_at(to).is_some())
}

fn unsubscribed_at(address: &str) -> Option<Uuid> {
    let (local, _) = address.rsplit_once('@')?;
    unsubscribed(local)
}

fn unsubscribed(local: &str) -> Option<Uuid> {
    Uuid::try_parse(local.strip_prefix(UNSUBSCRIBE)?).ok()
}

/// What `communications.mail_load` answers.
#[derive(Debug, Deserialize)]
pub(super) struct Loaded {
    owners: Vec<Found>,
    pub people: Option<Known>,
}

#[derive(Debug, Deserialize)]
struct Found {
    tenant_id: TenantId,
    /// That of the answered message, else the one that it came to.
    account_id: AccountId,
    /// The one that it came to where people read.
    reached: Option<AccountId>,
    /// Does the domain belong to this tenant alone?
    alone: bool,
    /// Those of the recipients that make it this tenant's.
    domains: Vec<String>,
    /// The message that a recipient's address names: a claim.
    token: Option<MessageId>,
    /// Is the mail one of this tenant's own?
    comes_back: bool,
    /// That message if it is the tenant's, else what the headers name.
    answered: Option<Answered>,
    /// What the headers name, where a recipient's address names something.
    by_headers: Option<Answered>,
    /// All that the headers name, nearest first.
    nearest: Vec<Near>,
}

/// A mail that the headers name, ours or somebody's.
#[derive(Debug, Clone, Deserialize)]
struct Near {
    message: MessageId,
    contact: ContactId,
    external: Option<String>,
}

/// A message of the tenant that the mail answers.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Answered {
    pub message_id: MessageId,
    account_id: Option<AccountId>,
    pub contact_id: ContactId,
    /// Where it went, or where an answer to it goes.
    pub address: String,
    pub external_message_id: Option<String>,
    /// Did we write it?
    pub ours: bool,
    /// Did it go there because the contact had wanted their answers there?
    pub drawn: bool,
}

/// One tenant's side of a mail.
#[derive(Debug)]
pub(super) struct Thread {
    pub owner: Owner,
    domains: Vec<String>,
    /// Does more than an address to unsubscribe at make it this tenant's?
    is_ours_to_read: bool,
    pub answered: Option<Answered>,
    /// Is that what a signed token names?
    by_token: bool,
    nearest: Vec<Near>,
    /// The message whose contact the address to unsubscribe at is of.
    unsubscribed: Option<Answered>,
}

impl Loaded {
    /// Leaves out whose own mail it is. Was there anybody?
    pub fn drop_own(&mut self) -> bool {
        let all = self.owners.len();
        self.owners.retain(|found| !found.comes_back);
        self.owners.len() < all
    }

    /// Those whose claim holds. A token that nobody signed for the tenant names nothing, and where only the token could say whose a shared
    /// domain's mail is, it is nobody's.
    pub fn threads(&self, question: &Question, secrets: &[SecretString]) -> Vec<Thread> {
        let thread = |found: &Found| {
            let token = found.token;
            let by_token =
                token.is_some_and(|named| question.signed(named, found.tenant_id, secrets));
            let unsubscribes = token.is_some_and(|named| question.unsubscribes(named));
            let is_unproven = token.is_some() && !by_token;
            if is_unproven && !unsubscribes && !found.alone {
                return None;
            }
            // Whoever has the address to unsubscribe at may do that, and nothing else.
            let (answered, account) = if is_unproven {
                let named = found.by_headers.as_ref().and_then(|named| named.account_id);
                (&found.by_headers, named.or(found.reached))
            } else {
                (&found.answered, None)
            };
            Some(Thread {
                owner: Owner {
                    tenant_id: found.tenant_id,
                    account_id: account.unwrap_or(found.account_id),
                },
                is_ours_to_read: found.alone || by_token,
                domains: found.domains.clone(),
                answered: answered.clone(),
                by_token,
                nearest: found.nearest.clone(),
                unsubscribed: found.answered.clone().filter(|_| unsubscribes),
            })
        };
        self.owners.iter().filter_map(thread).collect()
    }
}

impl Question {
    /// The first domain it was sent to that makes it none of these threads'.
    pub fn nobodys_domain(&self, threads: &[Thread]) -> Option<&str> {
        // A domain that several share is nobody's but for who unsubscribes there.
        let is_of = |thread: &Thread, to: &Recipient| {
            let mut domains = thread.domains.iter();
            domains.any(|domain| domain.eq_ignore_ascii_case(&to.domain))
                && (thread.is_ours_to_read || to.is_to_unsubscribe())
        };
        let mut recipients = self.recipients.iter();
        let nobodys = recipients.find(|to| !threads.iter().any(|thread| is_of(thread, to)));
        nobodys.map(|to| to.domain.as_str())
    }

    /// Was it sent to the address to unsubscribe from this message at?
    fn unsubscribes(&self, message: MessageId) -> bool {
        let mut recipients = self.recipients.iter();
        recipients.any(|to| to.is_to_unsubscribe() && to.message_id == Some(message.0))
    }
}

impl Recipient {
    fn is_to_unsubscribe(&self) -> bool {
        self.token.is_none() && self.message_id.is_some()
    }
}

impl Thread {
    /// The contact whom the answered message of ours went to, if that is who writes. What other customers wrote tells nothing about who
    /// answers it: whoever wrote it chose where answers go, and so does whoever had ours drawn there.
    pub fn addressee(&self, sender: &str) -> Option<ContactId> {
        let answered = self.answered.as_ref()?;
        let went_to =
            answered.ours && !answered.drawn && answered.address.eq_ignore_ascii_case(sender);
        went_to.then_some(answered.contact_id)
    }

    /// What the mail answers, of those that are this contact's: the message and its provider's id.
    pub fn answered_by(&self, contact: ContactId) -> Option<(MessageId, Option<&String>)> {
        let near = self.nearest.iter().find(|near| near.contact == contact);
        let near = near.filter(|_| !self.by_token);
        let nearest = near.map(|near| (near.message, near.external.as_ref()));
        let answered = self.answered.as_ref();
        let answered = answered.filter(|answered| answered.contact_id == contact);
        nearest.or_else(|| answered.map(|a| (a.message_id, a.external_message_id.as_ref())))
    }

    /// The message whose contact unsubscribes, where the mail went to the address for that.
    pub fn unsubscribes(&self) -> Option<&Answered> {
        self.unsubscribed.as_ref()
    }

    /// Did it go to an address of the tenant's where people read?
    pub fn is_written_to(&self, notice: &MailNotice) -> bool {
        // Of a message that the tenant does not know such an address says nothing, and the mail is like any other.
        let unsubscribes = |to: &str| self.unsubscribed.is_some() && unsubscribed_at(to).is_some();
        let ours =
            |to: &str| super::domain(to).is_some_and(|domain| self.domains.contains(&domain));
        let mut recipients = notice.recipients.iter();
        self.is_ours_to_read && recipients.any(|to| ours(to) && !unsubscribes(to))
    }
}
