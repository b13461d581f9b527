//! Whom a request lists: people of the host or contacts of ours by their ids, or whoever has an address.

use super::invalid;
use crate::automation::audience::{self, PHONE_PATTERN, Recipient, Who, as_email, as_phone};
use crate::model::{PassengerProfileId, TenantId};
use crate::platform::{DatabaseError, Tx, hasura::ActionError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use uuid::Uuid;

/// Exactly one of the ids, or at least one of `phone` and `email`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestedRecipient {
    pub passenger_profile_id: Option<PassengerProfileId>,
    pub driver_id: Option<Uuid>,
    pub vendor_id: Option<Uuid>,
    pub contact_id: Option<Uuid>,
    /// E.164; spaces, dots, hyphens and brackets are nothing.
    #[schemars(regex(pattern = PHONE_PATTERN))]
    pub phone: Option<String>,
    #[schemars(email)]
    pub email: Option<String>,
    #[schemars(length(max = TEXT_LIMIT))]
    pub name: Option<String>,
    /// Such as `es` or `es-MX`.
    #[schemars(regex(pattern = LOCALE_PATTERN))]
    pub locale: Option<String>,
    /// Of the IANA database, such as `Europe/Madrid`.
    #[schemars(length(max = TEXT_LIMIT))]
    pub timezone: Option<String>,
    /// For this recipient, over `variables`.
    pub variables: Map<String, Value>,
}

/// Bytes.
const TEXT_LIMIT: usize = 200;

pub(in crate::automation) fn check_listed(
    listed: &[RequestedRecipient],
) -> Result<(), ActionError> {
    for (place, recipient) in listed.iter().enumerate() {
        let field = |name: &str| format!("recipients[{place}]{name}");
        let ids = [
            recipient.passenger_profile_id.is_some(),
            recipient.driver_id.is_some(),
            recipient.vendor_id.is_some(),
            recipient.contact_id.is_some(),
        ];
        let ids = ids.iter().filter(|given| **given).count();
        let addresses = recipient.phone.is_some() || recipient.email.is_some();
        if ids + usize::from(addresses) != 1 {
            return Err(invalid(
                &field(""),
                "must have one id, or a phone or an email and no id",
            ));
        }
        if recipient
            .phone
            .as_deref()
            .is_some_and(|text| as_phone(text).is_none())
        {
            return Err(invalid(
                &field(".phone"),
                "must be E.164, such as +34600111222",
            ));
        }
        if recipient
            .email
            .as_deref()
            .is_some_and(|text| as_email(text).is_none())
        {
            return Err(invalid(
                &field(".email"),
                "must be an address, such as ana@example.org",
            ));
        }
        if let Some(locale) = &recipient.locale {
            check_locale(&field(".locale"), locale)?;
        }
        for (name, text) in [
            (".name", &recipient.name),
            (".timezone", &recipient.timezone),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > TEXT_LIMIT) {
                return Err(invalid(
                    &field(name),
                    format!("must be at most {TEXT_LIMIT} bytes"),
                ));
            }
        }
        if serde_json::json!(recipient.variables).to_string().len() > super::check::VARIABLES_LIMIT
        {
            return Err(invalid(&field(".variables"), "are too large"));
        }
    }
    Ok(())
}

/// What [`check_locale`] takes, for a schema.
pub(super) const LOCALE_PATTERN: &str = "^[A-Za-z]{2,3}([-_][A-Za-z]{2})?$";

pub(super) fn check_locale(field: &str, locale: &str) -> Result<(), ActionError> {
    let mut parts = locale.split(['-', '_']);
    let language = parts.next().unwrap_or_default();
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let good = (2..=3).contains(&language.len())
        && letters(language)
        && parts
            .next()
            .is_none_or(|region| region.len() == 2 && letters(region))
        && parts.next().is_none();
    if good {
        return Ok(());
    }
    Err(invalid(field, "must be a language, such as es or es-MX"))
}

/// In the order of the list.
///
/// # Errors
/// `validation-failed` naming the first that is unknown.
pub(super) async fn find(
    tx: &mut Tx,
    tenant: TenantId,
    listed: &[RequestedRecipient],
) -> Result<Vec<Recipient>, super::RequestError> {
    let found = find_each(tx, tenant, listed).await?;
    Ok(found.into_iter().collect::<Result<_, _>>()?)
}

