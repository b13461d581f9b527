//! Codes and tokens: given by a signup, exchanged once within 30 seconds, withdrawn by a test.

use super::{Businesses, Signup};
use crate::Refused;
use crate::cloud::errors::ApiError;
use crate::state::State;
use serde_json::{Value, json};

const CODE_LIFE: u64 = 30 * 1000;
const SCOPES: [&str; 2] = [
    "whatsapp_business_management",
    "whatsapp_business_messaging",
];

#[derive(Debug)]
pub(super) struct Code {
    signup: Signup,
    given_at: u64,
    used: bool,
}

#[derive(Debug)]
pub(super) struct Grant {
    app_id: String,
    scopes: Vec<String>,
    waba_ids: Vec<String>,
    expires_at: Option<u64>,
    revoked: bool,
}

impl Businesses {
    /// Every code and token that was given, and every verify token that was.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let given = self.codes.keys().chain(self.grants.keys());
        given.chain(&self.verify_tokens).cloned().collect()
    }

    /// The code that the browser hands over after a signup.
    pub(crate) fn sign_up(&mut self, signup: Signup) -> Result<String, Refused> {
        for id in &signup.waba_ids {
            if !self.accounts.contains_key(id) {
                return Err(Refused(format!("waba_ids: {id:?} is not planted")));
            }
        }
        let code = format!("AQ{}", random());
        let kept = Code {
            signup,
            given_at: self.now(),
            used: false,
        };
        self.codes.insert(code.clone(), kept);
        Ok(code)
    }

    /// `GET /oauth/access_token`. A code that was used tells nothing about what it was good for.
    pub(crate) fn exchange(&mut self, app_id: &str, code: &str) -> Result<Value, ApiError> {
        let now = self.now();
        let fault = |words: &str| ApiError::new(100, &format!("{words} {code}"));
        let Some(kept) = self.codes.get_mut(code) else {
            return Err(fault("No such authorization code:"));
        };
        if kept.used {
            return Err(fault("This authorization code has been used:"));
        }
        if now.saturating_sub(kept.given_at) > CODE_LIFE {
            return Err(fault("This authorization code has expired:"));
        }
        kept.used = true;
        let signup = kept.signup.clone();
        let token = format!("EAAG{}", random());
        let scopes = signup
            .scopes
            .unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
        let grant = Grant {
            app_id: signup.app_id.unwrap_or_else(|| app_id.to_owned()),
            scopes,
            waba_ids: signup.waba_ids,
            expires_at: signup.token_seconds.map(|seconds| now + seconds * 1000),
            revoked: false,
        };
        self.grants.insert(token.clone(), grant);
        let mut answer = json!({ "access_token": token, "token_type": "bearer" });
        if let Some(seconds) = signup.token_seconds {
            answer["expires_in"] = json!(seconds);
        }
        Ok(answer)
    }

    /// `GET /debug_token`.
    pub(crate) fn inspect(&self, token: &str) -> Value {
        let Some(grant) = self.grants.get(token) else {
            return json!({ "data": { "is_valid": false, "scopes": [],
                "error": { "code": 190, "message": "Invalid OAuth access token." } } });
        };
        let expires_at = grant.expires_at.map_or(0, |at| at / 1000);
        let granular: Vec<Value> = grant
            .scopes
            .iter()
            .map(|scope| json!({ "scope": scope, "target_ids": grant.waba_ids }))
            .collect();
        json!({ "data": {
            "app_id": grant.app_id,
            "type": "SYSTEM_USER",
            "is_valid": self.refusal(token).is_none(),
            "expires_at": expires_at,
            "data_access_expires_at": 0,
            "scopes": grant.scopes,
            "granular_scopes": granular,
        }})
    }

    /// Why a token is no longer good; `None` also for one that no signup gave.
    pub(crate) fn refusal(&self, token: &str) -> Option<ApiError> {
        let grant = self.grants.get(token)?;
        let is_over = grant.expires_at.is_some_and(|at| at <= self.now());
        let subcode = match (grant.revoked, is_over) {
            (true, _) => Some(467),
            (false, true) => Some(463),
            (false, false) => return None,
        };
        let mut error = ApiError::new(190, &format!("The access token is not valid: {token}"));
        error.subcode = subcode;
        Some(error)
    }

    /// Whether a token of a signup is good for an account.
    pub(crate) fn grants(&self, token: &str, waba_id: &str) -> bool {
        let grant = self.grants.get(token);
        grant.is_some_and(|grant| grant.waba_ids.iter().any(|id| id == waba_id))
    }

    /// A management call needs the scope and the account.
    pub(crate) fn may_manage(&self, token: &str, waba_id: &str) -> Result<(), ApiError> {
        if let Some(error) = self.refusal(token) {
            return Err(error);
        }
        let Some(grant) = self.grants.get(token) else {
            let details = format!("The access token could not be read: {token}");
            return Err(ApiError::new(190, &details));
        };
        if !self.accounts.contains_key(waba_id) || !self.grants(token, waba_id) {
            return Err(super::unseen());
        }
        if grant.scopes.iter().any(|scope| scope == SCOPES[0]) {
            Ok(())
        } else {
            Err(ApiError::new(200, "The permission was not granted."))
        }
    }
}

impl State {
    /// From now on the token is refused (190), for sends too; whoever gave it.
    pub(crate) fn revoke(&mut self, token: &str) {
        let known = self.businesses.grants.entry(token.to_owned());
        let revoked = known.or_insert_with(|| Grant {
            app_id: String::new(),
            scopes: Vec::new(),
            waba_ids: Vec::new(),
            expires_at: None,
            revoked: true,
        });
        revoked.revoked = true;
    }

    /// As [`Self::revoke`], for every token that a signup gave for an account. How many there were.
    pub(crate) fn revoke_all(&mut self, waba_id: &str) -> usize {
        let mut revoked = 0;
        for grant in self.businesses.grants.values_mut() {
            if !grant.revoked && grant.waba_ids.iter().any(|id| id == waba_id) {
                grant.revoked = true;
                revoked += 1;
            }
        }
        revoked
    }
}

/// Random, because a token of an earlier run must not be good.
fn random() -> String {
    let mut bytes = [0_u8; 24];
    // Cannot fail on the systems we run on; were it to, the token would merely repeat.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    hex::encode(bytes)
}
