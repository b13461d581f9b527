//! The claim: one statement takes a batch, or leaves it to whoever has it.
//!
//! What comes back is ours until its lease ends: the fence has risen and the attempt row is written, before any call.
//! What does not come back is not due, not ours or finished, and its hint may be dropped. The guards are re-checked by
//! Postgres on the newest row version, so fifty workers with the same id make one claim.

use crate::model::{AccountId, DispatchMessageJob, Lane, MessageId, MessageStatus, TenantId};
use crate::platform::{DatabaseError, Tx};
use serde_json::Value;
use uuid::Uuid;

/// Seconds. Lambda kills the worker after 30, counted from before the claim, so a holder is dead before this ends.
pub const LEASE_SECONDS: f64 = 45.0;

/// One message that must now be sent by us and nobody else.
#[derive(Debug)]
pub struct Claimed {
    pub tenant: TenantId,
    pub message: MessageId,
    pub account: AccountId,
    pub provider: String,
    pub external_account_id: Option<String>,
    pub provider_config: Value,
    pub address: String,
    pub content: Value,
    pub reply_to: Option<String>,
    pub lane: Lane,
    pub fence: i32,
    /// Counts this one.
    pub attempt: i32,
}

/// What a claim came to.
#[derive(Debug)]
pub struct Claim {
    /// To be sent, by us and nobody else.
    pub messages: Vec<Claimed>,
    /// Ended without being sent; whoever waited for them in their conversation waits no more.
    pub ended: Vec<(TenantId, MessageId)>,
}

/// Claims what is due among the jobs. On the way, what must not be sent any more ends as EXPIRED, SUPPRESSED or
/// SIMULATED. Order within a conversation and a lane: a message waits for every earlier one that is queued or
/// being sent; an agent's answer does not wait for a notification.
///
/// # Errors
/// When the database does not answer; nothing is then claimed.
pub async fn claim(tx: &mut Tx, jobs: &[DispatchMessageJob]) -> Result<Claim, DatabaseError> {
    let tenants: Vec<Uuid> = jobs.iter().map(|job| job.tenant_id.0).collect();
    let messages: Vec<Uuid> = jobs.iter().map(|job| job.message_id.0).collect();
    let rows = sqlx::query!(
        r#"with hinted as (select distinct tenant_id, id from unnest($1::uuid[], $2::uuid[]) as h(tenant_id, id)),
           due as (
               select m.tenant_id, m.id,
                      case when m.expires_at <= now() then 'EXPIRED'
                           when not communications.consent_allows(m.tenant_id, m.contact_id, m.channel, m.category) then 'SUPPRESSED'
                           when a.mode = 'SANDBOX' or s.mode = 'SANDBOX' then 'SIMULATED'
                           else 'SENDING' end as next
                 from hinted h
                 join communications.messages m on m.tenant_id = h.tenant_id and m.id = h.id
                 join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
                 left join communications.tenant_settings s on s.tenant_id = m.tenant_id
                where m.status = 'QUEUED' and m.due_at <= now() + interval '250 milliseconds' and a.status = 'ACTIVE'
                  and not exists (
                      select from communications.messages earlier
                       where earlier.tenant_id = m.tenant_id and earlier.conversation_id = m.conversation_id
                         and earlier.lane = m.lane
                         and earlier.status in ('QUEUED', 'SENDING') and earlier.id < m.id)
                order by m.tenant_id, m.id
                  for update of m),
           taken as (
               update communications.messages m
                  set status = due.next,
                      fence = m.fence + 1,
                      attempts = m.attempts + (due.next = 'SENDING')::int,
                      lease_until = case when due.next = 'SENDING' then now() + $3 * interval '1 second' end
                 from due
                where m.tenant_id = due.tenant_id and m.id = due.id
               returning m.*),
           intent as (
               insert into communications.message_attempts (tenant_id, message_id, fence, attempt)
               select tenant_id, id, fence, attempts from taken where status = 'SENDING')
           select m.tenant_id as "tenant: TenantId", m.id as "message: MessageId", m.account_id as "account: AccountId",
                  a.provider, a.external_account_id, a.provider_config, m.address, m.content, m.reply_to,
                  m.lane as "lane!", m.fence, m.attempts,
                  m.status
             from taken m
             join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id"#,
        &tenants,
        &messages,
        LEASE_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    let unknown = |error: crate::model::UnknownWord| sqlx::Error::Decode(error.into());
    let (sending, ended): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .partition(|row| row.status == MessageStatus::Sending.as_str());
    let messages = sending.into_iter().map(|row| {
        Ok(Claimed {
            tenant: row.tenant,
            message: row.message,
            account: row.account,
            provider: row.provider,
            external_account_id: row.external_account_id,
            provider_config: row.provider_config,
            address: row.address,
            content: row.content,
            reply_to: row.reply_to,
            lane: row.lane.parse().map_err(unknown)?,
            fence: row.fence,
            attempt: row.attempts,
        })
    });
    Ok(Claim {
        messages: messages.collect::<Result<_, DatabaseError>>()?,
        ended: ended.iter().map(|row| (row.tenant, row.message)).collect(),
    })
}
