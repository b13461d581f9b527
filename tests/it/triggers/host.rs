//! The host's rows, one of each, all about one trip of Iberia's.

use comms_core::model::TenantId;
use comms_tests::calls;
use comms_tests::world::{HASURA_SECRET, World};
use serde_json::{Value, json};
use std::sync::Mutex;
use uuid::Uuid;

/// Ana is the lead and pays; Tom travels with her; Rosa drives; Vega washes the bus.
pub struct Host<'a> {
    pub world: &'a World,
    pub trip: Uuid,
    pub booking: Uuid,
    pub ana: Uuid,
    pub tom: Uuid,
    pub rosa: Uuid,
    pub payment: Uuid,
    pub invoice: Uuid,
    pub incident: Uuid,
    pub order: Uuid,
    /// Of what has been told already.
    last: Mutex<Uuid>,
}

/// `$1` to `$11` in the order of the struct, `$12` the tenant. Departure is in thirty hours.
const ROWS: &[&str] = &[
    "insert into operations.passenger_profiles (id, tenant_id, full_name, phone, email, locale, timezone) values
         ($3, $12, 'Ana García', '+34 600 111 222', 'ana@example.org', 'es-MX', 'Europe/Madrid'),
         ($4, $12, 'Tom Baker', '+44 7700 900123', 'tom@example.org', 'en', 'Europe/London')",
    "insert into operations.drivers (id, tenant_id, full_name, phone, email, locale) values
         ($5, $12, 'Rosa Díaz', '+34600333444', 'rosa@example.org', 'es')",
    "insert into operations.vendors (id, tenant_id, name, phone, email, locale) values
         ($11, $12, 'Lavados Vega', '+34600555666', 'vega@example.org', 'es')",
    "insert into operations.trips (id, tenant_id, code, origin, destination, departure_at, timezone, driver_id, vehicle) values
         ($1, $12, 'MAD-VLC-0815', 'Madrid', 'Valencia', date_trunc('minute', now()) + interval '30 hours', 'Europe/Madrid', $5, '1234 ABC')",
    "insert into operations.bookings (id, tenant_id, trip_id, reference, lead_passenger_profile_id, seats, balance_due, balance_due_at) values
         ($2, $12, $1, 'R-77', $3, 2, 12.5, now() + interval '100 hours')",
    "insert into operations.booking_passengers (booking_id, tenant_id, passenger_profile_id, pickup_point) values
         ($2, $12, $3, 'Atocha'), ($2, $12, $4, null)",
    "insert into operations.payments (id, tenant_id, booking_id, status, amount, payer_profile_id) values ($6, $12, $2, 'PENDING', 30, $3)",
    "insert into operations.invoices (id, tenant_id, booking_id, number, status, total, due_at, billing_profile_id) values
         ($7, $12, $2, 'F-9', 'DRAFT', 42.1, now() + interval '10 days', $3)",
    "insert into operations.incidents (id, tenant_id, trip_id, severity, summary) values ($8, $12, $1, 'HIGH', 'a flat tyre')",
    "insert into operations.driver_shifts (id, tenant_id, driver_id, trip_id, starts_at, timezone) values
         ($9, $12, $5, $1, now() + interval '29 hours', 'Europe/Madrid')",
    "insert into operations.vendor_orders (id, tenant_id, vendor_id, trip_id, service, needed_at) values
         ($10, $12, $11, $1, 'a wash', now() + interval '20 hours')",
];

impl<'a> Host<'a> {
    /// With every channel connected.
    pub async fn of(world: &'a World) -> Self {
        world.iberia.connect_email(&world.pool).await.unwrap();
        world.iberia.connect_sms(&world.pool).await.unwrap();
        let [
            trip,
            booking,
            ana,
            tom,
            rosa,
            payment,
            invoice,
            incident,
            shift,
            order,
            vendor,
        ] = std::array::from_fn(|_| Uuid::now_v7());
        for sql in ROWS {
            // Parameters that a statement does not use still need a type.
            let typed = format!(
                "with all_of as (select $1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::uuid, $6::uuid, $7::uuid, $8::uuid, $9::uuid,
                                        $10::uuid, $11::uuid, $12::uuid) {sql}"
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(typed));
            for id in [
                trip, booking, ana, tom, rosa, payment, invoice, incident, shift, order, vendor,
            ] {
                query = query.bind(id);
            }
            query
                .bind(world.iberia.tenant)
                .execute(&world.pool)
                .await
                .unwrap();
        }
        Self {
            world,
            trip,
            booking,
            ana,
            tom,
            rosa,
            payment,
            invoice,
            incident,
            order,
            last: Mutex::new(Uuid::nil()),
        }
    }

    /// A row as Hasura captures it, with the columns of the view's names.
    pub async fn row(&self, table: &str, id: Uuid) -> Value {
        let sql = format!("select to_jsonb(t) from operations.{table} t where id = $1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_one(&self.world.pool)
            .await
            .unwrap()
    }

    /// Somebody changes a row; before and after.
    pub async fn changes(&self, table: &str, id: Uuid, set: &str) -> (Value, Value) {
        let before = self.row(table, id).await;
        let sql = format!("update operations.{table} set {set} where id = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .execute(&self.world.pool)
            .await
            .unwrap();
        (before, self.row(table, id).await)
    }

    /// Hasura reports it.
    pub async fn reports(&self, trigger: &str, (old, new): &(Value, Value)) -> Value {
        let mut body = calls::event_trigger(Uuid::now_v7(), trigger, old, new);
        if old.is_null() {
            body["event"]["op"] = json!("INSERT");
        }
        let request = calls::from_hasura("/api/hasura/events", HASURA_SECRET, &body);
        let response = hasura_events::handle(&self.world.events, request).await;
        assert_eq!(response.status(), 200, "{}", response.body());
        serde_json::from_str(response.body()).unwrap()
    }

    /// First name, channel and text of everything that was queued since the last call, by recipient.
    pub async fn said(&self) -> Vec<(String, String, String)> {
        let last = *self.last.lock().unwrap();
        let rows: Vec<(Uuid, String, String, String)> = sqlx::query_as(
            "select m.id, split_part(c.display_name, ' ', 1), m.channel, m.body
               from communications.messages m
               join communications.contacts c on c.tenant_id = m.tenant_id and c.id = m.contact_id
              where m.direction = 'OUTBOUND' and m.id > $1 order by 2, m.id",
        )
        .bind(last)
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        if let Some(newest) = rows.iter().map(|row| row.0).max() {
            *self.last.lock().unwrap() = newest;
        }
        rows.into_iter()
            .map(|(_, name, channel, text)| (name, channel, text))
            .collect()
    }

    pub fn tenant(&self) -> TenantId {
        self.world.iberia.tenant
    }
}
