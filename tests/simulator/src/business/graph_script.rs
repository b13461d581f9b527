//! What a test wants Meta to do to the next calls of onboarding, and what is kept of those that were made.

use crate::Answer;
use serde::{Deserialize, Serialize};

/// Changes what happens to the calls that fit. A script comes before every rule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphScript {
    /// Only calls of this edge: `access_token`, `debug_token`, `phone_numbers`, `number`, `register`, `deregister`,
    /// `subscribed_apps` or `message_templates`.
    #[serde(default)]
    pub edge: Option<String>,
    /// Only calls of this method.
    #[serde(default)]
    pub method: Option<String>,
    /// How many calls it is good for; 0 is as 1.
    #[serde(default)]
    pub times: u32,
    #[serde(default)]
    pub delay_ms: u64,
    #[serde(default)]
    pub answer: Answer,
}

/// One call of onboarding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphCall {
    /// As [`GraphScript::edge`].
    pub edge: String,
    pub method: String,
    /// The account or number that it was about; empty for the calls about tokens.
    pub id: String,
    /// Whether it carried the proof of the app's secret, and a right one.
    pub proven: bool,
    /// The error code of the answer.
    pub code: Option<i64>,
}

impl GraphScript {
    /// The next call of this edge is refused.
    #[must_use]
    pub fn fail(edge: &str, code: i64) -> Self {
        Self::refuse(edge, code, None)
    }

    /// The next call of this edge is refused, with a subcode.
    #[must_use]
    pub fn refuse(edge: &str, code: i64, subcode: Option<i64>) -> Self {
        let answer = Answer::Fail {
            code,
            http_status: None,
            subcode,
            is_transient: false,
            retry_after: None,
        };
        Self {
            edge: Some(edge.to_owned()),
            answer,
            ..Self::default()
        }
    }

    fn fits(&self, edge: &str, method: &str) -> bool {
        let is =
            |wanted: &Option<String>, it: &str| wanted.as_deref().is_none_or(|text| text == it);
        is(&self.edge, edge) && is(&self.method, method)
    }
}

impl super::Businesses {
    /// The first script that fits, used up by one.
    pub(crate) fn take_script(&mut self, edge: &str, method: &str) -> Option<GraphScript> {
        let at = self
            .scripts
            .iter()
            .position(|script| script.fits(edge, method))?;
        let taken = self.scripts[at].clone();
        if taken.times > 1 {
            self.scripts[at].times -= 1;
        } else {
            self.scripts.remove(at);
        }
        Some(taken)
    }
}
