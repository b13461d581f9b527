//! The scan: puts right what a crash, a lost hint or a dead worker left behind, and only then raises an alarm.
//!
//! Global by nature: it looks at all tenants, in bounded batches, skipping rows that somebody holds, safe to run twice.
//! Every change to a message writes a row of `repairs`.

use crate::delivery;
use crate::model::{DispatchMessageJob, MessageId, TenantId};
use crate::platform::queue::Hint;
use crate::platform::{Database, DatabaseError, Queues, Tx};

/// Rows of one kind that one step may touch.
const BATCH: i64 = 500;
const FULL: usize = 500;
/// Steps of one run: 20,000 rows of a kind a minute, well inside the function's time.
const STEPS: usize = 40;
/// A hint older than this is taken for lost.
const HINT_LOST_SECONDS: f64 = 60.0;
/// How far ahead the scan publishes: until it comes again.
const LOOK_AHEAD_SECONDS: f64 = 60.0;
/// What is queued and due for longer is an alarm.
const OVERDUE_SECONDS: f64 = 300.0;

/// What one run of the scan did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// Due messages without a live hint.
    pub republished: usize,
    /// Leases that ended without a settle.
    pub uncertain: usize,
    /// Queued messages past their expiry.
    pub expired: usize,
    /// Provider reports that had waited for their message.
    pub matched: usize,
}

/// QUEUED, due and still not sent after five minutes, by lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    pub lane: String,
    pub messages: i64,
    pub oldest_seconds: i64,
}

/// Runs step after step until nothing is left, or enough is done for one run.
///
/// # Errors
/// When the database does not answer; what was committed until then stays.
pub async fn repair(database: &Database, queues: &Queues) -> Result<Repaired, DatabaseError> {
    let mut repaired = Repaired::default();
    for _ in 0..STEPS {
        let step = settle_overdue(database).await?;
        repaired.uncertain += step.uncertain;
        repaired.expired += step.expired;
        repaired.matched += step.matched;
        if [step.uncertain, step.expired, step.matched]
            .iter()
            .all(|count| *count < FULL)
        {
            break;
        }
    }
    for _ in 0..STEPS {
        let published = republish(database, queues).await?;
        repaired.republished += published;
        if published < FULL {
            break;
        }
    }
    Ok(repaired)
}

async fn settle_overdue(database: &Database) -> Result<Repaired, DatabaseError> {
    let mut tx = database.begin().await?;
    let step = Repaired {
        uncertain: end_leases(&mut tx).await?,
        expired: expire(&mut tx).await?,
        matched: match_waiting(&mut tx).await?,
        republished: 0,
    };
    tx.commit().await?;
    Ok(step)
}

/// Published after the commit that marked them: a failure there is a hint lost once more, for a later run to find.
async fn republish(database: &Database, queues: &Queues) -> Result<usize, DatabaseError> {
    let mut tx = database.begin().await?;
    let hints = unhinted(&mut tx).await?;
    tx.commit().await?;
    queues.publish_or_leave_to_scan(&hints).await;
    Ok(hints.len())
}

/// A lease that ended is a worker that died: accepted or not, nobody knows.
async fn end_leases(tx: &mut Tx) -> Result<usize, DatabaseError> {
    let ended = sqlx::query_scalar!(
        r#"with dead as (
               select tenant_id, id from communications.messages
                where status = 'SENDING' and lease_until < now()
                order by lease_until limit $1 for update skip locked),
           settled as (
               update communications.messages m
                  set status = 'UNCERTAIN', lease_until = null, failed_code = 'lease-ended',
                      failed_reason = 'the worker ended before it could settle'
                 from dead where m.tenant_id = dead.tenant_id and m.id = dead.id
               returning m.tenant_id, m.id, m.fence),
           closed as (
               update communications.message_attempts a
                  set finished_at = now(), class = 'AMBIGUOUS', provider_code = 'lease-ended'
                 from settled s
                where a.tenant_id = s.tenant_id and a.message_id = s.id and a.fence = s.fence
                  and a.finished_at is null),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id, detail)
               select tenant_id, gen_random_uuid(), 'LEASE_ENDED', id, jsonb_build_object('fence', fence) from settled)
           select count(*) as "count!" from settled"#,
        BATCH
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(usize::try_from(ended).unwrap_or_default())
}

