//! Which webhooks of an account come to us, and where.

use super::call::{success, text};
use super::faults::{self, Step};
use super::{Answered, OnboardingClient};
use crate::http;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::fmt;

const CALLBACK_LIMIT: usize = 200;

/// A URL that an account's messages are posted to: https (http on a loopback host), at most 200 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackUrl(String);

impl CallbackUrl {
    /// # Errors
    /// The code of ours `invalid-callback`.
    pub fn parse(text: &str) -> Answered<Self> {
        if text.chars().count() <= CALLBACK_LIMIT && http::GraphUrl::parse(text).is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(faults::ours(Step::Override, "invalid-callback"))
        }
    }
}

impl fmt::Display for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An app that gets an account's webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub app_id: String,
    /// Where messages go instead of to the app's own callback.
    pub override_callback_uri: Option<String>,
}

impl OnboardingClient {
    /// Subscribes our app to the account's webhooks. It also takes an override away, so it comes before one.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn subscribe(&self, token: &SecretString, waba_id: &str) -> Answered<()> {
        let step = Step::Subscribe;
        let url = self.url(step, &[waba_id, "subscribed_apps"])?;
        let request = self.authorised(step, Method::POST, url, token)?;
        self.call(step, request, &[token], success).await
    }

    /// Has the account's messages posted to `callback`. Meta asks it within this call to give a challenge back, so it
    /// must know the verify token before.
    ///
    /// # Errors
    /// [`crate::FaultClass::WrongInput`] where the callback did not answer as wanted or the app is not subscribed.
    pub async fn override_callback(
        &self,
        token: &SecretString,
        waba_id: &str,
        callback: &CallbackUrl,
        verify_token: &SecretString,
    ) -> Answered<()> {
        let step = Step::Override;
        let url = self.url(step, &[waba_id, "subscribed_apps"])?;
        let body = json!({
            "override_callback_uri": callback.0,
            "verify_token": verify_token.expose_secret(),
        });
        let request = self.authorised(step, Method::POST, url, token)?.json(&body);
        self.call(step, request, &[token, verify_token], success)
            .await
    }

    /// The apps that get the account's webhooks.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn subscriptions(
        &self,
        token: &SecretString,
        waba_id: &str,
    ) -> Answered<Vec<Subscription>> {
        let step = Step::Subscriptions;
        let url = self.url(step, &[waba_id, "subscribed_apps"])?;
        let request = self.authorised(step, Method::GET, url, token)?;
        self.call(step, request, &[token], |body| {
            let apps = body.get("data")?.as_array()?;
            Some(apps.iter().filter_map(subscription).collect())
        })
        .await
    }

    /// Ends the account's webhooks; the token must still be good.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn unsubscribe(&self, token: &SecretString, waba_id: &str) -> Answered<()> {
        let step = Step::Unsubscribe;
        let url = self.url(step, &[waba_id, "subscribed_apps"])?;
        let request = self.authorised(step, Method::DELETE, url, token)?;
        self.call(step, request, &[token], success).await
    }
}

fn subscription(app: &Value) -> Option<Subscription> {
    Some(Subscription {
        app_id: text(app, "/whatsapp_business_api_data/id")?,
        override_callback_uri: text(app, "/override_callback_uri"),
    })
}
