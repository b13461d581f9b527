//! The data: operators with a number each, trips that are late, people who get one text, and a quiet operator's customers.

use anyhow::Result;
use comms_core::model::{
    AccountId, BatchDispatchJob, DispatchMessageJob, Lane, MessageId, TenantId,
};
use serde_json::{Value, json};

use crate::{
    seed::{self, owner},
    wire::Connection,
};

/// What Meta lets a new number send in a second.
pub const PACE: u32 = 80;
/// On each trip.
pub const PASSENGERS: usize = 60;
/// The three operators: whose trips are late, who floods, who is quiet.
const TRAVELLING: usize = 0;
const FLOODING: usize = 1;
const QUIET: usize = 2;
/// As many as a quiet operator writes to while it is watched; each once, as Meta wants six seconds between two texts to the same.
const CUSTOMERS: usize = 4_000;

const BATCH: &str = "0192f000-0000-7000-8000-0000000000ba";

pub struct Operator {
    pub tenant: TenantId,
    account: AccountId,
}

fn operator(number: usize) -> Result<Operator> {
    let owner = owner(number)?;
    Ok(Operator {
        tenant: owner.tenant,
        account: owner.account,
    })
}

pub fn write(
    database: &mut Connection,
    configs: &[Value],
    trips: usize,
    recipients: usize,
) -> Result<()> {
    seed::write(database, configs, 0)?;
    database.query(include_str!("../../../fixtures/domain.sql"))?;
    let travelling = operator(TRAVELLING)?.tenant;
    let flooding = operator(FLOODING)?;
    let quiet = operator(QUIET)?.tenant;
    // A second channel, so that everybody gets a chain.
    database.query(&format!(
        "insert into communications.channel_accounts
             (tenant_id, id, channel, provider, status, display_name, sender)
         values ('{travelling}', uuidv7(), 'SMS', 'SNS', 'ACTIVE', 'Operator', '+34911000000');
         insert into operations.trips (id, tenant_id, code, status, origin, destination, departure_at, estimated_departure_at, timezone)
         select {trip}, '{travelling}', 'MAD-' || t, 'DELAYED', 'Madrid', 'Valencia', now() + interval '2 hours',
                now() + interval '150 minutes', 'Europe/Madrid'
           from generate_series(1, {trips}) t;
         insert into operations.passenger_profiles (id, tenant_id, full_name, phone, locale)
         select {person}, '{travelling}', 'Ana ' || n, '+34' || 600000000 + n, (array['es', 'en'])[1 + n % 2]
           from generate_series(1, {people}) n;
         insert into operations.bookings (id, tenant_id, trip_id, reference, lead_passenger_profile_id)
         select {person}, '{travelling}', {trip}, 'R-' || n, {person}
           from generate_series(1, {people}) n cross join lateral (select (n - 1) / {PASSENGERS} + 1 as t) of;
         insert into operations.booking_passengers (booking_id, tenant_id, passenger_profile_id)
         select {person}, '{travelling}', {person} from generate_series(1, {people}) n",
        trip = id("t", '7'),
        person = id("n", '9'),
        people = trips * PASSENGERS,
    ))?;
    database.query(&format!(
        "update communications.channel_accounts set throughput_per_second = {PACE} where tenant_id = '{tenant}';
         insert into communications.batches
             (tenant_id, id, source, idempotency_key, body_hash, trigger_event, request, status, run_id)
         values ('{tenant}', '{BATCH}', 'bench', 'bench', '\\x00', 'TRIP_BOARDING', '{message}', 'RUNNING', uuidv7());
         insert into communications.trigger_runs
             (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, answer)
         select tenant_id, run_id, 'batch', id::text, '\\x00', trigger_event, 'COMPLETED', '{{}}' from communications.batches;
         select communications.add_batch_recipients('{tenant}', '{BATCH}', array_agg(jsonb_build_object(
                    'phone', '+34' || 700000000 + n, 'name', 'Ana ' || n, 'locale', (array['es', 'en'])[1 + n % 2]) order by n))
           from generate_series(1, {recipients}) n;
         select communications.add_batch_steps('{tenant}', '{BATCH}', 500)",
        tenant = flooding.tenant,
        message = json!({"trigger_event": "TRIP_BOARDING", "channels": ["WHATSAPP"],
            "variables": {"trip": {"code": "MAD-1", "origin": "Madrid", "destination": "Valencia", "vehicle": "bus"}}}),
    ))?;
    database.query(&format!(
        "insert into communications.contacts (tenant_id, id, display_name, locale)
         select '{quiet}', {contact}, 'Customer ' || n, 'es' from generate_series(1, {CUSTOMERS}) n",
        contact = id("n", 'c'),
    ))?;
    database.query("vacuum (analyze)")?;
    Ok(())
}

/// The SQL of an id that ends in a number.
fn id(number: &str, kind: char) -> String {
    format!("('0192f000-0000-7000-8000-{kind}' || lpad({number}::text, 11, '0'))::uuid")
}

