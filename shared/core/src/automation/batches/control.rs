//! Starting, pausing, resuming, cancelling a batch; what it has come to; and stopping one whose text its provider refuses.

use super::RequestError;
use crate::automation::request::{enough, lacking};
use crate::model::{BatchDispatchJob, RunId, TenantId};
use crate::platform::{DatabaseError, Tx, hasura::ActionError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// Refusals of the content before anything is said about a batch; fewer are somebody's odd name.
const FEWEST_FAILURES: i64 = 10;
/// Of what has been sent: one in so many is too many.
const ONE_IN: i64 = 100;

/// A batch as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BatchState {
    pub batch_id: Uuid,
    pub trigger_event: String,
    #[schemars(extend("enum" = ["OPEN", "RUNNING", "PAUSED", "COMPLETED", "STOPPED", "CANCELLED"]))]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    pub run_id: RunId,
    /// Everybody.
    pub recipients: i32,
    /// Those that are decided about; `queued`, `suppressed`, `duplicates` and `skipped` add up to it.
    pub decided: i32,
    pub queued: i32,
    pub suppressed: i32,
    pub duplicates: i32,
    pub skipped: i32,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub fanned_out_at: Option<OffsetDateTime>,
    /// Its messages by their status of now, fallbacks included.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub messages: Map<String, Value>,
}

impl BatchState {
    /// Its next step, where there is one to make.
    #[must_use]
    pub fn job(&self, tenant: TenantId) -> Option<BatchDispatchJob> {
        let next = self.status == "RUNNING" && self.decided < self.recipients;
        next.then(|| BatchDispatchJob::new(tenant, self.batch_id, self.decided))
    }
}

