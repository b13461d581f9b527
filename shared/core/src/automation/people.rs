//! The contacts behind a run's audience, and what must be known of them before anything is decided.

use super::audience::{Recipient, Who};
use super::rules::Rule;
use super::story;
use crate::contacts::{Alias, AliasKind, Sighting, resolve};
use crate::inbox;
use crate::model::{Category, Channel, ContactId, ConversationId, RunId, TenantId};
use crate::platform::{DatabaseError, Tx};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The contacts behind the recipients that can be reached, and which of them may be written to.
pub(super) struct People {
    contacts: HashMap<Who, ContactId>,
    consenting: HashSet<(ContactId, Channel)>,
    suppressed: HashSet<(Channel, String)>,
    threads: HashMap<ContactId, ConversationId>,
    told: HashSet<(ContactId, Channel)>,
}

impl People {
    pub(super) async fn find(
        tx: &mut Tx,
        tenant: TenantId,
        recipients: &[Recipient],
        rule: &Rule,
    ) -> Result<Self, DatabaseError> {
        let contacts = contacts(tx, tenant, recipients).await?;
        let found: Vec<ContactId> = contacts.values().copied().collect();
        let channels: Vec<String> = rule
            .steps
            .iter()
            .map(|step| step.channel.to_string())
            .collect();
        let consenting = consenting(tx, tenant, &found, &channels, rule.category).await?;
        let suppressed = suppressed(tx, tenant, recipients, &channels).await?;
        let threads = inbox::live_threads(tx, tenant, &found).await?;
        let threads = threads
            .into_iter()
            .map(|thread| (thread.contact, thread.conversation))
            .collect();
        Ok(Self {
            contacts,
            consenting,
            suppressed,
            threads,
            told: HashSet::new(),
        })
    }

    /// Looks up who is written to already in the story that begins with this run.
    pub(super) async fn have_heard(
        &mut self,
        tx: &mut Tx,
        tenant: TenantId,
        first: RunId,
    ) -> Result<(), DatabaseError> {
        let contacts: Vec<ContactId> = self.contacts.values().copied().collect();
        self.told = story::told(tx, tenant, first, &contacts).await?;
        Ok(())
    }

    /// Another part of the story is written to them on this channel.
    pub(super) fn is_told(&self, contact: ContactId, channel: Channel) -> bool {
        self.told.contains(&(contact, channel))
    }

    /// `None` for somebody without any address.
    pub(super) fn contact(&self, recipient: &Recipient) -> Option<ContactId> {
        self.contacts.get(&recipient.who).copied()
    }

    pub(super) fn consents(&self, contact: ContactId, channel: Channel) -> bool {
        self.consenting.contains(&(contact, channel))
    }

    /// Did it bounce for good, or did whoever has it complain?
    pub(super) fn is_suppressed(&self, channel: Channel, address: &str) -> bool {
        self.suppressed.contains(&(channel, address.to_owned()))
    }

    /// The live conversation, when there is one.
    pub(super) fn thread(&self, contact: ContactId) -> Option<ConversationId> {
        self.threads.get(&contact).copied()
    }
}

/// Found or made by their addresses. Who is named as a contact is that contact, whatever else the address says.
async fn contacts(
    tx: &mut Tx,
    tenant: TenantId,
    recipients: &[Recipient],
) -> Result<HashMap<Who, ContactId>, DatabaseError> {
    let reachable = recipients
        .iter()
        .filter(|recipient| recipient.phone.is_some() || recipient.email.is_some());
    let (known, others): (Vec<&Recipient>, Vec<&Recipient>) =
        reachable.partition(|recipient| matches!(recipient.who, Who::Contact(_)));
    let sightings: Vec<Sighting> = others
        .iter()
        .map(|recipient| sighting(tenant, recipient))
        .collect();
    let found = resolve(tx, &sightings).await?;
    link_staff(tx, tenant, &others, &found).await?;
    let known = named(tx, tenant, &known).await?;
    Ok(others
        .iter()
        .map(|recipient| recipient.who)
        .zip(found)
        .chain(known)
        .collect())
}

