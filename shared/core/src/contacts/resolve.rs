//! Finds or creates the contact behind each sighting: the only place that creates contacts.
//!
//! Everything that may become an alias is locked first, in one order for everybody, so that ten first messages of a new
//! sender (or a webhook and an event at once) end in one contact. Aliases decide before the profile link: the address is
//! what a thread hangs on. Evidence that points at two contacts merges nothing; the strongest alias wins.
//!
//! Families and offices share a mailbox. So an email decides last, after the profile, and for a profile it finds only the
//! contact that is known by its mailbox alone, never somebody with a number or another profile. The mailbox stays the alias
//! of whom it was first.

use crate::model::{ContactId, PassengerProfileId, TenantId};
use crate::platform::{DatabaseError, Tx};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What is known of one person at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub tenant: TenantId,
    /// Strongest evidence first.
    pub aliases: Vec<Alias>,
    /// What the same person had before, by the provider's word.
    pub formerly: Vec<Alias>,
    pub passenger_profile: Option<PassengerProfileId>,
    pub display_name: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias {
    pub kind: AliasKind,
    /// Where the value means something: the WABA of a business-scoped user id; empty elsewhere.
    pub scope: String,
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AliasKind {
    /// E.164.
    Phone,
    WaId,
    Bsuid,
    ParentBsuid,
    /// `local@domain` in lower case.
    Email,
}

impl AliasKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::WaId => "wa_id",
            Self::Bsuid => "bsuid",
            Self::ParentBsuid => "parent_bsuid",
            Self::Email => "email",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [
            Self::Phone,
            Self::WaId,
            Self::Bsuid,
            Self::ParentBsuid,
            Self::Email,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}

impl Alias {
    #[must_use]
    pub fn new(kind: AliasKind, scope: &str, value: &str) -> Self {
        Self {
            kind,
            scope: scope.to_owned(),
            value: value.to_owned(),
        }
    }
}

impl Sighting {
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            aliases: Vec::new(),
            formerly: Vec::new(),
            passenger_profile: None,
            display_name: None,
            locale: None,
            timezone: None,
        }
    }
}

/// As `[kind, scope, value]`.
impl Serialize for Alias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.kind.as_str(), &self.scope, &self.value).serialize(serializer)
    }
}

/// What the database has of the people asked for.
#[derive(Debug, Default, Deserialize)]
pub struct Known {
    aliases: Vec<KnownAlias>,
    profiles: Vec<KnownProfile>,
}

#[derive(Debug, Deserialize)]
struct KnownAlias {
    tenant_id: TenantId,
    kind: String,
    scope: String,
    value: String,
    contact_id: ContactId,
    link: Option<Uuid>,
    incomplete: bool,
}

#[derive(Debug, Deserialize)]
struct KnownProfile {
    tenant_id: TenantId,
    profile: PassengerProfileId,
    contact_id: ContactId,
}

/// Who is who, and what is to be written for it.
#[derive(Debug, Default, Serialize)]
pub struct Decisions {
    /// One for each sighting, in their order.
    #[serde(skip)]
    pub contacts: Vec<ContactId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    created: Vec<Facts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<NewAlias>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known: Vec<Facts>,
}

#[derive(Debug, Serialize)]
struct Facts {
    tenant_id: TenantId,
    contact_id: ContactId,
    name: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    profile: Option<PassengerProfileId>,
}

#[derive(Debug, Serialize)]
struct NewAlias {
    tenant_id: TenantId,
    contact_id: ContactId,
    kind: &'static str,
    scope: String,
    value: String,
}

impl Decisions {
    /// Is there nothing to write?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.aliases.is_empty() && self.known.is_empty()
    }
}

/// Decides who each sighting is; nothing is asked or written.
#[must_use]
pub fn decide(known: &Known, sightings: &[Sighting]) -> Decisions {
    let mut people = People::of(known);
    let mut decisions = Decisions::default();
    for sighting in sightings {
        people.assign(sighting, &mut decisions);
    }
    decisions
}