/// # Errors
/// `not-found` for an unknown or foreign batch.
pub async fn state(tx: &mut Tx, tenant: TenantId, batch: Uuid) -> Result<BatchState, RequestError> {
    let row = sqlx::query!(
        r#"select trigger_event, status, status_reason, run_id as "run_id: RunId", recipients, cursor, queued, suppressed,
                  duplicates, skipped, created_at, fanned_out_at
             from communications.batches where tenant_id = $1 and id = $2"#,
        tenant.0,
        batch
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("batch"))?;
    let counts = sqlx::query!(
        r#"select status, count(*) as "count!" from communications.messages
            where tenant_id = $1 and run_id = $2 group by status"#,
        tenant.0,
        row.run_id.0
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(BatchState {
        batch_id: batch,
        trigger_event: row.trigger_event,
        status: row.status,
        status_reason: row.status_reason,
        run_id: row.run_id,
        recipients: row.recipients,
        decided: row.cursor,
        queued: row.queued,
        suppressed: row.suppressed,
        duplicates: row.duplicates,
        skipped: row.skipped,
        created_at: row.created_at,
        fanned_out_at: row.fanned_out_at,
        messages: counts
            .into_iter()
            .map(|row| (row.status, json!(row.count)))
            .collect(),
    })
}

/// No more recipients come: the fan-out begins. Started before: as it stands.
///
/// # Errors
/// `not-found`; `conflict` for one without recipients; `validation-failed` for a variable that templates use and neither the message
/// nor any recipient gives.
pub async fn start(tx: &mut Tx, tenant: TenantId, batch: Uuid) -> Result<BatchState, RequestError> {
    let standing = locked(tx, tenant, batch).await?;
    if standing.status == "OPEN" {
        if standing.recipients == 0 {
            return Err(ActionError::conflict("recipients: the batch has none").into());
        }
        must_read(tx, tenant, batch).await?;
        sqlx::query!(
            "select communications.add_batch_steps($1, $2, $3)",
            tenant.0,
            batch,
            super::step::SIZE
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        become_(tx, tenant, batch, "RUNNING", None).await?;
    }
    state(tx, tenant, batch).await
}

/// Refuses a text that could be read to nobody for want of a variable. What one of the recipients has of their own is theirs to have:
/// whoever lacks it is skipped.
///
/// # Errors
/// `validation-failed` naming the variable.
pub(super) async fn must_read(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
) -> Result<(), RequestError> {
    let request = sqlx::query_scalar!(
        "select request from communications.batches where tenant_id = $1 and id = $2",
        tenant.0,
        batch
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let lacking = lacking(tx, tenant, &super::message(tenant, &request)?).await?;
    if lacking.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = lacking.iter().cloned().collect();
    let given = sqlx::query_scalar!(
        r#"select n.name as "name!" from unnest($3::text[]) as n(name)
            where exists (select from communications.batch_recipients r
                           where r.tenant_id = $1 and r.batch_id = $2
                             and r.recipient -> 'variables' #> string_to_array(n.name, '.') is not null)"#,
        tenant.0,
        batch,
        &names
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let nobodys = lacking.into_iter().filter(|name| !given.contains(name));
    Ok(enough("message.variables", &nobodys.collect())?)
}

/// Nothing of it leaves until it is resumed, but for what is being sent now.
///
/// # Errors
/// `not-found`; `conflict` for one that has not started, or is over.
pub async fn pause(tx: &mut Tx, tenant: TenantId, batch: Uuid) -> Result<BatchState, RequestError> {
    let standing = locked(tx, tenant, batch).await?;
    match standing.status.as_str() {
        "PAUSED" => {}
        "RUNNING" | "COMPLETED" => {
            become_(tx, tenant, batch, "PAUSED", Some("paused")).await?;
            hold(tx, tenant, standing.run, true).await?;
        }
        status => return Err(cannot("pause", status).into()),
    }
    state(tx, tenant, batch).await
}

/// It goes on where it stood. Also one that stopped itself: whoever resumes it has mended what was wrong.
///
/// # Errors
/// `not-found`; `conflict` for one that was cancelled, or has not started.
pub async fn resume(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
) -> Result<BatchState, RequestError> {
    let standing = locked(tx, tenant, batch).await?;
    match standing.status.as_str() {
        "RUNNING" | "COMPLETED" => {}
        "PAUSED" | "STOPPED" => {
            let over = standing.decided == standing.recipients;
            let status = if over { "COMPLETED" } else { "RUNNING" };
            become_(tx, tenant, batch, status, None).await?;
            sqlx::query!(
                "update communications.batches set resumed_at = now() where tenant_id = $1 and id = $2",
                tenant.0,
                batch
            )
            .execute(tx.conn())
            .await
            .map_err(DatabaseError::from)?;
            hold(tx, tenant, standing.run, false).await?;
        }
        status => return Err(cannot("resume", status).into()),
    }
    state(tx, tenant, batch).await
}

/// Nothing more of it leaves, ever.
///
/// # Errors
/// `not-found`.
pub async fn cancel(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
) -> Result<BatchState, RequestError> {
    let standing = locked(tx, tenant, batch).await?;
    if standing.status != "CANCELLED" {
        become_(tx, tenant, batch, "CANCELLED", Some("cancelled")).await?;
        sqlx::query!(
            r#"select cancelled as "cancelled!" from communications.cancel_run($1, $2)"#,
            tenant.0,
            standing.run.0
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
    }
    state(tx, tenant, batch).await
}

fn cannot(what: &str, status: &str) -> ActionError {
    ActionError::conflict(format!("a batch that is {status} cannot be {what}d"))
}

struct Standing {
    status: String,
    run: RunId,
    recipients: i32,
    decided: i32,
}

/// Whoever changes a batch is in line with the ends of its steps.
async fn locked(tx: &mut Tx, tenant: TenantId, batch: Uuid) -> Result<Standing, RequestError> {
    let row = sqlx::query_as!(
        Standing,
        r#"select status, run_id as "run: RunId", recipients, cursor as decided
             from communications.batches where tenant_id = $1 and id = $2 for no key update"#,
        tenant.0,
        batch
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(row.ok_or_else(|| ActionError::not_found("batch"))?)
}

async fn become_(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    status: &str,
    reason: Option<&str>,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.batches set status = $3, status_reason = $4 where tenant_id = $1 and id = $2",
        tenant.0,
        batch,
        status,
        reason
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn hold(tx: &mut Tx, tenant: TenantId, run: RunId, on: bool) -> Result<(), DatabaseError> {
    sqlx::query!(
        "select communications.hold_run($1, $2, $3)",
        tenant.0,
        run.0,
        on
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// The batch stops and says why; what waits of it is held. Did it? One that was cancelled or paused meanwhile stays so.
///
/// # Errors
/// When the database does not answer.
pub async fn stop(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    reason: &str,
) -> Result<bool, DatabaseError> {
    let run = sqlx::query_scalar!(
        r#"update communications.batches set status = 'STOPPED', status_reason = $3
            where tenant_id = $1 and id = $2 and status in ('RUNNING', 'COMPLETED')
           returning run_id as "run: RunId""#,
        tenant.0,
        batch,
        reason
    )
    .fetch_optional(tx.conn())
    .await?;
    if let Some(run) = run {
        hold(tx, tenant, run, true).await?;
    }
    Ok(run.is_some())
}

/// Stops every batch of which providers refuse too much for its content: one in a hundred, and ten at least. The rest of its messages
/// would fare no better. What was refused before somebody resumed it does not count. Answers which.
///
/// # Errors
/// When the database does not answer.
pub async fn stop_failing(tx: &mut Tx) -> Result<Vec<(TenantId, Uuid)>, DatabaseError> {
    let failing = sqlx::query!(
        r#"with live as (
               select b.tenant_id, b.id, b.run_id, coalesce(b.resumed_at, '-infinity') as since from communications.batches b
                where b.status in ('RUNNING', 'COMPLETED') and b.updated_at > now() - interval '7 days'
                  and exists (select from communications.messages m
                               where m.tenant_id = b.tenant_id and m.run_id = b.run_id and m.queue_status = 'QUEUED')
                limit 100)
           select l.tenant_id as "tenant: TenantId", l.id, c.refused as "refused!", c.tried as "tried!"
             from live l
            cross join lateral (
               select count(*) filter (where m.status = 'FAILED' and exists (
                          select from communications.message_attempts t
                           where t.tenant_id = m.tenant_id and t.message_id = m.id and t.class in ('PERMANENT_CONTENT', 'PERMANENT_TEMPLATE'))) as refused,
                      count(*) filter (where m.status in ('SENT', 'DELIVERED', 'READ', 'FAILED')) as tried
                 from communications.messages m
                where m.tenant_id = l.tenant_id and m.run_id = l.run_id and coalesce(m.failed_at, m.sent_at) > l.since) c
            where c.refused >= $1 and c.refused * $2 >= c.tried"#,
        FEWEST_FAILURES,
        ONE_IN
    )
    .fetch_all(tx.conn())
    .await?;
    let mut stopped = Vec::new();
    for row in failing {
        let reason = format!(
            "providers refused the content of {} of {} messages",
            row.refused, row.tried
        );
        if stop(tx, row.tenant, row.id, &reason).await? {
            stopped.push((row.tenant, row.id));
        }
    }
    Ok(stopped)
}
