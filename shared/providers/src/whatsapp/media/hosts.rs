//! Where a bearer token may be sent for a file.
//!
//! A URL is taken when it is https at the usual port, without credentials, and its host is a name (never an address) that ends
//! as one of the list does. Plain http exists for simulators alone: an origin of this machine that the list names in full.

use reqwest::Url;
use std::{fmt, net::IpAddr};

/// The longest URL that is looked at.
const LONGEST: usize = 4096;

/// The list, from a setting such as `.fbsbx.com,.whatsapp.net`.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaHosts {
    /// Each begins with a dot.
    suffixes: Vec<String>,
    /// Of this machine, with its port.
    origins: Vec<String>,
}

/// The setting is not such a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaHostsError {
    #[error("the list of media hosts is empty")]
    Empty,
    #[error(
        "{0:?} is neither the end of a host name, such as .fbsbx.com, nor http with a loopback host and a port"
    )]
    Entry(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostRefusal {
    NotAUrl,
    /// Its host, which is no secret and what a person must know to extend the list.
    NotListed(String),
}

impl MediaHosts {
    /// Reads the list; entries are separated by commas.
    ///
    /// # Errors
    /// When it is empty or an entry is of no known form.
    pub fn parse(text: &str) -> Result<Self, MediaHostsError> {
        let mut hosts = Self {
            suffixes: Vec::new(),
            origins: Vec::new(),
        };
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            if is_suffix(entry) {
                hosts.suffixes.push(entry.to_ascii_lowercase());
            } else if let Some(origin) = loopback_origin(entry) {
                hosts.origins.push(origin);
            } else {
                return Err(MediaHostsError::Entry(entry.to_owned()));
            }
        }
        if hosts.suffixes.is_empty() && hosts.origins.is_empty() {
            return Err(MediaHostsError::Empty);
        }
        Ok(hosts)
    }

    pub(super) fn check(&self, text: &str) -> Result<Url, HostRefusal> {
        if text.len() > LONGEST {
            return Err(HostRefusal::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| HostRefusal::NotAUrl)?;
        let anonymous = url.username().is_empty() && url.password().is_none();
        let listed = match url.scheme() {
            "https" => url.port().is_none() && self.has(url.host_str().unwrap_or_default()),
            "http" => self.origins.contains(&url.origin().ascii_serialization()),
            _ => false,
        };
        if anonymous && listed {
            Ok(url)
        } else {
            let host = url.host_str().unwrap_or_default();
            Err(HostRefusal::NotListed(host.chars().take(100).collect()))
        }
    }

    /// An address never ends as a name does: its last label is a number, or it is in brackets.
    fn has(&self, host: &str) -> bool {
        self.suffixes
            .iter()
            .any(|suffix| host.len() > suffix.len() && host.ends_with(suffix.as_str()))
    }
}

/// `.fbsbx.com`: a dot, then at least two labels, the last of which begins with a letter.
fn is_suffix(entry: &str) -> bool {
    let Some(name) = entry.strip_prefix('.') else {
        return false;
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.')
        && name.split('.').all(label)
        && last.starts_with(|letter: char| letter.is_ascii_alphabetic())
}

fn loopback_origin(entry: &str) -> Option<String> {
    let url = Url::parse(entry).ok()?;
    let host = url.host_str()?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback =
        host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
    (url.scheme() == "http" && url.port().is_some() && loopback && bare)
        .then(|| url.origin().ascii_serialization())
}

impl fmt::Debug for MediaHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.suffixes.iter().chain(&self.origins))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> MediaHosts {
        MediaHosts::parse(".fbsbx.com, http://127.0.0.1:8090").expect("a list")
    }

    #[test]
    fn only_listed_hosts_by_https_at_the_usual_port() {
        for good in [
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=x",
            "https://LOOKASIDE.FBSBX.COM:443/a",
            "https://a.b.fbsbx.com/",
            "http://127.0.0.1:8090/_media/1",
        ] {
            assert!(hosts().check(good).is_ok(), "{good}");
        }
        for bad in [
            "http://lookaside.fbsbx.com/a",
            "https://fbsbx.com/a",
            "https://evilfbsbx.com/a",
            "https://lookaside.fbsbx.com.evil.example/a",
            "https://lookaside.fbsbx.com./a",
            "https://lookaside.fbsbx.com:8443/a",
            "https://user@lookaside.fbsbx.com/a",
            "https://lookaside.fbsbx.com@evil.example/a",
            "https://evil.example\\@lookaside.fbsbx.com/a",
            "https://evil.example/.fbsbx.com",
            "https://evil.example#.fbsbx.com",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/a",
            "https://2130706433/a",
            "http://127.0.0.1:8091/a",
            "http://127.0.0.1/a",
            "http://localhost:8090/a",
            "https://127.0.0.1:8090/a",
            "http://x@127.0.0.1:8090/a",
            "ftp://lookaside.fbsbx.com/a",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            let refused = hosts().check(bad);
            assert!(matches!(refused, Err(HostRefusal::NotListed(_))), "{bad}");
        }
        assert_eq!(
            hosts().check("lookaside.fbsbx.com"),
            Err(HostRefusal::NotAUrl)
        );
        let long = format!("https://lookaside.fbsbx.com/{}", "a".repeat(LONGEST));
        assert_eq!(hosts().check(&long), Err(HostRefusal::NotAUrl));
    }

    #[test]
    fn the_list_names_ends_of_hosts_or_origins_of_this_machine() {
        for bad in [
            "fbsbx.com",
            ".com",
            ".",
            ".fbsbx..com",
            ".1.1",
            "*.fbsbx.com",
            "https://lookaside.fbsbx.com",
            "http://10.0.0.1:80",
            "http://127.0.0.1:8090/path",
            ".fbsbx.com,nonsense",
        ] {
            let read = MediaHosts::parse(bad);
            assert!(matches!(read, Err(MediaHostsError::Entry(_))), "{bad}");
        }
        assert_eq!(MediaHosts::parse(" , "), Err(MediaHostsError::Empty));
    }
}
