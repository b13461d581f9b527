//! What a test wants the provider to do to its next sends.

use serde::Deserialize;

/// Changes what happens to the sends that fit; a send has to pass the provider's rules first.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Only sends from this number.
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// Only sends to this phone number or user id; a leading `+` makes no difference.
    #[serde(default)]
    pub recipient: Option<String>,
    /// Only sends with this `biz_opaque_callback_data`.
    #[serde(default)]
    pub correlation: Option<String>,
    /// How many sends it is good for.
    #[serde(default = "once")]
    pub times: u32,
    /// How long the answer is held back. The message is accepted or not before that.
    #[serde(default)]
    pub delay_ms: u64,
    #[serde(default)]
    pub answer: Answer,
    /// Reported instead of the number's `auto_statuses`, if the message is accepted; an empty list reports nothing.
    #[serde(default)]
    pub statuses: Option<Vec<StatusStep>>,
    /// Post the statuses, and see each tried once, before answering.
    #[serde(default)]
    pub statuses_first: bool,
}

/// What the caller gets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The usual one.
    #[default]
    Accept,
    /// An error envelope; the HTTP status is the one Meta uses for the code unless given.
    Fail {
        code: i64,
        #[serde(default)]
        http_status: Option<u16>,
        #[serde(default)]
        subcode: Option<i64>,
        #[serde(default)]
        is_transient: bool,
        /// Seconds.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// A status with a body that is not the provider's, as from a proxy in front of it.
    Bare {
        http_status: u16,
        #[serde(default)]
        body: String,
        /// The message was accepted all the same.
        #[serde(default)]
        accepted: bool,
        /// Seconds.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// The connection is closed without an answer.
    HangUp {
        /// The message was accepted all the same.
        #[serde(default = "yes")]
        accepted: bool,
    },
}

/// One status to report: a word, or a word and an error code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "StepForm")]
pub struct StatusStep {
    pub status: String,
    /// Fills `errors[]`.
    pub code: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StepForm {
    Word(String),
    Full {
        status: String,
        #[serde(default)]
        code: Option<i64>,
    },
}

impl From<StepForm> for StatusStep {
    fn from(form: StepForm) -> Self {
        match form {
            StepForm::Word(status) => Self { status, code: None },
            StepForm::Full { status, code } => Self { status, code },
        }
    }
}

impl From<&str> for StatusStep {
    fn from(status: &str) -> Self {
        Self {
            status: status.to_owned(),
            code: None,
        }
    }
}

impl StatusStep {
    /// `failed` with a code.
    #[must_use]
    pub fn failed(code: i64) -> Self {
        Self {
            status: "failed".to_owned(),
            code: Some(code),
        }
    }
}

fn once() -> u32 {
    1
}

fn yes() -> bool {
    true
}

impl Default for Script {
    fn default() -> Self {
        Self {
            phone_number_id: None,
            recipient: None,
            correlation: None,
            times: once(),
            delay_ms: 0,
            answer: Answer::Accept,
            statuses: None,
            statuses_first: false,
        }
    }
}

impl Script {
    fn answering(answer: Answer) -> Self {
        Self {
            answer,
            ..Self::default()
        }
    }

    /// The next send is refused with this code, and Meta's HTTP status for it.
    #[must_use]
    pub fn fail(code: i64) -> Self {
        Self::answering(Answer::Fail {
            code,
            http_status: None,
            subcode: None,
            is_transient: false,
            retry_after: None,
        })
    }

    /// The next send is not accepted, and answered without a body of the provider's.
    #[must_use]
    pub fn bare(http_status: u16) -> Self {
        let body = "upstream error".to_owned();
        Self::answering(Answer::Bare {
            http_status,
            body,
            accepted: false,
            retry_after: None,
        })
    }

    /// The next send is accepted, and the connection closed without an answer.
    #[must_use]
    pub fn accept_and_hang_up() -> Self {
        Self::answering(Answer::HangUp { accepted: true })
    }

    /// The next send is accepted, and the answer held back.
    #[must_use]
    pub fn delay(delay_ms: u64) -> Self {
        Self {
            delay_ms,
            ..Self::default()
        }
    }

    /// The next send is accepted, and these statuses follow.
    #[must_use]
    pub fn statuses(steps: impl IntoIterator<Item = StatusStep>) -> Self {
        Self {
            statuses: Some(steps.into_iter().collect()),
            ..Self::default()
        }
    }

    /// For so many sends instead of one.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Only for sends to this recipient.
    #[must_use]
    pub fn to(self, recipient: &str) -> Self {
        Self {
            recipient: Some(recipient.to_owned()),
            ..self
        }
    }

    pub(crate) fn fits(
        &self,
        phone_number_id: &str,
        recipient: &str,
        correlation: Option<&str>,
    ) -> bool {
        let bare = |text: &str| text.trim_start_matches('+').to_owned();
        self.phone_number_id
            .as_deref()
            .is_none_or(|wanted| wanted == phone_number_id)
            && self
                .recipient
                .as_deref()
                .is_none_or(|wanted| bare(wanted) == bare(recipient))
            && self
                .correlation
                .as_deref()
                .is_none_or(|wanted| Some(wanted) == correlation)
    }
}
