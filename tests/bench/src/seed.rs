//! The data of a round: tenants with one connected number each, and messages that are due now.
//!
//! Written set-based, once; every round works on a copy of the same files, so that all rounds and the floor begin
//! from the same bytes.

use std::sync::Arc;

use anyhow::{Context, Result};
use comms_core::{
    channels::vault::{Credentials, Owner, Vault},
    model::{AccountId, DispatchMessageJob, MessageId, TenantId},
    platform::Aws,
};
use comms_providers::{Content, command::WhatsAppTemplate};
use serde_json::{Value, json};

use crate::wire::Connection;

pub const TENANTS: usize = 20;
/// Records of one SQS event, as the deployment has it.
pub const BATCH: usize = 10;

pub fn owner(number: usize) -> Result<Owner> {
    let id = |kind: char| format!("0192f000-0000-7000-8000-00000000{kind}{number:03}");
    Ok(Owner {
        tenant: id('a').parse::<TenantId>()?,
        account: id('b').parse::<AccountId>()?,
    })
}

/// The `provider_config` of every tenant's account, sealed by the service's own vault with the KMS of the environment.
pub async fn sealed_configs() -> Result<Vec<Value>> {
    let vault = Vault::new(&Aws::default(), "bench");
    let credentials = Credentials::of_token("token-of-the-benchmark".into());
    let mut configs = Vec::new();
    for number in 0..TENANTS {
        let envelope = vault.seal(owner(number)?, 1, &credentials).await?;
        configs.push(json!({"public": {}, "secrets": [envelope]}));
    }
    Ok(configs)
}

/// What a message that Meta takes says, as its row has it.
pub fn content() -> Result<String> {
    let content = Content::Template(WhatsAppTemplate {
        name: "trip_delayed".to_owned(),
        language: "es".to_owned(),
        body: ["Ana", "MAD-VLC-0715", "Madrid", "Valencia", "08:45"]
            .map(str::to_owned)
            .to_vec(),
        ..WhatsAppTemplate::default()
    });
    Ok(serde_json::to_string(&content)?)
}

/// Writes tenants, accounts and contacts, and `messages` QUEUED messages.
pub fn write(database: &mut Connection, configs: &[Value], messages: usize) -> Result<()> {
    for (number, config) in configs.iter().enumerate() {
        let Owner { tenant, account } = owner(number)?;
        database.query(&format!(
            "insert into communications.tenant_settings (tenant_id, name, default_locale, timezone)
             values ('{tenant}', 'Operator {number}', 'es', 'Europe/Madrid');
             insert into communications.channel_accounts
                 (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, waba_id,
                  provider_config, throughput_per_second)
             values ('{tenant}', '{account}', 'WHATSAPP', 'META', 'ACTIVE', 'Operator {number}', '+349110{number:05}',
                     '1000000000{number:05}', '2000000000{number:05}', '{config}', 1000000)"
        ))?;
    }
    let content = content()?;
    database.query(&format!(
        "insert into communications.trigger_runs
             (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, answer)
         select tenant_id, uuidv7(), 'bench', 'bench', '\\x00', 'TRIP_DELAYED', 'COMPLETED', '{{}}'
           from communications.tenant_settings;
         insert into communications.contacts (tenant_id, id, display_name, locale)
         select tenant_id, uuidv7(), 'Passenger ' || n, 'es'
           from communications.tenant_settings, generate_series(1, {per_tenant}) n;
         insert into communications.contact_identities (tenant_id, kind, value, contact_id)
         select tenant_id, 'phone', '+34' || 600000000 + row_number() over (order by tenant_id, id), id
           from communications.contacts;
         insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, body,
              variables, status, lane, category, due_at, expires_at, hint_at, run_id)
         select c.tenant_id, uuidv7(), 'OUTBOUND', 'WHATSAPP', a.id, c.id, 'SYSTEM', i.value, '{content}',
                'Hola Ana: tu viaje MAD-VLC-0715 de Madrid a Valencia va con retraso. Nueva salida: 08:45.',
                '{{\"trip.code\": \"MAD-VLC-0715\"}}', 'QUEUED', 'TRANSACTIONAL', 'TRANSACTIONAL',
                now(), now() + interval '24 hours', now(), r.id
           from communications.contacts c
           join communications.contact_identities i on i.tenant_id = c.tenant_id and i.contact_id = c.id
           join communications.channel_accounts a on a.tenant_id = c.tenant_id
           join communications.trigger_runs r on r.tenant_id = c.tenant_id",
        per_tenant = messages / TENANTS,
    ))?;
    // Not inside the transaction that several statements in one query make.
    database.query("vacuum (analyze)")?;
    Ok(())
}

