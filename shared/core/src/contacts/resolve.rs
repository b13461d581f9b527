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
use std::collections::HashMap;
use uuid::Uuid;

/// What is known of one person at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Strongest evidence first.
    pub aliases: Vec<Alias>,
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

/// One contact for each sighting, in the same order.
///
/// # Errors
/// When the database does not answer, or refuses an alias (a phone that is not E.164).
pub async fn resolve(
    tx: &mut Tx,
    tenant: TenantId,
    sightings: &[Sighting],
) -> Result<Vec<ContactId>, DatabaseError> {
    if sightings.is_empty() {
        return Ok(Vec::new());
    }
    lock(tx, tenant, sightings).await?;
    let mut known = Known::load(tx, tenant, sightings).await?;
    let mut created = Vec::new();
    let contacts: Vec<ContactId> = sightings
        .iter()
        .enumerate()
        .map(|(index, sighting)| known.assign(index, sighting, &mut created))
        .collect();
    insert_contacts(tx, tenant, sightings, &created).await?;
    insert_aliases(tx, tenant, &known).await?;
    fill_gaps(tx, tenant, sightings, &contacts, &created).await?;
    Ok(contacts)
}

/// Transaction locks on every alias and profile, sorted, so that two callers never wait for each other crosswise.
async fn lock(tx: &mut Tx, tenant: TenantId, sightings: &[Sighting]) -> Result<(), DatabaseError> {
    let mut keys: Vec<String> = Vec::new();
    for sighting in sightings {
        keys.extend(sighting.aliases.iter().map(|alias| {
            format!(
                "{tenant}/{}/{}/{}",
                alias.kind.as_str(),
                alias.scope,
                alias.value
            )
        }));
        keys.extend(
            sighting
                .passenger_profile
                .map(|profile| format!("{tenant}/profile/{profile}")),
        );
    }
    sqlx::query!(
        r#"select count(pg_advisory_xact_lock(hash)) as "locked!"
             from (select distinct hashtextextended(key, 0) as hash from unnest($1::text[]) as k(key) order by hash) k"#,
        &keys
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// What the database had when we held the locks, and what this call adds to it.
struct Known {
    by_alias: HashMap<Alias, ContactId>,
    by_profile: HashMap<PassengerProfileId, ContactId>,
    /// Who a contact is, where more than a mailbox says so: its profile, driver or vendor, else itself.
    links: HashMap<ContactId, Uuid>,
    new_aliases: Vec<(Alias, ContactId)>,
}

impl Known {
    async fn load(
        tx: &mut Tx,
        tenant: TenantId,
        sightings: &[Sighting],
    ) -> Result<Self, DatabaseError> {
        let aliases: Vec<&Alias> = sightings
            .iter()
            .flat_map(|sighting| &sighting.aliases)
            .collect();
        let (kinds, scopes, values) = columns(&aliases);
        let profiles: Vec<Uuid> = sightings
            .iter()
            .filter_map(|sighting| sighting.passenger_profile)
            .map(|id| id.0)
            .collect();
        let rows = sqlx::query!(
            r#"select a.ordinal, i.contact_id as "contact!: ContactId",
                      coalesce(o.passenger_profile_id, o.driver_id, o.vendor_id, case when exists (
                          select from communications.contact_identities x
                           where x.tenant_id = $1 and x.contact_id = o.id and x.kind <> 'email') then o.id end) as link
                 from unnest($2::text[], $3::text[], $4::text[]) with ordinality as a(kind, scope, value, ordinal)
                 join communications.contact_identities i
                   on i.tenant_id = $1 and i.kind = a.kind and i.scope = a.scope and i.value = a.value
                 join communications.contacts o on o.tenant_id = $1 and o.id = i.contact_id
               union all
               select null, c.id, c.passenger_profile_id
                 from communications.contacts c
                where c.tenant_id = $1 and c.passenger_profile_id = any($5)"#,
            tenant.0,
            &kinds,
            &scopes,
            &values,
            &profiles
        )
        .fetch_all(tx.conn())
        .await?;
        let mut known = Self {
            by_alias: HashMap::new(),
            by_profile: HashMap::new(),
            links: HashMap::new(),
            new_aliases: Vec::new(),
        };
        for row in rows {
            let alias = row
                .ordinal
                .and_then(|ordinal| aliases.get(usize::try_from(ordinal - 1).ok()?));
            if let Some(alias) = alias {
                known.by_alias.insert((*alias).clone(), row.contact);
            } else if let Some(profile) = row.link {
                known
                    .by_profile
                    .insert(PassengerProfileId(profile), row.contact);
            }
            known.links.extend(row.link.map(|link| (row.contact, link)));
        }
        Ok(known)
    }

    fn assign(
        &mut self,
        index: usize,
        sighting: &Sighting,
        created: &mut Vec<(usize, ContactId)>,
    ) -> ContactId {
        let (mailboxes, ids): (Vec<&Alias>, Vec<&Alias>) = sighting
            .aliases
            .iter()
            .partition(|alias| alias.kind == AliasKind::Email);
        let by_id = ids.into_iter().find_map(|alias| self.by_alias.get(alias));
        let by_profile = || self.by_profile.get(&sighting.passenger_profile?);
        let by_mailbox = || {
            let mut owners = mailboxes
                .iter()
                .filter_map(|alias| self.by_alias.get(alias));
            owners.find(|owner| self.may_be(**owner, sighting.passenger_profile))
        };
        let found = by_id.or_else(by_profile).or_else(by_mailbox).copied();
        let contact = found.unwrap_or_else(|| {
            let contact = ContactId::generate();
            created.push((index, contact));
            contact
        });
        for alias in &sighting.aliases {
            if !self.by_alias.contains_key(alias) {
                self.by_alias.insert(alias.clone(), contact);
                self.new_aliases.push((alias.clone(), contact));
            }
        }
        if let Some(profile) = sighting.passenger_profile {
            self.by_profile.entry(profile).or_insert(contact);
            self.links.entry(contact).or_insert(profile.0);
        }
        contact
    }

    /// May the owner of a mailbox be this profile? Who comes without a profile is whoever owns it.
    fn may_be(&self, contact: ContactId, profile: Option<PassengerProfileId>) -> bool {
        match (self.links.get(&contact), profile) {
            (Some(link), Some(profile)) => *link == profile.0,
            _ => true,
        }
    }
}

fn columns(aliases: &[&Alias]) -> (Vec<String>, Vec<String>, Vec<String>) {
    (
        aliases
            .iter()
            .map(|alias| alias.kind.as_str().to_owned())
            .collect(),
        aliases.iter().map(|alias| alias.scope.clone()).collect(),
        aliases.iter().map(|alias| alias.value.clone()).collect(),
    )
}

async fn insert_contacts(
    tx: &mut Tx,
    tenant: TenantId,
    sightings: &[Sighting],
    created: &[(usize, ContactId)],
) -> Result<(), DatabaseError> {
    if created.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = created.iter().map(|(_, contact)| contact.0).collect();
    sqlx::query!(
        "insert into communications.contacts (tenant_id, id, display_name, locale, timezone, passenger_profile_id)
         select $1, c.id, c.name, c.locale, c.timezone, c.profile
           from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[]) as c(id, name, locale, timezone, profile)",
        tenant.0,
        &ids,
        &column(sightings, created, |sighting| sighting.display_name.clone()) as &[Option<String>],
        &column(sightings, created, |sighting| sighting.locale.clone()) as &[Option<String>],
        &column(sightings, created, |sighting| sighting.timezone.clone()) as &[Option<String>],
        &column(sightings, created, |sighting| sighting.passenger_profile.map(|id| id.0)) as &[Option<Uuid>],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn insert_aliases(tx: &mut Tx, tenant: TenantId, known: &Known) -> Result<(), DatabaseError> {
    if known.new_aliases.is_empty() {
        return Ok(());
    }
    let aliases: Vec<&Alias> = known.new_aliases.iter().map(|(alias, _)| alias).collect();
    let contacts: Vec<Uuid> = known
        .new_aliases
        .iter()
        .map(|(_, contact)| contact.0)
        .collect();
    let (kinds, scopes, values) = columns(&aliases);
    sqlx::query!(
        "insert into communications.contact_identities (tenant_id, kind, scope, value, contact_id)
         select $1, a.kind, a.scope, a.value, a.contact_id
           from unnest($2::text[], $3::text[], $4::text[], $5::uuid[]) as a(kind, scope, value, contact_id)",
        tenant.0,
        &kinds,
        &scopes,
        &values,
        &contacts
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A contact known by its number alone learns its name, its language and its profile; what it has is never replaced.
async fn fill_gaps(
    tx: &mut Tx,
    tenant: TenantId,
    sightings: &[Sighting],
    contacts: &[ContactId],
    created: &[(usize, ContactId)],
) -> Result<(), DatabaseError> {
    let found: Vec<(usize, ContactId)> = contacts
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, contact)| !created.iter().any(|(_, new)| new == contact))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = found.iter().map(|(_, contact)| contact.0).collect();
    sqlx::query!(
        "with seen as (
             select distinct on (id) * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[])
                 as s(id, name, locale, timezone, profile)
              order by id)
         update communications.contacts c
            set display_name = coalesce(c.display_name, s.name),
                locale = coalesce(c.locale, s.locale),
                timezone = coalesce(c.timezone, s.timezone),
                passenger_profile_id = case
                    when num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) > 0 then c.passenger_profile_id
                    when exists (select from communications.contacts other
                                  where other.tenant_id = $1 and other.passenger_profile_id = s.profile) then null
                    else s.profile end
           from seen s
          where c.tenant_id = $1 and c.id = s.id
            and ((c.display_name is null and s.name is not null)
              or (c.locale is null and s.locale is not null)
              or (c.timezone is null and s.timezone is not null)
              or (num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0 and s.profile is not null))",
        tenant.0,
        &ids,
        &column(sightings, &found, |sighting| sighting.display_name.clone()) as &[Option<String>],
        &column(sightings, &found, |sighting| sighting.locale.clone()) as &[Option<String>],
        &column(sightings, &found, |sighting| sighting.timezone.clone()) as &[Option<String>],
        &column(sightings, &found, |sighting| sighting.passenger_profile.map(|id| id.0)) as &[Option<Uuid>],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn column<T>(
    sightings: &[Sighting],
    rows: &[(usize, ContactId)],
    get: impl Fn(&Sighting) -> T,
) -> Vec<T> {
    rows.iter()
        .map(|(index, _)| get(&sightings[*index]))
        .collect()
}
