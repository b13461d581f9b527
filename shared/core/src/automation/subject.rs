//! The host's row that an event is about, as it is now, read through the domain views; every query with its tenant.
//!
//! What a template may say of it is gathered here: times as text in the zone of the trip or shift, amounts with two places.

use super::registry::Subject;
use crate::model::{PassengerProfileId, TenantId};
use crate::platform::{DatabaseError, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What a run is about; becomes the thread's links when the contact answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<Uuid>,
}

/// Who hears of it, as far as the row names them.
#[derive(Debug, Clone, Default)]
pub struct Concerned {
    /// The lead passenger, the payer, the billing contact, whose seat it is.
    pub profile: Option<PassengerProfileId>,
    pub driver: Option<Uuid>,
    pub vendor: Option<Uuid>,
}

/// A row of the host, and what is said of it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The columns that a firing condition may be about.
    pub row: Value,
    /// `{"trip": {…}, "booking": {…}}`, for templates.
    pub words: Map<String, Value>,
    pub context: RunContext,
    pub concerned: Concerned,
}

/// Which row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Which {
    pub subject: Subject,
    /// Of a seat: its booking.
    pub id: Uuid,
    /// Of a seat: whose.
    pub profile: Option<PassengerProfileId>,
}

/// The little that is known of a row that is gone.
#[must_use]
pub fn context(which: Which) -> RunContext {
    let id = Some(which.id);
    let mut context = RunContext::default();
    match which.subject {
        Subject::Trip => context.trip_id = id,
        Subject::Booking | Subject::Seat => context.booking_id = id,
        Subject::Invoice => context.invoice_id = id,
        Subject::Incident => context.incident_id = id,
        Subject::Payment | Subject::Shift | Subject::VendorOrder => {}
    }
    context
}

/// The row as it is now; `None` where there is none (any more).
///
/// # Errors
/// When the database does not answer, or the host has no such view.
pub async fn read(
    tx: &mut Tx,
    tenant: TenantId,
    which: Which,
) -> Result<Option<Facts>, DatabaseError> {
    let facts = match which.subject {
        Subject::Trip => Some(Facts {
            context: RunContext {
                trip_id: Some(which.id),
                ..RunContext::default()
            },
            ..Facts::default()
        }),
        Subject::Booking => booking(tx, tenant, which.id).await?,
        Subject::Seat => seat(tx, tenant, which).await?,
        Subject::Payment => payment(tx, tenant, which.id).await?,
        Subject::Invoice => invoice(tx, tenant, which.id).await?,
        Subject::Incident => incident(tx, tenant, which.id).await?,
        Subject::Shift => shift(tx, tenant, which.id).await?,
        Subject::VendorOrder => vendor_order(tx, tenant, which.id).await?,
    };
    let Some(mut facts) = facts else {
        return Ok(None);
    };
    let Some(trip) = facts.context.trip_id else {
        return Ok(Some(facts));
    };
    let Some((row, words, driver)) = trip_of(tx, tenant, trip).await? else {
        // A trip that is gone ends what is about it, and only leaves a gap in the rest.
        return Ok((which.subject != Subject::Trip).then_some(facts));
    };
    if which.subject == Subject::Trip {
        facts.row = row;
    }
    facts.words.insert("trip".to_owned(), words);
    facts.concerned.driver = facts.concerned.driver.or(driver);
    Ok(Some(facts))
}

/// The words of a trip.
///
/// # Errors
/// When the database does not answer.
async fn trip_of(
    tx: &mut Tx,
    tenant: TenantId,
    trip: Uuid,
) -> Result<Option<(Value, Value, Option<Uuid>)>, DatabaseError> {
    let row = sqlx::query!(
        r#"select jsonb_build_object('status', t.status, 'departure_at', t.departure_at, 'vehicle', t.vehicle,
                                     'driver_id', t.driver_id) as "row!",
                  jsonb_build_object(
                      'status', t.status, 'code', t.code, 'origin', t.origin, 'destination', t.destination, 'vehicle', t.vehicle,
                      'departure_time', to_char(t.departure_at at time zone t.timezone, 'HH24:MI'),
                      'new_departure_time', to_char(coalesce(t.estimated_departure_at, t.departure_at) at time zone t.timezone, 'HH24:MI'),
                      'departure_date', to_char(coalesce(t.estimated_departure_at, t.departure_at) at time zone t.timezone, 'YYYY-MM-DD')
                  ) as "words!",
                  t.driver_id
             from communications.domain_trips t
            where t.tenant_id = $1 and t.trip_id = $2"#,
        tenant.0,
        trip
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (row.row, row.words, row.driver_id)))
}

