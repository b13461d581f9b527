//! The settle: a batch of outcomes in one statement, matched by fence, and the hints that follow from it.
//!
//! A worker that lost its lease changes no message, but its result is still written to its attempt. A message that the
//! provider's own report settled first keeps what the report said. The statement is `communications.settle_messages`
//! (docs/schema.sql): a function, so that its plan is kept.

use super::claim::Claimed;
use super::policy::Decision;
use crate::delivery;
use crate::model::{AccountId, MessageId, TenantId};
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

impl Settlement<'_> {
    /// Which of the account's credentials were used.
    fn credential(&self) -> Option<i32> {
        let config = self.claimed.sender.config.as_ref()?;
        let used = config.usable(Some(self.claimed.message));
        i32::try_from(used.first()?.version()).ok()
    }
}

/// What a settle leaves to do.
#[derive(Debug, Default)]
pub struct Settled {
    /// To publish: retries, fallbacks, the next message of each conversation.
    pub hints: Vec<Hint>,
    /// Accounts of these messages on which others wait for their turn: for [`release`], in a transaction of its own.
    pub waiting: Vec<(TenantId, AccountId)>,
    /// Accounts for whose own sake a message was refused, as it was not before on that day.
    pub refused: Vec<(TenantId, AccountId)>,
}

/// Writes all outcomes.
///
/// # Errors
/// When the database does not answer; the lease then ends and the scan takes over.
pub async fn settle(tx: &mut Tx, settlements: &[Settlement<'_>]) -> Result<Settled, DatabaseError> {
    let columns = Columns::of(settlements);
    let rows = sqlx::query!(
        r#"select kind as "kind!", tenant_id as "tenant!: TenantId", message_id as "message!: MessageId",
                  lane as "lane!", hint_in
             from communications.settle_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"#,
        &columns.tenants,
        &columns.messages,
        &columns.fences,
        &columns.statuses,
        &columns.classes,
        &columns.codes as &[Option<String>],
        &columns.reasons as &[Option<String>],
        &columns.external_message_ids as &[Option<String>],
        &columns.retry_in,
        &columns.refunds,
        &columns.effects,
        &columns.pauses,
        &columns.credentials as &[Option<i32>],
        f64::from(MAX_DELAY_SECONDS)
    )
    .fetch_all(tx.conn())
    .await?;
    let mut settled = Settled::default();
    let mut reported = Vec::new();
    for row in rows {
        match row.kind.as_str() {
            "REPORTED" => reported.push((row.tenant, row.message)),
            "WAITING" => settled.waiting.push((row.tenant, AccountId(row.message.0))),
            "ALERT" => settled.refused.push((row.tenant, AccountId(row.message.0))),
            _ => {
                let seconds = row.hint_in.unwrap_or_default();
                let hint = Hint::of_row(row.tenant, row.message, &row.lane, seconds);
                settled.hints.extend(hint);
            }
        }
    }
    for account in delivery::match_waiting(tx, &reported).await?.refused {
        if !settled.refused.contains(&account) {
            settled.refused.push(account);
        }
    }
    Ok(settled)
}

/// Gives what waits on these accounts its turn. Here as in the claim slots are locked before what a settle locks: a month's spending, pairs.
///
/// # Errors
/// When the database does not answer; the scan does it then.
pub async fn release(
    tx: &mut Tx,
    accounts: &[(TenantId, AccountId)],
) -> Result<Vec<Hint>, DatabaseError> {
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = accounts
        .iter()
        .map(|(tenant, account)| (tenant.0, account.0))
        .unzip();
    let released = sqlx::query!(
        r#"select tenant_id as "tenant!: TenantId", message_id as "message!: MessageId", lane as "lane!",
                  hint_in as "hint_in!"
             from communications.release_waiting($1, $2, 0)"#,
        &tenants,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(released
        .into_iter()
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, row.hint_in))
        .collect())
}

/// What must be looked at after these messages ended: the next of each conversation they belong to.
///
/// # Errors
/// When the database does not answer.
pub async fn follow_ups(
    tx: &mut Tx,
    messages: &[(TenantId, MessageId)],
) -> Result<Vec<Hint>, DatabaseError> {
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = messages
        .iter()
        .map(|(tenant, message)| (tenant.0, message.0))
        .unzip();
    let due = sqlx::query!(
        r#"select tenant_id as "tenant!: TenantId", message_id as "message!: MessageId", lane as "lane!",
                  hint_in as "hint_in!"
             from communications.follow_ups($1, $2, $3)"#,
        &tenants,
        &ids,
        f64::from(MAX_DELAY_SECONDS)
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(due
        .into_iter()
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, row.hint_in))
        .collect())
}

/// A message whose id cannot be kept is SENT all the same; its reports find it by our own id.
fn is_storable(id: &str) -> bool {
    !id.is_empty() && id.len() <= 512 && !id.contains('\0')
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
    effects: Vec<String>,
    pauses: Vec<f64>,
    credentials: Vec<Option<i32>>,
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
                Some(accepted.external_message_id.clone()).filter(|id| is_storable(id)),
            ),
            SendOutcome::Refused(refusal) => (
                refusal.class.as_str(),
                Some(refusal.code.clone()),
                Some(refusal.reason.clone()),
                None,
            ),
        };
        let decision = settlement.decision;
        self.tenants.push(settlement.claimed.tenant.0);
        self.messages.push(settlement.claimed.message.0);
        self.fences.push(settlement.claimed.fence);
        self.statuses.push(decision.status.to_string());
        self.classes.push(class.to_owned());
        self.codes.push(code);
        self.reasons.push(reason);
        self.external_message_ids.push(external);
        self.retry_in.push(decision.retry_in.as_secs_f64());
        self.refunds.push(decision.refund);
        self.effects.push(decision.effect.as_str().to_owned());
        self.pauses.push(decision.pause.as_secs_f64());
        self.credentials.push(settlement.credential());
    }
}
