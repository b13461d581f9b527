//! Where mails lie until they are read, and the secrets that answers are signed with.

use crate::platform::config::{Secret, aws_code};
use crate::platform::{Aws, ConfigError};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use comms_providers::event::mail::{MailBody, MailNotice};
use comms_providers::mail::SIZE_LIMIT;
use secrecy::SecretString;
use std::borrow::Cow;

/// The bucket that SES writes to.
#[derive(Debug)]
pub struct Mailroom {
    pub aws: Aws,
    /// A notice that names another bucket is not followed.
    pub bucket: String,
    /// Of reply tokens: the newest first, two while they change.
    pub reply_secrets: Secret,
}

/// Why a mail could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the mail lies in a bucket that is not ours")]
    Elsewhere,
    #[error("the mail is not in its bucket any more")]
    Gone,
    #[error("the mail is larger than SES takes")]
    TooLarge,
    #[error("the mail bucket does not answer: {0}")]
    Unavailable(String),
}

impl FetchError {
    /// May it go better later?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl Mailroom {
    /// The mail itself. One that came inside its notice is put beside the others, once however often it comes.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self, notice: &MailNotice) -> Result<Vec<u8>, FetchError> {
        let (bucket, key) = match &notice.body {
            MailBody::Inline(raw) => {
                self.keep(&key(notice), raw).await?;
                return Ok(raw.clone());
            }
            MailBody::Stored { bucket, key } => (bucket, key),
        };
        if *bucket != self.bucket {
            return Err(FetchError::Elsewhere);
        }
        let client = self.aws.s3().await;
        let answer = client.get_object().bucket(bucket).key(key).send().await;
        let object = answer.map_err(|error| match error.code() {
            Some("NoSuchKey") => FetchError::Gone,
            _ => FetchError::Unavailable(aws_code(&error)),
        })?;
        if object
            .content_length()
            .is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > SIZE_LIMIT))
        {
            return Err(FetchError::TooLarge);
        }
        let broken = |_| FetchError::Unavailable("the answer broke off".to_owned());
        Ok(object.body.collect().await.map_err(broken)?.to_vec())
    }

    async fn keep(&self, key: &str, raw: &[u8]) -> Result<(), FetchError> {
        let client = self.aws.s3().await;
        let object = client.put_object().bucket(&self.bucket).key(key);
        let object = object.content_type("message/rfc822");
        let kept = object.body(ByteStream::from(raw.to_vec())).send().await;
        kept.map_err(|error| FetchError::Unavailable(aws_code(&error)))?;
        Ok(())
    }

    /// # Errors
    /// When they cannot be had.
    pub async fn secrets(&self) -> Result<Vec<SecretString>, ConfigError> {
        self.reply_secrets.list().await
    }
}

/// Where the mail lies.
pub(super) fn key(notice: &MailNotice) -> Cow<'_, str> {
    match &notice.body {
        MailBody::Stored { key, .. } => Cow::Borrowed(key),
        MailBody::Inline(_) => Cow::Owned(format!("inline/{}", notice.external_message_id)),
    }
}