/// A booking's words; its trip's come after.
async fn booking(
    tx: &mut Tx,
    tenant: TenantId,
    booking: Uuid,
) -> Result<Option<Facts>, DatabaseError> {
    let row = sqlx::query!(
        r#"select b.trip_id, b.lead_passenger_profile_id as "lead: PassengerProfileId",
                  jsonb_build_object('status', b.status, 'trip_id', b.trip_id, 'seats', b.seats,
                                     'lead_passenger_profile_id', b.lead_passenger_profile_id,
                                     'balance_due_at', case when b.balance_due > 0 then b.balance_due_at end) as "row!",
                  jsonb_build_object(
                      'reference', b.reference, 'status', b.status, 'seats', b.seats::text, 'currency', b.currency,
                      'balance_due', to_char(b.balance_due, 'FM999999999990.00'),
                      'balance_due_date', to_char(b.balance_due_at at time zone coalesce(t.timezone, 'UTC'), 'YYYY-MM-DD')
                  ) as "words!"
             from communications.domain_bookings b
             left join communications.domain_trips t on t.tenant_id = b.tenant_id and t.trip_id = b.trip_id
            where b.tenant_id = $1 and b.booking_id = $2"#,
        tenant.0,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Facts {
        row: row.row,
        words: said("booking", row.words),
        context: RunContext {
            booking_id: Some(booking),
            trip_id: row.trip_id,
            ..RunContext::default()
        },
        concerned: Concerned {
            profile: row.lead,
            ..Concerned::default()
        },
    }))
}

async fn seat(tx: &mut Tx, tenant: TenantId, which: Which) -> Result<Option<Facts>, DatabaseError> {
    let profile = which.profile.unwrap_or(PassengerProfileId(Uuid::nil()));
    let seat = sqlx::query_scalar!(
        r#"select jsonb_build_object('pickup_point', s.pickup_point) as "row!"
             from communications.domain_booking_passengers s
             join communications.domain_bookings b on b.tenant_id = s.tenant_id and b.booking_id = s.booking_id
            where s.tenant_id = $1 and s.booking_id = $2 and s.passenger_profile_id = $3 and b.status = 'CONFIRMED'"#,
        tenant.0,
        which.id,
        profile.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let (Some(row), Some(booking)) = (seat, booking(tx, tenant, which.id).await?) else {
        return Ok(None);
    };
    Ok(Some(Facts {
        row,
        concerned: Concerned {
            profile: Some(profile),
            ..Concerned::default()
        },
        ..booking
    }))
}

async fn payment(
    tx: &mut Tx,
    tenant: TenantId,
    payment: Uuid,
) -> Result<Option<Facts>, DatabaseError> {
    let row = sqlx::query!(
        r#"select p.booking_id, p.payer_profile_id as "payer: PassengerProfileId",
                  jsonb_build_object('status', p.status) as "row!",
                  jsonb_build_object('amount', to_char(p.amount, 'FM999999999990.00'), 'currency', p.currency, 'status', p.status)
                      as "words!"
             from communications.domain_payments p
            where p.tenant_id = $1 and p.payment_id = $2"#,
        tenant.0,
        payment
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let payment = Facts {
        row: row.row,
        words: said("payment", row.words),
        concerned: Concerned {
            profile: row.payer,
            ..Concerned::default()
        },
        ..Facts::default()
    };
    Ok(Some(
        about_booking(tx, tenant, payment, row.booking_id).await?,
    ))
}

async fn invoice(
    tx: &mut Tx,
    tenant: TenantId,
    invoice: Uuid,
) -> Result<Option<Facts>, DatabaseError> {
    let row = sqlx::query!(
        r#"select i.booking_id, i.billing_profile_id as "billing: PassengerProfileId",
                  jsonb_build_object('status', i.status, 'due_at', i.due_at) as "row!",
                  jsonb_build_object(
                      'number', i.number, 'status', i.status, 'currency', i.currency,
                      'total', to_char(i.total, 'FM999999999990.00'),
                      'due_date', to_char(i.due_at at time zone coalesce(s.timezone, 'UTC'), 'YYYY-MM-DD')
                  ) as "words!"
             from communications.domain_invoices i
             left join communications.tenant_settings s on s.tenant_id = i.tenant_id
            where i.tenant_id = $1 and i.invoice_id = $2"#,
        tenant.0,
        invoice
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let facts = Facts {
        row: row.row,
        words: said("invoice", row.words),
        context: RunContext {
            invoice_id: Some(invoice),
            ..RunContext::default()
        },
        concerned: Concerned {
            profile: row.billing,
            ..Concerned::default()
        },
    };
    Ok(Some(
        about_booking(tx, tenant, facts, row.booking_id).await?,
    ))
}

async fn incident(
    tx: &mut Tx,
    tenant: TenantId,
    incident: Uuid,
) -> Result<Option<Facts>, DatabaseError> {
    let row = sqlx::query!(
        r#"select i.trip_id, jsonb_build_object('status', i.status) as "row!",
                  jsonb_build_object('summary', i.summary, 'severity', i.severity, 'status', i.status) as "words!"
             from communications.domain_incidents i
            where i.tenant_id = $1 and i.incident_id = $2"#,
        tenant.0,
        incident
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Facts {
        row: row.row,
        words: said("incident", row.words),
        context: RunContext {
            incident_id: Some(incident),
            trip_id: row.trip_id,
            ..RunContext::default()
        },
        ..Facts::default()
    }))
}

async fn shift(tx: &mut Tx, tenant: TenantId, shift: Uuid) -> Result<Option<Facts>, DatabaseError> {
    let row = sqlx::query!(
        r#"select h.trip_id, h.driver_id,
                  jsonb_build_object('status', h.status, 'starts_at', h.starts_at) as "row!",
                  jsonb_build_object(
                      'start_date', to_char(h.starts_at at time zone coalesce(h.timezone, 'UTC'), 'YYYY-MM-DD'),
                      'start_time', to_char(h.starts_at at time zone coalesce(h.timezone, 'UTC'), 'HH24:MI')
                  ) as "words!"
             from communications.domain_driver_shifts h
            where h.tenant_id = $1 and h.shift_id = $2"#,
        tenant.0,
        shift
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Facts {
        row: row.row,
        words: said("shift", row.words),
        context: RunContext {
            trip_id: row.trip_id,
            ..RunContext::default()
        },
        concerned: Concerned {
            driver: row.driver_id,
            ..Concerned::default()
        },
    }))
}

async fn vendor_order(
    tx: &mut Tx,
    tenant: TenantId,
    order: Uuid,
) -> Result<Option<Facts>, DatabaseError> {
    let row = sqlx::query!(
        r#"select o.trip_id, o.vendor_id,
                  jsonb_build_object('status', o.status) as "row!",
                  jsonb_build_object(
                      'service', o.service, 'status', o.status,
                      'needed_date', to_char(o.needed_at at time zone coalesce(t.timezone, s.timezone, 'UTC'), 'YYYY-MM-DD'),
                      'needed_time', to_char(o.needed_at at time zone coalesce(t.timezone, s.timezone, 'UTC'), 'HH24:MI')
                  ) as "words!"
             from communications.domain_vendor_orders o
             left join communications.domain_trips t on t.tenant_id = o.tenant_id and t.trip_id = o.trip_id
             left join communications.tenant_settings s on s.tenant_id = o.tenant_id
            where o.tenant_id = $1 and o.vendor_order_id = $2"#,
        tenant.0,
        order
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Facts {
        row: row.row,
        words: said("order", row.words),
        context: RunContext {
            trip_id: row.trip_id,
            ..RunContext::default()
        },
        concerned: Concerned {
            vendor: row.vendor_id,
            ..Concerned::default()
        },
    }))
}

