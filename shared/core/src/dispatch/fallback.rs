//! Going on to the next channel: when a message did not reach its recipient, or not in time.
//!
//! The next channel's content was rendered and addressed at intake and stands in `message_fallbacks`; opening it is one
//! statement (`communications.open_fallbacks`), at most once for each message by the database's key. A receipt that comes
//! after all is kept; `communications.double_reaches` counts who was reached twice.

use super::claim::Ended;
use crate::model::{MessageId, MessageStatus, TenantId};
use crate::platform::queue::Hint;
use crate::platform::{DatabaseError, Tx};
use uuid::Uuid;

/// Of messages that the claim ended: those whose consent was withdrawn since intake go on to a channel that may still be
/// used; the chain of the others ends with them.
///
/// # Errors
/// When the database does not answer.
pub async fn of_ended(tx: &mut Tx, ended: &[Ended]) -> Result<Vec<Hint>, DatabaseError> {
    let (suppressed, others): (Vec<&Ended>, Vec<&Ended>) = ended
        .iter()
        .partition(|ended| ended.status == MessageStatus::Suppressed);
    let columns = |ended: Vec<&Ended>| -> (Vec<Uuid>, Vec<Uuid>) {
        ended
            .iter()
            .map(|ended| (ended.tenant.0, ended.message.0))
            .unzip()
    };
    let (tenants, ids) = columns(others);
    sqlx::query!(
        "delete from communications.message_fallbacks f
          using unnest($1::uuid[], $2::uuid[]) as e(tenant_id, id)
          where f.tenant_id = e.tenant_id and f.message_id = e.id",
        &tenants,
        &ids
    )
    .execute(tx.conn())
    .await?;
    let (tenants, ids) = columns(suppressed);
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    open(tx, &tenants, &ids, "FAILED").await
}

/// Fires the timers that are over: what was not delivered, or not read, in time, and what a report said to have failed.
/// A message that still waits for its account is withdrawn, so that it cannot go out beside its fallback. One that came
/// far enough in the meantime keeps its chain only for a wait that is not over yet.
///
/// # Errors
/// When the database does not answer.
pub async fn fire(tx: &mut Tx, limit: i64) -> Result<(usize, Vec<Hint>), DatabaseError> {
    let over = sqlx::query!(
        r#"with over as (
               select f.tenant_id, f.message_id,
                      (f.steps -> 0 ->> 'not_delivered_within_seconds')::float8 * interval '1 second' as delivered_within,
                      (f.steps -> 0 ->> 'not_read_within_seconds')::float8 * interval '1 second' as read_within
                 from communications.message_fallbacks f
                where f.due_at <= now()
                order by f.due_at limit $1 for update skip locked),
           judged as (
               select o.tenant_id, o.message_id,
                      -- Its account sends again, and this is about to go: the clock runs anew once it has.
                      m.status = 'QUEUED' and s.sends as goes,
                      case when m.status = 'FAILED' then 'FAILED'
                           when m.status = 'QUEUED' then case when not s.sends then 'NOT_DELIVERED' end
                           -- Not every account's deliveries are reported: it would be said of everything. Only a failure goes on then.
                           when m.channel <> 'WHATSAPP' then null
                           when m.status = 'SENT' and m.sent_at + o.delivered_within <= now() then 'NOT_DELIVERED'
                           when m.status in ('SENT', 'DELIVERED') and m.sent_at + o.read_within <= now() then 'NOT_READ'
                           end as reason,
                      case when m.status in ('SENDING', 'UNCERTAIN') then now() + interval '1 minute'
                           when m.status in ('SENT', 'DELIVERED') and m.channel <> 'WHATSAPP' then 'infinity'
                           when m.status = 'SENT' then m.sent_at + least(o.delivered_within, o.read_within)
                           when m.status = 'DELIVERED' then m.sent_at + o.read_within end as again_at
                 from over o join communications.messages m on m.tenant_id = o.tenant_id and m.id = o.message_id
                 join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
                 left join communications.breakers k on k.tenant_id = m.tenant_id and k.account_id = m.account_id
                cross join lateral (
                     select a.status = 'ACTIVE' and not coalesce(k.failures >= 5 and k.open_until > now(), false) as sends) s
                  -- Who holds the message decides about it; its timer stays over until then.
                  for no key update of m skip locked),
           withdrawn as (
               update communications.messages m
                  set status = 'CANCELLED', failed_code = 'fallback', failed_reason = 'the next channel was used instead'
                 from judged j
                where j.reason is not null and m.tenant_id = j.tenant_id and m.id = j.message_id and m.status = 'QUEUED'),
           rearmed as (
               update communications.message_fallbacks f set due_at = j.again_at
                 from judged j
                where j.reason is null and j.again_at is not null
                  and f.tenant_id = j.tenant_id and f.message_id = j.message_id),
           stopped as (
               update communications.message_fallbacks f set due_at = null
                 from judged j where j.goes and f.tenant_id = j.tenant_id and f.message_id = j.message_id),
           reached as (
               delete from communications.message_fallbacks f
                using judged j
                where j.reason is null and j.again_at is null and not j.goes
                  and f.tenant_id = j.tenant_id and f.message_id = j.message_id)
           select tenant_id as "tenant: TenantId", message_id as "message: MessageId", reason from judged"#,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let mut hints = Vec::new();
    for reason in ["FAILED", "NOT_DELIVERED", "NOT_READ"] {
        let of_reason = over
            .iter()
            .filter(|row| row.reason.as_deref() == Some(reason));
        let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) =
            of_reason.map(|row| (row.tenant.0, row.message.0)).unzip();
        if !ids.is_empty() {
            hints.extend(open(tx, &tenants, &ids, reason).await?);
        }
    }
    Ok((over.len(), hints))
}

async fn open(
    tx: &mut Tx,
    tenants: &[Uuid],
    ids: &[Uuid],
    reason: &str,
) -> Result<Vec<Hint>, DatabaseError> {
    let opened = sqlx::query!(
        r#"select tenant_id as "tenant!: TenantId", message_id as "message!: MessageId", lane as "lane!"
             from communications.open_fallbacks($1, $2, $3)"#,
        tenants,
        ids,
        reason
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(opened
        .into_iter()
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, 0.0))
        .collect())
}
