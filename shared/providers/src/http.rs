//! The one place that makes an HTTP client, and the one rule about where it may go.
//!
//! Every call to a provider but AWS, whose SDK brings its own client, uses [`client`], so every call has the same timeouts, follows no redirect (a redirect
//! would carry the bearer token to a host nobody chose) and ignores proxy variables. Nothing happens at import:
//! the caller decides when the client is built, and builds it once per process.

use reqwest::{Client, Url, redirect};
use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

/// DNS, TCP and TLS together. Past it nothing was sent, so the send may be repeated.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The whole call, body of the answer included. The lease arithmetic of the dispatch worker counts on it.
pub(crate) const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A pooled connection older than this is not used again. A frozen Lambda does not see the other side hang up,
/// and a request written to a dead connection is an outcome nobody knows.
pub(crate) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A longer wish of a provider's is cut to this: it would be a mistake, and a person looks before a day is over.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Reads `Retry-After`. Only the form in seconds; a date is ignored.
pub(crate) fn retry_after(value: &str) -> Option<Duration> {
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// Makes the client for provider calls.
///
/// # Errors
///
/// When the TLS backend cannot start, which no input can cause.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that the rule sends everybody to"
)]
pub fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .user_agent(concat!("communications/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The root of the Graph API with its version, such as `https://graph.facebook.com/v26.0`.
///
/// Only https; plain http is for loopback hosts, where simulators live.
#[derive(Clone, PartialEq, Eq)]
pub struct GraphUrl(Url);

/// Why a text is no [`GraphUrl`]. The text itself is left out: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GraphUrlError {
    #[error("the provider's base URL is not a URL")]
    NotAUrl,
    #[error("the provider's base URL must be https; http is allowed for loopback hosts only")]
    NotHttps,
    #[error("the provider's base URL must not hold credentials, a query or a fragment")]
    NotBare,
}

impl GraphUrl {
    /// Reads a base URL; a trailing slash makes no difference.
    ///
    /// # Errors
    ///
    /// [`GraphUrlError`] names the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, GraphUrlError> {
        let mut url = Url::parse(text).map_err(|_| GraphUrlError::NotAUrl)?;
        let safe = match url.scheme() {
            "https" => true,
            "http" => url.host_str().is_some_and(is_loopback),
            _ => false,
        };
        if !safe {
            return Err(GraphUrlError::NotHttps);
        }
        let credentials = !url.username().is_empty() || url.password().is_some();
        if credentials || url.query().is_some() || url.fragment().is_some() {
            return Err(GraphUrlError::NotBare);
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
        }
        Ok(Self(url))
    }

    /// The URL below this one. Each segment is percent-encoded, so none can climb out of the base.
    #[must_use]
    pub fn below(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url
    }
}

impl FromStr for GraphUrl {
    type Err = GraphUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for GraphUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for GraphUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GraphUrl({self})")
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_taken_from_any_host_and_http_from_loopback_only() {
        for good in [
            "https://graph.facebook.com/v26.0",
            "http://127.0.0.1:8080/v26.0",
            "http://127.9.9.9/v26.0",
            "http://localhost:1/v26.0",
            "http://[::1]:9/v26.0/",
        ] {
            assert!(GraphUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://graph.facebook.com/v26.0",
            "http://localhost.example/v26.0",
            "http://10.0.0.1/v26.0",
            "http://[::ffff:127.0.0.1]/v26.0",
            "ftp://127.0.0.1/v26.0",
            "file:///etc/passwd",
        ] {
            assert_eq!(GraphUrl::parse(bad), Err(GraphUrlError::NotHttps), "{bad}");
        }
        assert_eq!(GraphUrl::parse("graph"), Err(GraphUrlError::NotAUrl));
    }

    #[test]
    fn credentials_queries_and_fragments_are_refused() {
        for bad in [
            "https://user@h/v1",
            "https://:pw@h/v1",
            "https://h/v1?x=1",
            "https://h/v1#x",
        ] {
            assert_eq!(GraphUrl::parse(bad), Err(GraphUrlError::NotBare), "{bad}");
        }
    }

    #[test]
    fn segments_cannot_leave_the_base() {
        let base = GraphUrl::parse("https://h/v26.0/").expect("a good base");
        assert_eq!(
            base.below(&["1065", "messages"]).as_str(),
            "https://h/v26.0/1065/messages"
        );
        assert_eq!(
            base.below(&["../me?x#y", "messages"]).as_str(),
            "https://h/v26.0/..%2Fme%3Fx%23y/messages"
        );
        assert_eq!(
            base.below(&["..", "messages"]).as_str(),
            "https://h/v26.0/messages"
        );
        assert_eq!(base.to_string(), "https://h/v26.0");
    }

    #[test]
    fn a_wish_is_read_in_seconds_and_cut_to_a_day() {
        assert_eq!(retry_after("30"), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("99999999999999"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn the_client_builds() {
        client().expect("the TLS backend starts");
    }
}
