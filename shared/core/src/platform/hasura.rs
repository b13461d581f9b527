//! Hasura's contracts: who may call, what arrives, how to answer.
//!
//! Actions answer 2xx with the typed object, or 4xx with `{message, extensions: {code, retryable}}`; a 5xx is opaque to
//! the user and therefore means a bug. Event triggers are delivered at least once and in any order; any 2xx ends them.

mod cron;
mod serve;

pub use cron::CronRequest;
pub use serve::{refused, serve, unavailable};

use super::config::{ConfigError, Secret};
use crate::model::{TenantId, UserId};
use aws_lc_rs::{constant_time, digest};
use http::{Response, StatusCode, header::CONTENT_TYPE};
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Value, json};
use std::{collections::HashMap, str::FromStr};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Nhost's convention for the shared secret's header.
pub const SECRET_HEADER: &str = "nhost-webhook-secret";

/// The door that only Hasura may pass: `HASURA_SECRETS` holds one value, or two while it rotates.
#[derive(Debug)]
pub struct Door(Secret);

impl Door {
    #[must_use]
    pub fn new(secrets: Secret) -> Self {
        Self(secrets)
    }

    /// Is this the shared secret? Takes the same time for every wrong value, whatever its length.
    ///
    /// # Errors
    /// When the secret itself cannot be had.
    pub async fn admits(&self, header: Option<&str>) -> Result<bool, ConfigError> {
        let given = digest::digest(&digest::SHA256, header.unwrap_or_default().as_bytes());
        let admitted = self.0.list().await?.iter().fold(false, |admitted, secret| {
            let wanted = digest::digest(&digest::SHA256, secret.expose_secret().as_bytes());
            admitted
                | constant_time::verify_slices_are_equal(given.as_ref(), wanted.as_ref()).is_ok()
        });
        Ok(admitted)
    }
}

/// The body of an action call.
#[derive(Debug, Deserialize)]
pub struct ActionRequest {
    pub action: ActionName,
    #[serde(default)]
    pub input: Value,
    pub session_variables: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub struct ActionName {
    pub name: String,
}

/// Neither `text` nor `jsonb` can hold it.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// serde's words without the value that it quotes: `invalid type: string, expected a UUID`.
#[must_use]
pub fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (text.find('"'), text.rfind("\", expected")) {
        (Some(from), Some(to)) if from <= to => {
            format!("{}{}", text[..from].trim_end(), &text[to + 1..])
        }
        _ => text,
    }
}

/// What somebody outside wrote, typed.
///
/// # Errors
/// `validation-failed` naming the field by its path.
pub fn read<T: for<'de> Deserialize<'de>>(input: &Value) -> Result<T, ActionError> {
    if has_nul(input) {
        return Err(ActionError::invalid(
            "input: must not contain NUL characters",
        ));
    }
    serde_path_to_error::deserialize(input).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." => "input".to_owned(),
            path => path,
        };
        ActionError::invalid(format!("{field}: {}", without_values(error.inner())))
    })
}

/// For an argument that may be absent, null, or a value, each with its own meaning; beside `#[serde(default)]`.
///
/// # Errors
/// When the value does not read.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// A point in time as GraphQL's `timestamptz` has it, to the microsecond that Postgres keeps.
///
/// # Errors
/// For what is not RFC 3339 with its offset: a time without one means another instant to everybody.
pub fn instant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OffsetDateTime>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let instant = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| {
        D::Error::custom("must be RFC 3339 with an offset, such as 2026-12-01T09:00:00Z")
    })?;
    let micros = instant.nanosecond() / 1_000 * 1_000;
    Ok(Some(instant.replace_nanosecond(micros).unwrap_or(instant)))
}

/// Who acts, from the session variables alone: nothing in `input` can say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub tenant: TenantId,
    pub user: UserId,
    pub role: String,
}

/// The role of a tenant's own administrators. Not Hasura's `admin`, which no permission can confine to a tenant.
pub const TENANT_ADMIN: &str = "tenant_admin";
/// And of its agents. Nobody else acts here, whatever the engine's permissions have become.
const DISPATCHER: &str = "dispatcher";

/// # Errors
/// `forbidden` for everybody else; `what` says what only they may do.
pub fn administrators(session: &Session, what: &str) -> Result<(), ActionError> {
    if session.role == TENANT_ADMIN {
        return Ok(());
    }
    Err(ActionError::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!("only administrators may {what}"),
    ))
}

