//! What the database has of the numbers and people that a payload names, asked in one call.

use crate::contacts::{self, Alias};
use crate::model::{Channel, Owner, TenantId};
use crate::platform::{Database, DatabaseError, Tx};
use crate::quarantine;
use comms_providers::event::{AccountUpdate, EventKind, ProviderEvent};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Through which door a payload came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A tenant's own: it must own one of the numbers that the payload names, or nobody gets anything.
    Tenant(TenantId),
    /// The platform's: whoever owns a number gets what is about it.
    App,
}

impl Door {
    /// Whose door it is; `None` for the platform's.
    #[must_use]
    pub fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::App => None,
        }
    }
}

/// How events came in, and how long they wait for what others have locked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entrance<'a> {
    through: Through<'a>,
    lock_timeout: Option<&'static str>,
}

/// In one payload through one door, or in several payloads that share a transaction.
#[derive(Debug, Clone, Copy)]
enum Through<'a> {
    One(Door),
    Several(&'a Doors),
}

impl<'a> Entrance<'a> {
    /// As long as their caller.
    pub fn one(door: Door) -> Self {
        Self {
            through: Through::One(door),
            lock_timeout: None,
        }
    }

    pub fn several(doors: &'a Doors) -> Self {
        Self {
            through: Through::Several(doors),
            lock_timeout: None,
        }
    }

    /// No longer than this, as Postgres writes it; then the database refuses them.
    pub fn waiting(self, lock_timeout: &'static str) -> Self {
        Self {
            lock_timeout: Some(lock_timeout),
            ..self
        }
    }

    /// For what has been let in: whoever owns a number gets what is about it.
    pub fn let_in(self) -> Self {
        Self {
            through: Through::One(Door::App),
            ..self
        }
    }

    /// The door of all of it; the platform's where there were several.
    pub fn door(&self) -> Door {
        match self.through {
            Through::One(door) => door,
            Through::Several(_) => Door::App,
        }
    }
}

/// Through whose door each number came that came through a tenant's: nobody else may own it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Doors(BTreeMap<String, TenantId>);

impl Doors {
    /// Notes through which door these come. `false`: a number of theirs has come through another tenant's.
    pub fn note(&mut self, door: Door, events: &[ProviderEvent]) -> bool {
        let Door::Tenant(tenant) = door else {
            return true;
        };
        let accounts = events.iter().filter_map(|event| event.account.as_ref());
        let mut numbers = accounts.filter_map(|account| account.external_account_id.as_deref());
        numbers.all(|number| {
            let noted = self.0.entry(number.to_owned()).or_insert(tenant);
            *noted == tenant
        })
    }
}

/// Flattened into what the database is asked.
#[derive(Debug, Serialize)]
pub(super) struct Asked<'a> {
    door: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doors: Option<&'a Doors>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_timeout: Option<&'static str>,
}

impl<'a> From<Entrance<'a>> for Asked<'a> {
    fn from(entrance: Entrance<'a>) -> Self {
        let (door, doors) = match entrance.through {
            Through::One(door) => (door.tenant(), None),
            Through::Several(doors) => (None, Some(doors)),
        };
        Self {
            door,
            doors,
            lock_timeout: entrance.lock_timeout,
        }
    }
}

/// A number and its owner, in whatever state: everything inbound is ingested.
#[derive(Debug, Deserialize)]
struct Number {
    #[serde(rename = "number")]
    id: String,
    #[serde(flatten)]
    owner: Owner,
    waba_id: Option<String>,
    messaging_account_id: Option<String>,
}

/// A WhatsApp business account, once for each account of it here.
#[derive(Debug, Deserialize)]
struct Waba {
    #[serde(rename = "waba_id")]
    id: String,
    #[serde(flatten)]
    owner: Owner,
    /// Its number, as people see it.
    sender: String,
}

/// See the module.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Loaded {
    numbers: Vec<Number>,
    wabas: Vec<Waba>,
    pub people: Option<contacts::Known>,
}

/// Where an event belongs.
#[derive(Debug)]
pub(super) enum Place {
    Account(Owner),
    /// A business account's: everybody who has a number of it, or whose number a notice is about.
    Business(Vec<Owner>),
    /// Nobody's, and why.
    Nowhere(&'static str),
}

impl Place {
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Account(owner) => Some(*owner),
            Self::Business(_) | Self::Nowhere(_) => None,
        }
    }
}

