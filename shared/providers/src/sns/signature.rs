//! SNS's signature over an envelope.
//!
//! The signature covers the *values* of certain members in a fixed order, so an envelope may be written anew and is still
//! good. It proves that SNS sent it and not that it is ours: whoever has an AWS account can have a message signed. The
//! topic's ARN is therefore checked first, before anything is fetched for a stranger.
//!
//! Source: "Verifying the signatures of Amazon SNS messages", SNS developer guide.

use super::certificate::{CertificateError, Certificates};
use super::hosts;
use super::{Envelope, Kind};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use time::{Duration, OffsetDateTime};

/// How long SNS may take to reach us: longer than it tries over HTTPS.
const PAST: Duration = Duration::hours(1);
/// How far its clock may be ahead of ours.
const FUTURE: Duration = Duration::minutes(5);

/// An envelope that came from a topic of ours. Nothing but this module can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEnvelope(Envelope);

impl VerifiedEnvelope {
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }
}

/// Which envelopes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// ARNs of our topics.
    pub topics: Vec<String>,
    pub versions: Versions,
}

/// Which signatures are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// SHA-256 only: for topics whose attribute `SignatureVersion` is 2.
    Second,
    /// SHA-1 as well, which is what SNS does unless told otherwise.
    FirstAndSecond,
}

/// Why an envelope is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("the topic is not one of ours")]
    Topic,
    #[error("the timestamp is not readable, too old or in the future")]
    Timestamp,
    #[error("the signature has a version that is not taken")]
    Version,
    #[error("the certificate's URL is not one of SNS in the topic's region")]
    CertificateUrl,
    #[error("the certificate cannot be used")]
    Certificate(#[from] CertificateError),
    #[error("the signature does not match")]
    Mismatch,
}

impl SignatureError {
    /// May the same envelope be believed later? The caller then answers 503, for any 4xx loses the message. Without a certificate
    /// nothing was found out about the envelope: whatever is wrong with it, SNS or we may have put it right by then.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Certificate(_))
    }
}

/// Checks an envelope that came over HTTPS.
///
/// # Errors
///
/// [`SignatureError`]; nothing of the envelope may then be kept.
pub async fn verify(
    envelope: Envelope,
    policy: &Policy,
    certificates: &Certificates,
    now: OffsetDateTime,
) -> Result<VerifiedEnvelope, SignatureError> {
    let claim = claim(&envelope, policy, now)?;
    let certificate = certificates.get(&claim.certificate, now).await?;
    let text = canonical(&envelope);
    certificate
        .verify(claim.algorithm, text.as_bytes(), &claim.signature)
        .map_err(|_| SignatureError::Mismatch)?;
    Ok(VerifiedEnvelope(envelope))
}

/// Takes an envelope out of a queue or a Lambda event, which only topics that its policy names can put there.
///
/// # Errors
///
/// [`SignatureError::Topic`].
pub fn by_queue(envelope: Envelope, policy: &Policy) -> Result<VerifiedEnvelope, SignatureError> {
    if policy.topics.contains(&envelope.topic_arn) {
        Ok(VerifiedEnvelope(envelope))
    } else {
        Err(SignatureError::Topic)
    }
}

/// What has to be proved, and by which certificate.
struct Claim {
    algorithm: &'static RsaParameters,
    signature: Vec<u8>,
    certificate: Url,
}

/// Everything that can be refused without asking anybody.
fn claim(
    envelope: &Envelope,
    policy: &Policy,
    now: OffsetDateTime,
) -> Result<Claim, SignatureError> {
    if !policy.topics.contains(&envelope.topic_arn) {
        return Err(SignatureError::Topic);
    }
    let age = envelope.sent_at().map(|sent_at| now - sent_at);
    if !age.is_some_and(|age| (-FUTURE..=PAST).contains(&age)) {
        return Err(SignatureError::Timestamp);
    }
    let algorithm = match (envelope.signature_version.as_deref(), policy.versions) {
        (Some("1"), Versions::FirstAndSecond) => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Some("2"), _) => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(SignatureError::Version),
    };
    let certificate = envelope.signing_cert_url.as_deref().unwrap_or_default();
    let certificate = hosts::url_of(certificate, &envelope.topic_arn)
        .filter(|url| is_pem(url.path()) && url.query().is_none())
        .ok_or(SignatureError::CertificateUrl)?;
    let signature = STANDARD
        .decode(envelope.signature.as_deref().unwrap_or_default())
        .map_err(|_| SignatureError::Mismatch)?;
    Ok(Claim {
        algorithm,
        signature,
        certificate,
    })
}

/// Case counts, for it does in a path.
fn is_pem(path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, extension)| extension == "pem")
}

/// The text that SNS signed. A subject that is `null` was not there.
fn canonical(envelope: &Envelope) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        for piece in [name, "\n", value, "\n"] {
            text.push_str(piece);
        }
    };
    line("Message", &envelope.message);
    line("MessageId", &envelope.message_id);
    if envelope.kind == Kind::Notification {
        if let Some(subject) = &envelope.subject {
            line("Subject", subject);
        }
    } else if let Some(url) = &envelope.subscribe_url {
        line("SubscribeURL", url);
    }
    line("Timestamp", &envelope.timestamp);
    if envelope.kind != Kind::Notification
        && let Some(token) = &envelope.token
    {
        line("Token", token);
    }
    line("TopicArn", &envelope.topic_arn);
    line("Type", envelope.kind.as_str());
    text
}

#[cfg(test)]
mod tests;
