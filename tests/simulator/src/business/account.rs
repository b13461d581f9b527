//! One account: what is counted for it, and who may manage it.

use super::template::Kept;
use super::{Businesses, HOUR, Waba};
use crate::cloud::errors::ApiError;
use std::collections::HashMap;

/// Management calls in an hour once a number is registered.
const CALLS_OF_A_LIVE_ACCOUNT: usize = 5000;

#[derive(Debug)]
pub(super) struct Account {
    pub(super) waba: Waba,
    pub(super) subscribed: bool,
    pub(super) override_uri: Option<String>,
    pub(super) templates: Vec<Kept>,
    /// Names of deleted templates, and when.
    pub(super) deleted: HashMap<String, u64>,
    /// Management calls, when.
    calls: Vec<u64>,
    pub(super) numbers: HashMap<String, Tries>,
}

/// What has been tried with a number.
#[derive(Debug, Default)]
pub(super) struct Tries {
    pub(super) wrong_pins: Vec<u64>,
    pub(super) registrations: Vec<u64>,
}

impl Account {
    pub(super) fn new(waba: Waba) -> Self {
        Self {
            waba,
            subscribed: false,
            override_uri: None,
            templates: Vec::new(),
            deleted: HashMap::new(),
            calls: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    pub(super) fn tries(&mut self, phone_number_id: &str) -> &mut Tries {
        self.numbers.entry(phone_number_id.to_owned()).or_default()
    }
}

impl Businesses {
    /// Counts a management call, which is one too many from some number on.
    pub(crate) fn count(&mut self, waba_id: &str) -> Result<(), ApiError> {
        let now = self.now();
        let account = self.account(waba_id)?;
        let numbers = &account.waba.numbers;
        let limit = if numbers.iter().any(|number| number.registered) {
            account.waba.hourly_calls.max(CALLS_OF_A_LIVE_ACCOUNT)
        } else {
            account.waba.hourly_calls
        };
        account.calls.retain(|at| now.saturating_sub(*at) < HOUR);
        if account.calls.len() < limit {
            account.calls.push(now);
            return Ok(());
        }
        let first = account.calls.first().copied().unwrap_or(now);
        let mut error = ApiError::new(80_008, "Too many management calls for this account.");
        let minutes = (HOUR - now.saturating_sub(first)).div_ceil(60_000);
        error.regained_after = Some((waba_id.to_owned(), minutes));
        Err(error)
    }

    /// The account that a number is in.
    pub(crate) fn home(&self, phone_number_id: &str) -> Result<String, ApiError> {
        let has = |account: &&Account| {
            let numbers = &account.waba.numbers;
            numbers
                .iter()
                .any(|number| number.phone_number_id == phone_number_id)
        };
        let account = self.accounts.values().find(has);
        account
            .map(|account| account.waba.waba_id.clone())
            .ok_or_else(super::unseen)
    }
}