/// Whom they are by now, locked, as the others are by their addresses: nobody merges them before their messages are written.
async fn named(
    tx: &mut Tx,
    tenant: TenantId,
    recipients: &[&Recipient],
) -> Result<Vec<(Who, ContactId)>, DatabaseError> {
    let ids: Vec<Uuid> = recipients
        .iter()
        .filter_map(|recipient| match recipient.who {
            Who::Contact(id) => Some(id),
            _ => None,
        })
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    loop {
        let rows = sqlx::query!(
            r#"select asked.id as "asked!", c.id as "living: ContactId", c.merged_into is not null as "merged!"
                 from (select distinct id, communications.living_contact($1, id) as living from unnest($2::uuid[]) as a (id)) asked
                 join communications.contacts c on c.tenant_id = $1 and c.id = asked.living
                order by c.id
                  for share of c"#,
            tenant.0,
            &ids
        )
        .fetch_all(tx.conn())
        .await?;
        // Merged while this waited for their rows: they are somebody else by now.
        if rows.iter().all(|row| !row.merged) {
            let known = rows.into_iter();
            return Ok(known
                .map(|row| (Who::Contact(row.asked), row.living))
                .collect());
        }
    }
}

fn sighting(tenant: TenantId, recipient: &Recipient) -> Sighting {
    let phone = recipient
        .phone
        .iter()
        .map(|phone| Alias::new(AliasKind::Phone, phone));
    let email = recipient
        .email
        .iter()
        .map(|email| Alias::new(AliasKind::Email, email));
    let passenger_profile = match recipient.who {
        Who::Passenger(profile) => Some(profile),
        _ => None,
    };
    let staff = match recipient.who {
        Who::Driver(id) | Who::Vendor(id) => Some(id),
        _ => None,
    };
    Sighting {
        aliases: phone.chain(email).collect(),
        passenger_profile,
        staff,
        display_name: Some(recipient.full_name.clone()).filter(|name| !name.is_empty()),
        locale: recipient.locale.clone(),
        timezone: recipient.timezone.clone(),
        ..Sighting::new(tenant)
    }
}

/// A contact that is nobody of the host's yet is this driver or vendor from now on. One that is somebody stays who it is: a driver
/// who travels is a passenger to us.
async fn link_staff(
    tx: &mut Tx,
    tenant: TenantId,
    recipients: &[&Recipient],
    contacts: &[ContactId],
) -> Result<(), DatabaseError> {
    let (mut ids, mut drivers, mut vendors) = (Vec::new(), Vec::new(), Vec::new());
    for (recipient, contact) in recipients.iter().zip(contacts) {
        let (driver, vendor) = match recipient.who {
            Who::Driver(driver) => (Some(driver), None),
            Who::Vendor(vendor) => (None, Some(vendor)),
            _ => continue,
        };
        ids.push(contact.0);
        drivers.push(driver);
        vendors.push(vendor);
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update communications.contacts c
            set driver_id = s.driver_id, vendor_id = s.vendor_id,
                kind = case when s.driver_id is not null then 'DRIVER' else 'VENDOR' end
           from (select distinct on (coalesce(driver_id, vendor_id)) *
                   from unnest($2::uuid[], $3::uuid[], $4::uuid[]) as s(contact_id, driver_id, vendor_id)) s
          where c.tenant_id = $1 and c.id = s.contact_id
            and num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0
            and not exists (select from communications.contacts other
                             where other.tenant_id = $1 and (other.driver_id = s.driver_id or other.vendor_id = s.vendor_id))",
        tenant.0,
        &ids,
        &drivers as &[Option<Uuid>],
        &vendors as &[Option<Uuid>]
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn consenting(
    tx: &mut Tx,
    tenant: TenantId,
    contacts: &[ContactId],
    channels: &[String],
    category: Category,
) -> Result<HashSet<(ContactId, Channel)>, DatabaseError> {
    let ids: Vec<Uuid> = contacts.iter().map(|contact| contact.0).collect();
    let rows = sqlx::query!(
        r#"select contact_id as "contact!: ContactId", channel as "channel!"
             from communications.consenting($1, $2, $3, $4)"#,
        tenant.0,
        &ids,
        channels,
        category.as_str()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.contact, row.channel.parse().ok()?)))
        .collect())
}

async fn suppressed(
    tx: &mut Tx,
    tenant: TenantId,
    recipients: &[Recipient],
    channels: &[String],
) -> Result<HashSet<(Channel, String)>, DatabaseError> {
    let addresses: Vec<String> = recipients
        .iter()
        .flat_map(|recipient| [&recipient.phone, &recipient.email])
        .flatten()
        .cloned()
        .collect();
    let rows = sqlx::query!(
        "select channel, address from communications.suppressions
          where tenant_id = $1 and channel = any($2) and address = any($3)",
        tenant.0,
        channels,
        &addresses
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.channel.parse().ok()?, row.address)))
        .collect())
}
