//! What a provider says about templates and accounts, in the shape that `communications.store_notices` takes.

use crate::model::Owner;
use crate::platform::clock;
use aws_lc_rs::digest;
use comms_providers::event::{
    AccountChange, AccountUpdate, EventKind, ProviderEvent, TemplateUpdate,
};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

/// One notice for one account.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "UPPERCASE")]
pub enum Notice {
    Template(TemplateNotice),
    Account(AccountNotice),
}

#[derive(Debug, Serialize)]
pub struct TemplateNotice {
    #[serde(flatten)]
    owner: Owner,
    waba_id: String,
    name: String,
    language: String,
    template_id: Option<String>,
    status: Option<String>,
    category: Option<String>,
    quality: Option<String>,
    reason: Option<String>,
    components: Option<Value>,
    #[serde(with = "time::serde::rfc3339::option")]
    at: Option<OffsetDateTime>,
}

#[derive(Debug, Serialize)]
pub struct AccountNotice {
    #[serde(flatten)]
    owner: Owner,
    field: String,
    event: String,
    change: Option<&'static str>,
    word: Option<String>,
    /// Of what stops sending: does the operator have to connect the account again?
    disconnected: bool,
    alert: bool,
    #[serde(with = "time::serde::rfc3339::option")]
    at: Option<OffsetDateTime>,
    raw: Value,
    raw_hash: String,
}

impl Notice {
    /// `None` for events that are about neither.
    pub(super) fn of(event: &ProviderEvent, owner: Owner) -> Option<Self> {
        match &event.kind {
            EventKind::Template(update) => {
                let waba_id = event.account.as_ref()?.waba_id.clone()?;
                Some(Self::Template(template(update, owner, waba_id)))
            }
            EventKind::Account(update) => Some(Self::Account(account(update, owner, &event.raw))),
            _ => None,
        }
    }
}

fn template(update: &TemplateUpdate, owner: Owner, waba_id: String) -> TemplateNotice {
    let update = update.clone();
    TemplateNotice {
        owner,
        waba_id,
        name: update.name,
        language: update.language,
        template_id: update.template_id,
        status: update.status,
        category: update.category,
        quality: update.quality,
        reason: update.reason,
        components: update.components,
        at: update.at,
    }
}

fn account(update: &AccountUpdate, owner: Owner, raw: &Value) -> AccountNotice {
    let (change, word) = match &update.change {
        AccountChange::Suspended { reason } | AccountChange::Disconnected { reason } => {
            (Some("SUSPENDED"), Some(reason.clone()))
        }
        AccountChange::Reinstated => (Some("REINSTATED"), None),
        AccountChange::Quality(quality) => (Some("QUALITY"), Some(quality.clone())),
        AccountChange::MessagingTier(tier) => (Some("TIER"), Some(tier.clone())),
        AccountChange::Throughput(rate) => (Some("THROUGHPUT"), Some(rate.to_string())),
        AccountChange::DisplayName { name, decision } if decision == "APPROVED" => {
            (Some("NAME"), Some(name.clone()))
        }
        AccountChange::DisplayName { .. } | AccountChange::Notice { .. } => (None, None),
    };
    let alert = match &update.change {
        AccountChange::Suspended { .. } | AccountChange::Disconnected { .. } => true,
        AccountChange::Notice { alert } => *alert,
        _ => false,
    };
    AccountNotice {
        owner,
        field: update.field.clone(),
        event: update.event.clone(),
        change,
        word,
        disconnected: matches!(update.change, AccountChange::Disconnected { .. }),
        alert,
        at: update.at,
        raw: raw.clone(),
        raw_hash: hash(raw, update.at),
    }
}

/// What tells a repeat from the next one: the words, and for those that have no time the day.
fn hash(raw: &Value, at: Option<OffsetDateTime>) -> String {
    let mut text = raw.to_string();
    if at.is_none() {
        text.push_str(&clock::now().date().to_string());
    }
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
