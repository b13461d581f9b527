//! The two buckets: files for agents, and the raw mails that attachments are cut from.
//!
//! A file is written whole, under a key of its own, and carries nothing personal: neither its name nor its sender.

use super::types::Served;
use crate::platform::config::aws_code;
use crate::platform::{Aws, Settings};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream};

#[derive(Debug, Clone)]
pub struct Buckets {
    aws: Aws,
    media: String,
    mail: String,
}

/// Why a mail could not be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MailFault {
    NotThere,
    TooLarge,
    /// The service's code.
    Passing(String),
}

impl Buckets {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        Self {
            aws: aws.clone(),
            media: settings.required("MEDIA_BUCKET"),
            mail: settings.required("MAIL_BUCKET"),
        }
    }

    /// For tests.
    #[must_use]
    pub fn named(aws: &Aws, media: &str, mail: &str) -> Self {
        Self {
            aws: aws.clone(),
            media: media.to_owned(),
            mail: mail.to_owned(),
        }
    }

    /// Writes the file, or the same file over itself. The error is the service's code.
    pub(super) async fn store(
        &self,
        key: &str,
        served: &Served,
        bytes: Vec<u8>,
    ) -> Result<(), String> {
        let call = self
            .aws
            .s3()
            .await
            .put_object()
            .bucket(&self.media)
            .key(key)
            .content_type(&served.content_type)
            .content_disposition(served.disposition)
            .cache_control("private, max-age=3600")
            .body(ByteStream::from(bytes));
        call.send()
            .await
            .map(drop)
            .map_err(|error| aws_code(&error))
    }

    /// A raw mail, if it has no more bytes than `limit`.
    pub(super) async fn mail(&self, key: &str, limit: u64) -> Result<Vec<u8>, MailFault> {
        let call = self.aws.s3().await.get_object().bucket(&self.mail).key(key);
        let object = call.send().await.map_err(|error| {
            let missing = error.as_service_error().map(GetObjectError::is_no_such_key);
            if missing == Some(true) {
                MailFault::NotThere
            } else {
                MailFault::Passing(aws_code(&error))
            }
        })?;
        let size = object
            .content_length()
            .and_then(|length| u64::try_from(length).ok());
        if size.is_none_or(|size| size > limit) {
            return Err(MailFault::TooLarge);
        }
        let bytes = object.body.collect().await;
        bytes
            .map(AggregatedBytes::to_vec)
            .map_err(|_| MailFault::Passing("unreadable answer".to_owned()))
    }
}
