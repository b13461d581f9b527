//! The data of a round and the requests to it: distinct, signed, as API Gateway hands them to the function.

use std::sync::Arc;

use anyhow::Result;
use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::{
    seed::TENANTS,
    wire::{Connection, Row},
};

const APP_SECRET: &str = "secret-of-the-benchmark";
pub const APP_SECRETS: &str = "[\"secret-of-the-benchmark\"]";
/// Messages that each passenger got; the first report of the first one teaches an id.
const MESSAGES_EACH: usize = 10;
/// Texts that each customer writes; the first one makes contact, thread and window.
const TEXTS_EACH: usize = 10;
/// The first tenant's messages that only the large bodies are about begin here.
const FIRST_OF_LARGE: usize = 1_000_000;
/// When the messages were sent, in seconds since 1970; providers count no finer.
const SENT_AT: usize = 1_795_428_000;
const WORDS: [&str; 3] = ["sent", "delivered", "read"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One status a request; each message is sent, delivered, read.
    Status,
    /// One new text a request.
    Inbound,
}

impl Kind {
    pub fn check(self) -> &'static str {
        match self {
            Self::Status => {
                "select (select count(*) from communications.message_status_events where message_id is not null and raw <> '{}'),
                        (select count(*) from communications.messages where status = 'READ' and external_message_id like 'wamid.OUT%')"
            }
            Self::Inbound => {
                "select (select count(*) from communications.messages where direction = 'INBOUND'),
                        (select count(*) from communications.conversations)"
            }
        }
    }

    pub fn wanted(self, requests: usize) -> Row {
        let second = match self {
            Self::Status => requests / WORDS.len(),
            Self::Inbound => requests / TEXTS_EACH,
        };
        vec![Some(requests.to_string()), Some(second.to_string())]
    }
}

