//! Who of the audience gets what: people and consents are loaded first, then every recipient is decided without I/O.

use super::answer::{RecipientAnswer, RecipientOutcome};
use super::audience::{Passenger, Trip};
use super::render::{self, RenderError};
use super::rules::Rule;
use super::templates::{Catalogue, Template};
use crate::channels::ActiveAccount;
use crate::contacts::{Alias, AliasKind, Sighting, resolve};
use crate::inbox;
use crate::model::{
    Category, Channel, ContactId, ConversationId, MessageId, PassengerProfileId, RunId, TenantId,
};
use crate::outbox::{Author, NewMessage, TemplateUse};
use crate::platform::{DatabaseError, Tx};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The contacts behind the passengers that can be reached, and which of them may be written to.
pub(super) struct People {
    contacts: HashMap<PassengerProfileId, ContactId>,
    consenting: HashSet<(ContactId, Channel)>,
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
            .filter(|passenger| passenger.phone.is_some())
            .collect();
        let sightings: Vec<Sighting> = reachable
            .iter()
            .map(|passenger| sighting(passenger))
            .collect();
        let found = resolve(tx, tenant, &sightings).await?;
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
        let threads = inbox::live_threads(tx, tenant, &found).await?;
        let threads = threads
            .into_iter()
            .map(|thread| (thread.contact, thread.conversation))
            .collect();
        Ok(Self {
            contacts,
            consenting,
            threads,
        })
    }
}

fn sighting(passenger: &Passenger) -> Sighting {
    Sighting {
        aliases: passenger
            .phone
            .iter()
            .map(|phone| Alias::new(AliasKind::Phone, "", phone))
            .collect(),
        passenger_profile: Some(passenger.profile),
        display_name: Some(passenger.full_name.clone()),
        locale: passenger.locale.clone(),
        timezone: passenger.timezone.clone(),
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

/// Decides for each passenger, without any I/O.
pub(super) struct Planner<'a> {
    pub run: RunId,
    pub rule: &'a Rule,
    pub accounts: &'a [ActiveAccount],
    pub catalogue: &'a Catalogue,
    pub trip: &'a Trip,
}

impl Planner<'_> {
    pub(super) fn plan(
        &self,
        passengers: &[Passenger],
        people: &People,
    ) -> (Vec<NewMessage>, Vec<RecipientAnswer>) {
        let mut rows: Vec<NewMessage> = Vec::new();
        let mut taken = HashSet::new();
        let answers = passengers
            .iter()
            .map(|passenger| {
                let contact = people.contacts.get(&passenger.profile).copied();
                let planned = match contact {
                    None => Err((RecipientOutcome::NoAddress, None)),
                    Some(contact) if !taken.insert(contact) => {
                        Err((RecipientOutcome::Duplicate, None))
                    }
                    Some(contact) => self.message(passenger, contact, people),
                };
                match planned {
                    Ok(row) => {
                        let outcome = if row.suppressed {
                            RecipientOutcome::Suppressed
                        } else {
                            RecipientOutcome::Queued
                        };
                        let answer = answer(passenger, outcome, Some(row.id), None);
                        rows.push(row);
                        answer
                    }
                    Err((outcome, reason)) => answer(passenger, outcome, None, reason),
                }
            })
            .collect();
        (rows, answers)
    }

    /// The first channel of the rule that has an account and a template.
    fn message(
        &self,
        passenger: &Passenger,
        contact: ContactId,
        people: &People,
    ) -> Result<NewMessage, (RecipientOutcome, Option<String>)> {
        let mut refusal = RecipientOutcome::NoActiveAccount;
        // WhatsApp is the one channel that this build renders for.
        for step in self
            .rule
            .steps
            .iter()
            .filter(|step| step.channel == Channel::WhatsApp)
        {
            let Some(account) = self
                .accounts
                .iter()
                .find(|account| account.channel == step.channel)
            else {
                continue;
            };
            let Some(template) = self
                .catalogue
                .find(step.channel, passenger.locale.as_deref())
            else {
                refusal = RecipientOutcome::NoTemplate;
                continue;
            };
            return self
                .row(passenger, contact, people, account, template)
                .map_err(|error| (RecipientOutcome::TemplateError, Some(error.to_string())));
        }
        Err((refusal, None))
    }

    fn row(
        &self,
        passenger: &Passenger,
        contact: ContactId,
        people: &People,
        account: &ActiveAccount,
        template: &Template,
    ) -> Result<NewMessage, RenderError> {
        let variables = variables(passenger, self.trip);
        let rendered = render::whatsapp(template, &variables)?;
        Ok(NewMessage {
            id: MessageId::generate(),
            channel: account.channel,
            account: account.id,
            contact,
            conversation: people.threads.get(&contact).copied(),
            author: Author::System,
            address: passenger.phone.clone().unwrap_or_default(),
            content: rendered.content,
            body: rendered.body,
            template: Some(TemplateUse {
                id: template.id,
                version: template.version,
                variables,
            }),
            suppressed: !people.consenting.contains(&(contact, account.channel)),
            lane: self.rule.lane,
            category: self.rule.category,
            expires_after: self.rule.expires_after,
            run: Some(self.run),
            idempotency_key: None,
            reply_to: None,
        })
    }
}

fn variables(passenger: &Passenger, trip: &Trip) -> Value {
    let first_name = passenger.full_name.split_whitespace().next();
    let trip = Trip {
        code: or_dash(&trip.code),
        origin: or_dash(&trip.origin),
        destination: or_dash(&trip.destination),
        ..trip.clone()
    };
    json!({
        "passenger": {"full_name": or_dash(&passenger.full_name), "first_name": or_dash(first_name.unwrap_or_default())},
        "trip": trip,
    })
}

/// Meta refuses an empty parameter; a gap in the host's data must not keep the news from anybody.
fn or_dash(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { "–" } else { text }.to_owned()
}

fn answer(
    passenger: &Passenger,
    outcome: RecipientOutcome,
    message_id: Option<MessageId>,
    reason: Option<String>,
) -> RecipientAnswer {
    RecipientAnswer {
        passenger_profile_id: passenger.profile,
        outcome,
        message_id,
        reason,
    }
}
