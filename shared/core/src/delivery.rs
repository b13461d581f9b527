//! What providers report about our messages: a log of every report, and its projection onto the message.
//!
//! The projection only rises (`communications.projected_status`), so duplicates and any order of arrival end in the same
//! row. A report whose message is not known yet waits in the log for the id that the send's answer brings.

use crate::model::{AccountId, Effect, MessageId, TenantId};
use crate::platform::{DatabaseError, Tx, telemetry};
use comms_providers::event::DeliveryStatus;
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// One report about one message.
#[derive(Debug, Clone)]
pub struct StatusReport {
    pub account: AccountId,
    pub external_message_id: String,
    pub status: DeliveryStatus,
    pub provider_status: String,
    /// Our message id as the provider echoed it.
    pub correlation_id: Option<Uuid>,
    pub occurred_at: OffsetDateTime,
    pub failure_code: Option<String>,
    pub failure_reason: Option<String>,
    /// What the report means beyond its message.
    pub effect: Effect,
    pub raw: serde_json::Value,
}

/// What a set of reports came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Reports not seen before.
    pub new: usize,
    /// Of those: without a message yet.
    pub waiting: usize,
}

fn word(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Sent => "SENT",
        DeliveryStatus::Delivered => "DELIVERED",
        DeliveryStatus::Read => "READ",
        DeliveryStatus::Failed => "FAILED",
        DeliveryStatus::Unknown => "UNKNOWN",
    }
}

/// Logs the reports and projects them, in two statements however many they are.
///
/// # Errors
/// When the database does not answer; nothing is then recorded.
pub async fn record(
    tx: &mut Tx,
    tenant: TenantId,
    reports: &[StatusReport],
) -> Result<Recorded, DatabaseError> {
    if reports.is_empty() {
        return Ok(Recorded::default());
    }
    let columns = Columns::of(reports);
    let logged = sqlx::query!(
        r#"insert into communications.message_status_events
               (tenant_id, id, account_id, external_message_id, message_id, status, provider_status, failure_code,
                failure_reason, occurred_at, raw)
           select $1, r.id, r.account_id, r.external_message_id, coalesce(by_id.id, by_echo.id), r.status, r.provider_status,
                  r.failure_code, r.failure_reason, r.occurred_at, r.raw
             from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[],
                         $9::text[], $10::text[], $11::jsonb[])
                  as r(id, account_id, external_message_id, status, provider_status, correlation_id, occurred_at,
                       failure_code, failure_reason, raw)
             left join communications.messages by_id
               on by_id.tenant_id = $1 and by_id.account_id = r.account_id
              and by_id.external_message_id = r.external_message_id and by_id.direction = 'OUTBOUND'
             left join communications.messages by_echo
               on by_echo.tenant_id = $1 and by_echo.id = r.correlation_id
              and by_echo.account_id = r.account_id and by_echo.direction = 'OUTBOUND'
           on conflict on constraint message_status_events_key do nothing
           returning id, message_id as "message_id: MessageId""#,
        tenant.0,
        &columns.ids,
        &columns.accounts,
        &columns.external_message_ids,
        &columns.statuses,
        &columns.provider_statuses,
        &columns.correlation_ids as &[Option<Uuid>],
        &columns.occurred_at,
        &columns.failure_codes as &[Option<String>],
        &columns.failure_reasons as &[Option<String>],
        &columns.raws
    )
    .fetch_all(tx.conn())
    .await?;
    let matched: Vec<(TenantId, MessageId)> = logged
        .iter()
        .filter_map(|row| Some((tenant, row.message_id?)))
        .collect();
    project(tx, &matched).await?;
    let new = logged
        .iter()
        .filter_map(|row| Some((row.id, row.message_id?)));
    apply(tx, tenant, &consequences(&columns.ids, reports, new)).await?;
    Ok(Recorded {
        new: logged.len(),
        waiting: logged.len() - matched.len(),
    })
}

/// The effects of the reports that are new and have their message.
fn consequences(
    ids: &[Uuid],
    reports: &[StatusReport],
    new: impl Iterator<Item = (Uuid, MessageId)>,
) -> Vec<(MessageId, Effect, Option<String>)> {
    let new: HashMap<Uuid, MessageId> = new.collect();
    let with_effect = |(id, report): (&Uuid, &StatusReport)| {
        let message = *new.get(id)?;
        (report.effect != Effect::None)
            .then(|| (message, report.effect, report.failure_code.clone()))
    };
    ids.iter().zip(reports).filter_map(with_effect).collect()
}