/// Tenants with a number each, a sent message for every three status requests, and those of the large bodies. Everybody has an older
/// message that was read: no operator's tables are empty, and Postgres plans for what it finds.
pub fn seed(database: &mut Connection, requests: usize) -> Result<()> {
    let messages = requests / WORDS.len();
    let passengers = messages.div_ceil(MESSAGES_EACH * TENANTS) * TENANTS;
    database.query(&format!(
        "insert into communications.tenant_settings (tenant_id, name, default_locale, timezone)
         select tenant, 'Operator ' || n, 'es', 'Europe/Madrid'
           from (select n, format('0192f000-0000-7000-8000-00000000a%s', lpad(n::text, 3, '0'))::uuid as tenant
                   from generate_series(0, {last}) n) t;
         insert into communications.channel_accounts
             (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, waba_id)
         select format('0192f000-0000-7000-8000-00000000a%s', lpad(n::text, 3, '0'))::uuid,
                format('0192f000-0000-7000-8000-00000000b%s', lpad(n::text, 3, '0'))::uuid, 'WHATSAPP', 'META', 'ACTIVE',
                'Operator ' || n, '+3491' || lpad(n::text, 7, '0'), '1000000000' || lpad(n::text, 5, '0'),
                '2000000000' || lpad(n::text, 5, '0')
           from generate_series(0, {last}) n;
         insert into communications.contacts (tenant_id, id, display_name)
         select format('0192f000-0000-7000-8000-00000000a%s', lpad((n % {TENANTS})::text, 3, '0'))::uuid,
                format('0192f000-0000-7000-8000-c%s', lpad(n::text, 11, '0'))::uuid, 'Passenger ' || n
           from generate_series(0, {passengers} - 1) n
         union all
         select '0192f000-0000-7000-8000-00000000a000', format('0192f000-0000-7000-8000-c%s', lpad(n::text, 11, '0'))::uuid,
                'Passenger ' || n
           from generate_series({FIRST_OF_LARGE}, {FIRST_OF_LARGE} + {large} - 1) n;
         insert into communications.contact_identities (tenant_id, kind, value, contact_id)
         select tenant_id, 'phone', '+34' || 700000000 + right(id::text, 9)::int, id from communications.contacts;
         insert into communications.contact_identities (tenant_id, kind, value, contact_id)
         select tenant_id, 'bsuid', 'ES.' || 10000000000 + right(id::text, 9)::int, id
           from communications.contacts where right(id::text, 9)::int >= {FIRST_OF_LARGE}
         union all
         select tenant_id, 'wa_id', '34' || 700000000 + right(id::text, 9)::int, id
           from communications.contacts where right(id::text, 9)::int >= {FIRST_OF_LARGE};
         -- Without triggers: a message is not born as sent.
         set session_replication_role = replica;
         insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, body, status, lane, category,
              attempts, fence, external_message_id, sent_at)
         select c.tenant_id, format('0192f000-0000-7000-8000-d%s', lpad(m.n::text, 11, '0'))::uuid, 'OUTBOUND', 'WHATSAPP', a.id, c.id,
                'SYSTEM', '+34' || 700000000 + right(c.id::text, 9)::int, '{{\"type\": \"text\", \"body\": \"x\"}}', 'x', 'SENT',
                'TRANSACTIONAL', 'TRANSACTIONAL', 1, 1, 'wamid.OUT' || m.n, to_timestamp({SENT_AT} + 0.4)
           from (select n, n / {group} * {TENANTS} + n % {TENANTS} as passenger from generate_series(0, {messages} - 1) n
                 union all
                 select n, n from generate_series({FIRST_OF_LARGE}, {FIRST_OF_LARGE} + {large} - 1) n) m
           join communications.contacts c
             on c.tenant_id = format('0192f000-0000-7000-8000-00000000a%s', lpad((m.passenger % {TENANTS})::text, 3, '0'))::uuid
                and m.passenger < {FIRST_OF_LARGE}
             or c.tenant_id = '0192f000-0000-7000-8000-00000000a000' and m.passenger >= {FIRST_OF_LARGE}
           join communications.channel_accounts a on a.tenant_id = c.tenant_id
          where c.id = format('0192f000-0000-7000-8000-c%s', lpad(m.passenger::text, 11, '0'))::uuid;
         insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, body, status, lane, category,
              attempts, fence, external_message_id, sent_at, delivered_at, read_at)
         select c.tenant_id, format('0192f000-0000-7000-8000-e%s', right(c.id::text, 11))::uuid, 'OUTBOUND', 'WHATSAPP', a.id, c.id,
                'SYSTEM', '+34' || 700000000 + right(c.id::text, 9)::int, '{{\"type\": \"text\", \"body\": \"x\"}}', 'x', 'READ',
                'TRANSACTIONAL', 'TRANSACTIONAL', 1, 1, 'wamid.OLD' || right(c.id::text, 9)::int, now(), now(), now()
           from communications.contacts c join communications.channel_accounts a on a.tenant_id = c.tenant_id;
         insert into communications.message_status_events
             (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, occurred_at, raw)
         select m.tenant_id, gen_random_uuid(), m.account_id, m.external_message_id, m.id, upper(word), word, m.sent_at, '{{}}'
           from communications.messages m cross join unnest(array['sent', 'delivered', 'read']) as word where m.status = 'READ';
         insert into communications.message_prices (tenant_id, message_id, account_id, category, model, kind, billable, at, said_at)
         select tenant_id, id, account_id, 'utility', 'PMP', 'regular', true, sent_at, sent_at from communications.messages where status = 'READ';
         set session_replication_role = origin",
        last = TENANTS - 1,
        group = MESSAGES_EACH * TENANTS,
        large = super::LARGE * super::LARGE_BODIES,
    ))?;
    database.query("vacuum (analyze)")?;
    Ok(())
}

/// A round's requests. Those of one message or customer are far apart: a replay over several connections must find what the
/// one before has made.
pub fn events(kind: Kind, requests: usize) -> Vec<Arc<str>> {
    let plan = Plan::of(kind, requests);
    (0..requests).map(|n| plan.event(n)).collect()
}

/// The same requests in an order in which they might come: new customers one by one between those who are known, what becomes of a
/// message while others are sent.
pub fn as_they_come(kind: Kind, requests: usize) -> Vec<Arc<str>> {
    /// What comes between two requests about the same, in messages or customers.
    const BETWEEN: usize = 50;
    let plan = Plan::of(kind, requests);
    let mut order: Vec<usize> = (0..requests).collect();
    order.sort_by_key(|n| n % plan.subjects + n / plan.subjects * BETWEEN);
    order.into_iter().map(|n| plan.event(n)).collect()
}

/// Requests whose path names no tenant: what the runtime costs when the function has nothing to do.
pub fn refused(requests: usize) -> Vec<Arc<str>> {
    let path = format!("\"tenant_id\":\"{}", &tenant_id(0)[..8]);
    let nobody = "\"tenant_id\":\"nobody-x";
    events(Kind::Status, requests)
        .iter()
        .map(|event| event.replace(&path, nobody).into())
        .collect()
}

/// Which request is about what.
struct Plan {
    kind: Kind,
    /// Messages that are reported, or customers who write.
    subjects: usize,
}

