//! What can be said of a request without looking anything up, and how a refusal names its field.

use super::recipients::{check_listed, check_locale};
use super::{MOST_RECIPIENTS, NotificationRequest};
use crate::model::{Category, Channel};
use crate::platform::hasura::{self, ActionError};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

pub(in crate::automation) const KEY_LIMIT: usize = 128;
/// What [`check_key`] and [`check_event`] take, for a schema.
pub(in crate::automation) const KEY_PATTERN: &str = "^[!-~]+$";
pub(in crate::automation) const EVENT_PATTERN: &str = "^[A-Z][A-Z0-9_]{2,63}$";
/// Bytes of all variables.
pub(super) const VARIABLES_LIMIT: usize = 32 * 1024;
/// Nobody plans further ahead.
const LONGEST_AHEAD: Duration = Duration::days(366);

/// A refusal that names its field.
pub(in crate::automation) fn invalid(field: &str, problem: impl AsRef<str>) -> ActionError {
    ActionError::invalid(format!("{field}: {}", problem.as_ref()))
        .with_details(json!({"field": field}))
}

impl NotificationRequest {
    /// All that can be said without looking anything up.
    ///
    /// # Errors
    /// `validation-failed` naming the field.
    pub fn check(&self, now: OffsetDateTime) -> Result<(), ActionError> {
        check_key(&self.idempotency_key)?;
        check_event(&self.trigger_event)?;
        check_variables(&self.variables)?;
        check_channels(self.channels.as_deref())?;
        if self.run_id.is_some() && self.beside.is_some() {
            return Err(invalid("beside", "must not be given with run_id"));
        }
        match (&self.audience, &self.recipients) {
            (Some(_), Some(_)) => {
                return Err(invalid("recipients", "must not be given beside audience"));
            }
            (None, Some(listed)) if listed.is_empty() || listed.len() > MOST_RECIPIENTS => {
                let problem = format!("must be 1 to {MOST_RECIPIENTS}; more are a batch");
                return Err(invalid("recipients", problem));
            }
            (None, Some(listed)) => check_listed(listed)?,
            (_, None) => {}
        }
        if let Some(locale) = &self.locale {
            check_locale("locale", locale)?;
        }
        if self.category == Some(Category::Service) {
            return Err(invalid(
                "category",
                "must be OTP, TRANSACTIONAL or MARKETING: SERVICE is an agent's answer",
            ));
        }
        if self.send_at.is_some_and(|at| at > now + LONGEST_AHEAD) {
            return Err(invalid("send_at", "must be at most 366 days ahead"));
        }
        let starts = self.send_at.unwrap_or(now).max(now);
        if self.expires_at.is_some_and(|at| at <= starts) {
            return Err(invalid(
                "expires_at",
                "must be after send_at, and after now",
            ));
        }
        Ok(())
    }
}

pub(in crate::automation) fn check_key(key: &str) -> Result<(), ActionError> {
    let plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && (1..=KEY_LIMIT).contains(&key.len()) {
        return Ok(());
    }
    Err(invalid(
        "idempotency_key",
        format!("must be 1 to {KEY_LIMIT} visible ASCII characters"),
    ))
}

pub(in crate::automation) fn check_event(event: &str) -> Result<(), ActionError> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let good = event.starts_with(|first: char| first.is_ascii_uppercase())
        && (3..=64).contains(&event.len())
        && event.bytes().all(plain);
    if good {
        return Ok(());
    }
    Err(invalid(
        "trigger_event",
        "must be 3 to 64 of A-Z, 0-9 and _, such as TRIP_DELAYED",
    ))
}

fn check_variables(variables: &Map<String, Value>) -> Result<(), ActionError> {
    if json!(variables).to_string().len() > VARIABLES_LIMIT {
        let problem = format!("must be at most {VARIABLES_LIMIT} bytes");
        return Err(invalid("variables", problem));
    }
    Ok(())
}

fn check_channels(channels: Option<&[Channel]>) -> Result<(), ActionError> {
    let Some(channels) = channels else {
        return Ok(());
    };
    let twice = |(place, channel): (usize, &Channel)| channels[..place].contains(channel);
    if channels.is_empty() || channels.iter().enumerate().any(twice) {
        return Err(invalid(
            "channels",
            "must name each channel once, and one at least",
        ));
    }
    if channels.contains(&Channel::Webchat) {
        return Err(invalid("channels", "WEBCHAT carries no notifications"));
    }
    Ok(())
}

/// As `extensions` name what is wrong with a body.
///
/// # Errors
/// `validation-failed` naming the field.
pub fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, ActionError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        ActionError::invalid(format!(
            "not JSON, line {} column {}",
            error.line(),
            error.column()
        ))
    })?;
    typed(&value, "")
}

/// The same of what is read already and stands below `parent`: a field that is missing is named like one that is wrong.
///
/// # Errors
/// `validation-failed` naming the field.
pub(in crate::automation) fn typed<T: for<'de> Deserialize<'de>>(
    value: &Value,
    parent: &str,
) -> Result<T, ActionError> {
    hasura::read(value).map_err(|error| {
        let (path, problem) = error.message.split_once(": ").unwrap_or_default();
        let absent = problem
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'));
        let mut field: Vec<&str> = [parent, path]
            .into_iter()
            .filter(|part| !part.is_empty() && *part != "input")
            .collect();
        field.extend(absent);
        let field = field.join(".");
        let said = if absent.is_some() {
            "is missing"
        } else {
            problem
        };
        match field.as_str() {
            "" => error,
            field => invalid(field, said),
        }
    })
}

/// The status of a client that may not do this.
#[must_use]
pub fn forbidden(scope: &str) -> ActionError {
    ActionError::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!("the token lacks the scope {scope}"),
    )
}
