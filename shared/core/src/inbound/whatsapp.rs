//! Meta's webhook: the handshake, and the payload.

use super::InboundError;
use super::accounts::Owners;
use super::messages::{self, Attributed};
use crate::channels::accounts;
use crate::delivery::{self, StatusReport};
use crate::model::{AccountId, Effect, TenantId};
use crate::platform::{Database, DatabaseError};
use crate::quarantine::{self, Misfit};
use aws_lc_rs::{constant_time, digest};
use comms_providers::event::{DeliveryFailure, DeliveryUpdate, EventKind, ProviderEvent};
use comms_providers::whatsapp::{VerifiedWebhook, webhook};
use comms_providers::{OptOut, OutcomeClass, Scope};
use std::collections::BTreeMap;

const SOURCE: &str = "META_WEBHOOK";

/// What a payload came to. A repeat of the same one comes to nothing new.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    pub messages: usize,
    pub statuses: usize,
    pub quarantined: usize,
}

/// Stores everything in the payload for its owners, in one transaction; `tenant` is whose door it came to. Accounts in any
/// state still ingest.
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
    let owners = Owners::find(&mut tx, tenant, &events).await?;
    let sorted = Sorted::of(&events, &owners);
    let mut ingested = Ingested {
        quarantined: sorted.misfits.len(),
        ..Ingested::default()
    };
    // Tenant by tenant, in one order for everybody, each in queries of its own.
    for (owner, part) in &sorted.by_tenant {
        ingested.messages += messages::store(&mut tx, *owner, &part.messages).await?;
        ingested.statuses += delivery::record(&mut tx, *owner, &part.statuses).await?.new;
    }
    quarantine::store(&mut tx, SOURCE, tenant, &sorted.misfits).await?;
    tx.commit().await?;
    Ok(ingested)
}

/// The events of a payload by what happens to them.
#[derive(Default)]
struct Sorted<'a> {
    by_tenant: BTreeMap<TenantId, Part<'a>>,
    misfits: Vec<Misfit>,
}

#[derive(Default)]
struct Part<'a> {
    messages: Vec<Attributed<'a>>,
    statuses: Vec<StatusReport>,
}

impl<'a> Sorted<'a> {
    fn of(events: &'a [ProviderEvent], owners: &Owners) -> Self {
        let mut sorted = Self::default();
        for event in events {
            sorted.place(event, owners.of(event));
        }
        sorted
    }

    fn place(&mut self, event: &'a ProviderEvent, owner: Option<(TenantId, AccountId)>) {
        let waba_id = event
            .account
            .as_ref()
            .and_then(|account| account.waba_id.as_deref());
        match (&event.kind, owner) {
            (EventKind::Message(message), Some((tenant, account))) => {
                let part = self.by_tenant.entry(tenant).or_default();
                part.messages.push(Attributed {
                    account,
                    waba_id,
                    message,
                });
            }
            (EventKind::Status(update), Some((tenant, account))) => {
                let part = self.by_tenant.entry(tenant).or_default();
                part.statuses.push(report(account, update, event));
            }
            (EventKind::Message(_) | EventKind::Status(_), None) => {
                self.misfits.push(misfit("UNKNOWN_ACCOUNT", event));
            }
            (EventKind::Malformed { .. }, _) => self.misfits.push(misfit("MALFORMED", event)),
            (_, _) => {
                self.misfits.push(misfit(quarantine::UNHANDLED, event));
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
        effect: update.failure.as_ref().map_or(Effect::None, effect),
        raw: event.raw.clone(),
    }
}

/// Some refusals come after the acceptance: a wish of the recipient's, a hold on the number.
fn effect(failure: &DeliveryFailure) -> Effect {
    match (failure.opt_out, failure.class) {
        (Some(OptOut::Marketing), _) => Effect::OptOutMarketing,
        (Some(OptOut::Everything), _) => Effect::OptOut,
        (None, OutcomeClass::Hold(scope)) if scope != Scope::Template => Effect::ParkHold,
        _ => Effect::None,
    }
}

fn misfit(reason: &'static str, event: &ProviderEvent) -> Misfit {
    let external_account_id = event
        .account
        .as_ref()
        .and_then(|account| account.external_account_id.clone());
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
