//! Rows that a dead worker, a lost hint or an early report left behind.

use crate::delivery;
use crate::model::{MessageId, TenantId};
use crate::platform::queue::Hint;
use crate::platform::{DatabaseError, Tx};

/// A hint older than this is taken for lost.
const HINT_LOST_SECONDS: f64 = 60.0;

/// A lease that ended is a worker that died: accepted or not, nobody knows.
pub(super) async fn end_leases(tx: &mut Tx, limit: i64) -> Result<usize, DatabaseError> {
    let ended = sqlx::query_scalar!(
        r#"with dead as (
               select tenant_id, id from communications.messages
                where queue_status = 'SENDING' and lease_until < now()
                order by lease_until limit $1 for no key update skip locked),
           settled as (
               update communications.messages m
                  set status = 'UNCERTAIN', lease_until = null, failed_code = 'lease-ended',
                      failed_reason = 'the worker ended before it could settle'
                 from dead where m.tenant_id = dead.tenant_id and m.id = dead.id
               returning m.tenant_id, m.id, m.fence),
           -- It may have been accepted, and then nobody starts the clock of its fallback later.
           armed as (
               update communications.message_fallbacks f set due_at = communications.fallback_due(f.steps)
                 from settled s where f.tenant_id = s.tenant_id and f.message_id = s.id and f.due_at is null),
           closed as (
               update communications.message_attempts a
                  set finished_at = now(), class = 'AMBIGUOUS', provider_code = 'lease-ended'
                 from settled s
                where a.tenant_id = s.tenant_id and a.message_id = s.id and a.fence = s.fence
                  and a.finished_at is null),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id, detail)
               select tenant_id, communications.uuid_v7(), 'LEASE_ENDED', id, jsonb_build_object('fence', fence) from settled)
           select count(*) as "count!" from settled"#,
        limit
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(usize::try_from(ended).unwrap_or_default())
}

pub(super) async fn expire(tx: &mut Tx, limit: i64) -> Result<usize, DatabaseError> {
    let expired = sqlx::query_scalar!(
        r#"with late as (
               select tenant_id, id from communications.messages
                where queue_status = 'QUEUED' and expires_at <= now()
                order by expires_at limit $1 for no key update skip locked),
           ended as (
               update communications.messages m set status = 'EXPIRED'
                 from late where m.tenant_id = late.tenant_id and m.id = late.id
               returning m.tenant_id, m.id),
           unchained as (
               delete from communications.message_fallbacks f
                using ended where f.tenant_id = ended.tenant_id and f.message_id = ended.id),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id)
               select tenant_id, communications.uuid_v7(), 'EXPIRED', id from ended)
           select count(*) as "count!" from ended"#,
        limit
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(usize::try_from(expired).unwrap_or_default())
}

/// How long a report's message is looked for: it is settled within minutes, and reports about nobody's messages pile up.
const REPORT_DAYS: f64 = 2.0;

/// Reports that came in the instant between a send's answer and its settle.
pub(super) async fn match_waiting(tx: &mut Tx, limit: i64) -> Result<usize, DatabaseError> {
    let waiting = sqlx::query!(
        r#"select distinct m.tenant_id as "tenant: TenantId", m.id as "message: MessageId"
             from (select * from communications.message_status_events
                    where message_id is null and received_at > now() - $2 * interval '1 day' offset 0) e
            cross join lateral (
                  select m.tenant_id, m.id from communications.messages m
                   where m.tenant_id = e.tenant_id and m.account_id = e.account_id
                     and m.external_message_id = e.external_message_id and m.direction = 'OUTBOUND'
                   limit 1) m
            limit $1"#,
        limit,
        REPORT_DAYS
    )
    .fetch_all(tx.conn())
    .await?;
    let messages: Vec<(TenantId, MessageId)> = waiting
        .into_iter()
        .map(|row| (row.tenant, row.message))
        .collect();
    let matched = delivery::match_waiting(tx, &messages).await?;
    delivery::tell_of_refusals(&matched.refused);
    Ok(matched.reports)
}

