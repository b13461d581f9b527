//! The business token: what the signup code is exchanged for, and what Meta says of it.

use super::call::text;
use super::faults::{self, Step};
use super::{Answered, OnboardingClient};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;

/// What managing an account and sending from it need.
const SCOPES: [&str; 2] = [MANAGEMENT, "whatsapp_business_messaging"];
/// The scope whose targets are the business accounts.
const MANAGEMENT: &str = "whatsapp_business_management";

/// The operator's token.
#[derive(Debug)]
pub struct BusinessToken {
    pub access_token: SecretString,
    /// `None`: for ever, or Meta did not say.
    pub expires_in: Option<Duration>,
}

/// What Meta says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// Of the app that the token was given to.
    pub app_id: String,
    pub is_valid: bool,
    /// `None`: never.
    pub expires_at: Option<OffsetDateTime>,
    /// When the app's right to the data ends, though the token may live on. `None`: never.
    pub data_access_expires_at: Option<OffsetDateTime>,
    pub scopes: Vec<String>,
    pub granular_scopes: Vec<TokenScope>,
}

/// A permission, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScope {
    pub scope: String,
    /// Of `whatsapp_business_management`: the ids of the business accounts.
    pub target_ids: Vec<String>,
}

impl TokenFacts {
    /// The business accounts that the operator granted.
    pub fn wabas(&self) -> impl Iterator<Item = &str> {
        self.granular_scopes
            .iter()
            .filter(|granted| granted.scope == MANAGEMENT)
            .flat_map(|granted| granted.target_ids.iter().map(String::as_str))
    }
}

impl OnboardingClient {
    /// Exchanges the code of Embedded Signup. It lives for 30 seconds and is good for one exchange, so this is the
    /// first thing to do with it; a refusal can be cured by a new signup alone.
    ///
    /// # Errors
    /// [`crate::FaultClass::Credential`] for a code that is too old, used, or of another app.
    pub async fn exchange_code(&self, code: &SecretString) -> Answered<BusinessToken> {
        let step = Step::ExchangeCode;
        let mut url = self.base.below(&["oauth", "access_token"]);
        url.query_pairs_mut()
            .append_pair("client_id", &self.app.app_id)
            .append_pair("client_secret", self.app.app_secret.expose_secret())
            .append_pair("code", code.expose_secret());
        self.call(step, self.http.get(url), &[code], |body| {
            Some(BusinessToken {
                access_token: SecretString::from(text(body, "/access_token")?),
                expires_in: body
                    .get("expires_in")
                    .and_then(Value::as_u64)
                    .filter(|seconds| *seconds > 0)
                    .map(Duration::from_secs),
            })
        })
        .await
    }

    /// Asks what a token is good for. A token that is no longer good is an answer too: `is_valid` says so.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says; here they are about our own app and not about the token.
    pub async fn debug_token(&self, token: &SecretString) -> Answered<TokenFacts> {
        let step = Step::DebugToken;
        let ours = format!(
            "{}|{}",
            self.app.app_id,
            self.app.app_secret.expose_secret()
        );
        let ours = SecretString::from(ours);
        let mut url = self.base.below(&["debug_token"]);
        url.query_pairs_mut()
            .append_pair("input_token", token.expose_secret())
            .append_pair("access_token", ours.expose_secret());
        self.call(step, self.http.get(url), &[token, &ours], |body| {
            facts(body.get("data")?)
        })
        .await
    }

    /// Whether the token was given to our app, for what we do, and for this business account. What the browser says
    /// is no proof: it could name the account of another operator.
    ///
    /// # Errors
    /// Codes of ours: `token-invalid`, `token-of-another-app`, `scope-missing`, `waba-not-granted`.
    pub fn check_grant(&self, facts: &TokenFacts, waba_id: &str) -> Answered<()> {
        let has = |scope: &&str| facts.scopes.iter().any(|granted| granted == scope);
        let fault = if !facts.is_valid {
            "token-invalid"
        } else if facts.app_id != self.app.app_id {
            "token-of-another-app"
        } else if !SCOPES.iter().all(has) {
            "scope-missing"
        } else if !facts.wabas().any(|granted| granted == waba_id) {
            "waba-not-granted"
        } else {
            return Ok(());
        };
        Err(faults::ours(Step::DebugToken, fault))
    }
}

fn facts(data: &Value) -> Option<TokenFacts> {
    let words = |list: &Value, pointer| {
        let words = crate::json::list(list, pointer).iter();
        words
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let granular = crate::json::list(data, "/granular_scopes");
    Some(TokenFacts {
        // A token that nobody gave has no app.
        app_id: text(data, "/app_id").unwrap_or_default(),
        is_valid: data.get("is_valid")?.as_bool()?,
        expires_at: instant(data.get("expires_at")),
        data_access_expires_at: instant(data.get("data_access_expires_at")),
        scopes: words(data, "/scopes"),
        granular_scopes: granular
            .iter()
            .filter_map(|granted| {
                Some(TokenScope {
                    scope: text(granted, "/scope")?,
                    target_ids: words(granted, "/target_ids"),
                })
            })
            .collect(),
    })
}

/// Seconds since 1970; 0 is never.
fn instant(seconds: Option<&Value>) -> Option<OffsetDateTime> {
    let seconds = seconds?.as_i64().filter(|seconds| *seconds > 0)?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}
