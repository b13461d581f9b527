//! Webhooks of an account: whether our app gets them, and where its messages go.

use crate::cloud::errors::ApiError;
use crate::state::State;
use serde_json::{Value, json};

const URI_LIMIT: usize = 200;

/// An override that is still to be verified.
pub(crate) struct Override {
    pub(crate) uri: String,
    pub(crate) verify_token: String,
}

impl State {
    /// Whether an override may be asked for, or none is; the handshake comes between this and [`Self::subscribe`].
    pub(crate) fn wanted_override(
        &mut self,
        waba_id: &str,
        body: &Value,
    ) -> Result<Option<Override>, ApiError> {
        let Some(uri) = body["override_callback_uri"].as_str() else {
            return Ok(None);
        };
        let Some(verify_token) = body["verify_token"]
            .as_str()
            .filter(|token| !token.is_empty())
        else {
            return Err(ApiError::new(
                100,
                "verify_token is required with an override.",
            ));
        };
        if uri.chars().count() > URI_LIMIT {
            return Err(ApiError::new(100, "override_callback_uri is too long."));
        }
        if !self.businesses.account(waba_id)?.subscribed {
            return Err(ApiError::new(
                100,
                "Before an override the app must be subscribed.",
            ));
        }
        self.businesses.verify_tokens.push(verify_token.to_owned());
        Ok(Some(Override {
            uri: uri.to_owned(),
            verify_token: verify_token.to_owned(),
        }))
    }

    /// `POST /{waba}/subscribed_apps`; without an override it takes one away.
    pub(crate) fn subscribe(
        &mut self,
        waba_id: &str,
        override_uri: Option<String>,
    ) -> Result<Value, ApiError> {
        let account = self.businesses.account(waba_id)?;
        account.subscribed = true;
        account.override_uri = override_uri;
        self.redirect(waba_id)
    }

    /// `DELETE /{waba}/subscribed_apps`.
    pub(crate) fn unsubscribe(&mut self, waba_id: &str) -> Result<Value, ApiError> {
        let account = self.businesses.account(waba_id)?;
        account.subscribed = false;
        account.override_uri = None;
        self.redirect(waba_id)
    }

    /// `GET /{waba}/subscribed_apps`.
    pub(crate) fn subscriptions(&mut self, waba_id: &str) -> Result<Value, ApiError> {
        let app_id = self.app_id().to_owned();
        let account = self.businesses.account(waba_id)?;
        if !account.subscribed {
            return Ok(json!({ "data": [] }));
        }
        let mut app = json!({ "whatsapp_business_api_data": {
            "id": app_id, "name": "Simulated", "link": "https://www.facebook.com/games/" } });
        if let Some(uri) = &account.override_uri {
            app["override_callback_uri"] = json!(uri);
        }
        Ok(json!({ "data": [app] }))
    }

    /// The numbers' webhooks go where they now belong.
    fn redirect(&mut self, waba_id: &str) -> Result<Value, ApiError> {
        let app_callback = self.businesses.app_callback.clone();
        let account = self.businesses.account(waba_id)?;
        let app_callback = app_callback.filter(|_| account.subscribed);
        let callback = account.override_uri.clone().or(app_callback);
        let numbers: Vec<String> = account
            .waba
            .numbers
            .iter()
            .map(|number| number.phone_number_id.clone())
            .collect();
        for id in numbers {
            self.change_number(&id, |number| number.callback_url.clone_from(&callback));
        }
        Ok(json!({ "success": true }))
    }
}