/// Adds `finished` messages of the past. Without triggers: a message cannot be born as delivered, and five million of
/// them would each be asked.
pub fn write_history(database: &mut Connection, finished: usize) -> Result<()> {
    database.query("set session_replication_role = replica")?;
    database.query(&format!(
        "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane,
              category, due_at, attempts, fence, external_message_id, sent_at, delivered_at)
         select c.tenant_id, uuidv7('-30 days'), 'OUTBOUND', 'WHATSAPP', c.account_id, c.id, 'SYSTEM', '+34600000000',
                '{{}}', (array['SENT', 'DELIVERED', 'READ', 'READ', 'FAILED'])[1 + n % 5], 'TRANSACTIONAL',
                'TRANSACTIONAL', now() - interval '30 days', 1, 1, 'wamid.past.' || n, now(), now()
           from (select c.tenant_id, c.id, a.id as account_id, row_number() over (order by c.id) - 1 as number
                   from communications.contacts c
                   join communications.channel_accounts a on a.tenant_id = c.tenant_id) c
           join generate_series(1, {finished}) n
             on n % (select count(*) from communications.contacts) = c.number"
    ))?;
    database.query("vacuum (analyze) communications.messages")?;
    Ok(())
}

/// The SQS events of a round: ten jobs of one tenant each, the tenants taking turns.
pub fn batches(database: &mut Connection) -> Result<Vec<Arc<str>>> {
    let rows = database.query(&format!(
        "select tenant_id, id
           from (select tenant_id, id, (row_number() over (partition by tenant_id order by id) - 1) / {BATCH} as batch
                   from communications.messages where status = 'QUEUED') m
          order by batch, tenant_id, id"
    ))?;
    let jobs = rows
        .into_iter()
        .map(|row| match row.as_slice() {
            [Some(tenant), Some(message)] => Ok(DispatchMessageJob::new(
                tenant.parse::<TenantId>()?,
                message.parse::<MessageId>()?,
            )),
            _ => Err(anyhow::anyhow!("a message without an id")),
        })
        .collect::<Result<Vec<DispatchMessageJob>>>()
        .context("read the queued messages")?;
    let event = |jobs: &[DispatchMessageJob]| {
        let bodies: Vec<String> = jobs.iter().map(DispatchMessageJob::body).collect();
        event(&bodies).into()
    };
    Ok(jobs.chunks(BATCH).map(event).collect())
}

/// As SQS hands it to Lambda.
pub fn event(bodies: &[String]) -> String {
    let record = |(number, body): (usize, &String)| {
        json!({
            "messageId": format!("5a5a0000-0000-4000-8000-{number:012}"),
            "receiptHandle": "AQEBexample",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1795428000000",
                "SenderId": "AROAEXAMPLE:communications-hasura-events",
                "MessageGroupId": "0192f000-0000-7000-8000-00000000a000",
                "ApproximateFirstReceiveTimestamp": "1795428000012",
            },
            "messageAttributes": {},
            "md5OfBody": "13354642f090a7caa271b6e2d536dec5",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:communications-transactional",
            "awsRegion": "us-east-1",
        })
    };
    let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
    json!({ "Records": records }).to_string()
}
