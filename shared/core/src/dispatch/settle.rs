//! The settle: a batch of outcomes in one statement, matched by fence, then the hints that follow from it.
//!
//! A worker that lost its lease changes no message, but its result is still written to its attempt. A message that the
//! provider's own report settled first keeps what the report said.

use super::claim::Claimed;
use super::policy::Decision;
use crate::delivery;
use crate::model::{DispatchMessageJob, MessageId, TenantId};
use crate::platform::queue::{Hint, MAX_DELAY_SECONDS};
use crate::platform::{DatabaseError, Tx};
use comms_providers::SendOutcome;
use uuid::Uuid;

/// One outcome to be written.
#[derive(Debug)]
pub struct Settlement<'a> {
    pub claimed: &'a Claimed,
    pub outcome: &'a SendOutcome,
    pub decision: Decision,
}

/// Writes all outcomes and answers the hints to publish: retries, and the next message of each conversation.
///
/// # Errors
/// When the database does not answer; the lease then ends and the scan takes over.
pub async fn settle(
    tx: &mut Tx,
    settlements: &[Settlement<'_>],
) -> Result<Vec<Hint>, DatabaseError> {
    let rows = Columns::of(settlements);
    write(tx, &rows).await?;
    let accepted: Vec<(TenantId, MessageId)> = settlements
        .iter()
        .filter(|settlement| matches!(settlement.outcome, SendOutcome::Accepted(_)))
        .map(|settlement| (settlement.claimed.tenant, settlement.claimed.message))
        .collect();
    delivery::match_waiting(tx, &accepted).await?;
    let settled: Vec<(TenantId, MessageId)> = settlements
        .iter()
        .map(|settlement| (settlement.claimed.tenant, settlement.claimed.message))
        .collect();
    follow_ups(tx, &settled).await
}

async fn write(tx: &mut Tx, rows: &Columns) -> Result<(), DatabaseError> {
    sqlx::query!(
        "with result as (
             select * from unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[],
                                  $8::text[], $9::float8[], $10::bool[])
                 as r(tenant_id, id, fence, status, class, code, reason, external_message_id, retry_in, refund)),
         locked as (
             select m.tenant_id, m.id
               from result r join communications.messages m on m.tenant_id = r.tenant_id and m.id = r.id
              order by m.tenant_id, m.id
                for update of m),
         attempt as (
             update communications.message_attempts a
                set finished_at = now(), class = r.class, provider_code = r.code, reason = r.reason,
                    external_message_id = r.external_message_id
               from result r
              where a.tenant_id = r.tenant_id and a.message_id = r.id and a.fence = r.fence)
         update communications.messages m
            -- A retry that would come after the expiry is none: it fails with the cause it has.
            set status = case when r.status = 'QUEUED' and m.expires_at <= now() + r.retry_in * interval '1 second'
                              then 'FAILED' else r.status end,
                lease_until = null,
                external_message_id = coalesce(r.external_message_id, m.external_message_id),
                sent_at = case when r.status = 'SENT' then coalesce(m.sent_at, now()) else m.sent_at end,
                failed_at = case when r.status = 'FAILED'
                                   or (r.status = 'QUEUED' and m.expires_at <= now() + r.retry_in * interval '1 second')
                                 then now() else m.failed_at end,
                failed_code = r.code,
                failed_reason = r.reason,
                attempts = m.attempts - r.refund::int,
                deferrals = m.deferrals + r.refund::int,
                due_at = case when r.status = 'QUEUED' then now() + r.retry_in * interval '1 second' else m.due_at end,
                hint_at = case when r.status <> 'QUEUED' then m.hint_at
                               when r.retry_in > $11 then '-infinity'
                               else now() + r.retry_in * interval '1 second' end
           from result r join locked l on l.tenant_id = r.tenant_id and l.id = r.id
          where m.tenant_id = r.tenant_id and m.id = r.id and m.fence = r.fence and m.status = 'SENDING'",
        &rows.tenants,
        &rows.messages,
        &rows.fences,
        &rows.statuses,
        &rows.classes,
        &rows.codes as &[Option<String>],
        &rows.reasons as &[Option<String>],
        &rows.external_message_ids as &[Option<String>],
        &rows.retry_in,
        &rows.refunds,
        f64::from(MAX_DELAY_SECONDS)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What must be looked at next: retries of these messages, and for every conversation they belong to the first that
/// still waits. What is due later
/// than SQS can delay is left to the scan.
pub async fn follow_ups(
    tx: &mut Tx,
    messages: &[(TenantId, MessageId)],
) -> Result<Vec<Hint>, DatabaseError> {
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = messages
        .iter()
        .map(|(tenant, message)| (tenant.0, message.0))
        .unzip();
    let due = sqlx::query!(
        r#"with settled as (
               select m.tenant_id, m.id, m.conversation_id, m.lane, m.status
                 from unnest($1::uuid[], $2::uuid[]) as r(tenant_id, id)
                 join communications.messages m on m.tenant_id = r.tenant_id and m.id = r.id),
           next as (
               select tenant_id, id from settled where status = 'QUEUED'
               union
               select s.tenant_id, first.id
                 from (select distinct tenant_id, conversation_id, lane from settled where conversation_id is not null) s
                cross join lateral (
                    select m.id from communications.messages m
                     where m.tenant_id = s.tenant_id and m.conversation_id = s.conversation_id and m.lane = s.lane
                       and m.status in ('QUEUED', 'SENDING')
                     order by m.id limit 1) first)
           select m.tenant_id as "tenant: TenantId", m.id as "message: MessageId", m.lane as "lane!",
                  ceil(greatest(0, extract(epoch from m.due_at - now())))::int as "delay_seconds!"
             from next n join communications.messages m on m.tenant_id = n.tenant_id and m.id = n.id
            where m.status = 'QUEUED' and m.due_at <= now() + $3 * interval '1 second'"#,
        &tenants,
        &ids,
        f64::from(MAX_DELAY_SECONDS)
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(due
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

#[derive(Default)]
struct Columns {
    tenants: Vec<Uuid>,
    messages: Vec<Uuid>,
    fences: Vec<i32>,
    statuses: Vec<String>,
    classes: Vec<String>,
    codes: Vec<Option<String>>,
    reasons: Vec<Option<String>>,
    external_message_ids: Vec<Option<String>>,
    retry_in: Vec<f64>,
    refunds: Vec<bool>,
}

impl Columns {
    fn of(settlements: &[Settlement<'_>]) -> Self {
        let mut columns = Self::default();
        for settlement in settlements {
            columns.push(settlement);
        }
        columns
    }

    fn push(&mut self, settlement: &Settlement<'_>) {
        let (class, code, reason, external) = match settlement.outcome {
            SendOutcome::Accepted(accepted) => (
                "ACCEPTED",
                None,
                None,
                Some(accepted.external_message_id.clone()),
            ),
            SendOutcome::Refused(refusal) => (
                refusal.class.as_str(),
                Some(refusal.code.clone()),
                Some(refusal.reason.clone()),
                None,
            ),
        };
        self.tenants.push(settlement.claimed.tenant.0);
        self.messages.push(settlement.claimed.message.0);
        self.fences.push(settlement.claimed.fence);
        self.statuses.push(settlement.decision.status.to_string());
        self.classes.push(class.to_owned());
        self.codes.push(code);
        self.reasons.push(reason);
        self.external_message_ids.push(external);
        self.retry_in
            .push(settlement.decision.retry_in.as_secs_f64());
        self.refunds.push(settlement.decision.refund);
    }
}