/// How long an account waits on a hold that only a report told of.
const HELD_SECONDS: f64 = 3600.0;

async fn apply(
    tx: &mut Tx,
    tenant: TenantId,
    effects: &[(MessageId, Effect, Option<String>)],
) -> Result<(), DatabaseError> {
    if effects.is_empty() {
        return Ok(());
    }
    let codes: Vec<Option<String>> = effects.iter().map(|(_, _, code)| code.clone()).collect();
    sqlx::query!(
        "select communications.apply_effects($1, $2, $3, $4, $5, $6, $7)",
        &vec![tenant.0; effects.len()],
        &effects
            .iter()
            .map(|(message, ..)| message.0)
            .collect::<Vec<_>>(),
        &codes as &[Option<String>],
        &vec![None::<String>; effects.len()] as &[Option<String>],
        &vec![HELD_SECONDS; effects.len()],
        &effects
            .iter()
            .map(|(_, effect, _)| effect.as_str().to_owned())
            .collect::<Vec<_>>(),
        &vec![None::<i32>; effects.len()] as &[Option<i32>]
    )
    .fetch_one(tx.conn())
    .await?;
    for (message, effect, code) in effects {
        if *effect == Effect::ParkHold {
            tracing::error!(tenant.id = %tenant, message.id = %message, code, "a report parks the account");
            telemetry::metric("AccountParked", 1.0, &[]);
        }
    }
    Ok(())
}

