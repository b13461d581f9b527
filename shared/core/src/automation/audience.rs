//! Who hears of it: people of the host, read from the domain views; every query with its tenant.

use super::registry::Audience;
use super::subject::Facts;
use crate::model::{PassengerProfileId, TenantId};
use crate::platform::{DatabaseError, Tx};
use comms_providers::ses::is_address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Somebody to be written to.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipient {
    pub who: Who,
    pub full_name: String,
    /// E.164, or nothing that could be called.
    pub phone: Option<String>,
    /// `local@domain` in lower case and ASCII, or nothing that could be written to.
    pub email: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    /// What a template may say of them beside their name, as `recipient.…`.
    pub words: Map<String, Value>,
    /// A request's own for them, beside those that are for everybody.
    pub variables: Map<String, Value>,
}

/// How the answer names a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Who {
    #[serde(rename = "passenger_profile_id")]
    Passenger(PassengerProfileId),
    #[serde(rename = "driver_id")]
    Driver(Uuid),
    #[serde(rename = "vendor_id")]
    Vendor(Uuid),
    /// A contact of ours.
    #[serde(rename = "contact_id")]
    Contact(Uuid),
    /// Named by their address: the place in the request's `recipients`, from 0.
    #[serde(rename = "recipient")]
    Listed(usize),
}

/// Everybody of one audience, once each.
///
/// # Errors
/// When the database does not answer, or the host lacks the view.
pub async fn of(
    tx: &mut Tx,
    tenant: TenantId,
    audience: Audience,
    facts: &Facts,
) -> Result<Vec<Recipient>, DatabaseError> {
    match audience {
        Audience::TripPassengers => match facts.context.trip_id {
            Some(trip) => trip_passengers(tx, tenant, trip).await,
            None => Ok(Vec::new()),
        },
        Audience::BookingPassengers => match facts.context.booking_id {
            Some(booking) => booking_passengers(tx, tenant, booking).await,
            None => Ok(Vec::new()),
        },
        Audience::Passenger => match (facts.context.booking_id, facts.concerned.profile) {
            (Some(booking), Some(profile)) => {
                let all = booking_passengers(tx, tenant, booking).await?;
                let theirs = |recipient: &Recipient| recipient.who == Who::Passenger(profile);
                Ok(all.into_iter().filter(theirs).collect())
            }
            _ => Ok(Vec::new()),
        },
        Audience::LeadPassenger | Audience::Payer | Audience::BillingContact => {
            let ids: Vec<PassengerProfileId> = facts.concerned.profile.into_iter().collect();
            profiles(tx, tenant, &ids).await
        }
        Audience::Driver => {
            let ids: Vec<Uuid> = facts.concerned.driver.into_iter().collect();
            drivers(tx, tenant, &ids).await
        }
        Audience::Vendor => {
            let ids: Vec<Uuid> = facts.concerned.vendor.into_iter().collect();
            vendors(tx, tenant, &ids).await
        }
    }
}

/// A row of any of the views.
struct Person {
    id: Uuid,
    full_name: String,
    phone: Option<String>,
    email: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    pickup_point: Option<String>,
}

impl Person {
    fn recipient(self, who: impl FnOnce(Uuid) -> Who) -> Recipient {
        let pickup = self.pickup_point.map(Value::String);
        Recipient {
            who: who(self.id),
            full_name: self.full_name,
            phone: self.phone.as_deref().and_then(as_phone),
            email: self.email.as_deref().and_then(as_email),
            locale: self.locale,
            timezone: self.timezone,
            words: Map::from_iter([("pickup_point".to_owned(), pickup.unwrap_or_default())]),
            variables: Map::new(),
        }
    }
}

fn passengers(people: Vec<Person>) -> Vec<Recipient> {
    let passenger = |id| Who::Passenger(PassengerProfileId(id));
    people
        .into_iter()
        .map(|person| person.recipient(passenger))
        .collect()
}

/// What [`as_phone`] takes, for a schema.
pub const PHONE_PATTERN: &str = r"^[\s().-]*\+[\s().-]*[1-9]([\s().-]*[0-9]){6,14}[\s().-]*$";

/// As people write a number: spaces, dots, hyphens and brackets are nothing. `None` unless the rest is E.164.
#[must_use]
pub fn as_phone(text: &str) -> Option<String> {
    let phone: String = text
        .chars()
        .filter(|letter| !letter.is_whitespace() && !"().-".contains(*letter))
        .collect();
    let digits = phone.strip_prefix('+')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    (plain && (7..=15).contains(&digits.len())).then_some(phone)
}

