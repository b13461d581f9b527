//! Who has which alias, and who had it when: what the database knows, kept up to date while a payload is decided.

use super::{Alias, AliasKind, Sighting};
use crate::model::{ContactId, TenantId};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use time::OffsetDateTime;
use uuid::Uuid;

/// What the database has of the people asked for.
#[derive(Debug, Default, Deserialize)]
pub struct Known {
    aliases: Vec<KnownAlias>,
    former: Vec<FormerAlias>,
    profiles: Vec<KnownProfile>,
}

#[derive(Debug, Deserialize)]
struct KnownAlias {
    tenant_id: TenantId,
    kind: String,
    value: String,
    contact_id: ContactId,
    link: Option<Uuid>,
    incomplete: bool,
    /// By the provider's newest news that it is theirs.
    #[serde(with = "time::serde::rfc3339::option")]
    gained_at: Option<OffsetDateTime>,
}

#[derive(Debug, Deserialize)]
struct FormerAlias {
    tenant_id: TenantId,
    kind: String,
    value: String,
    contact_id: ContactId,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    /// By the provider's newest news that it was theirs.
    #[serde(with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
}

/// Somebody had it.
#[derive(Debug)]
struct Tenure {
    until: OffsetDateTime,
    owner: ContactId,
    since: Option<OffsetDateTime>,
}

#[derive(Debug, Deserialize)]
struct KnownProfile {
    tenant_id: TenantId,
    profile: Uuid,
    contact_id: ContactId,
}

/// Whose an alias is at some time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owns {
    Now(ContactId),
    /// It was theirs at that time and they have given it up since.
    Then(ContactId),
    /// It is theirs, or was, by the provider's news of a later time; whose it was before is not known.
    Since(ContactId),
    /// Nobody's; these gave it up before.
    Nobody {
        had_by: Vec<ContactId>,
    },
}

impl Owns {
    pub fn owner(&self) -> Option<ContactId> {
        match self {
            Self::Now(owner) | Self::Then(owner) | Self::Since(owner) => Some(*owner),
            Self::Nobody { .. } => None,
        }
    }
}

/// See the module.
pub(super) struct Owners {
    by_alias: HashMap<(TenantId, Alias), ContactId>,
    former: HashMap<(TenantId, Alias), Vec<Tenure>>,
    /// Since when somebody has one by the provider's news.
    gained: HashMap<(TenantId, Alias), OffsetDateTime>,
    /// By the id of a passenger's profile, a driver or a vendor.
    by_host: HashMap<(TenantId, Uuid), ContactId>,
    links: HashMap<ContactId, Uuid>,
    complete: HashSet<ContactId>,
    created: HashSet<ContactId>,
}

impl Owners {
    pub fn of(known: &Known) -> Self {
        let current = |a: &KnownAlias| {
            let kind = AliasKind::of(&a.kind)?;
            Some(((a.tenant_id, Alias::new(kind, &a.value)), a.contact_id))
        };
        let gained = |a: &KnownAlias| {
            let kind = AliasKind::of(&a.kind)?;
            Some(((a.tenant_id, Alias::new(kind, &a.value)), a.gained_at?))
        };
        let mut former: HashMap<_, Vec<_>> = HashMap::new();
        for a in &known.former {
            let Some(kind) = AliasKind::of(&a.kind) else {
                continue;
            };
            let key = (a.tenant_id, Alias::new(kind, &a.value));
            former.entry(key).or_default().push(Tenure {
                until: a.until,
                owner: a.contact_id,
                since: a.since,
            });
        }
        Self {
            by_alias: known.aliases.iter().filter_map(current).collect(),
            former,
            gained: known.aliases.iter().filter_map(gained).collect(),
            by_host: known
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

    /// Whoever gave it up first after that time had it then; if nobody did, whoever has it now. Without a time: now.
    pub fn owns(&self, tenant: TenantId, alias: &Alias, at: Option<OffsetDateTime>) -> Owns {
        let key = (tenant, alias.clone());
        let former = self.former.get(&key).map(Vec::as_slice).unwrap_or_default();
        let came_later = |since: Option<OffsetDateTime>| {
            at.is_some_and(|at| since.is_some_and(|since| at < since))
        };
        let then = at.and_then(|at| {
            let left_later = former.iter().filter(|tenure| at <= tenure.until);
            left_later.min_by_key(|tenure| (tenure.until, tenure.owner))
        });
        match (then, self.by_alias.get(&key)) {
            (Some(tenure), _) if came_later(tenure.since) => Owns::Since(tenure.owner),
            (Some(tenure), _) => Owns::Then(tenure.owner),
            (None, Some(owner)) if came_later(self.gained.get(&key).copied()) => {
                Owns::Since(*owner)
            }
            (None, Some(owner)) => Owns::Now(*owner),
            (None, None) => Owns::Nobody {
                had_by: former.iter().map(|tenure| tenure.owner).collect(),
            },
        }
    }

    pub fn at(
        &self,
        tenant: TenantId,
        alias: &Alias,
        at: Option<OffsetDateTime>,
    ) -> Option<ContactId> {
        self.owns(tenant, alias, at).owner()
    }

    /// Has this contact given it up, whenever?
    pub fn had(&self, tenant: TenantId, alias: &Alias, contact: ContactId) -> bool {
        let former = self.former.get(&(tenant, alias.clone()));
        former.is_some_and(|former| former.iter().any(|tenure| tenure.owner == contact))
    }

    pub fn gain(&mut self, tenant: TenantId, alias: &Alias, at: OffsetDateTime) {
        self.gained.insert((tenant, alias.clone()), at);
    }

    pub fn of_the_host(&self, sighting: &Sighting) -> Option<ContactId> {
        let key = (sighting.tenant, sighting.of_the_host()?);
        self.by_host.get(&key).copied()
    }

    /// May the owner of a mailbox be this one? Whoever has a number of their own or is somebody to the host is not known by the
    /// mailbox alone: then only whom the host says to be the same, or who brings no number either, is them.
    pub fn may_be(&self, contact: ContactId, sighting: &Sighting) -> bool {
        match (self.links.get(&contact), sighting.of_the_host()) {
            (Some(link), Some(host)) => *link == host,
            (Some(_), None) => !sighting.has_number(),
            (None, _) => true,
        }
    }

    /// Is there something about them that we do not know yet?
    pub fn may_learn(&self, contact: ContactId) -> bool {
        !self.created.contains(&contact) && !self.complete.contains(&contact)
    }

    pub fn created(&mut self, contact: ContactId) {
        self.created.insert(contact);
    }

    pub fn take(&mut self, tenant: TenantId, alias: &Alias, contact: ContactId) {
        self.by_alias.insert((tenant, alias.clone()), contact);
        if alias.kind != AliasKind::Email {
            self.links.entry(contact).or_insert(contact.0);
        }
    }

    /// Answers by which news they had come to it.
    pub fn lose(
        &mut self,
        tenant: TenantId,
        alias: &Alias,
        owner: ContactId,
        until: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let key = (tenant, alias.clone());
        self.by_alias.remove(&key);
        let since = self.gained.remove(&key);
        self.former.entry(key).or_default().push(Tenure {
            until,
            owner,
            since,
        });
        since
    }

    pub fn links(&mut self, tenant: TenantId, host: Uuid, contact: ContactId) {
        self.by_host.entry((tenant, host)).or_insert(contact);
        let link = self.links.entry(contact).or_insert(host);
        if *link == contact.0 {
            *link = host;
        }
    }
}
