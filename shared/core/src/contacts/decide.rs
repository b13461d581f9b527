//! Which contact each sighting is, by what the database knows and what the sightings before it said. Nothing is asked or
//! written here.
//!
//! The strongest alias that somebody has decides. Evidence that points at two contacts merges nothing: the others keep what
//! is theirs, and a review is opened for people to look at. Numbers come in several forms (`variants`), and come to new
//! owners: a number belongs to whoever had it at the sighting's own time.
//!
//! Families and offices share a mailbox. So an email decides last, after the profile, the driver or the vendor, and for these and
//! whoever has a number it finds only the contact that is known by its mailbox alone, never somebody with a number or another
//! profile. The mailbox stays the alias of whom it was first, and proves nothing against anybody; nor does a profile, because
//! families share a phone as well.

use super::alias::SCOPE;
use super::owners::{Owners, Owns};
use super::{Alias, AliasKind, Sighting, variants};
use crate::model::{ContactId, PassengerProfileId, TenantId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// Who is who, and what is to be written for it: what `communications.people_store` takes.
#[derive(Debug, Default, Serialize)]
pub struct Decisions {
    /// One for each sighting, in their order.
    #[serde(skip)]
    pub contacts: Vec<ContactId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) created: Vec<Facts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) aliases: Vec<NewAlias>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) given_up: Vec<GivenUp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gained: Vec<Gained>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) known: Vec<Facts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reviews: Vec<Doubt>,
}

#[derive(Debug, Serialize)]
pub(super) struct Facts {
    tenant_id: TenantId,
    contact_id: ContactId,
    name: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    profile: Option<PassengerProfileId>,
}

impl Facts {
    /// What was said before stays, and profiles are linked by whoever brings them first.
    fn learn(&mut self, more: Self) {
        self.name = self.name.take().or(more.name);
        self.locale = self.locale.take().or(more.locale);
        self.timezone = self.timezone.take().or(more.timezone);
    }
}

#[derive(Debug, Serialize)]
pub(super) struct NewAlias {
    tenant_id: TenantId,
    contact_id: ContactId,
    kind: &'static str,
    scope: &'static str,
    value: String,
    /// The alias that the contact was found by, else the host's id of them; for undoing merges.
    learned_from: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct GivenUp {
    tenant_id: TenantId,
    contact_id: ContactId,
    kind: &'static str,
    scope: &'static str,
    value: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// By which news they had come to it, where that is known.
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    since: Option<OffsetDateTime>,
    /// By somebody who says nothing of who reads there: what was said at the number stays said.
    taken_over: bool,
}

/// An alias that its owner has by the provider's news of that time: older news does not take it away.
#[derive(Debug, Serialize)]
pub(super) struct Gained {
    tenant_id: TenantId,
    contact_id: ContactId,
    kind: &'static str,
    scope: &'static str,
    value: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

/// Two contacts that some evidence says are one.
#[derive(Debug, Serialize)]
pub(super) struct Doubt {
    tenant_id: TenantId,
    contact_a: ContactId,
    contact_b: ContactId,
    times: usize,
    evidence: BTreeSet<Pointer>,
}

/// An alias of the evidence, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Pointer {
    kind: &'static str,
    value: String,
    contact_id: ContactId,
}

impl Decisions {
    /// Is there nothing to write?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.created.is_empty()
            && self.aliases.is_empty()
            && self.given_up.is_empty()
            && self.gained.is_empty()
            && self.known.is_empty()
            && self.reviews.is_empty()
    }
}

/// Decides who each sighting is.
#[must_use]
pub fn decide(known: &super::Known, sightings: &[Sighting]) -> Decisions {
    let mut room = Room {
        owners: Owners::of(known),
        doubts: BTreeMap::new(),
        decisions: Decisions::default(),
    };
    for sighting in sightings {
        room.decide(sighting);
    }
    room.decisions.reviews = room.doubts.into_values().collect();
    room.decisions
}

struct Room {
    owners: Owners,
    doubts: BTreeMap<(TenantId, ContactId, ContactId), Doubt>,
    decisions: Decisions,
}

impl Room {
    fn decide(&mut self, sighting: &Sighting) {
        let evidence = self.evidence(sighting);
        let host = sighting.of_the_host().map(|host| host.to_string());
        let proven = evidence
            .first()
            .map(|pointer| (pointer.contact_id, Some(pointer.value.clone())));
        let by_host = || Some((self.owners.of_the_host(sighting)?, host.clone()));
        let by_mailbox = || {
            let (contact, mailbox) = self.by_mailbox(sighting)?;
            Some((contact, Some(mailbox)))
        };
        let (found, anchor) = match proven.or_else(by_host).or_else(by_mailbox) {
            Some((contact, anchor)) => (Some(contact), anchor),
            None => (None, host),
        };
        let contact = found.unwrap_or_else(ContactId::generate);
        let doubtful = [evidence, self.hearsay(sighting)].concat();
        self.doubt(sighting.tenant, contact, &doubtful);
        self.note_facts(sighting, contact, found);
        for alias in &sighting.gained {
            self.take_over(sighting, contact, alias, anchor.as_deref());
        }
        for alias in &sighting.aliases {
            self.learn(sighting, contact, alias, anchor.as_deref());
        }
        let (given_up, kept): (Vec<_>, Vec<_>) = sighting
            .formerly
            .iter()
            .partition(|alias| sighting.given_up.contains(alias));
        for alias in kept {
            self.learn(sighting, contact, alias, anchor.as_deref());
        }
        for alias in given_up {
            self.give_up(sighting, contact, alias);
        }
        for alias in &sighting.gained {
            self.note_gained(sighting, contact, alias);
        }
        if let Some(host) = sighting.of_the_host() {
            self.owners.links(sighting.tenant, host, contact);
        }
        self.decisions.contacts.push(contact);
    }

