//! Verbs of the dispatch tests: many messages at once, a clock that is moved by hand, and the hints of the rows.

use comms_core::model::{AccountId, DispatchMessageJob, MessageId, TenantId};
use comms_tests::calls;
use comms_tests::seed::Operator;
use comms_tests::world::World;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

/// Where messages leave from.
#[derive(Debug, Clone, Copy)]
pub struct From {
    pub tenant: TenantId,
    pub account: AccountId,
    pub channel: &'static str,
}

pub fn whatsapp(operator: &Operator) -> From {
    From {
        tenant: operator.tenant,
        account: operator.account,
        channel: "WHATSAPP",
    }
}

/// An ACTIVE account of the tenant at one of the providers that need no credentials of its own.
pub async fn account(
    world: &World,
    tenant: TenantId,
    channel: &'static str,
    provider: &str,
) -> From {
    if provider == "SES" {
        verify_mail_domain().await;
    }
    let account = AccountId::generate();
    sqlx::query(
        r#"insert into communications.channel_accounts
               (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, provider_config)
           values ($1, $2, $3, $4, 'ACTIVE', 'x', 'x', $2::text,
                   '{"public": {"from_address": "news@mail.example"}, "secrets": []}')"#,
    )
    .bind(tenant)
    .bind(account)
    .bind(channel)
    .bind(provider)
    .execute(&world.pool)
    .await
    .unwrap();
    From {
        tenant,
        account,
        channel,
    }
}

/// The emulated SES sends for domains that it knows; once is enough for all tests.
pub async fn verify_mail_domain() {
    let signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ses/aws4_request, SignedHeaders=host, Signature=x";
    let url = format!("{}/v2/email/identities", setting("AWS_ENDPOINT_URL"));
    let call = comms_providers::http::client()
        .unwrap()
        .post(url)
        .header("authorization", signed)
        .header("content-type", "application/json")
        .body(r#"{"EmailIdentity": "mail.example"}"#);
    call.send().await.unwrap();
}

/// Queues so many messages, each to somebody else, as intake does: hinted now. Addresses are unique in the world.
pub async fn queue(
    world: &World,
    from: From,
    lane: &str,
    category: &str,
    count: i32,
) -> Vec<DispatchMessageJob> {
    let content = match from.channel {
        "EMAIL" => r#"{"type": "email", "subject": "s", "text": "t"}"#,
        _ => r#"{"type": "text", "body": "hello"}"#,
    };
    let mut ids: Vec<MessageId> = sqlx::query_scalar(
        "with people as materialized (
             select communications.uuid_v7() as contact, communications.uuid_v7() as id,
                    (select count(*) from communications.contacts) + n as nth
               from generate_series(1, $6) as n),
         made as (
             insert into communications.contacts (tenant_id, id) select $1, contact from people),
         agreed as (
             insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
             select $1, communications.uuid_v7(), contact, $3, $5, true, 'request', 'agent' from people),
         wrote as (
             insert into communications.whatsapp_windows (tenant_id, account_id, contact_id, open_until)
             select $1, $2, contact, now() + interval '1 day' from people where $3 = 'WHATSAPP')
         insert into communications.messages
                (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category,
                 expires_at, hint_at)
         select $1, id, 'OUTBOUND', $3, $2, contact, 'SYSTEM',
                case $3 when 'EMAIL' then 'p' || nth || '.' || left(contact::text, 13) || '@example.com'
                        else '+34700' || lpad(nth::text, 6, '0') end,
                $7::jsonb, 'QUEUED', $4, $5, now() + interval '1 day', now()
           from people order by nth
         returning id",
    )
    .bind(from.tenant)
    .bind(from.account)
    .bind(from.channel)
    .bind(lane)
    .bind(category)
    .bind(count)
    .bind(content)
    .fetch_all(&world.pool)
    .await
    .unwrap();
    ids.sort();
    ids.into_iter()
        .map(|id| DispatchMessageJob::new(from.tenant, id))
        .collect()
}

