//! The one place that reads the environment. It reports all that is missing at once.
//!
//! A secret NAME is either the variable `NAME` itself (local work) or the AWS Secrets Manager secret whose id stands in
//! `NAME_SECRET_ID` (deployed); it is fetched on first use, so that a cold start waits for nothing it may not need.

use super::aws::Aws;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Collects a function's settings.
#[derive(Debug)]
pub struct Settings {
    missing: Vec<String>,
    lookup: fn(&str) -> Option<String>,
}

#[derive(thiserror::Error)]
pub enum ConfigError {
    #[error("missing in the environment: {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("the setting {name} is not usable: {problem}")]
    Invalid { name: String, problem: String },
}

/// As people read it: a function that does not start ends with this.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl Settings {
    #[must_use]
    pub fn from_env() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        Self {
            missing: Vec::new(),
            lookup: |name| std::env::var(name).ok().filter(|value| !value.is_empty()),
        }
    }

    /// A setting that must be there. The empty string stands in until [`Settings::done`] says what is missing.
    pub fn required(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            self.missing.push(name.to_owned());
            String::new()
        })
    }

    #[must_use]
    pub fn or(&self, name: &str, default: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| default.to_owned())
    }

    /// A secret, by value or by its Secrets Manager id.
    pub fn secret(&mut self, name: &'static str, aws: &Aws) -> Secret {
        let id_name = format!("{name}_SECRET_ID");
        let source = match ((self.lookup)(name), (self.lookup)(&id_name)) {
            (Some(value), _) => Source::Value(value.into()),
            (None, Some(id)) => Source::SecretsManager {
                id,
                aws: aws.clone(),
            },
            (None, None) => {
                self.missing.push(format!("{name} (or {id_name})"));
                Source::Value(SecretString::default())
            }
        };
        Secret {
            name,
            source,
            fetched: Mutex::default(),
        }
    }

    /// # Errors
    /// When anything required was missing, naming all of it.
    pub fn done(self) -> Result<(), ConfigError> {
        if self.missing.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Missing(self.missing))
        }
    }
}

/// A secret setting, fetched on first use and again when it is five minutes old: a rotation reaches warm sandboxes.
#[derive(Debug)]
pub struct Secret {
    name: &'static str,
    source: Source,
    fetched: Mutex<Option<(SecretString, Instant)>>,
}

const FRESH_FOR: Duration = Duration::from_secs(300);

#[derive(Debug)]
enum Source {
    Value(SecretString),
    SecretsManager { id: String, aws: Aws },
}

impl Secret {
    #[must_use]
    pub fn of(name: &'static str, value: SecretString) -> Self {
        Self {
            name,
            source: Source::Value(value),
            fetched: Mutex::default(),
        }
    }

    /// # Errors
    /// When Secrets Manager does not give it and never did; an old value serves while it does not answer.
    pub async fn get(&self) -> Result<SecretString, ConfigError> {
        let mut fetched = self.fetched.lock().await;
        if let Some((value, at)) = fetched.as_ref()
            && at.elapsed() < FRESH_FOR
        {
            return Ok(value.clone());
        }
        match (self.fetch().await, fetched.as_ref()) {
            (Ok(value), _) => Ok(fetched.insert((value, Instant::now())).0.clone()),
            (Err(error), None) => Err(error),
            (Err(error), Some((value, _))) => {
                tracing::warn!(%error, "secret not refreshed, the old one serves");
                Ok(value.clone())
            }
        }
    }

    /// The value as it is now, whatever the age of the one we have.
    ///
    /// # Errors
    /// As [`Secret::get`].
    pub async fn refreshed(&self) -> Result<SecretString, ConfigError> {
        let value = self.fetch().await?;
        *self.fetched.lock().await = Some((value.clone(), Instant::now()));
        Ok(value)
    }

    /// A secret that is a JSON array of strings: the current value first, the one being rotated out second.
    ///
    /// # Errors
    /// When it cannot be fetched or is not such an array with at least one non-empty string.
    pub async fn list(&self) -> Result<Vec<SecretString>, ConfigError> {
        let text = self.get().await?;
        serde_json::from_str::<Vec<String>>(text.expose_secret())
            .ok()
            .filter(|all| !all.is_empty() && all.iter().all(|one| !one.is_empty()))
            .map(|all| all.into_iter().map(SecretString::from).collect())
            .ok_or_else(|| self.invalid("it must be a JSON array of non-empty strings"))
    }

    async fn fetch(&self) -> Result<SecretString, ConfigError> {
        match &self.source {
            Source::Value(value) => Ok(value.clone()),
            Source::SecretsManager { id, aws } => {
                let answer = aws
                    .secrets_manager()
                    .await
                    .get_secret_value()
                    .secret_id(id)
                    .send()
                    .await;
                let answer = answer.map_err(|error| {
                    self.invalid(&format!("Secrets Manager: {}", aws_code(&error)))
                })?;
                answer
                    .secret_string
                    .map(Into::into)
                    .ok_or_else(|| self.invalid("the secret holds no string"))
            }
        }
    }

    pub(super) fn invalid(&self, problem: &str) -> ConfigError {
        ConfigError::Invalid {
            name: self.name.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

/// The service's error code, or the kind of transport fault: fit for logs, never the request.
pub(crate) fn aws_code<E, R>(error: &aws_sdk_sqs::error::SdkError<E, R>) -> String
where
    E: aws_sdk_sqs::error::ProvideErrorMetadata,
{
    use aws_sdk_sqs::error::SdkError;
    match error {
        SdkError::ServiceError(service) => {
            service.err().code().unwrap_or("service error").to_owned()
        }
        SdkError::TimeoutError(_) => "timeout".to_owned(),
        SdkError::DispatchFailure(_) => "unreachable".to_owned(),
        SdkError::ResponseError(_) => "unreadable answer".to_owned(),
        _ => "request not built".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_is_named_at_once() {
        let mut settings = Settings {
            missing: Vec::new(),
            lookup: |_| None,
        };
        settings.required("KMS_KEY_ID");
        settings.secret("DATABASE_URL", &Aws::default());
        let error = settings.done().unwrap_err().to_string();
        assert_eq!(
            error,
            "missing in the environment: KMS_KEY_ID, DATABASE_URL (or DATABASE_URL_SECRET_ID)"
        );
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_list_secret_holds_at_least_one_value() {
        for bad in ["", "[]", "\"one\"", "[\"\"]", "{}"] {
            assert!(
                Secret::of("HASURA_SECRETS", bad.into())
                    .list()
                    .await
                    .is_err(),
                "{bad}"
            );
        }
        assert_eq!(
            Secret::of("HASURA_SECRETS", "[\"a\",\"b\"]".into())
                .list()
                .await
                .unwrap()
                .len(),
            2
        );
    }
}