/// Gives waiting reports to messages whose provider id has just become known, and projects them.
///
/// # Errors
/// When the database does not answer.
pub async fn match_waiting(
    tx: &mut Tx,
    messages: &[(TenantId, MessageId)],
) -> Result<usize, DatabaseError> {
    if messages.is_empty() {
        return Ok(0);
    }
    let (tenants, ids) = split(messages);
    let matched = sqlx::query!(
        r#"update communications.message_status_events e
              set message_id = m.id
             from unnest($1::uuid[], $2::uuid[]) as known(tenant_id, id)
             join communications.messages m on m.tenant_id = known.tenant_id and m.id = known.id
            where e.tenant_id = m.tenant_id and e.account_id = m.account_id
              and e.external_message_id = m.external_message_id and e.message_id is null
           returning m.tenant_id as "tenant: TenantId", m.id as "message: MessageId""#,
        &tenants,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    let matched: Vec<(TenantId, MessageId)> = matched
        .into_iter()
        .map(|row| (row.tenant, row.message))
        .collect();
    project(tx, &matched).await?;
    Ok(matched.len())
}

/// Brings each message up to what its log says. Rows are locked in one order, and not against the foreign keys of the log
/// (`for no key update`), so that two payloads, or a payload and a settle, cannot deadlock.
async fn project(tx: &mut Tx, messages: &[(TenantId, MessageId)]) -> Result<(), DatabaseError> {
    if messages.is_empty() {
        return Ok(());
    }
    let (tenants, ids) = split(messages);
    sqlx::query!(
        "with named as (select distinct tenant_id, id from unnest($1::uuid[], $2::uuid[]) as n(tenant_id, id)),
         locked as (
             select m.tenant_id, m.id
               from named n join communications.messages m on m.tenant_id = n.tenant_id and m.id = n.id
              order by m.tenant_id, m.id
                for no key update of m),
         best as (
             select l.tenant_id, l.id,
                    (array_agg(e.status order by communications.delivery_rank(e.status) desc))[1] as status,
                    (array_agg(e.external_message_id order by e.occurred_at))[1] as external_message_id,
                    -- What failed after all had been taken over before.
                    min(e.occurred_at) as sent_at,
                    min(e.occurred_at) filter (where e.status in ('DELIVERED', 'READ')) as delivered_at,
                    min(e.occurred_at) filter (where e.status = 'READ') as read_at,
                    min(e.occurred_at) filter (where e.status = 'FAILED') as failed_at,
                    (array_agg(e.failure_code) filter (where e.status = 'FAILED'))[1] as failure_code,
                    (array_agg(e.failure_reason) filter (where e.status = 'FAILED'))[1] as failure_reason
               from locked l
               join communications.message_status_events e on e.tenant_id = l.tenant_id and e.message_id = l.id
              where e.status <> 'UNKNOWN'
              group by l.tenant_id, l.id),
         projected as (
         update communications.messages m
            set status = communications.projected_status(m.status, m.attempts, b.status),
                external_message_id = coalesce(m.external_message_id, b.external_message_id),
                lease_until = case when communications.projected_status(m.status, m.attempts, b.status) = 'SENDING'
                                   then m.lease_until end,
                sent_at = coalesce(m.sent_at, b.sent_at),
                delivered_at = coalesce(m.delivered_at, b.delivered_at),
                read_at = coalesce(m.read_at, b.read_at),
                -- What we noted in doubt is forgotten once the provider has it; what the provider reported stays.
                failed_at = case when communications.projected_status(m.status, m.attempts, b.status) in ('SENT', 'DELIVERED', 'READ')
                                 then b.failed_at else coalesce(m.failed_at, b.failed_at) end,
                failed_code = case when communications.projected_status(m.status, m.attempts, b.status) in ('SENT', 'DELIVERED', 'READ')
                                   then b.failure_code else coalesce(b.failure_code, m.failed_code) end,
                failed_reason = case when communications.projected_status(m.status, m.attempts, b.status) in ('SENT', 'DELIVERED', 'READ')
                                     then b.failure_reason else coalesce(b.failure_reason, m.failed_reason) end
           from best b
          where m.tenant_id = b.tenant_id and m.id = b.id and m.attempts > 0
            and m.status not in ('SUPPRESSED', 'SIMULATED', 'CANCELLED', 'EXPIRED')
         returning m.tenant_id, m.id, m.status, m.sent_at),
         -- Its chain: the next channel's turn, or the clock of the first wait.
         chained as (
             update communications.message_fallbacks f
                set due_at = case when p.status = 'FAILED' then now()
                                  else coalesce(f.due_at, p.sent_at + least(
                                      (f.steps -> 0 ->> 'not_delivered_within_seconds')::float8,
                                      (f.steps -> 0 ->> 'not_read_within_seconds')::float8) * interval '1 second') end
               from projected p
              where (p.status in ('SENT', 'FAILED')
                     or p.status = 'DELIVERED' and f.steps -> 0 ->> 'not_read_within_seconds' is not null)
                and f.tenant_id = p.tenant_id and f.message_id = p.id),
         reached as (
             delete from communications.message_fallbacks f
              using projected p
              where (p.status = 'READ'
                     or p.status = 'DELIVERED' and f.steps -> 0 ->> 'not_read_within_seconds' is null)
                and f.tenant_id = p.tenant_id and f.message_id = p.id)
         -- It arrived after all: what was to replace it and has not left yet stays here.
         update communications.messages later
            set status = 'CANCELLED', failed_code = 'reached', failed_reason = 'the message before it arrived after all'
           from projected p
          where p.status in ('DELIVERED', 'READ') and later.tenant_id = p.tenant_id and later.fallback_of = p.id
            and later.status = 'QUEUED' and (later.fallback_reason <> 'NOT_READ' or p.status = 'READ')",
        &tenants,
        &ids
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn split(messages: &[(TenantId, MessageId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    messages
        .iter()
        .map(|(tenant, message)| (tenant.0, message.0))
        .unzip()
}

#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    accounts: Vec<Uuid>,
    external_message_ids: Vec<String>,
    statuses: Vec<String>,
    provider_statuses: Vec<String>,
    correlation_ids: Vec<Option<Uuid>>,
    occurred_at: Vec<OffsetDateTime>,
    failure_codes: Vec<Option<String>>,
    failure_reasons: Vec<Option<String>>,
    raws: Vec<serde_json::Value>,
}

impl Columns {
    fn of(reports: &[StatusReport]) -> Self {
        let mut columns = Self::default();
        for report in reports {
            columns.ids.push(Uuid::now_v7());
            columns.accounts.push(report.account.0);
            columns
                .external_message_ids
                .push(report.external_message_id.clone());
            columns.statuses.push(word(report.status).to_owned());
            columns
                .provider_statuses
                .push(report.provider_status.clone());
            columns.correlation_ids.push(report.correlation_id);
            columns.occurred_at.push(report.occurred_at);
            columns.failure_codes.push(report.failure_code.clone());
            columns.failure_reasons.push(report.failure_reason.clone());
            columns.raws.push(report.raw.clone());
        }
        columns
    }
}
