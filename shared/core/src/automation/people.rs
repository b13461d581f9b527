//! The contacts behind a run's audience, and what must be known of them before anything is decided.

use super::audience::Passenger;
use super::rules::Rule;
use crate::contacts::{Alias, AliasKind, Sighting, resolve};
use crate::inbox;
use crate::model::{Category, Channel, ContactId, ConversationId, PassengerProfileId, TenantId};
use crate::platform::{DatabaseError, Tx};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The contacts behind the passengers that can be reached, and which of them may be written to.
pub(super) struct People {
    contacts: HashMap<PassengerProfileId, ContactId>,
    consenting: HashSet<(ContactId, Channel)>,
    suppressed: HashSet<(Channel, String)>,
    threads: HashMap<ContactId, ConversationId>,
}

impl People {
    pub(super) async fn find(
        tx: &mut Tx,
        tenant: TenantId,
        passengers: &[Passenger],
        rule: &Rule,
    ) -> Result<Self, DatabaseError> {
        let reachable: Vec<&Passenger> = passengers
            .iter()
            .filter(|passenger| passenger.phone.is_some() || passenger.email.is_some())
            .collect();
        let sightings: Vec<Sighting> = reachable
            .iter()
            .map(|passenger| sighting(tenant, passenger))
            .collect();
        let found = resolve(tx, &sightings).await?;
        let contacts: HashMap<_, _> = reachable
            .iter()
            .map(|passenger| passenger.profile)
            .zip(found.iter().copied())
            .collect();
        let channels: Vec<String> = rule
            .steps
            .iter()
            .map(|step| step.channel.to_string())
            .collect();
        let consenting = consenting(tx, tenant, &found, &channels, rule.category).await?;
        let suppressed = suppressed(tx, tenant, &reachable, &channels).await?;
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
        })
    }

    /// `None` for somebody without any address.
    pub(super) fn contact(&self, passenger: &Passenger) -> Option<ContactId> {
        self.contacts.get(&passenger.profile).copied()
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

fn sighting(tenant: TenantId, passenger: &Passenger) -> Sighting {
    let phone = passenger
        .phone
        .iter()
        .map(|phone| Alias::new(AliasKind::Phone, "", phone));
    let email = passenger
        .email
        .iter()
        .map(|email| Alias::new(AliasKind::Email, "", email));
    Sighting {
        aliases: phone.chain(email).collect(),
        passenger_profile: Some(passenger.profile),
        display_name: Some(passenger.full_name.clone()),
        locale: passenger.locale.clone(),
        timezone: passenger.timezone.clone(),
        ..Sighting::new(tenant)
    }
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
        r#"select distinct p.contact_id as "contact!: ContactId", c.channel as "channel!"
             from unnest($2::uuid[]) as p(contact_id) cross join unnest($3::text[]) as c(channel)
            where communications.consent_allows($1, p.contact_id, c.channel, $4)"#,
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
    passengers: &[&Passenger],
    channels: &[String],
) -> Result<HashSet<(Channel, String)>, DatabaseError> {
    let addresses: Vec<String> = passengers
        .iter()
        .flat_map(|passenger| [&passenger.phone, &passenger.email])
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
