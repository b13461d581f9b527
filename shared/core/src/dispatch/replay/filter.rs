//! Which messages a replay is about. Every member is checked here, and a fault names its member.

use crate::model::{Category, Channel, MessageStatus};
use crate::platform::hasura::ActionError;
use serde::Deserialize;
use serde_json::Value;
use std::str::FromStr;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Texts that are compared with stored ones: longer than any of those.
const TEXT_LIMIT: usize = 200;

/// The classes that an attempt can end with: `ACCEPTED`, and the outcome classes of docs/notification-pipeline-protocol.md.
const CLASSES: &[&str] = &[
    "ACCEPTED",
    "RETRYABLE",
    "RATE_LIMITED",
    "AMBIGUOUS",
    "HOLD",
    "AUTH",
    "POLICY_WINDOW",
    "MARKETING_LIMIT",
    "PERMANENT_RECIPIENT",
    "PERMANENT_CONTENT",
    "PERMANENT_TEMPLATE",
    "ACCOUNT_CONFIG",
    "UNKNOWN",
];

/// What is absent matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayFilter {
    /// FAILED or EXPIRED.
    pub status: Option<MessageStatus>,
    /// Of the last attempt.
    pub class: Option<String>,
    /// `messages.failed_code`.
    pub code: Option<String>,
    pub channel: Option<Channel>,
    pub category: Option<Category>,
    pub trigger_event: Option<String>,
    pub failed_after: OffsetDateTime,
    pub failed_before: Option<OffsetDateTime>,
}

/// The members before they are checked.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    status: Value,
    class: Value,
    code: Value,
    channel: Value,
    category: Value,
    trigger_event: Value,
    failed_after: Value,
    failed_before: Value,
}

impl ReplayFilter {
    /// # Errors
    /// `validation-failed` naming the member.
    pub fn parse(value: &Value) -> Result<Self, ActionError> {
        if !value.is_object() {
            return Err(ActionError::invalid("filter must be an object"));
        }
        let raw = Raw::deserialize(value)
            .map_err(|error| ActionError::invalid(format!("filter: {error}")))?;
        let filter = Self {
            status: status(&raw.status)?,
            class: class(&raw.class)?,
            code: text("code", &raw.code)?,
            channel: word(
                "channel",
                &raw.channel,
                Channel::ALL.iter().map(|word| word.as_str()),
            )?,
            category: word(
                "category",
                &raw.category,
                Category::ALL.iter().map(|word| word.as_str()),
            )?,
            trigger_event: text("trigger_event", &raw.trigger_event)?,
            failed_after: instant("failed_after", &raw.failed_after)?
                .ok_or_else(|| ActionError::invalid("filter.failed_after is required"))?,
            failed_before: instant("failed_before", &raw.failed_before)?,
        };
        if filter
            .failed_before
            .is_some_and(|before| before <= filter.failed_after)
        {
            return Err(ActionError::invalid(
                "filter.failed_before must be later than filter.failed_after",
            ));
        }
        Ok(filter)
    }
}

fn status(value: &Value) -> Result<Option<MessageStatus>, ActionError> {
    let ended = [MessageStatus::Failed, MessageStatus::Expired];
    word("status", value, ended.iter().map(|word| word.as_str()))
}

fn class(value: &Value) -> Result<Option<String>, ActionError> {
    word("class", value, CLASSES.iter().copied())
}

fn word<T: FromStr>(
    member: &str,
    value: &Value,
    known: impl Iterator<Item = &'static str>,
) -> Result<Option<T>, ActionError> {
    let known: Vec<&str> = known.collect();
    let refused = || {
        ActionError::invalid(format!(
            "filter.{member} must be one of {}",
            known.join(", ")
        ))
    };
    if value.is_null() {
        return Ok(None);
    }
    let given = value.as_str().filter(|given| known.contains(given));
    let given = given.and_then(|given| given.parse().ok());
    given.map(Some).ok_or_else(refused)
}

