//! The certificates that SNS signs with: fetched from SNS, kept while they are good.
//!
//! No chain is built to Amazon's root: the certificate comes by TLS from a host that [`super::hosts`] allows, and TLS has
//! already proved who that host is. A stranger's certificate would have to lie there.

use super::hosts::Hosts;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{RsaParameters, UnparsedPublicKey};
use reqwest::{Client, Url};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

/// Bytes of a PEM file; those of SNS have about 2,000.
const SIZE_LIMIT: usize = 64 * 1024;
/// Kept at a time: SNS has one for each region, and two while they change.
const KEPT: usize = 32;

/// Why there is no certificate to check with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate was not fetched")]
    Transport(#[source] reqwest::Error),
    #[error("the certificate's host answered HTTP {0}")]
    Refused(u16),
    #[error("the certificate is larger than 64 KB")]
    TooLarge,
    #[error("the file is not a certificate of an RSA key")]
    NotACertificate,
    #[error("the certificate is not valid yet, or no more")]
    Expired,
}

/// SNS's certificates by URL. One per process.
#[derive(Debug)]
pub struct Certificates {
    http: Client,
    hosts: Hosts,
    kept: Mutex<HashMap<Url, Arc<Certificate>>>,
}

/// The key of one certificate, and when it is good.
#[derive(Debug)]
pub(super) struct Certificate {
    /// PKCS#1.
    key: Vec<u8>,
    not_before: i64,
    not_after: i64,
}

impl Certificates {
    /// `http` is the client that [`crate::http::client`] makes: it has timeouts and follows no redirect.
    #[must_use]
    pub fn new(http: Client, hosts: Hosts) -> Self {
        Self {
            http,
            hosts,
            kept: Mutex::default(),
        }
    }

    /// `url` has been checked: this goes wherever it says.
    pub(super) async fn get(
        &self,
        url: &Url,
        now: OffsetDateTime,
    ) -> Result<Arc<Certificate>, CertificateError> {
        let kept = self.lock().get(url).map(Arc::clone);
        if let Some(certificate) = kept.filter(|certificate| certificate.is_valid(now)) {
            return Ok(certificate);
        }
        let certificate = Arc::new(Certificate::from_pem(&self.fetch(url).await?)?);
        if !certificate.is_valid(now) {
            return Err(CertificateError::Expired);
        }
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(url.clone(), Arc::clone(&certificate));
        Ok(certificate)
    }

    async fn fetch(&self, url: &Url) -> Result<Vec<u8>, CertificateError> {
        let transport = |error: reqwest::Error| CertificateError::Transport(error.without_url());
        let request = self.http.get(self.hosts.locate(url));
        let mut answer = request.send().await.map_err(transport)?;
        if answer.status().as_u16() != 200 {
            return Err(CertificateError::Refused(answer.status().as_u16()));
        }
        let mut pem = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(transport)? {
            pem.extend_from_slice(&chunk);
            if pem.len() > SIZE_LIMIT {
                return Err(CertificateError::TooLarge);
            }
        }
        Ok(pem)
    }

    /// A panic elsewhere leaves whole entries behind, so the map is good whatever happened.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Url, Arc<Certificate>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Certificate {
    fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        // The signing one stands first, should others follow.
        let certificates = x509_cert::Certificate::load_pem_chain(pem).unwrap_or_default();
        let certificate = certificates
            .first()
            .ok_or(CertificateError::NotACertificate)?;
        let subject = certificate.tbs_certificate().subject_public_key_info();
        let key = subject.subject_public_key.as_bytes();
        let validity = certificate.tbs_certificate().validity();
        let seconds = |at: &x509_cert::time::Time| {
            i64::try_from(at.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        Ok(Self {
            key: key.ok_or(CertificateError::NotACertificate)?.to_vec(),
            not_before: seconds(&validity.not_before),
            not_after: seconds(&validity.not_after),
        })
    }

    fn is_valid(&self, now: OffsetDateTime) -> bool {
        (self.not_before..=self.not_after).contains(&now.unix_timestamp())
    }

    pub(super) fn verify(
        &self,
        algorithm: &'static RsaParameters,
        text: &[u8],
        signature: &[u8],
    ) -> Result<(), Unspecified> {
        UnparsedPublicKey::new(algorithm, &self.key).verify(text, signature)
    }
}
