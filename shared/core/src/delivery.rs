//! What providers report about our messages: a log of every report, and its projection onto the message.
//!
//! The projection only rises (`communications.project_reports`), so duplicates and any order of arrival end in the same row. A
//! report whose message is not known yet waits in the log for the id that the send's answer brings, and has all its effects
//! then.

use crate::contacts::Alias;
use crate::model::{AccountId, Effect, MessageId, Owner, TenantId};
use crate::platform::{DatabaseError, Tx, telemetry};
use comms_providers::event::{DeliveryFailure, DeliveryStatus, DeliveryUpdate, Price};
use comms_providers::{OptOut, OutcomeClass, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// One report about one message, in the shape that `communications.record_reports` takes. `Of` is whose account it is about.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport<Of = Owner> {
    id: Uuid,
    #[serde(flatten)]
    pub of: Of,
    pub external_message_id: String,
    status: &'static str,
    pub provider_status: String,
    /// Our message id as the provider echoed it.
    pub correlation_id: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
    pub failure_code: Option<String>,
    pub failure_reason: Option<String>,
    effect: &'static str,
    pub raw: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Priced>,
    /// The recipient's, when the provider names more than one: they belong to whom we sent it to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
}

/// [`Price`] as the database takes it.
#[derive(Debug, Clone, Serialize)]
struct Priced {
    category: Option<String>,
    model: Option<String>,
    kind: Option<String>,
    billable: Option<bool>,
    units: Option<i32>,
    micros: Option<i64>,
    currency: Option<String>,
}

/// What a set of reports came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Recorded {
    /// Reports not seen before.
    pub new: usize,
    /// Of those: without a message yet.
    pub waiting: usize,
    /// Messages whose account a report has parked.
    parked: Vec<MessageId>,
    /// New notices about accounts for whose own sake a message failed: one a day for each account and code.
    alerts: u32,
}

impl<Of> StatusReport<Of> {
    #[must_use]
    pub fn new(of: Of, update: DeliveryUpdate, aliases: Vec<Alias>, raw: Value) -> Self {
        let effect = update.failure.as_ref().map_or(Effect::None, effect);
        let (failure_code, failure_reason) = update
            .failure
            .map(|failure| (failure.code, failure.reason))
            .unzip();
        Self {
            id: Uuid::now_v7(),
            of,
            external_message_id: update.external_message_id,
            status: word(update.status),
            provider_status: update.provider_status,
            correlation_id: update.correlation_id,
            occurred_at: update.occurred_at,
            failure_code,
            failure_reason,
            effect: effect.as_str(),
            raw,
            price: update.price.map(Priced::from),
            aliases,
        }
    }
}

impl From<Price> for Priced {
    fn from(price: Price) -> Self {
        Self {
            category: price.category,
            model: price.model,
            kind: price.kind,
            billable: price.billable,
            units: price.units,
            micros: price.micros,
            currency: price.currency,
        }
    }
}

impl Recorded {
    /// Says what the operators must hear of, once it is committed.
    pub(crate) fn tell(&self) {
        for message in &self.parked {
            tracing::error!(message.id = %message, "a report parks the account");
            telemetry::metric("AccountParked", 1.0, &[]);
        }
        if self.alerts > 0 {
            tracing::warn!(
                notices = self.alerts,
                "messages fail for their account's own sake"
            );
            telemetry::metric("AccountNotice", f64::from(self.alerts), &[]);
        }
    }
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

/// Some refusals come after the acceptance: a wish of the recipient's, an address that is none, a hold on the number.
fn effect(failure: &DeliveryFailure) -> Effect {
    match (failure.opt_out, failure.class) {
        (Some(OptOut::Everything), _) if failure.address_is_bad => Effect::Complaint,
        (None, _) if failure.address_is_bad => Effect::Bounce,
        (Some(OptOut::Marketing), _) => Effect::OptOutMarketing,
        (Some(OptOut::Everything), _) => Effect::OptOut,
        (None, OutcomeClass::Hold(scope)) if scope != Scope::Template => Effect::ParkHold,
        // Whose credentials were refused, those of now or of then, a report does not say: people look, and the next send finds out.
        (None, OutcomeClass::AccountConfig | OutcomeClass::Auth) => Effect::Notice,
        _ => Effect::None,
    }
}

/// What came of reports that had waited for their message.
#[derive(Debug, Default)]
pub struct Matched {
    pub reports: usize,
    /// Accounts for whose own sake they say that messages failed, if nobody has heard of it that day.
    pub refused: Vec<(TenantId, AccountId)>,
}

/// Gives waiting reports to messages whose provider id has just become known, with all that they mean.
///
/// # Errors
/// When the database does not answer.
pub async fn match_waiting(
    tx: &mut Tx,
    messages: &[(TenantId, MessageId)],
) -> Result<Matched, DatabaseError> {
    if messages.is_empty() {
        return Ok(Matched::default());
    }
    let reports = tx.call("match_reports", &messages).await?;
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = messages
        .iter()
        .map(|(tenant, message)| (tenant.0, message.0))
        .unzip();
    // Noted by this very transaction.
    let refused = sqlx::query!(
        r#"select distinct e.tenant_id as "tenant: TenantId", e.account_id as "account: AccountId"
             from unnest($1::uuid[], $2::uuid[]) as p (tenant_id, id)
             join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id
             join communications.channel_account_events e
               on e.tenant_id = m.tenant_id and e.account_id = m.account_id and e.field = 'messages' and e.alert
              and e.received_at = now()"#,
        &tenants,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(Matched {
        reports,
        refused: refused
            .into_iter()
            .map(|row| (row.tenant, row.account))
            .collect(),
    })
}

/// Says that messages fail for an account's own sake.
pub(crate) fn tell_of_refusals(accounts: &[(TenantId, AccountId)]) {
    for (tenant, account) in accounts {
        tracing::warn!(tenant.id = %tenant, account.id = %account, "messages fail for their account's own sake");
        telemetry::metric("AccountNotice", 1.0, &[]);
    }
}