fn text(member: &str, value: &Value) -> Result<Option<String>, ActionError> {
    if value.is_null() {
        return Ok(None);
    }
    let given = value
        .as_str()
        .filter(|given| !given.is_empty() && given.len() <= TEXT_LIMIT);
    let given = given.ok_or_else(|| {
        ActionError::invalid(format!(
            "filter.{member} must be text of 1 to {TEXT_LIMIT} bytes"
        ))
    })?;
    Ok(Some(given.to_owned()))
}

fn instant(member: &str, value: &Value) -> Result<Option<OffsetDateTime>, ActionError> {
    if value.is_null() {
        return Ok(None);
    }
    let given = value
        .as_str()
        .and_then(|given| OffsetDateTime::parse(given, &Rfc3339).ok());
    given.map(Some).ok_or_else(|| {
        ActionError::invalid(format!(
            "filter.{member} must be an RFC 3339 time, such as 2026-11-23T10:00:00Z"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use comms_providers::{OutcomeClass, outcome::Scope};
    use serde_json::json;

    fn refusal(filter: &Value) -> String {
        ReplayFilter::parse(filter).unwrap_err().message
    }

    #[test]
    fn a_fault_names_its_member() {
        let after = "2026-11-23T10:00:00Z";
        let faults = [
            (json!(null), "filter must be an object"),
            (json!({}), "filter.failed_after is required"),
            (
                json!({"failed_after": "yesterday"}),
                "filter.failed_after must be an RFC 3339 time, such as 2026-11-23T10:00:00Z",
            ),
            (
                json!({"failed_after": 5}),
                "filter.failed_after must be an RFC 3339 time, such as 2026-11-23T10:00:00Z",
            ),
            (
                json!({"failed_after": after, "failed_before": after}),
                "filter.failed_before must be later than filter.failed_after",
            ),
            (
                json!({"failed_after": after, "status": "SENT"}),
                "filter.status must be one of FAILED, EXPIRED",
            ),
            (
                json!({"failed_after": after, "channel": "sms"}),
                "filter.channel must be one of WHATSAPP, EMAIL, SMS, WEBCHAT",
            ),
            (
                json!({"failed_after": after, "category": 1}),
                "filter.category must be one of OTP, TRANSACTIONAL, MARKETING, SERVICE",
            ),
            (
                json!({"failed_after": after, "code": ""}),
                "filter.code must be text of 1 to 200 bytes",
            ),
        ];
        for (filter, fault) in faults {
            assert_eq!(refusal(&filter), fault);
        }
        assert!(
            refusal(&json!({"failed_after": after, "class": "auth"}))
                .starts_with("filter.class must be one of ACCEPTED, ")
        );
        assert!(
            refusal(&json!({"failed_after": after, "tenant_id": "x"}))
                .starts_with("filter: unknown field `tenant_id`")
        );
    }

    #[test]
    fn what_is_null_or_absent_matches_everything() {
        let filter = ReplayFilter::parse(
            &json!({"failed_after": "2026-11-23T10:00:00+01:00", "class": null}),
        )
        .unwrap();
        assert_eq!(
            (
                filter.class,
                filter.status,
                filter.failed_after.unix_timestamp()
            ),
            (None, None, 1_795_424_400)
        );
    }

    #[test]
    fn every_class_that_is_stored_can_be_asked_for() {
        let stored = [
            OutcomeClass::Retryable,
            OutcomeClass::RateLimited(Scope::App),
            OutcomeClass::Ambiguous,
            OutcomeClass::Hold(Scope::App),
            OutcomeClass::Auth,
            OutcomeClass::PolicyWindow,
            OutcomeClass::MarketingLimit,
            OutcomeClass::PermanentRecipient,
            OutcomeClass::PermanentContent,
            OutcomeClass::PermanentTemplate,
            OutcomeClass::AccountConfig,
            OutcomeClass::Unknown,
        ];
        assert_eq!(CLASSES.len(), stored.len() + 1);
        for class in stored {
            assert!(CLASSES.contains(&class.as_str()), "{class:?}");
        }
    }
}
