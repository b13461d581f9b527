//! Meta's webhook: the handshake, and the payload.

use super::InboundError;
use super::accounts::Owned;
use super::messages::{self, Attributed};
use crate::channels::accounts;
use crate::delivery::{self, StatusReport};
use crate::model::{AccountId, TenantId};
use crate::platform::{Database, DatabaseError};
use crate::quarantine::{self, Misfit};
use aws_lc_rs::{constant_time, digest};
use comms_providers::event::{DeliveryUpdate, EventKind, ProviderEvent};
use comms_providers::whatsapp::{VerifiedWebhook, webhook};

const SOURCE: &str = "META_WEBHOOK";

/// What a payload came to. A repeat of the same one comes to nothing new.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    pub messages: usize,
    pub statuses: usize,
    pub quarantined: usize,
}

/// Stores everything in the payload that is the tenant's, in one transaction. Accounts in any state still ingest.
///
/// # Errors
/// When the database does not answer: nothing is stored, and the provider must send it again.
pub async fn ingest(
    database: &Database,
    tenant: TenantId,
    raw: &VerifiedWebhook<'_>,
) -> Result<Ingested, InboundError> {
    let mut tx = database.begin().await?;
    let events = match webhook::parse(raw) {
        Ok(events) => events,
        Err(error) => {
            tracing::warn!(error = %error, "webhook body does not read");
            let misfit = Misfit {
                reason: "UNREADABLE",
                external_account_id: None,
                payload: raw.raw().to_vec(),
            };
            quarantine::store(&mut tx, SOURCE, tenant, &[misfit]).await?;
            tx.commit().await?;
            return Ok(Ingested {
                quarantined: 1,
                ..Ingested::default()
            });
        }
    };
    let owned = Owned::find(&mut tx, tenant, &events).await?;
    let sorted = Sorted::of(&events, &owned);
    let ingested = Ingested {
        messages: messages::store(&mut tx, tenant, &sorted.messages).await?,
        statuses: delivery::record(&mut tx, tenant, &sorted.statuses)
            .await?
            .new,
        quarantined: sorted.misfits.len(),
    };
    quarantine::store(&mut tx, SOURCE, tenant, &sorted.misfits).await?;
    tx.commit().await?;
    Ok(ingested)
}

/// The events of a payload by what happens to them.
#[derive(Default)]
struct Sorted<'a> {
    messages: Vec<Attributed<'a>>,
    statuses: Vec<StatusReport>,
    misfits: Vec<Misfit>,
}

impl<'a> Sorted<'a> {
    fn of(events: &'a [ProviderEvent], owned: &Owned) -> Self {
        let mut sorted = Self::default();
        for event in events {
            sorted.place(event, owned.of(event));
        }
        sorted
    }

    fn place(&mut self, event: &'a ProviderEvent, account: Option<AccountId>) {
        let waba_id = event
            .account
            .as_ref()
            .and_then(|account| account.waba_id.as_deref());
        match (&event.kind, account) {
            (EventKind::Message(message), Some(account)) => self.messages.push(Attributed {
                account,
                waba_id,
                message,
            }),
            (EventKind::Status(update), Some(account)) => {
                self.statuses.push(report(account, update, event))
            }
            (EventKind::Message(_) | EventKind::Status(_), None) => {
                self.misfits.push(misfit("UNKNOWN_ACCOUNT", event))
            }
            (EventKind::Malformed { .. }, _) => self.misfits.push(misfit("MALFORMED", event)),
            (EventKind::Unhandled { .. }, _) => {
                self.misfits.push(misfit(quarantine::UNHANDLED, event))
            }
        }
    }
}

fn report(account: AccountId, update: &DeliveryUpdate, event: &ProviderEvent) -> StatusReport {
    StatusReport {
        account,
        external_message_id: update.external_message_id.clone(),
        status: update.status,
        provider_status: update.provider_status.clone(),
        correlation_id: update.correlation_id,
        occurred_at: update.occurred_at,
        failure_code: update.failure.as_ref().map(|failure| failure.code.clone()),
        failure_reason: update
            .failure
            .as_ref()
            .map(|failure| failure.reason.clone()),
        raw: event.raw.clone(),
    }
}

fn misfit(reason: &'static str, event: &ProviderEvent) -> Misfit {
    let external_account_id = event
        .account
        .as_ref()
        .map(|account| account.external_account_id.clone());
    Misfit {
        reason,
        external_account_id,
        payload: event.raw.to_string().into_bytes(),
    }
}

/// Meta's GET handshake (`hub.mode`, `hub.verify_token`).
#[derive(Debug, Clone, Default)]
pub struct Verification<'a> {
    pub mode: Option<&'a str>,
    pub verify_token: Option<&'a str>,
}

/// Is this the tenant's own verify token? Compared as hashes, in constant time.
///
/// # Errors
/// When the database does not answer.
pub async fn verify_subscription(
    database: &Database,
    tenant: TenantId,
    call: &Verification<'_>,
) -> Result<bool, DatabaseError> {
    let (Some("subscribe"), Some(token)) = (call.mode, call.verify_token) else {
        return Ok(false);
    };
    let mut tx = database.begin().await?;
    let hashes = accounts::verify_token_hashes(&mut tx, tenant).await?;
    tx.commit().await?;
    let given = hex::encode(digest::digest(&digest::SHA256, token.as_bytes()));
    Ok(hashes.iter().fold(false, |matches, hash| {
        matches | constant_time::verify_slices_are_equal(given.as_bytes(), hash.as_bytes()).is_ok()
    }))
}