/// What the booking says is said as well, and its lead passenger is concerned where nobody else is named.
async fn about_booking(
    tx: &mut Tx,
    tenant: TenantId,
    mut facts: Facts,
    booking_id: Option<Uuid>,
) -> Result<Facts, DatabaseError> {
    let Some(id) = booking_id else {
        return Ok(facts);
    };
    facts.context.booking_id = Some(id);
    if let Some(booking) = booking(tx, tenant, id).await? {
        facts.words.extend(booking.words);
        facts.context.trip_id = booking.context.trip_id;
        facts.concerned.profile = facts.concerned.profile.or(booking.concerned.profile);
    }
    Ok(facts)
}

fn said(name: &str, words: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), words)])
}

/// What a caller says goes over what the host says, member by member.
pub fn over(mut words: Map<String, Value>, variables: &Map<String, Value>) -> Map<String, Value> {
    for (name, value) in variables {
        match (words.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(said)) => known.extend(said.clone()),
            _ => {
                words.insert(name.clone(), value.clone());
            }
        }
    }
    words
}

/// Meta refuses an empty parameter; a gap in the host's data must not keep the news from anybody. Numbers become text.
pub fn without_gaps(words: &mut Value) {
    match words {
        Value::Object(members) => members.values_mut().for_each(without_gaps),
        Value::String(text) if !text.trim().is_empty() => {
            if text.trim().len() < text.len() {
                *text = text.trim().to_owned();
            }
        }
        Value::Null | Value::String(_) => *words = json!("–"),
        Value::Array(items) => items.iter_mut().for_each(without_gaps),
        Value::Number(_) | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_dash() {
        let mut words =
            json!({"trip": {"code": "  ", "vehicle": null, "origin": " Madrid "}, "n": 1});
        without_gaps(&mut words);
        assert_eq!(
            words,
            json!({"trip": {"code": "–", "vehicle": "–", "origin": "Madrid"}, "n": 1})
        );
    }
}
