//! Who wrote to whom, what it answers, and what else stands above a mail.

mod careless;

use super::mailbox::{self, Mailbox};
use super::one_line;
use mail_parser::{Address, HeaderName, HeaderValue, Message};
use std::borrow::Cow;

/// Addresses of one header, and ids of one header, that are kept.
const MAILBOXES: usize = 100;
const IDS: usize = 100;
/// Bytes of an id: longer ones do not fit into an index.
const ID_LIMIT: usize = 512;
/// Characters.
const NAME_LIMIT: usize = 200;
const SUBJECT_LIMIT: usize = 500;

/// The headers of a mail, with the bytes that they were read from.
pub(super) struct Headers<'a>(&'a Message<'a>);

/// Who wrote.
pub(super) struct From {
    pub mailbox: Option<Mailbox>,
    /// See [`super::Mail::from_is_sole`].
    pub is_sole: bool,
}

pub(super) fn of<'a>(mail: &'a Message<'a>) -> Headers<'a> {
    Headers(mail)
}

impl Headers<'_> {
    /// Every header of that name as it was written, folds undone.
    pub fn raw(&self, name: &str) -> Vec<String> {
        self.bytes(name)
            .map(|bytes| {
                let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
                // A carriage return alone ends no line: it stays, and nothing with one is an address.
                text.replace("\r\n", "").replace('\n', "").trim().to_owned()
            })
            .collect()
    }

    fn bytes(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        let mail = self.0;
        let headers = mail.parts.first().map_or(&[][..], |root| &root.headers);
        headers
            .iter()
            .filter(move |header| header.name().eq_ignore_ascii_case(name))
            .map(move |header| {
                let (start, end) = (header.offset_start as usize, header.offset_end as usize);
                mail.raw_message.get(start..end).unwrap_or_default()
            })
    }

    pub fn has(&self, name: &str) -> bool {
        !self.raw(name).is_empty()
    }

    /// The latest ids of all headers of that name, without brackets, each once. What is no id is passed over.
    pub fn ids(&self, name: &str) -> Vec<String> {
        let mut all: Vec<String> = self.raw(name).iter().flat_map(|text| ids(text)).collect();
        // The latest stand at the end. A header may have half a million.
        let late = all.split_off(all.len().saturating_sub(10 * IDS));
        let mut found: Vec<String> = Vec::new();
        for id in late {
            if !found.contains(&id) {
                found.push(id);
            }
        }
        let surplus = found.len().saturating_sub(IDS);
        found.split_off(surplus)
    }

    /// `Sender` stands in for a `From` that cannot be read.
    pub fn from(&self) -> From {
        let read = self.mailboxes(HeaderName::From);
        let only = match self.raw("From").as_slice() {
            [header] => mailbox::only(header),
            _ => None,
        };
        if let Some(only) = only {
            let name = read
                .into_iter()
                .find(|mailbox| mailbox.address == only.address)
                .and_then(|mailbox| mailbox.name);
            return From {
                mailbox: Some(Mailbox {
                    name,
                    address: only.address,
                }),
                is_sole: only.is_plain,
            };
        }
        let sender = || self.mailboxes(HeaderName::Sender);
        From {
            mailbox: read
                .into_iter()
                .next()
                .or_else(|| sender().into_iter().next()),
            is_sole: false,
        }
    }

    /// Its name is enough: some servers have no address.
    pub fn is_from_a_mail_server(&self) -> bool {
        let from = self.from().mailbox.map(|from| from.address);
        let from = from.or_else(|| self.raw("From").first().map(|text| text.to_lowercase()));
        from.is_some_and(|from| is_mail_server(&from) || from.contains("mailer-daemon"))
    }

    pub fn mailboxes(&self, name: HeaderName<'static>) -> Vec<Mailbox> {
        let mut found: Vec<Mailbox> = Vec::new();
        let named = self
            .0
            .header_values(name)
            .filter_map(HeaderValue::as_address);
        for address in named.flat_map(Address::iter).take(MAILBOXES) {
            let Some(text) = address.address.as_deref().and_then(mailbox::address) else {
                continue;
            };
            if found.iter().all(|known| known.address != text) {
                found.push(Mailbox {
                    name: address.name.as_deref().and_then(name_of),
                    address: text,
                });
            }
        }
        found
    }

    pub fn subject(&self) -> Option<String> {
        let read = self.0.subject()?;
        let is_torn = read.contains(char::REPLACEMENT_CHARACTER);
        let raw = self.bytes("Subject").next_back().filter(|_| is_torn);
        let mended = raw.and_then(careless::subject);
        let subject = one_line(mended.as_deref().unwrap_or(read), SUBJECT_LIMIT);
        (!subject.is_empty()).then_some(subject)
    }

    /// The address that a failure would be told to; `Some("")` for `<>`.
    pub fn return_path(&self) -> Option<String> {
        let path = self.raw("Return-Path").into_iter().next()?;
        Some(path.trim_matches(['<', '>', ' ']).to_lowercase())
    }
}

/// The ids in a text: what stands between brackets, or, where a program left those out, each word with an `@`.
pub(super) fn ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((inside, behind)) = after.split_once('>') else {
            break;
        };
        // A second opening bracket: the first was never closed.
        let inside = inside.rsplit_once('<').map_or(inside, |(_, inside)| inside);
        found.extend(id(inside));
        rest = behind;
    }
    if found.is_empty() {
        let words = text.split([' ', '\t', ',', ';', '<', '>']);
        found.extend(words.filter(|word| word.contains('@')).filter_map(id));
    }
    found
}

/// Without the blanks that folding leaves.
fn id(text: &str) -> Option<String> {
    let id: String = text.split_whitespace().collect();
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '\u{fffd}';
    ((1..=ID_LIMIT).contains(&id.len()) && id.chars().all(plain)).then_some(id)
}

/// Names that only mail servers have.
pub(super) fn is_mail_server(address: &str) -> bool {
    ["mailer-daemon", "postmaster"]
        .iter()
        .any(|name| address.split('@').next() == Some(name))
}

/// A name in quotes, or one that only repeats the address, says what everybody sees anyway.
fn name_of(name: &str) -> Option<String> {
    let name = one_line(name, NAME_LIMIT);
    let name = name.trim_matches(['"', '\'', ' ']);
    (!name.is_empty()).then(|| name.to_owned())
}