/// In lower case. `None` unless it is an address that SES takes, in a domain that mail could reach.
#[must_use]
pub fn as_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let (_, domain) = email.rsplit_once('@')?;
    let reachable =
        domain.split('.').count() > 1 && domain.split('.').all(|label| !label.is_empty());
    (reachable && email.len() <= 254 && is_address(&email)).then_some(email)
}

async fn trip_passengers(
    tx: &mut Tx,
    tenant: TenantId,
    trip: Uuid,
) -> Result<Vec<Recipient>, DatabaseError> {
    let people = sqlx::query_as!(
        Person,
        r#"select p.passenger_profile_id as "id!", coalesce(p.full_name, '') as "full_name!", p.phone, p.email, p.locale, p.timezone,
                  min(s.pickup_point) as pickup_point
             from communications.domain_trip_passengers t
             join communications.domain_passenger_profiles p
               on p.tenant_id = t.tenant_id and p.passenger_profile_id = t.passenger_profile_id
             left join communications.domain_booking_passengers s
               on s.tenant_id = t.tenant_id and s.booking_id = t.booking_id and s.passenger_profile_id = t.passenger_profile_id
            where t.tenant_id = $1 and t.trip_id = $2
            group by 1, 2, 3, 4, 5, 6
            order by 1"#,
        tenant.0,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(passengers(people))
}

async fn booking_passengers(
    tx: &mut Tx,
    tenant: TenantId,
    booking: Uuid,
) -> Result<Vec<Recipient>, DatabaseError> {
    let people = sqlx::query_as!(
        Person,
        r#"select p.passenger_profile_id as "id!", coalesce(p.full_name, '') as "full_name!", p.phone, p.email, p.locale, p.timezone,
                  s.pickup_point
             from communications.domain_booking_passengers s
             join communications.domain_passenger_profiles p
               on p.tenant_id = s.tenant_id and p.passenger_profile_id = s.passenger_profile_id
            where s.tenant_id = $1 and s.booking_id = $2
            order by 1"#,
        tenant.0,
        booking
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(passengers(people))
}

/// These passengers, in the order of their ids.
///
/// # Errors
/// When the database does not answer.
pub async fn profiles(
    tx: &mut Tx,
    tenant: TenantId,
    ids: &[PassengerProfileId],
) -> Result<Vec<Recipient>, DatabaseError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let people = sqlx::query_as!(
        Person,
        r#"select p.passenger_profile_id as "id!", coalesce(p.full_name, '') as "full_name!", p.phone, p.email, p.locale, p.timezone,
                  null as pickup_point
             from communications.domain_passenger_profiles p
            where p.tenant_id = $1 and p.passenger_profile_id = any($2)
            order by 1"#,
        tenant.0,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(passengers(people))
}

/// # Errors
/// When the database does not answer.
pub async fn drivers(
    tx: &mut Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<Recipient>, DatabaseError> {
    let people = sqlx::query_as!(
        Person,
        r#"select d.driver_id as "id!", coalesce(d.full_name, '') as "full_name!", d.phone, d.email, d.locale,
                  null as timezone, null as pickup_point
             from communications.domain_drivers d
            where d.tenant_id = $1 and d.driver_id = any($2)
            order by 1"#,
        tenant.0,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(people
        .into_iter()
        .map(|person| person.recipient(Who::Driver))
        .collect())
}

/// # Errors
/// When the database does not answer.
pub async fn vendors(
    tx: &mut Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<Recipient>, DatabaseError> {
    let people = sqlx::query_as!(
        Person,
        r#"select v.vendor_id as "id!", coalesce(v.name, '') as "full_name!", v.phone, v.email, v.locale,
                  null as timezone, null as pickup_point
             from communications.domain_vendors v
            where v.tenant_id = $1 and v.vendor_id = any($2)
            order by 1"#,
        tenant.0,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(people
        .into_iter()
        .map(|person| person.recipient(Who::Vendor))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_in_one_way_or_are_none() {
        assert_eq!(
            as_phone("+44 (7700) 900-123").as_deref(),
            Some("+447700900123")
        );
        for wrong in ["600111222", "+0600111222", "+34x", "+123456", ""] {
            assert_eq!(as_phone(wrong), None, "{wrong}");
        }
        assert_eq!(
            as_email(" Ana@Example.org ").as_deref(),
            Some("ana@example.org")
        );
        for wrong in [
            "ana",
            "ana@example",
            "añá@example.org",
            "a@b@c.org",
            "a@.org",
        ] {
            assert_eq!(as_email(wrong), None, "{wrong}");
        }
    }
}
