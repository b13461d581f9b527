//! Who hears of it: read from the host's domain views, every query with its tenant.

use crate::model::{PassengerProfileId, TenantId, TripId};
use crate::platform::{DatabaseError, Tx};
use serde::Serialize;

/// A trip as of now. Times are text already, in the trip's own zone.
#[derive(Debug, Clone, Serialize)]
pub struct Trip {
    pub status: String,
    pub code: String,
    pub origin: String,
    pub destination: String,
    pub departure_time: String,
    pub new_departure_time: String,
    pub departure_date: String,
}

/// Somebody on board.
#[derive(Debug, Clone)]
pub struct Passenger {
    pub profile: PassengerProfileId,
    pub full_name: String,
    /// E.164, or nothing that could be called.
    pub phone: Option<String>,
    /// `local@domain` in lower case and ASCII, or nothing that could be written to.
    pub email: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
}

/// # Errors
/// When the database does not answer.
pub async fn trip(
    tx: &mut Tx,
    tenant: TenantId,
    trip: TripId,
) -> Result<Option<Trip>, DatabaseError> {
    let trip = sqlx::query_as!(
        Trip,
        r#"select coalesce(status, '') as "status!", coalesce(code, '') as "code!", coalesce(origin, '') as "origin!",
                  coalesce(destination, '') as "destination!",
                  to_char(departure_at at time zone timezone, 'HH24:MI') as "departure_time!",
                  to_char(coalesce(estimated_departure_at, departure_at) at time zone timezone, 'HH24:MI') as "new_departure_time!",
                  to_char(coalesce(estimated_departure_at, departure_at) at time zone timezone, 'YYYY-MM-DD') as "departure_date!"
             from communications.domain_trips
            where tenant_id = $1 and trip_id = $2"#,
        tenant.0,
        trip.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(trip)
}

/// Everybody on the trip's confirmed bookings, once each.
///
/// # Errors
/// When the database does not answer.
pub async fn trip_passengers(
    tx: &mut Tx,
    tenant: TenantId,
    trip: TripId,
) -> Result<Vec<Passenger>, DatabaseError> {
    let passengers = sqlx::query_as!(
        Passenger,
        r#"select distinct p.passenger_profile_id as "profile!: PassengerProfileId", coalesce(p.full_name, '') as "full_name!",
                  case when regexp_replace(p.phone, '[\s().-]', '', 'g') ~ '^\+[1-9][0-9]{6,14}$'
                       then regexp_replace(p.phone, '[\s().-]', '', 'g') end as phone,
                  case when length(p.email) <= 254 and lower(btrim(p.email)) ~
                            '^[a-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+$'
                       then lower(btrim(p.email)) end as email,
                  p.locale, p.timezone
             from communications.domain_trip_passengers t
             join communications.domain_passenger_profiles p
               on p.tenant_id = t.tenant_id and p.passenger_profile_id = t.passenger_profile_id
            where t.tenant_id = $1 and t.trip_id = $2
            order by 1"#,
        tenant.0,
        trip.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(passengers)
}