/// Puts all these messages into one new conversation with one address.
pub async fn in_one_conversation(world: &World, jobs: &[DispatchMessageJob]) {
    let ids: Vec<_> = jobs.iter().map(|job| job.message_id.0).collect();
    sqlx::query(
        "with first as (
             select tenant_id, contact_id, address from communications.messages
              where id = any($1) order by id limit 1),
         made as (
             insert into communications.conversations (tenant_id, id, contact_id)
             select tenant_id, communications.uuid_v7(), contact_id from first
             returning id)
         update communications.messages m
            set conversation_id = made.id, contact_id = first.contact_id, address = first.address
           from first, made where m.id = any($1)",
    )
    .bind(&ids)
    .execute(&world.pool)
    .await
    .unwrap();
}

/// Time passes: every moment in the rows moves back by so many seconds.
pub async fn later(world: &World, seconds: f64) {
    let sql = format!(
        "begin;
         set local session_replication_role = replica;
         update communications.messages
            set due_at = due_at - t, hint_at = hint_at - t, slot_at = slot_at - t, lease_until = lease_until - t,
                expires_at = expires_at - t, sent_at = sent_at - t, updated_at = updated_at - t
           from (select {seconds} * interval '1 second' as t) t;
         update communications.rate_buckets set tat = tat - {seconds} * interval '1 second';
         update communications.breakers set open_until = open_until - {seconds} * interval '1 second';
         update communications.message_fallbacks set due_at = due_at - {seconds} * interval '1 second';
         update communications.channel_accounts set resume_at = resume_at - {seconds} * interval '1 second';
         commit"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&world.pool)
        .await
        .unwrap();
}

/// The worker gets the hints that are out and whose time has come, in batches of fifty. Answers how many there were.
pub async fn hinted(world: &World) -> usize {
    let rows: Vec<(TenantId, MessageId)> = sqlx::query_as(
        "select tenant_id, id from communications.messages
          where status = 'QUEUED' and hint_at > '-infinity'
            and (hint_at <= now() or slot_at <= now() + interval '1 second') order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let jobs: Vec<DispatchMessageJob> = rows
        .iter()
        .map(|(tenant, id)| DispatchMessageJob::new(*tenant, *id))
        .collect();
    for batch in jobs.chunks(50) {
        dispatch(world, batch).await;
    }
    jobs.len()
}

/// One SQS batch through the function's own door.
pub async fn dispatch(world: &World, jobs: &[DispatchMessageJob]) {
    let response = dispatch_worker::handle(&world.worker, calls::batch(jobs)).await;
    assert!(response.batch_item_failures.is_empty(), "{response:?}");
}

pub async fn scan(world: &World) -> stuck_scan::Summary {
    stuck_scan::handle(&world.scan).await.unwrap()
}

/// `status` of one message.
pub async fn status(world: &World, job: &DispatchMessageJob) -> String {
    column(world, "status", job).await
}

/// Any column of one message, as text.
pub async fn column(world: &World, column: &str, job: &DispatchMessageJob) -> String {
    let sql = format!(
        "select coalesce(({column})::text, '') from communications.messages where tenant_id = $1 and id = $2"
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(job.tenant_id)
        .bind(job.message_id)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

/// How many outbound messages are in each state.
pub async fn tally(world: &World) -> HashMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select status, count(*) from communications.messages where direction = 'OUTBOUND' group by status",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    rows.into_iter().collect()
}

/// Asserts that the simulator was called exactly once for each of these.
pub fn assert_called_once_each(world: &World, jobs: &[DispatchMessageJob]) {
    let mut times: HashMap<String, usize> = HashMap::new();
    for call in world.simulator.calls() {
        *times.entry(call.correlation.unwrap()).or_default() += 1;
    }
    assert_eq!(times.len(), jobs.len());
    for job in jobs {
        assert_eq!(times[&job.message_id.to_string()], 1);
    }
}

/// What the emulated AWS sent: `ses/messages` or `sns/sms-messages`.
pub async fn sent_by_aws(what: &str) -> Value {
    let endpoint = setting("AWS_ENDPOINT_URL");
    let client = comms_providers::http::client().unwrap();
    let call = client.get(format!("{endpoint}/_ministack/{what}"));
    let answer = call.send().await.unwrap();
    answer.json().await.unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shared servers are in the environment"
)]
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap()
}
