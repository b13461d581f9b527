//! The end of doubt: sends of which nobody knows, decided when the provider has had time to report on them.
//!
//! The evidence comes first: a report with our id settles the message long before this. What is left is decided by what it
//! costs to be wrong. A code or a notice that does not come is worse than one that comes twice; an advertisement is not.

use super::policy::grace;
use crate::model::{Category, DispatchMessageJob, MessageId, TenantId};
use crate::platform::queue::Hint;
use crate::platform::{DatabaseError, Tx};
use uuid::Uuid;

/// Doubtful calls of one message before it is given up.
const MOST_ATTEMPTS: i32 = 4;
/// How long the provider may take to report on what will not be sent again.
const NEVER_AGAIN_SECONDS: f64 = 120.0;

/// What an end of doubt came to.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub messages: usize,
    pub hints: Vec<Hint>,
}

/// Of the hinted messages, those whose grace is over.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn resolve_hinted(
    tx: &mut Tx,
    jobs: &[DispatchMessageJob],
) -> Result<Vec<Hint>, DatabaseError> {
    let limit = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
    Ok(resolve(tx, Some(jobs), limit).await?.hints)
}

/// Decides: SENT where an attempt knows so after all, else sent again (QUEUED), given up (FAILED, and its fallback's turn), or
/// EXPIRED. Each is written to `repairs`.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn resolve(
    tx: &mut Tx,
    only: Option<&[DispatchMessageJob]>,
    limit: i64,
) -> Result<Resolved, DatabaseError> {
    let categories: Vec<String> = Category::ALL.iter().map(ToString::to_string).collect();
    let graces: Vec<f64> = Category::ALL
        .iter()
        .map(|category| grace(*category).map_or(NEVER_AGAIN_SECONDS, |grace| grace.as_secs_f64()))
        .collect();
    let again: Vec<bool> = Category::ALL
        .iter()
        .map(|category| grace(*category).is_some())
        .collect();
    let ids: Option<Vec<Uuid>> = only.map(|jobs| jobs.iter().map(|job| job.message_id.0).collect());
    let tenants: Option<Vec<Uuid>> =
        only.map(|jobs| jobs.iter().map(|job| job.tenant_id.0).collect());
    let rows = sqlx::query!(
        r#"with policy as (
               select * from unnest($1::text[], $2::float8[], $3::bool[]) as p(category, grace, again)),
           oldest as materialized (
               select m.tenant_id, m.id, m.status, m.expires_at, m.attempts, p.again
                 from communications.messages m join policy p on p.category = m.category
                where m.queue_status = 'UNCERTAIN' and m.updated_at <= now() - p.grace * interval '1 second'
                  and ($5::uuid[] is null
                       or (m.tenant_id, m.id) in (select * from unnest($6::uuid[], $5::uuid[])))
                order by m.updated_at limit $7 for no key update of m skip locked),
           doubtful as (
               select m.tenant_id, m.id, m.status, taken.external_message_id,
                      case when taken.class is not null then 'SENT'
                           when m.expires_at <= now() then 'EXPIRED'
                           when m.again and m.attempts < $4 then 'QUEUED'
                           else 'FAILED' end as next,
                      m.again
                 from oldest m
                 -- A worker that settled too late still wrote down what it was answered.
                 left join lateral (
                      select t.class, t.external_message_id from communications.message_attempts t
                       where t.tenant_id = m.tenant_id and t.message_id = m.id and t.class = 'ACCEPTED'
                       order by t.fence limit 1) taken on true),
           decided as (
               update communications.messages m
                  set status = d.next,
                      due_at = case when d.next = 'QUEUED' then now() else m.due_at end,
                      hint_at = case when d.next = 'QUEUED' then now() else m.hint_at end,
                      failed_at = case when d.next = 'FAILED' then now() else m.failed_at end,
                      external_message_id = coalesce(m.external_message_id, d.external_message_id),
                      sent_at = case when d.next = 'SENT' then coalesce(m.sent_at, now()) else m.sent_at end,
                      failed_code = case when d.next <> 'SENT' then 'outcome-unknown' end,
                      failed_reason = case when d.next <> 'SENT' then 'the provider never said whether it took the message' end
                 from doubtful d where m.tenant_id = d.tenant_id and m.id = d.id
               returning m.tenant_id, m.id, m.status, m.lane, d.again),
           next_channel as (
               update communications.message_fallbacks f set due_at = now()
                 from decided d
                where d.status = 'FAILED' and d.again and f.tenant_id = d.tenant_id and f.message_id = d.id),
           -- What must not come twice does not come by another channel either.
           no_channel as (
               delete from communications.message_fallbacks f
                using decided d
                where d.status = 'FAILED' and not d.again and f.tenant_id = d.tenant_id and f.message_id = d.id),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id, detail)
               select tenant_id, communications.uuid_v7(), 'DOUBT_ENDED', id, jsonb_build_object('next', status) from decided)
           select tenant_id as "tenant: TenantId", id as "message: MessageId", status, lane as "lane!" from decided"#,
        &categories,
        &graces,
        &again,
        MOST_ATTEMPTS,
        ids.as_deref(),
        tenants.as_deref(),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let hints = rows
        .iter()
        .filter(|row| row.status == "QUEUED")
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, 0.0));
    Ok(Resolved {
        messages: rows.len(),
        hints: hints.collect(),
    })
}