async fn expire(tx: &mut Tx) -> Result<usize, DatabaseError> {
    let expired = sqlx::query_scalar!(
        r#"with late as (
               select tenant_id, id from communications.messages
                where status = 'QUEUED' and expires_at <= now()
                order by expires_at limit $1 for update skip locked),
           ended as (
               update communications.messages m set status = 'EXPIRED'
                 from late where m.tenant_id = late.tenant_id and m.id = late.id
               returning m.tenant_id, m.id),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id)
               select tenant_id, gen_random_uuid(), 'EXPIRED', id from ended)
           select count(*) as "count!" from ended"#,
        BATCH
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(usize::try_from(expired).unwrap_or_default())
}

/// Reports that came in the instant between a send's answer and its settle.
async fn match_waiting(tx: &mut Tx) -> Result<usize, DatabaseError> {
    let waiting = sqlx::query!(
        r#"select distinct m.tenant_id as "tenant: TenantId", m.id as "message: MessageId"
             from communications.message_status_events e
             join communications.messages m
               on m.tenant_id = e.tenant_id and m.account_id = e.account_id
              and m.external_message_id = e.external_message_id and m.direction = 'OUTBOUND'
            where e.message_id is null
            limit $1"#,
        BATCH
    )
    .fetch_all(tx.conn())
    .await?;
    let messages: Vec<(TenantId, MessageId)> = waiting
        .into_iter()
        .map(|row| (row.tenant, row.message))
        .collect();
    delivery::match_waiting(tx, &messages).await
}

/// Due (or nearly) and without a live hint: marks them as hinted and answers the hints. What waits for an
/// earlier message of its conversation or for its account is left alone.
async fn unhinted(tx: &mut Tx) -> Result<Vec<Hint>, DatabaseError> {
    let rows = sqlx::query!(
        r#"with lost as (
               select m.tenant_id, m.id, m.hint_at
                 from communications.messages m
                 join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
                where m.status = 'QUEUED' and m.due_at <= now() + $2 * interval '1 second'
                  and m.hint_at < now() - $3 * interval '1 second' and a.status = 'ACTIVE'
                  and not exists (
                      select from communications.messages earlier
                       where earlier.tenant_id = m.tenant_id and earlier.conversation_id = m.conversation_id
                         and earlier.lane = m.lane
                         and earlier.status in ('QUEUED', 'SENDING') and earlier.id < m.id)
                order by m.due_at limit $1 for update of m skip locked),
           hinted as (
               update communications.messages m set hint_at = greatest(now(), m.due_at)
                 from lost where m.tenant_id = lost.tenant_id and m.id = lost.id
               returning m.tenant_id, m.id, m.lane, m.due_at, lost.hint_at as before),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id)
               select tenant_id, gen_random_uuid(), 'HINT_LOST', id from hinted where before > '-infinity')
           select tenant_id as "tenant: TenantId", id as "message: MessageId", lane as "lane!",
                  ceil(greatest(0, extract(epoch from due_at - now())))::int as "delay_seconds!"
             from hinted"#,
        BATCH,
        LOOK_AHEAD_SECONDS,
        HINT_LOST_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let job = DispatchMessageJob::new(row.tenant, row.message);
            Some(Hint {
                job,
                lane: row.lane.parse().ok()?,
                delay_seconds: row.delay_seconds,
            })
        })
        .collect())
}

/// What an operator must be told of, because repairing did not help.
///
/// # Errors
/// When the database does not answer.
pub async fn overdue(database: &Database) -> Result<Vec<Overdue>, DatabaseError> {
    let mut tx = database.begin().await?;
    let rows = sqlx::query_as!(
        Overdue,
        r#"select lane as "lane!", count(*) as "messages!",
                  extract(epoch from now() - min(due_at))::bigint as "oldest_seconds!"
             from communications.messages
            where status = 'QUEUED' and due_at < now() - $1 * interval '1 second'
            group by lane"#,
        OVERDUE_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(rows)
}

/// Sends of which nobody knows, long after the provider's report should have come.
///
/// # Errors
/// When the database does not answer.
pub async fn doubtful(database: &Database) -> Result<i64, DatabaseError> {
    let mut tx = database.begin().await?;
    let doubtful = sqlx::query_scalar!(
        r#"select count(*) as "count!" from communications.messages
            where status = 'UNCERTAIN' and updated_at < now() - $1 * interval '1 second'"#,
        OVERDUE_SECONDS
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(doubtful)
}