impl ActionRequest {
    /// # Errors
    /// `forbidden` when a session variable is missing or the role is another, `validation-failed` when it is not a UUID.
    pub fn session(&self) -> Result<Session, ActionError> {
        let session = Session {
            tenant: self.variable("x-hasura-tenant-id")?,
            user: self.variable("x-hasura-user-id")?,
            role: self.raw_variable("x-hasura-role")?.to_owned(),
        };
        if [TENANT_ADMIN, DISPATCHER].contains(&session.role.as_str()) {
            return Ok(session);
        }
        let refused = format!("the role must be {DISPATCHER} or {TENANT_ADMIN}");
        Err(ActionError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            refused,
        ))
    }

    /// The arguments, typed.
    ///
    /// # Errors
    /// `validation-failed` naming the field.
    pub fn arguments<T: for<'de> Deserialize<'de>>(&self) -> Result<T, ActionError> {
        // With a single `input` argument Hasura nests once more.
        let input = self
            .input
            .get("input")
            .filter(|inner| inner.is_object())
            .unwrap_or(&self.input);
        read(input)
    }

    fn variable<T: FromStr>(&self, name: &str) -> Result<T, ActionError> {
        self.raw_variable(name)?
            .parse()
            .map_err(|_| ActionError::invalid(format!("session variable {name} must be a UUID")))
    }

    fn raw_variable(&self, name: &str) -> Result<&str, ActionError> {
        let found = self
            .session_variables
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).ok_or_else(|| {
            ActionError::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("session variable {name} is missing"),
            )
        })
    }
}

/// What an action answers when it does not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ActionError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// May the same call succeed later without anybody changing anything?
    pub retryable: bool,
    /// More for the caller, merged into `extensions`.
    pub details: Option<Value>,
}

impl ActionError {
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retryable: false,
            details: None,
        }
    }

    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation-failed", message)
    }

    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("{what} not found"),
        )
    }

    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// Something of ours failed and may pass; the caller learns no more, the log has the rest.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            retryable: true,
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "unavailable",
                "the service is busy or being restarted; try again",
            )
        }
    }

    /// The shared secret is missing or wrong.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            format!("header {SECRET_HEADER} is missing or wrong"),
        )
    }

    /// A bug of ours, the one 5xx there is.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service failed; it has been logged",
        )
    }

    #[must_use]
    pub fn with_details(self, details: Value) -> Self {
        Self {
            details: Some(details),
            ..self
        }
    }

    #[must_use]
    pub fn response(&self) -> Response<String> {
        let mut extensions = json!({"code": self.code, "retryable": self.retryable});
        if let (Some(Value::Object(details)), Some(target)) =
            (&self.details, extensions.as_object_mut())
        {
            target.extend(details.clone());
        }
        respond(
            self.status,
            &json!({"message": self.message, "extensions": extensions}),
        )
    }
}

/// A JSON answer.
#[must_use]
pub fn respond(status: StatusCode, body: &impl Serialize) -> Response<String> {
    let mut response = Response::new(json!(body).to_string());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

/// The body of an event trigger call. `delivery_info` changes with every delivery and is therefore not read.
#[derive(Debug, Deserialize)]
pub struct EventRequest {
    /// The idempotency key: stable over redeliveries.
    pub id: String,
    pub trigger: TriggerName,
    pub event: Event,
}

#[derive(Debug, Deserialize)]
pub struct TriggerName {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Event {
    pub op: Operation,
    pub data: EventData,
}

/// `Manual` is somebody pressing a button in the console; it carries the row as `new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    Insert,
    Update,
    Delete,
    Manual,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct EventData {
    pub old: Option<Value>,
    pub new: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(variables: &Value) -> ActionRequest {
        serde_json::from_value(
            json!({"action": {"name": "x"}, "input": {}, "session_variables": variables}),
        )
        .unwrap()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn two_secrets_are_admitted_and_nothing_else() {
        let door = Door::new(Secret::of(
            "HASURA_SECRETS",
            r#"["current","previous"]"#.into(),
        ));
        for good in ["current", "previous"] {
            assert!(door.admits(Some(good)).await.unwrap());
        }
        for bad in [None, Some(""), Some("curren"), Some("current ")] {
            assert!(!door.admits(bad).await.unwrap(), "{bad:?}");
        }
    }

    #[test]
    fn a_session_needs_all_three_variables() {
        let id = TenantId::generate().to_string();
        let error = request(&json!({"x-hasura-role": "dispatcher", "x-hasura-user-id": id}))
            .session()
            .unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (
                "forbidden",
                "session variable x-hasura-tenant-id is missing"
            )
        );
        for (role, user, code) in [
            ("dispatcher", "me", "validation-failed"),
            ("visitor", id.as_str(), "forbidden"),
        ] {
            let variables =
                json!({"x-hasura-role": role, "x-hasura-user-id": user, "x-hasura-tenant-id": id});
            let error = request(&variables).session().unwrap_err();
            assert_eq!(error.code, code, "{role}");
        }
    }

    #[test]
    fn an_error_has_the_shape_that_hasura_passes_on() {
        let response = ActionError::conflict("taken")
            .with_details(json!({"assigned_to": "u"}))
            .response();
        assert_eq!(response.status(), 409);
        assert_eq!(
            serde_json::from_str::<Value>(response.body()).unwrap(),
            json!({"message": "taken", "extensions": {"code": "conflict", "retryable": false, "assigned_to": "u"}})
        );
    }
}
