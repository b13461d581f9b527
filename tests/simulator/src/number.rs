//! A business number and what Meta knows about it.

use crate::{Refused, StatusStep};
use reqwest::Url;
use serde::Deserialize;
use std::net::IpAddr;

/// A number of a WhatsApp business account, as registered by a test.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    pub phone_number_id: String,
    pub waba_id: String,
    /// Digits, without `+`.
    pub display_phone_number: String,
    /// The bearer token that may send from this number.
    pub access_token: String,
    /// Where webhooks go; on this machine only. Without one they are held for [`crate::Simulator::take_held`].
    #[serde(default)]
    pub callback_url: Option<String>,
    /// What is reported after each acceptance, in this order.
    #[serde(default)]
    pub auto_statuses: Vec<StatusStep>,
    #[serde(default)]
    pub templates: Vec<Template>,
    /// Refuse free-form messages to people who have not written within 24 hours (131047).
    #[serde(default)]
    pub enforce_window: bool,
    /// `false` answers every send with 133010.
    #[serde(default = "yes")]
    pub registered: bool,
    #[serde(default)]
    pub pair_rate: Option<PairRate>,
}

/// An approved template, or one that was.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub name: String,
    pub language: String,
    /// Placeholders in its body.
    #[serde(default)]
    pub parameters: usize,
    /// What they are called, where they are named and not counted.
    #[serde(default)]
    pub names: Vec<String>,
    #[serde(default)]
    pub state: TemplateState,
}

/// What a template may be used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateState {
    #[default]
    Approved,
    /// 132015.
    Paused,
    /// 132016.
    Disabled,
}

/// How fast one recipient may be written to (131056). Meta's own: one in 6 s, 45 at once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRate {
    pub burst: u32,
    pub every_ms: u64,
}

fn yes() -> bool {
    true
}

impl Number {
    /// A registered number without templates, webhooks or limits.
    #[must_use]
    pub fn new(
        phone_number_id: &str,
        waba_id: &str,
        display_phone_number: &str,
        access_token: &str,
    ) -> Self {
        Self {
            phone_number_id: phone_number_id.to_owned(),
            waba_id: waba_id.to_owned(),
            display_phone_number: display_phone_number.to_owned(),
            access_token: access_token.to_owned(),
            callback_url: None,
            auto_statuses: Vec::new(),
            templates: Vec::new(),
            enforce_window: false,
            registered: true,
            pair_rate: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        for (field, text) in [
            ("phone_number_id", &self.phone_number_id),
            ("access_token", &self.access_token),
        ] {
            if text.is_empty() {
                return Err(Refused(format!("{field}: must not be empty")));
            }
        }
        match &self.callback_url {
            Some(url) if !is_on_this_machine(url) => Err(Refused(
                "callback_url: must be an http URL of a loopback host".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

impl Template {
    #[must_use]
    pub fn new(name: &str, language: &str, parameters: usize) -> Self {
        let (name, language) = (name.to_owned(), language.to_owned());
        Self {
            name,
            language,
            parameters,
            names: Vec::new(),
            state: TemplateState::Approved,
        }
    }
}

/// Webhooks carry made-up people, yet they must never leave the machine.
pub(crate) fn is_on_this_machine(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    url.scheme() == "http" && loopback
}