/// The same, with a refusal for each that is unknown.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn find_each(
    tx: &mut Tx,
    tenant: TenantId,
    listed: &[RequestedRecipient],
) -> Result<Vec<Result<Recipient, ActionError>>, DatabaseError> {
    let known = known(tx, tenant, listed).await?;
    let found = listed.iter().enumerate().map(|(place, wanted)| {
        let mut recipient = match wanted.id() {
            Some((column, who)) => known
                .get(&who)
                .cloned()
                .ok_or_else(|| invalid(&format!("recipients[{place}].{column}"), "is unknown"))?,
            None => addressed(place, wanted),
        };
        if let Some(name) = &wanted.name {
            name.clone_into(&mut recipient.full_name);
        }
        recipient.locale = wanted.locale.clone().or(recipient.locale);
        recipient.timezone = wanted.timezone.clone().or(recipient.timezone);
        recipient.variables.clone_from(&wanted.variables);
        Ok(recipient)
    });
    Ok(found.collect())
}

impl RequestedRecipient {
    /// Its id, and the member that says it.
    pub(in crate::automation) fn id(&self) -> Option<(&'static str, Who)> {
        let profile = self
            .passenger_profile_id
            .map(|id| ("passenger_profile_id", Who::Passenger(id)));
        profile
            .or_else(|| self.driver_id.map(|id| ("driver_id", Who::Driver(id))))
            .or_else(|| self.vendor_id.map(|id| ("vendor_id", Who::Vendor(id))))
            .or_else(|| self.contact_id.map(|id| ("contact_id", Who::Contact(id))))
    }
}

fn addressed(place: usize, wanted: &RequestedRecipient) -> Recipient {
    Recipient {
        who: Who::Listed(place),
        full_name: String::new(),
        phone: wanted.phone.as_deref().and_then(as_phone),
        email: wanted.email.as_deref().and_then(as_email),
        locale: None,
        timezone: None,
        words: Map::new(),
        variables: Map::new(),
    }
}

/// All of one kind in one question.
async fn known(
    tx: &mut Tx,
    tenant: TenantId,
    listed: &[RequestedRecipient],
) -> Result<HashMap<Who, Recipient>, DatabaseError> {
    let profiles: Vec<PassengerProfileId> = listed
        .iter()
        .filter_map(|wanted| wanted.passenger_profile_id)
        .collect();
    let drivers: Vec<Uuid> = listed
        .iter()
        .filter_map(|wanted| wanted.driver_id)
        .collect();
    let vendors: Vec<Uuid> = listed
        .iter()
        .filter_map(|wanted| wanted.vendor_id)
        .collect();
    let contacts: Vec<Uuid> = listed
        .iter()
        .filter_map(|wanted| wanted.contact_id)
        .collect();
    let mut hosts = Vec::new();
    if !profiles.is_empty() {
        hosts.extend(audience::profiles(tx, tenant, &profiles).await?);
    }
    if !drivers.is_empty() {
        hosts.extend(audience::drivers(tx, tenant, &drivers).await?);
    }
    if !vendors.is_empty() {
        hosts.extend(audience::vendors(tx, tenant, &vendors).await?);
    }
    let mut known: HashMap<Who, Recipient> = hosts
        .into_iter()
        .map(|recipient| (recipient.who, recipient))
        .collect();
    if !contacts.is_empty() {
        known.extend(of_ours(tx, tenant, &contacts).await?);
    }
    Ok(known)
}

/// Contacts, with what they were last seen by, under the id that they were asked for by: one that was merged into another is that one.
async fn of_ours(
    tx: &mut Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<(Who, Recipient)>, DatabaseError> {
    let rows = sqlx::query!(
        r#"select asked.id as "asked!", c.id, coalesce(c.display_name, '') as "name!", c.locale, c.timezone,
                  (select i.value from communications.contact_identities i
                    where i.tenant_id = $1 and i.contact_id = c.id and i.kind = 'phone'
                    order by i.first_seen_at desc, i.value limit 1) as phone,
                  (select i.value from communications.contact_identities i
                    where i.tenant_id = $1 and i.contact_id = c.id and i.kind = 'email'
                    order by i.first_seen_at desc, i.value limit 1) as email
             from (select distinct unnest($2::uuid[]) as id) asked
             join communications.contacts c on c.tenant_id = $1 and c.id = communications.living_contact($1, asked.id)"#,
        tenant.0,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let recipient = Recipient {
                who: Who::Contact(row.id),
                full_name: row.name,
                phone: row.phone,
                email: row.email,
                locale: row.locale,
                timezone: row.timezone,
                words: Map::new(),
                variables: Map::new(),
            };
            (Who::Contact(row.asked), recipient)
        })
        .collect())
}
