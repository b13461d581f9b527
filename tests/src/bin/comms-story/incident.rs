//! An incident on a trip of three hundred passengers on mixed channels, from the host's row to delivery.

use anyhow::{Context, Result, ensure};
use comms_tests::calls;
use comms_tests::seed::iberia;
use comms_tests::stack::Stack;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::tell::heading;

const PASSENGERS: i32 = 300;

pub async fn broadcast() -> Result<()> {
    let stack = Stack::from_env().await?;
    let operator = iberia();
    heading("Three hundred people on a coach tour");
    let trip = Uuid::now_v7();
    let code = format!("MAD-BCN-{:05}", trip.as_u128() % 100_000);
    board(&stack, operator.tenant.0, trip, &code).await?;
    println!(
        "                trip       {code}: {PASSENGERS} passengers on mixed channels, one driver"
    );

    heading("A tyre bursts");
    let incident: Value = sqlx::query_scalar(
        "insert into operations.incidents (id, tenant_id, trip_id, severity, summary)
         values (communications.uuid_v7(), $1, $2, 'HIGH', 'a flat tyre near Zaragoza') returning to_jsonb(incidents)",
    )
    .bind(operator.tenant)
    .bind(trip)
    .fetch_one(&stack.pool)
    .await?;
    let mut event =
        calls::event_trigger(Uuid::now_v7(), "incident_created", &Value::Null, &incident);
    event["event"]["op"] = json!("INSERT");
    let started = std::time::Instant::now();
    let answer = stack.hasura_reports(&event).await?;
    let took = started.elapsed();
    let run = &answer["run"];
    let recipients = run["recipients"].as_array().context("no recipients")?;
    println!(
        "                run        {} {} after {} ms",
        text(&run["run_id"]),
        text(&run["status"]),
        took.as_millis()
    );
    for (outcome, count) in outcomes(recipients) {
        println!("                           {count:>3} {outcome}");
    }
    ensure!(
        recipients.len() == usize::try_from(PASSENGERS + 1)?,
        "somebody was forgotten: {}",
        recipients.len()
    );
    ensure!(
        stack.hasura_reports(&event).await? == answer,
        "a repeat of the event was answered differently"
    );
    println!("                event      the same event again: the same answer, nothing queued");

    heading("Who heard of it, and how");
    let run: Uuid = text(&run["run_id"]).parse()?;
    let _: (i64,) = stack
        .until("nothing is on its way any more", OVER, run)
        .await?;
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as(HOW).bind(run).fetch_all(&stack.pool).await?;
    for (channel, status, count) in rows {
        println!("                           {count:>3} {channel:<9} {status}");
    }
    let (seconds, twice): (f64, i64) = sqlx::query_as(TIME)
        .bind(run)
        .fetch_one(&stack.pool)
        .await?;
    ensure!(
        twice == 0,
        "{twice} people were written to twice on one channel"
    );
    println!(
        "                           the last one left {seconds:.1} s after the incident; nobody was written to twice on one channel"
    );
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn outcomes(recipients: &[Value]) -> BTreeMap<String, usize> {
    let mut outcomes = BTreeMap::new();
    for recipient in recipients {
        *outcomes.entry(text(&recipient["outcome"])).or_default() += 1;
    }
    outcomes
}

/// The trip with its people, in the fixture's tables. Of every ten one has a number that Meta does not know, one a mailbox alone, one
/// neither; half of them read Spanish.
async fn board(stack: &Stack, tenant: Uuid, trip: Uuid, code: &str) -> Result<()> {
    for sql in [DRIVER, PROFILES, TRIP, BOOKINGS, SEATS] {
        let query = sqlx::query(sql)
            .bind(tenant)
            .bind(trip)
            .bind(code)
            .bind(PASSENGERS);
        query.execute(&stack.pool).await?;
    }
    for n in (0..PASSENGERS).filter(|n| n % 10 == 6) {
        let refusal =
            json!({"recipient": number(trip, n), "answer": {"kind": "fail", "code": 131_026}});
        stack.simulator("script", &refusal).await?;
    }
    Ok(())
}

/// As the statement makes it.
fn number(trip: Uuid, n: i32) -> String {
    let tail = trip.as_u128() % 100_000;
    format!("+346{tail:05}{n:03}")
}

const DRIVER: &str = "with used as (select $3::text, $4::int)
    insert into operations.drivers (id, tenant_id, full_name, phone, locale)
    select md5($2::text || 'driver')::uuid, $1, 'Rosa Díaz', '+347' || right($3, 5) || '000', 'es'";
const PROFILES: &str = "insert into operations.passenger_profiles (id, tenant_id, full_name, phone, email, locale, timezone)
    select md5($2::text || n)::uuid, $1, 'Passenger ' || n,
           case when n % 10 not in (7, 8) then '+346' || right($3, 5) || lpad(n::text, 3, '0') end,
           case when n % 10 <> 8 then 'p' || n || '.' || right($3, 5) || '@example.org' end,
           case when n % 2 = 0 then 'es' else 'en' end, 'Europe/Madrid'
      from generate_series(0, $4 - 1) n";
const TRIP: &str = "with used as (select $4::int)
    insert into operations.trips (id, tenant_id, code, origin, destination, departure_at, timezone, driver_id, vehicle)
    select $2, $1, $3, 'Madrid', 'Barcelona', now() + interval '30 hours', 'Europe/Madrid', md5($2::text || 'driver')::uuid, '1234 ABC'";
const BOOKINGS: &str = "insert into operations.bookings (id, tenant_id, trip_id, reference, lead_passenger_profile_id, seats)
    select md5($2::text || 'booking' || n)::uuid, $1, $2, $3 || '-' || n, md5($2::text || n * 3)::uuid, 3
      from generate_series(0, $4 / 3 - 1) n";
const SEATS: &str = "with used as (select $3::text)
    insert into operations.booking_passengers (booking_id, tenant_id, passenger_profile_id)
    select md5($2::text || 'booking' || n / 3)::uuid, $1, md5($2::text || n)::uuid from generate_series(0, $4 - 1) n";

/// Of the run and its fallbacks: nothing waits, and nothing is being sent.
const OVER: &str = "select count(*) from communications.messages where run_id = $1
    having count(*) filter (where status in ('QUEUED', 'SENDING', 'UNCERTAIN')) = 0
       and count(*) filter (where channel = 'WHATSAPP' and status in ('SENT', 'DELIVERED')) = 0";
const HOW: &str = "select channel, status, count(*) from communications.messages where run_id = $1 group by 1, 2 order by 1, 2";
const TIME: &str = "select extract(epoch from max(m.sent_at) - min(r.created_at))::float8,
           count(*) - count(distinct (m.contact_id, m.channel))
      from communications.messages m join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
     where m.run_id = $1";
