//! What an operator connects: business accounts with their numbers, the signup that grants them, and the tokens.
//!
//! Only what Embedded Signup and the calls after it need. A number of an account is a [`crate::Number`] too, so that
//! it can be sent from once it is registered.

mod account;
mod graph_script;
mod number;
mod subscription;
mod template;
mod token;

/// What the face of onboarding needs of the edges.
pub(crate) mod edges {
    pub(crate) use super::subscription::Override;
    pub(crate) use super::template::Cut;
}

pub use graph_script::{GraphCall, GraphScript};
pub use template::Review;

use crate::cloud::errors::ApiError;
use crate::number::is_on_this_machine;
use crate::state::{State, now_ms};
use crate::{Refused, StatusStep};
use account::Account;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use token::Grant;

pub(crate) const HOUR: u64 = 60 * 60 * 1000;

/// A WhatsApp business account that an operator has at Meta.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waba {
    pub waba_id: String,
    #[serde(default)]
    pub numbers: Vec<WabaNumber>,
    /// Management calls in an hour; at Meta 200, and 5000 once it has a registered number (80008).
    #[serde(default = "calls_of_an_hour")]
    pub hourly_calls: usize,
    /// Templates that it may have; at Meta 250 for one that is not verified.
    #[serde(default = "most_templates")]
    pub template_limit: usize,
}

/// A number of an account. Words are Meta's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WabaNumber {
    pub phone_number_id: String,
    /// Digits, without `+`.
    pub display_phone_number: String,
    pub verified_name: String,
    /// The two-step PIN that it has already.
    #[serde(default)]
    pub pin: Option<String>,
    /// `false` answers a registration with 133006.
    #[serde(default = "yes")]
    pub verified: bool,
    #[serde(default)]
    pub registered: bool,
    #[serde(default = "green")]
    pub quality_rating: String,
    #[serde(default = "approved")]
    pub name_status: String,
    #[serde(default = "standard")]
    pub throughput: String,
    #[serde(default = "first_tier")]
    pub tier: String,
    /// As [`crate::Number::auto_statuses`].
    #[serde(default)]
    pub auto_statuses: Vec<StatusStep>,
}

/// What somebody who goes through Embedded Signup grants.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signup {
    pub waba_ids: Vec<String>,
    /// Ours, if not said.
    #[serde(default)]
    pub app_id: Option<String>,
    /// Managing and messaging, if not said.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// How long the token will live; for ever, if not said.
    #[serde(default)]
    pub token_seconds: Option<u64>,
}

fn yes() -> bool {
    true
}
fn calls_of_an_hour() -> usize {
    200
}
fn most_templates() -> usize {
    250
}
fn green() -> String {
    "GREEN".to_owned()
}
fn approved() -> String {
    "APPROVED".to_owned()
}
fn standard() -> String {
    "STANDARD".to_owned()
}
fn first_tier() -> String {
    "TIER_250".to_owned()
}

impl Waba {
    /// An account with Meta's limits.
    #[must_use]
    pub fn new(waba_id: &str, numbers: impl IntoIterator<Item = WabaNumber>) -> Self {
        Self {
            waba_id: waba_id.to_owned(),
            numbers: numbers.into_iter().collect(),
            hourly_calls: calls_of_an_hour(),
            template_limit: most_templates(),
        }
    }
}

impl WabaNumber {
    /// A verified number without a PIN that is not registered yet.
    #[must_use]
    pub fn new(phone_number_id: &str, display_phone_number: &str, verified_name: &str) -> Self {
        Self {
            phone_number_id: phone_number_id.to_owned(),
            display_phone_number: display_phone_number.to_owned(),
            verified_name: verified_name.to_owned(),
            pin: None,
            verified: true,
            registered: false,
            quality_rating: green(),
            name_status: approved(),
            throughput: standard(),
            tier: first_tier(),
            auto_statuses: Vec::new(),
        }
    }
}

impl Signup {
    /// Grants one account to our app, for ever.
    #[must_use]
    pub fn of(waba_id: &str) -> Self {
        Self {
            waba_ids: vec![waba_id.to_owned()],
            ..Self::default()
        }
    }
}

/// Everything about accounts and tokens.
#[derive(Debug, Default)]
pub(crate) struct Businesses {
    /// Where what is about accounts goes, and messages of accounts without an override.
    pub(crate) app_callback: Option<String>,
    /// Calls without the proof of the app's secret are refused (104).
    pub(crate) wants_proof: bool,
    accounts: HashMap<String, Account>,
    /// By code.
    codes: HashMap<String, token::Code>,
    /// By token.
    grants: HashMap<String, Grant>,
    /// Of overrides, as they were said.
    verify_tokens: Vec<String>,
    pub(crate) scripts: Vec<GraphScript>,
    pub(crate) calls: Vec<GraphCall>,
    /// Numbers that came with an account, and go with it.
    planted: HashSet<String>,
    /// Milliseconds that a test has let pass.
    skipped: u64,
}

impl Businesses {
    fn now(&self) -> u64 {
        now_ms() + self.skipped
    }

    /// For codes, tokens, limits and blocks of this module; messages keep to the real clock.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.skipped += u64::try_from(time.as_millis()).unwrap_or_default();
    }

    pub(crate) fn is_planted(&self, phone_number_id: &str) -> bool {
        self.planted.contains(phone_number_id)
    }

    fn account(&mut self, waba_id: &str) -> Result<&mut Account, ApiError> {
        self.accounts.get_mut(waba_id).ok_or_else(unseen)
    }
}

impl State {
    /// Plants an account; its numbers are known from now on, unless they were already.
    pub(crate) fn plant(&mut self, waba: Waba) -> Result<(), Refused> {
        for number in &waba.numbers {
            self.plant_number(&waba.waba_id, number)?;
        }
        let id = waba.waba_id.clone();
        self.businesses.accounts.insert(id, Account::new(waba));
        Ok(())
    }

    pub(crate) fn set_app_callback(&mut self, url: &str) -> Result<(), Refused> {
        if !is_on_this_machine(url) {
            let reason = "callback_url: must be an http URL of a loopback host";
            return Err(Refused(reason.to_owned()));
        }
        self.businesses.app_callback = Some(url.to_owned());
        Ok(())
    }
}

/// What Meta answers for what is not there and for what the token cannot see, so that nobody can tell.
fn unseen() -> ApiError {
    let mut error = ApiError::new(100, "The object does not exist or the token cannot see it.");
    error.subcode = Some(33);
    error
}