/// What `communications.inbound_load` takes.
#[derive(Debug, Serialize)]
pub(super) struct Question<'a> {
    channel: Channel,
    #[serde(flatten)]
    entrance: Asked<'a>,
    numbers: BTreeSet<&'a str>,
    wabas: BTreeSet<&'a str>,
    people: Vec<PersonSeen<'a>>,
}

/// Somebody that the payload names, at the number where.
#[derive(Debug, Serialize)]
pub(super) struct PersonSeen<'a> {
    pub number: &'a str,
    pub aliases: Vec<Alias>,
}

impl<'a> Question<'a> {
    pub(super) fn of(
        channel: Channel,
        entrance: Entrance<'a>,
        events: &'a [ProviderEvent],
        people: Vec<PersonSeen<'a>>,
    ) -> Self {
        let accounts = || events.iter().filter_map(|event| event.account.as_ref());
        Self {
            channel,
            entrance: entrance.into(),
            numbers: accounts()
                .filter_map(|account| account.external_account_id.as_deref())
                .collect(),
            // The numbers bring their own; a business account is asked for where there is no number.
            wabas: accounts()
                .filter(|account| account.external_account_id.is_none())
                .filter_map(|account| account.waba_id.as_deref())
                .collect(),
            people,
        }
    }
}

impl Loaded {
    /// Begins the transaction that the payload is stored in, finds the owners, and locks and finds the people.
    pub(super) async fn begin(
        database: &Database,
        channel: Channel,
        entrance: Entrance<'_>,
        events: &[ProviderEvent],
        people: Vec<PersonSeen<'_>>,
    ) -> Result<(Tx, Self), DatabaseError> {
        let question = Question::of(channel, entrance, events, people);
        database.begin_with("inbound_load", &question).await
    }

    /// By the number that the event names, else by the business account.
    pub fn place(&self, event: &ProviderEvent) -> Place {
        match &event.account {
            _ if matches!(event.kind, EventKind::Malformed { .. }) => {
                Place::Nowhere(quarantine::MALFORMED)
            }
            Some(account) => match &account.external_account_id {
                Some(number) => self.number(number, account.waba_id.as_deref()),
                None => self.business(account.waba_id.as_deref(), &event.kind),
            },
            None if matches!(event.kind, EventKind::Unhandled { .. }) => {
                Place::Nowhere(quarantine::UNHANDLED)
            }
            None => Place::Nowhere(quarantine::UNKNOWN_ACCOUNT),
        }
    }

    fn number(&self, named: &str, waba: Option<&str>) -> Place {
        match self.numbers.iter().find(|number| number.id == named) {
            None => Place::Nowhere(quarantine::UNKNOWN_ACCOUNT),
            Some(number) if !number.may_be_of(waba) => Place::Nowhere(quarantine::WRONG_WABA),
            Some(number) => Place::Account(number.owner),
        }
    }

    fn business(&self, waba: Option<&str>, kind: &EventKind) -> Place {
        let known = self.wabas.iter();
        let all = known.filter(|known| Some(known.id.as_str()) == waba);
        let meant = match kind {
            EventKind::Account(update) => meant(all.collect(), update),
            _ => all.collect(),
        };
        if meant.is_empty() {
            Place::Nowhere(quarantine::UNKNOWN_ACCOUNT)
        } else {
            Place::Business(meant.iter().map(|known| known.owner).collect())
        }
    }
}

/// A business account's notice about one number is that number's; what is about the business is everybody's, whichever it names.
fn meant<'a>(all: Vec<&'a Waba>, update: &AccountUpdate) -> Vec<&'a Waba> {
    let Some(number) = &update.display_phone_number else {
        return all;
    };
    if update.is_of_the_business() {
        return all;
    }
    let has_it = |known: &&Waba| digits(&known.sender) == digits(number);
    all.into_iter().filter(has_it).collect()
}

/// People write the same number with spaces, dashes and a plus, and without.
fn digits(number: &str) -> Vec<u8> {
    let bytes = number.bytes();
    bytes.filter(u8::is_ascii_digit).collect()
}

impl Number {
    /// Meta splits business accounts from messaging accounts; the payload may name either.
    fn may_be_of(&self, waba: Option<&str>) -> bool {
        let (Some(ours), Some(named)) = (self.waba_id.as_deref(), waba) else {
            return true;
        };
        named == ours || Some(named) == self.messaging_account_id.as_deref()
    }
}