/// One contact for each sighting, in the same order.
///
/// # Errors
/// When the database does not answer, or refuses an alias (a phone that is not E.164).
pub async fn resolve(tx: &mut Tx, sightings: &[Sighting]) -> Result<Vec<ContactId>, DatabaseError> {
    if sightings.is_empty() {
        return Ok(Vec::new());
    }
    let question: Vec<_> = sightings
        .iter()
        .map(|s| serde_json::json!({"tenant_id": s.tenant, "aliases": s.aliases, "profile": s.passenger_profile}))
        .collect();
    let known: Known = tx.call("people_load", &question).await?;
    let decisions = decide(&known, sightings);
    if !decisions.is_empty() {
        let () = tx.call("people_store", &decisions).await?;
    }
    Ok(decisions.contacts)
}

struct People {
    by_alias: HashMap<(TenantId, Alias), ContactId>,
    by_profile: HashMap<(TenantId, PassengerProfileId), ContactId>,
    links: HashMap<ContactId, Uuid>,
    complete: HashSet<ContactId>,
    created: HashSet<ContactId>,
}

impl People {
    fn of(known: &Known) -> Self {
        let alias = |a: &KnownAlias| {
            let kind = AliasKind::of(&a.kind)?;
            Some((
                (a.tenant_id, Alias::new(kind, &a.scope, &a.value)),
                a.contact_id,
            ))
        };
        Self {
            by_alias: known.aliases.iter().filter_map(alias).collect(),
            by_profile: known
                .profiles
                .iter()
                .map(|p| ((p.tenant_id, p.profile), p.contact_id))
                .collect(),
            links: known
                .aliases
                .iter()
                .filter_map(|a| Some((a.contact_id, a.link?)))
                .collect(),
            complete: known
                .aliases
                .iter()
                .filter(|a| !a.incomplete)
                .map(|a| a.contact_id)
                .collect(),
            created: HashSet::new(),
        }
    }

    fn assign(&mut self, sighting: &Sighting, decisions: &mut Decisions) {
        let tenant = sighting.tenant;
        let key = |alias: &Alias| (tenant, alias.clone());
        let (mailboxes, ids): (Vec<&Alias>, Vec<&Alias>) = sighting
            .aliases
            .iter()
            .partition(|alias| alias.kind == AliasKind::Email);
        let by_id = ids
            .into_iter()
            .chain(&sighting.formerly)
            .find_map(|alias| self.by_alias.get(&key(alias)));
        let by_profile = || self.by_profile.get(&(tenant, sighting.passenger_profile?));
        let by_mailbox = || {
            let mut owners = mailboxes
                .iter()
                .filter_map(|alias| self.by_alias.get(&key(alias)));
            owners.find(|owner| self.may_be(**owner, sighting.passenger_profile))
        };
        let found = by_id.or_else(by_profile).or_else(by_mailbox).copied();
        let contact = found.unwrap_or_else(ContactId::generate);
        let facts = || Facts {
            tenant_id: tenant,
            contact_id: contact,
            name: sighting.display_name.clone(),
            locale: sighting.locale.clone(),
            timezone: sighting.timezone.clone(),
            profile: sighting.passenger_profile,
        };
        if found.is_none() {
            self.created.insert(contact);
            decisions.created.push(facts());
        } else if !self.created.contains(&contact)
            && !self.complete.contains(&contact)
            && sighting.teaches()
        {
            decisions.known.push(facts());
        }
        for alias in &sighting.aliases {
            if !self.by_alias.contains_key(&key(alias)) {
                self.by_alias.insert(key(alias), contact);
                decisions.aliases.push(NewAlias {
                    tenant_id: tenant,
                    contact_id: contact,
                    kind: alias.kind.as_str(),
                    scope: alias.scope.clone(),
                    value: alias.value.clone(),
                });
            }
        }
        if let Some(profile) = sighting.passenger_profile {
            self.by_profile.entry((tenant, profile)).or_insert(contact);
            self.links.entry(contact).or_insert(profile.0);
        }
        decisions.contacts.push(contact);
    }

    /// May the owner of a mailbox be this profile? Who comes without a profile is whoever owns it.
    fn may_be(&self, contact: ContactId, profile: Option<PassengerProfileId>) -> bool {
        match (self.links.get(&contact), profile) {
            (Some(link), Some(profile)) => *link == profile.0,
            _ => true,
        }
    }
}

impl Sighting {
    fn teaches(&self) -> bool {
        self.display_name.is_some()
            || self.locale.is_some()
            || self.timezone.is_some()
            || self.passenger_profile.is_some()
    }
}
