//! Files that customers send: `GET /{media_id}` says where one lies, and it is fetched from there.
//!
//! The place is a URL of the provider's choice, so where the bearer token goes is ours to decide: only to hosts on a list, by
//! https, at the usual port, and never along a redirect. A file is read into memory up to a limit and no further.
//!
//! Source: "Media", Cloud API reference.

mod hosts;

pub use hosts::{MediaHosts, MediaHostsError};

use super::WhatsAppSender;
use super::send::answer::Answer;
use super::send::{bearer, checked_id, transport_refusal};
use crate::http::GraphUrl;
use crate::{OutcomeClass, Refusal};
use hosts::HostRefusal;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use secrecy::SecretString;
use serde_json::Value;
use std::time::Duration;

/// A hundred megabytes at a slow 3 MB/s; the lease arithmetic of the media worker counts on it.
pub const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(35);

/// What is left free for a file whose length is not said: enough for most.
const FIRST_BYTES: usize = 256 * 1024;

/// Resolves and downloads. Cheap to clone; one per process is enough for every tenant.
#[derive(Debug, Clone)]
pub struct MediaClient {
    http: reqwest::Client,
    base: GraphUrl,
    hosts: MediaHosts,
}

/// Where a file lies for the next five minutes, and what the provider says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub url: String,
    pub mime_type: Option<String>,
    /// Hex or base64.
    pub sha256: Option<String>,
    pub size: Option<u64>,
}

/// Why there is no file, this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaFault {
    /// The provider does not have it, or no longer at this URL.
    NotFound,
    /// The credentials are refused. The code is the provider's.
    Auth(String),
    /// Longer than the caller takes.
    TooLarge,
    /// The URL leads where no token goes; nothing was asked. The host, where there is one.
    Host(String),
    /// Anything else: later perhaps.
    Passing {
        code: String,
        retry_after: Option<Duration>,
    },
}

impl From<Refusal> for MediaFault {
    fn from(refusal: Refusal) -> Self {
        match (refusal.class, refusal.code.as_str()) {
            (OutcomeClass::Auth, _) | (_, "http-401") => Self::Auth(refusal.code),
            // The id, which is the only parameter that can be wrong here.
            (_, "100" | "http-404" | "http-410") => Self::NotFound,
            _ => Self::Passing {
                code: refusal.code,
                retry_after: refusal.retry_after,
            },
        }
    }
}

impl MediaClient {
    /// `base` names the Graph API version; `http` comes from [`crate::http::client`].
    #[must_use]
    pub fn new(http: reqwest::Client, base: GraphUrl, hosts: MediaHosts) -> Self {
        Self { http, base, hosts }
    }

    /// Asks where the file lies. The number goes along, so that the provider checks whose file it is.
    ///
    /// # Errors
    /// As [`MediaFault`] says.
    pub async fn resolve(
        &self,
        account: &WhatsAppSender,
        media_id: &str,
    ) -> Result<Resolved, MediaFault> {
        let number = checked_id(&account.phone_number_id)?;
        let media_id = checked_id(media_id).map_err(|_| MediaFault::NotFound)?;
        let mut url = self.base.below(&[media_id]);
        url.query_pairs_mut().append_pair("phone_number_id", number);
        let request = self
            .http
            .get(url)
            .header(AUTHORIZATION, bearer(&account.access_token)?);
        let answer = Answer::receive(request)
            .await
            .map_err(|fault| transport_refusal(&fault))?;
        Ok(answer.read(resolved)?)
    }

    /// Fetches the file, if it has no more bytes than `limit`.
    ///
    /// # Errors
    /// As [`MediaFault`] says.
    pub async fn download(
        &self,
        token: &SecretString,
        url: &str,
        limit: u64,
    ) -> Result<Vec<u8>, MediaFault> {
        let url = self.hosts.check(url).map_err(|refusal| match refusal {
            HostRefusal::NotAUrl => MediaFault::Host(String::new()),
            HostRefusal::NotListed(host) => MediaFault::Host(host),
        })?;
        let request = self
            .http
            .get(url)
            .timeout(DOWNLOAD_TIMEOUT)
            .header(AUTHORIZATION, bearer(token)?);
        let response = request
            .send()
            .await
            .map_err(|fault| transport_refusal(&fault))?;
        match response.status() {
            StatusCode::OK => body(response, limit).await,
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(MediaFault::NotFound),
            StatusCode::UNAUTHORIZED => Err(MediaFault::Auth("http-401".to_owned())),
            status => Err(MediaFault::Passing {
                code: format!("http-{}", status.as_u16()),
                retry_after: retry_after(response.headers()),
            }),
        }
    }
}

async fn body(mut response: reqwest::Response, limit: u64) -> Result<Vec<u8>, MediaFault> {
    let said = response.content_length();
    if said.is_some_and(|length| length > limit) {
        return Err(MediaFault::TooLarge);
    }
    // What was said is believed up to the limit: it saves a copy of the whole for every doubling.
    let room = said.and_then(|length| usize::try_from(length).ok());
    let mut bytes = Vec::with_capacity(room.unwrap_or(FIRST_BYTES));
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                if (bytes.len() + chunk.len()) as u64 > limit {
                    return Err(MediaFault::TooLarge);
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(None) => return Ok(bytes),
            Err(fault) => return Err(transport_refusal(&fault).into()),
        }
    }
}

fn resolved(body: &Value) -> Option<Resolved> {
    let text = |name: &str| {
        let text = body.get(name)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    Some(Resolved {
        url: text("url")?,
        mime_type: text("mime_type"),
        sha256: text("sha256"),
        size: body
            .get("file_size")
            .and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok())),
    })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    crate::http::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?)
}