    /// Whose the aliases are that prove something, strongest first: as they came, then in their other forms. Ids are nobody else's ever,
    /// so those of before prove more than a new number, which somebody may have had; and the news of a change is about whoever had the
    /// old number.
    fn evidence(&self, sighting: &Sighting) -> Vec<Pointer> {
        let (now, before) = (&sighting.aliases, &sighting.formerly);
        let ids = |alias: &&Alias| !alias.kind.is_number() && alias.kind != AliasKind::Email;
        let has_ids = now.iter().chain(before).any(|alias| ids(&alias));
        // Whoever has ids, or had, is not known by a number that they come to with this news.
        let is_new = |alias: &&Alias| has_ids && sighting.gained.contains(alias);
        let numbers = |alias: &&Alias| alias.kind.is_number() && !is_new(alias);
        let proofs = || {
            let all = now.iter().filter(ids).chain(before.iter().filter(ids));
            let all = all.chain(before.iter().filter(numbers));
            all.chain(now.iter().filter(numbers))
        };
        let others = proofs().flat_map(|alias| variants::forms(alias).into_iter().skip(1));
        let all = proofs().cloned().chain(others);
        let owned = all.filter_map(|alias| self.owned(sighting, alias));
        let (since, then): (Vec<_>, Vec<_>) = owned.partition(|(_, since)| *since);
        // Who came to a number later had it not yet, but whoever wrote from it without an id may be nobody else. That somebody left it is not
        // about them.
        let nobody_else = then.is_empty() && before.is_empty() && !has_ids;
        let since = since.into_iter().filter(|_| nobody_else);
        let proofs = then.into_iter().chain(since);
        proofs.map(|(pointer, _)| pointer).collect()
    }

    /// Whose what proves nothing is, in any form: what they say is theirs, and the numbers that they come to. They may be the same person.
    fn hearsay(&self, sighting: &Sighting) -> Vec<Pointer> {
        let all = sighting.claimed.iter().chain(&sighting.gained);
        let owned = all
            .flat_map(variants::forms)
            .filter_map(|form| self.owned(sighting, form));
        owned.map(|(pointer, _)| pointer).collect()
    }

    /// Whose it was at the sighting's own time, and whether they are known to have it only since.
    fn owned(&self, sighting: &Sighting, alias: Alias) -> Option<(Pointer, bool)> {
        let owns = self.owners.owns(sighting.tenant, &alias, sighting.at);
        let pointer = Pointer {
            kind: alias.kind.as_str(),
            value: alias.value,
            contact_id: owns.owner()?,
        };
        Some((pointer, matches!(owns, Owns::Since(_))))
    }

    fn by_mailbox(&self, sighting: &Sighting) -> Option<(ContactId, String)> {
        let mailboxes = sighting
            .aliases
            .iter()
            .filter(|alias| alias.kind == AliasKind::Email);
        let mut owners = mailboxes.filter_map(|alias| {
            let owner = self.owners.at(sighting.tenant, alias, sighting.at)?;
            Some((owner, alias.value.clone()))
        });
        owners.find(|(owner, _)| self.owners.may_be(*owner, sighting))
    }

    /// Everybody else that the evidence points at may be the same person.
    fn doubt(&mut self, tenant: TenantId, contact: ContactId, evidence: &[Pointer]) {
        let others: BTreeSet<ContactId> = evidence
            .iter()
            .map(|pointer| pointer.contact_id)
            .filter(|other| *other != contact)
            .collect();
        for other in others {
            let (a, b) = (contact.min(other), contact.max(other));
            let doubt = self.doubts.entry((tenant, a, b)).or_insert_with(|| Doubt {
                tenant_id: tenant,
                contact_a: a,
                contact_b: b,
                times: 0,
                evidence: BTreeSet::new(),
            });
            doubt.times += 1;
            let theirs = |pointer: &&Pointer| [contact, other].contains(&pointer.contact_id);
            doubt
                .evidence
                .extend(evidence.iter().filter(theirs).cloned());
        }
    }

