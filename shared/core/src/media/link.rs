//! A link to a stored file, for as long as it takes to open it.

use super::types;
use crate::platform::config::aws_code;
use crate::platform::{Aws, Settings, clock};
use aws_sdk_s3::presigning::PresigningConfig;
use std::time::Duration;
use time::OffsetDateTime;

/// Whoever has the link has the file for so long.
const LIFE: Duration = Duration::from_secs(300);

/// Signs links to objects of the media bucket.
#[derive(Debug, Clone)]
pub struct FileLinks {
    aws: Aws,
    bucket: String,
}

#[derive(Debug)]
pub(crate) struct FileLink {
    pub url: String,
    pub expires_at: OffsetDateTime,
}

impl FileLinks {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        Self::named(aws, &settings.required("MEDIA_BUCKET"))
    }

    /// For tests.
    #[must_use]
    pub fn named(aws: &Aws, bucket: &str) -> Self {
        Self {
            aws: aws.clone(),
            bucket: bucket.to_owned(),
        }
    }

    /// Nothing is called for it. What is a download gets its name: the object has none. The error is a code.
    pub(crate) async fn sign(
        &self,
        key: &str,
        mime_type: Option<&str>,
        filename: Option<&str>,
    ) -> Result<FileLink, String> {
        let config = PresigningConfig::expires_in(LIFE).map_err(|error| error.to_string())?;
        let is_download = mime_type.is_none_or(|mime_type| !types::is_shown(mime_type));
        let named = filename.filter(|_| is_download).map(attachment);
        let s3 = self.aws.s3().await;
        let object = s3.get_object().bucket(&self.bucket).key(key);
        let expires_at = clock::now() + LIFE;
        let signed = object
            .set_response_content_disposition(named)
            .presigned(config)
            .await
            .map_err(|error| aws_code(&error))?;
        Ok(FileLink {
            url: signed.uri().to_owned(),
            expires_at,
        })
    }
}

/// `Content-Disposition` of a download (RFC 6266; the name as RFC 8187 writes it).
fn attachment(filename: &str) -> String {
    use std::fmt::Write as _;
    let mut name = String::new();
    for byte in filename.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    format!("attachment; filename*=UTF-8''{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_header() {
        assert_eq!(
            attachment("año \"1\"\r\n.docx"),
            "attachment; filename*=UTF-8''a%C3%B1o%20%221%22%0D%0A.docx"
        );
    }
}