/// What waits in line for an account that cannot send may wait for days: the clock of its fallback runs from now on. The claim starts it for
/// what it looks at, and nobody looks at what waits for its turn.
pub(super) async fn arm_parked(tx: &mut Tx, limit: i64) -> Result<usize, DatabaseError> {
    let armed = sqlx::query!(
        "with parked as (
             select f.tenant_id, f.message_id
               from communications.channel_accounts a
               join communications.messages m
                 on m.tenant_id = a.tenant_id and m.account_id = a.id and m.queue_status = 'QUEUED' and m.hint_at = '-infinity'
                and m.due_at <= now()
               join communications.message_fallbacks f on f.tenant_id = m.tenant_id and f.message_id = m.id and f.due_at is null
              where a.status <> 'ACTIVE' and communications.fallback_due(f.steps) is not null
              limit $1 for no key update of m skip locked)
         update communications.message_fallbacks f set due_at = communications.fallback_due(f.steps)
           from parked p where f.tenant_id = p.tenant_id and f.message_id = p.message_id and f.due_at is null",
        limit
    )
    .execute(tx.conn())
    .await?;
    Ok(usize::try_from(armed.rows_affected()).unwrap_or_default())
}

/// Due and hinted so long ago that the hint must be lost: marks them as hinted and answers the hints. What waits for an
/// earlier message of its conversation that is or was due is left alone, and so is what was looked at and waits for its account or a slot.
pub(super) async fn unhinted(tx: &mut Tx, limit: i64) -> Result<Vec<Hint>, DatabaseError> {
    let rows = sqlx::query!(
        r#"with lost as (
               select m.tenant_id, m.id
                 from communications.messages m
                where m.queue_status = 'QUEUED' and m.due_at <= now()
                  and m.hint_at < now() - $2 * interval '1 second' and m.hint_at > '-infinity'
                  and not exists (
                      select from communications.messages earlier
                       where earlier.tenant_id = m.tenant_id and earlier.conversation_id = m.conversation_id
                         and earlier.lane = m.lane
                         and earlier.queue_status in ('QUEUED', 'SENDING') and earlier.id < m.id
                         -- As in communications.claim_messages.
                         and (earlier.queue_status = 'SENDING' or earlier.due_at <= now() + interval '250 milliseconds'
                              or earlier.fence > 0 and earlier.held_due_at is null
                                 and (earlier.quiet_hours is null or communications.quiet_now(earlier.quiet_hours) is null)))
                order by m.due_at limit $1 for no key update of m skip locked),
           hinted as (
               update communications.messages m set hint_at = now()
                 from lost where m.tenant_id = lost.tenant_id and m.id = lost.id
               returning m.tenant_id, m.id, m.lane),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id)
               select tenant_id, communications.uuid_v7(), 'HINT_LOST', id from hinted)
           select tenant_id as "tenant: TenantId", id as "message: MessageId", lane as "lane!" from hinted"#,
        limit,
        HINT_LOST_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, 0.0))
        .collect())
}

/// Pairs that have been quiet for an hour are nobody's business any more: the key holds an address.
pub(super) async fn forget_pairs(tx: &mut Tx, limit: i64) -> Result<usize, DatabaseError> {
    let forgotten = sqlx::query!(
        "delete from communications.rate_buckets b
          using (select tenant_id, account_id, subject from communications.rate_buckets
                  where kind = 'PAIR' and tat < now() - interval '1 hour' limit $1 for update skip locked) quiet
          where b.tenant_id = quiet.tenant_id and b.account_id = quiet.account_id and b.kind = 'PAIR'
            and b.subject = quiet.subject",
        limit
    )
    .execute(tx.conn())
    .await?;
    Ok(usize::try_from(forgotten.rows_affected()).unwrap_or_default())
}