impl Plan {
    fn of(kind: Kind, requests: usize) -> Self {
        let each = match kind {
            Kind::Status => WORDS.len(),
            Kind::Inbound => TEXTS_EACH,
        };
        Self {
            kind,
            subjects: requests / each,
        }
    }

    fn event(&self, n: usize) -> Arc<str> {
        let subject = n % self.subjects;
        match self.kind {
            Kind::Status => {
                let tenant = subject % TENANTS;
                event(
                    tenant,
                    &statuses(tenant, &[status(subject, WORDS[n / self.subjects])]),
                )
            }
            Kind::Inbound => text(n, subject),
        }
    }
}

/// So many bodies of so many statuses of the first tenant each; no status comes twice.
pub fn status_bodies(each: usize, bodies: usize) -> Vec<Arc<str>> {
    (0..bodies)
        .map(|body| {
            let list = (0..each).map(|n| status(FIRST_OF_LARGE + body * each + n, "delivered"));
            event(0, &statuses(0, &list.collect::<Vec<_>>()))
        })
        .collect()
}

fn status(message: usize, word: &str) -> Value {
    let passenger = if message < FIRST_OF_LARGE {
        message / (MESSAGES_EACH * TENANTS) * TENANTS + message % TENANTS
    } else {
        message
    };
    let later = match word {
        "sent" => 0,
        "delivered" => 2,
        _ => 60,
    };
    json!({
        "id": format!("wamid.OUT{message}"), "status": word, "timestamp": (SENT_AT + later).to_string(),
        "recipient_id": format!("34{}", 700_000_000 + passenger),
        "recipient_user_id": format!("ES.{}", 10_000_000_000_usize + passenger),
        "biz_opaque_callback_data": format!("0192f000-0000-7000-8000-d{message:011}"),
        "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"},
    })
}

fn statuses(tenant: usize, list: &[Value]) -> Value {
    webhook(tenant, &json!({"statuses": list}))
}

fn text(n: usize, customer: usize) -> Arc<str> {
    let tenant = customer % TENANTS;
    let (phone, user) = (
        format!("34{}", 600_000_000 + customer),
        format!("ES.{}", 20_000_000_000_usize + customer),
    );
    let body = webhook(
        tenant,
        &json!({
            "contacts": [{"wa_id": phone, "user_id": user, "profile": {"name": format!("Customer {customer}")}}],
            "messages": [{
                "from": phone, "from_user_id": user, "id": format!("wamid.IN{n}"), "timestamp": "1795428000", "type": "text",
                "text": {"body": "Hola, ¿a qué hora sale ahora el autobús de Madrid a Valencia?"},
            }],
        }),
    );
    event(tenant, &body)
}

fn webhook(tenant: usize, members: &Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": format!("3491{tenant:07}"), "phone_number_id": format!("1000000000{tenant:05}")},
    });
    for (name, member) in members.as_object().into_iter().flatten() {
        value[name] = member.clone();
    }
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": format!("2000000000{tenant:05}"), "changes": [{"value": value, "field": "messages"}]}],
    })
}

fn tenant_id(tenant: usize) -> String {
    format!("0192f000-0000-7000-8000-00000000a{tenant:03}")
}

/// As API Gateway's HTTP API hands it to Lambda, signed as Meta signs.
fn event(tenant: usize, body: &Value) -> Arc<str> {
    let body = body.to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes());
    let signature = hex::encode(hmac::sign(&key, body.as_bytes()));
    let tenant = tenant_id(tenant);
    let path = format!("/api/webhooks/meta/{tenant}");
    json!({
        "version": "2.0", "routeKey": "POST /api/webhooks/meta/{tenant_id}", "rawPath": path, "rawQueryString": "",
        "headers": {
            "accept": "*/*", "content-type": "application/json", "content-length": body.len().to_string(),
            "host": "api.example", "user-agent": "facebookexternalua", "x-forwarded-for": "203.0.113.9",
            "x-forwarded-port": "443", "x-forwarded-proto": "https",
            "x-hub-signature-256": format!("sha256={signature}"),
        },
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api.example", "domainPrefix": "api",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "facebookexternalua"},
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "POST /api/webhooks/meta/{tenant_id}", "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_428_000_000_i64,
        },
        "pathParameters": {"tenant_id": tenant}, "body": body, "isBase64Encoded": false,
    })
    .to_string()
    .into()
}

pub fn ratio(sum: u64, of: usize) -> f64 {
    let number = |n: u64| u32::try_from(n).map_or(f64::INFINITY, f64::from);
    number(sum) / number(of as u64)
}