/// What Hasura says of the trip `number`, as API Gateway hands it over.
pub fn trip_is_late(number: usize) -> Result<String> {
    let tenant = operator(TRAVELLING)?.tenant;
    let row = |status: &str| json!({"id": format!("0192f000-0000-7000-8000-7{number:011}"), "tenant_id": tenant, "status": status});
    let event = json!({
        "created_at": "2026-11-23T10:00:00.123456",
        "delivery_info": {"current_retry": 0, "max_retries": 60},
        "event": {"data": {"old": row("SCHEDULED"), "new": row("DELAYED")}, "op": "UPDATE", "session_variables": null},
        "id": format!("e0192f00-0000-4000-8000-{number:012}"),
        "table": {"name": "trips", "schema": "operations"},
        "trigger": {"name": "trip_delayed"},
    });
    Ok(json!({
        "version": "2.0",
        "routeKey": "POST /api/hasura/events",
        "rawPath": "/api/hasura/events",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "nhost-webhook-secret": super::SECRET},
        "requestContext": {
            "accountId": "123456789012", "apiId": "api1234567", "domainName": "localhost", "domainPrefix": "api1234567",
            "http": {"method": "POST", "path": "/api/hasura/events", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"},
            "requestId": format!("bench-{number}"), "routeKey": "POST /api/hasura/events", "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_428_000_000_u64,
        },
        "body": event.to_string(),
        "isBase64Encoded": false,
    })
    .to_string())
}

/// Every passenger of so many trips has one message and its chain.
pub fn check_trips(database: &mut Connection, trips: usize) -> Result<()> {
    let tenant = operator(TRAVELLING)?.tenant;
    expect(
        database,
        &format!(
            "select count(*), count(distinct m.contact_id), count(f.message_id)
               from communications.messages m
               left join communications.message_fallbacks f on f.tenant_id = m.tenant_id and f.message_id = m.id
              where m.tenant_id = '{tenant}'"
        ),
        &[trips * PASSENGERS; 3],
    )
}

/// So that nothing of them leaves while the quiet operator is thought to be alone.
pub fn withdraw_trips(database: &mut Connection) -> Result<()> {
    let tenant = operator(TRAVELLING)?.tenant;
    database.query(&format!(
        "update communications.messages set status = 'CANCELLED' where tenant_id = '{tenant}'"
    ))?;
    Ok(())
}

pub fn batch_job() -> Result<String> {
    let tenant = operator(FLOODING)?.tenant;
    Ok(BatchDispatchJob::new(tenant, BATCH.parse()?, 0).body())
}

pub const DECIDED: &str = "select cursor from communications.batches";

/// Every recipient has one message, and the batch says so.
pub fn check_batch(database: &mut Connection, recipients: usize) -> Result<()> {
    let tenant = operator(FLOODING)?.tenant;
    expect(
        database,
        &format!(
            "select b.queued, count(*), count(distinct m.contact_id)
               from communications.batches b
               join communications.messages m on m.tenant_id = b.tenant_id and m.run_id = b.run_id
              where b.tenant_id = '{tenant}' and b.status = 'COMPLETED' and m.status = 'QUEUED' and m.lane = 'BULK'
              group by 1"
        ),
        &[recipients; 3],
    )
}

fn expect(database: &mut Connection, sql: &str, wanted: &[usize]) -> Result<()> {
    let found = database.query(sql)?;
    let wanted: Vec<_> = wanted.iter().map(|count| Some(count.to_string())).collect();
    anyhow::ensure!(
        found == [wanted.clone()],
        "found {found:?} where {wanted:?} is due"
    );
    Ok(())
}

/// The quiet operator writes to its next customer; the hint that its outbox would publish.
pub fn quiet_message(database: &mut Connection, number: usize, lane: Lane) -> Result<String> {
    let Operator { tenant, account } = operator(QUIET)?;
    let content = seed::content()?;
    let number = number % CUSTOMERS + 1;
    let message: MessageId = database
        .value(&format!(
            "insert into communications.messages
                 (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, body,
                  status, lane, category, due_at, expires_at, hint_at)
             values ('{tenant}', uuidv7(), 'OUTBOUND', 'WHATSAPP', '{account}', {contact}, 'SYSTEM', '+34{phone}',
                     '{content}', 'Hola Ana', 'QUEUED', '{lane}', 'TRANSACTIONAL', now(), now() + interval '1 hour', now())
             returning id",
            contact = id(&number.to_string(), 'c'),
            phone = 800_000_000 + number,
        ))?
        .parse()?;
    Ok(DispatchMessageJob::new(tenant, message).body())
}

/// From being written to being sent, of what the quiet operator wrote between two moments: `[count, p50, p95]` in milliseconds.
pub fn dwell(database: &mut Connection, lane: Lane, from: &str, until: &str) -> Result<[f64; 3]> {
    let tenant = operator(QUIET)?.tenant;
    let rows = database.query(&format!(
        "select count(*), percentile_cont(0.5) within group (order by took), percentile_cont(0.95) within group (order by took)
           from (select extract(epoch from coalesce(sent_at, 'infinity') - created_at) * 1000 as took
                   from communications.messages
                  where tenant_id = '{tenant}' and lane = '{lane}' and created_at >= '{from}' and created_at < '{until}') m"
    ))?;
    let mut figures = [0.0; 3];
    for (figure, text) in figures.iter_mut().zip(rows.into_iter().flatten()) {
        *figure = text.unwrap_or_default().parse()?;
    }
    Ok(figures)
}

/// Of the flood, between two moments.
pub fn sent_per_second(database: &mut Connection, from: &str, until: &str) -> Result<f64> {
    let tenant = operator(FLOODING)?.tenant;
    let rate = database.value(&format!(
        "select count(*) / extract(epoch from timestamptz '{until}' - timestamptz '{from}')
           from communications.messages
          where tenant_id = '{tenant}' and sent_at >= '{from}' and sent_at < '{until}'"
    ))?;
    Ok(rate.parse()?)
}

/// A fifth of the pace is kept for agents.
pub fn bulk_share(database: &mut Connection) -> Result<f64> {
    let rate = format!("select communications.sender_rate('META', {PACE}) * 0.8");
    Ok(database.value(&rate)?.parse()?)
}

pub fn now(database: &mut Connection) -> Result<String> {
    database.value("select clock_timestamp()")
}
