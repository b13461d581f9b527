//! The claim: one statement takes a batch, or leaves it to whoever has it.
//!
//! What comes back as ours is ours until its lease ends: the fence has risen and the attempt row is written, before any
//! call. What does not come back is not due, not ours or finished, and its hint may be dropped. The statement and its
//! guards are `communications.claim_messages` (docs/schema.sql), a function so that its plan is kept.

use crate::channels::vault::ProviderConfig;
use crate::model::{
    AccountId, Category, DispatchMessageJob, Lane, MessageId, MessageStatus, TenantId,
};
use crate::platform::queue::Hint;
use crate::platform::{DatabaseError, Tx};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Seconds. Lambda kills the worker after 30, counted from before the claim, so a holder is dead before this ends.
pub const LEASE_SECONDS: f64 = 45.0;

/// One message that must now be sent by us and nobody else.
#[derive(Debug)]
pub struct Claimed {
    pub tenant: TenantId,
    pub message: MessageId,
    pub sender: Arc<Sender>,
    pub address: String,
    pub content: Value,
    pub reply_to: Option<String>,
    pub lane: Lane,
    pub category: Category,
    pub fence: i32,
    /// Counts this one.
    pub attempt: i32,
    /// Its slot: not before this long from now, two seconds at most.
    pub send_in: Duration,
    /// What is left of its life.
    pub expires_in: Option<Duration>,
    /// How long it was due.
    pub dwell: Duration,
}

/// The account that sends, read once for all its messages of a batch.
#[derive(Debug)]
pub struct Sender {
    pub account: AccountId,
    pub provider: String,
    pub external_account_id: Option<String>,
    /// What people see: number, domain, sender id.
    pub name: String,
    /// `None` when `provider_config` does not read.
    pub config: Option<ProviderConfig>,
}

/// What a claim came to.
#[derive(Debug, Default)]
pub struct Claim {
    /// To be sent, by us and nobody else.
    pub messages: Vec<Claimed>,
    /// Ended without being sent; whoever waited for them in their conversation waits no more.
    pub ended: Vec<Ended>,
    /// The lanes of those that may not go yet: for want of a slot, or behind a breaker.
    pub deferred: Vec<Lane>,
    /// When to look at the deferred ones again.
    pub hints: Vec<Hint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub tenant: TenantId,
    pub message: MessageId,
    pub status: MessageStatus,
}

/// Claims what is due among the jobs. On the way, what must not be sent any more ends as EXPIRED, SUPPRESSED, SIMULATED or
/// CANCELLED. Order within a conversation and a lane: a message waits for every earlier one that is queued or
/// being sent; an agent's answer does not wait for a notification.
///
/// # Errors
/// When the database does not answer; nothing is then claimed.
pub async fn claim(tx: &mut Tx, jobs: &[DispatchMessageJob]) -> Result<Claim, DatabaseError> {
    let tenants: Vec<Uuid> = jobs.iter().map(|job| job.tenant_id.0).collect();
    let messages: Vec<Uuid> = jobs.iter().map(|job| job.message_id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select tenant_id as "tenant!: TenantId", message_id as "message!: MessageId", status as "status!",
                  account_id as "account!: AccountId", provider as "provider!", external_account_id, sender as "sender!",
                  provider_config, address as "address!", content as "content!", reply_to, lane as "lane!",
                  category as "category!", fence as "fence!", attempt as "attempt!", send_in as "send_in!", expires_in,
                  dwell as "dwell!", hint_in
             from communications.claim_messages($1, $2, $3)"#,
        &tenants,
        &messages,
        LEASE_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    let unknown = |error: crate::model::UnknownWord| sqlx::Error::Decode(error.into());
    let senders = senders(&rows);
    let mut claim = Claim::default();
    for row in rows {
        let status = row.status.parse().map_err(unknown)?;
        let lane: Lane = row.lane.parse().map_err(unknown)?;
        match status {
            MessageStatus::Sending => {
                if let Some(sender) = senders.get(&(row.tenant, row.account)) {
                    let category = row.category.parse().map_err(unknown)?;
                    claim
                        .messages
                        .push(row.claimed(Arc::clone(sender), lane, category));
                }
            }
            MessageStatus::Queued => {
                claim.deferred.push(lane);
                claim.hints.extend(row.hint_in.map(|seconds| {
                    Hint::after(
                        DispatchMessageJob::new(row.tenant, row.message),
                        lane,
                        seconds,
                    )
                }));
            }
            status => claim.ended.push(Ended {
                tenant: row.tenant,
                message: row.message,
                status,
            }),
        }
    }
    Ok(claim)
}

/// One row of `claim_messages`.
struct Row {
    tenant: TenantId,
    message: MessageId,
    status: String,
    account: AccountId,
    provider: String,
    external_account_id: Option<String>,
    sender: String,
    provider_config: Option<Value>,
    address: String,
    content: Value,
    reply_to: Option<String>,
    lane: String,
    category: String,
    fence: i32,
    attempt: i32,
    send_in: f64,
    expires_in: Option<f64>,
    dwell: f64,
    hint_in: Option<f64>,
}

impl Row {
    fn claimed(self, sender: Arc<Sender>, lane: Lane, category: Category) -> Claimed {
        Claimed {
            tenant: self.tenant,
            message: self.message,
            sender,
            address: self.address,
            content: self.content,
            reply_to: self.reply_to,
            lane,
            category,
            fence: self.fence,
            attempt: self.attempt,
            send_in: seconds(self.send_in),
            expires_in: self.expires_in.map(seconds),
            dwell: seconds(self.dwell),
        }
    }
}

fn senders(rows: &[Row]) -> HashMap<(TenantId, AccountId), Arc<Sender>> {
    let mut senders = HashMap::new();
    for row in rows {
        if let Some(config) = &row.provider_config {
            let sender = Sender {
                account: row.account,
                provider: row.provider.clone(),
                external_account_id: row.external_account_id.clone(),
                name: row.sender.clone(),
                config: serde::Deserialize::deserialize(config).ok(),
            };
            senders.insert((row.tenant, row.account), Arc::new(sender));
        }
    }
    senders
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