    fn note_facts(&mut self, sighting: &Sighting, contact: ContactId, found: Option<ContactId>) {
        let facts = Facts {
            tenant_id: sighting.tenant,
            contact_id: contact,
            name: sighting.display_name.clone(),
            locale: sighting.locale.clone(),
            timezone: sighting.timezone.clone(),
            profile: sighting.passenger_profile,
        };
        if found.is_none() {
            self.owners.created(contact);
            self.decisions.created.push(facts);
        } else if let Some(made) = self.made_here(contact) {
            made.learn(facts);
        } else if self.owners.may_learn(contact) && sighting.teaches() {
            self.decisions.known.push(facts);
        }
    }

    fn made_here(&mut self, contact: ContactId) -> Option<&mut Facts> {
        let mut made = self.decisions.created.iter_mut();
        made.find(|facts| facts.contact_id == contact)
    }

    /// An alias that nobody has becomes the contact's.
    fn learn(
        &mut self,
        sighting: &Sighting,
        contact: ContactId,
        alias: &Alias,
        from: Option<&str>,
    ) {
        let tenant = sighting.tenant;
        let past = match self.owners.owns(tenant, alias, sighting.at) {
            // Somebody's, or somebody's then and not now.
            Owns::Now(_) | Owns::Then(_) | Owns::Since(_) => return,
            Owns::Nobody { had_by } => had_by,
        };
        // Others' records of a person outlive the number: what somebody gave up is not theirs again by hearsay.
        if sighting.at.is_none() && past.contains(&contact) {
            return;
        }
        self.have(tenant, contact, alias, from);
    }

    fn have(&mut self, tenant: TenantId, contact: ContactId, alias: &Alias, from: Option<&str>) {
        self.owners.take(tenant, alias, contact);
        self.decisions.aliases.push(NewAlias {
            tenant_id: tenant,
            contact_id: contact,
            kind: alias.kind.as_str(),
            scope: SCOPE,
            value: alias.value.clone(),
            learned_from: from.map(str::to_owned),
        });
    }

    /// The number is free for its next owner, in all its forms; whoever had it is remembered for what comes late.
    fn give_up(&mut self, sighting: &Sighting, contact: ContactId, alias: &Alias) {
        let (tenant, Some(at)) = (sighting.tenant, sighting.at) else {
            return;
        };
        for form in variants::forms(alias) {
            if sighting.aliases.contains(&form) {
                continue;
            }
            let owner = match self.owners.owns(tenant, &form, sighting.at) {
                // Somebody has it since this contact gave it up: it is told again.
                Owns::Now(owner) if owner != contact && self.owners.had(tenant, &form, contact) => {
                    continue;
                }
                Owns::Now(owner) => owner,
                // Also in a form that nobody used: what comes late may name it so.
                Owns::Nobody { .. } => contact,
                // Told before; or whoever has it came to it later, or back to it.
                Owns::Then(_) | Owns::Since(_) => continue,
            };
            self.leave(tenant, form, owner, at, false);
        }
    }

    /// The number is this contact's from now on, in whatever form somebody else had it.
    fn take_over(
        &mut self,
        sighting: &Sighting,
        contact: ContactId,
        alias: &Alias,
        from: Option<&str>,
    ) {
        let (tenant, Some(at)) = (sighting.tenant, sighting.at) else {
            return;
        };
        let mut was_anothers = false;
        for form in variants::forms(alias) {
            match self.owners.owns(tenant, &form, sighting.at) {
                Owns::Now(owner) if owner != contact => {
                    self.leave(tenant, form, owner, at, true);
                    was_anothers = true;
                }
                // Theirs already, nobody's, or somebody's who came to it or left it after this news was written.
                Owns::Now(_) | Owns::Then(_) | Owns::Since(_) | Owns::Nobody { .. } => {}
            }
        }
        if was_anothers && self.owners.at(tenant, alias, None).is_none() {
            self.have(tenant, contact, alias, from);
        }
    }

    /// Of what they have of the number, and nobody takes it away by older news.
    fn note_gained(&mut self, sighting: &Sighting, contact: ContactId, alias: &Alias) {
        let (tenant, Some(at)) = (sighting.tenant, sighting.at) else {
            return;
        };
        for form in variants::forms(alias) {
            if self.owners.owns(tenant, &form, sighting.at) != Owns::Now(contact) {
                continue;
            }
            self.owners.gain(tenant, &form, at);
            self.decisions.gained.push(Gained {
                tenant_id: tenant,
                contact_id: contact,
                kind: form.kind.as_str(),
                scope: SCOPE,
                value: form.value,
                at,
            });
        }
    }

    fn leave(
        &mut self,
        tenant: TenantId,
        form: Alias,
        owner: ContactId,
        at: OffsetDateTime,
        taken_over: bool,
    ) {
        let since = self.owners.lose(tenant, &form, owner, at);
        let kind = form.kind.as_str();
        let same =
            |new: &NewAlias| (new.tenant_id, new.kind, &new.value) == (tenant, kind, &form.value);
        self.decisions.aliases.retain(|new| !same(new));
        self.decisions.given_up.push(GivenUp {
            tenant_id: tenant,
            contact_id: owner,
            kind,
            scope: SCOPE,
            value: form.value,
            at,
            since,
            taken_over,
        });
    }
}
