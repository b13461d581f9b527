//! Where SNS may be asked: for its certificates, and to confirm a subscription.
//!
//! The rule holds for every URL that an envelope names, wherever it is then fetched: a body that anybody may post must not
//! choose whom we call.
//!
//! Source: "Verifying the signatures of Amazon SNS messages", SNS developer guide.

use reqwest::Url;
use std::net::IpAddr;

/// Who answers for the hosts of SNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// SNS itself.
    Amazon,
    /// A simulator: path and query of every URL are asked of this one instead. The URL still has to follow the rule.
    Loopback(Url),
}

impl Hosts {
    /// A simulator on this machine; `None` where the text is no plain-http URL of a loopback host.
    #[must_use]
    pub fn loopback(base: &str) -> Option<Self> {
        let url = Url::parse(base).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']);
        let here =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback());
        (url.scheme() == "http" && here).then_some(Self::Loopback(url))
    }

    pub(super) fn locate(&self, url: &Url) -> Url {
        match self {
            Self::Amazon => url.clone(),
            Self::Loopback(base) => {
                let mut located = base.clone();
                located.set_path(url.path());
                located.set_query(url.query());
                located
            }
        }
    }
}

/// The URL, if it is one of SNS in the region of the topic: https, the default port, nobody's name or password.
pub(super) fn url_of(text: &str, topic_arn: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        // `user@` without a name and `:443` are taken off by the parser; neither is how SNS writes.
        && !text.contains('@')
        && !text.contains(char::is_whitespace)
        && !text.contains('\\');
    let region = region_of_host(url.host_str()?)?;
    (plain && region == region_of_topic(topic_arn)?).then_some(url)
}

/// `sns.<region>.amazonaws.com`, and in China `.cn` behind it.
fn region_of_host(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (region.len() >= 3 && region.chars().all(plain)).then_some(region)
}

/// `arn:aws:sns:<region>:<account>:<name>`.
fn region_of_topic(arn: &str) -> Option<&str> {
    let mut fields = arn.split(':');
    let (start, service) = (fields.next()?, fields.nth(1)?);
    (start == "arn" && service == "sns")
        .then(|| fields.next())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:inbound";

    #[test]
    fn hosts_of_sns_in_the_region_of_the_topic_will_do() {
        for good in [
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
            "https://sns.eu-west-1.amazonaws.com:443/x.pem",
            "https://SNS.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t",
        ] {
            assert!(url_of(good, TOPIC).is_some(), "{good}");
        }
        let china = "arn:aws-cn:sns:cn-north-1:111122223333:inbound";
        assert!(url_of("https://sns.cn-north-1.amazonaws.com.cn/x.pem", china).is_some());
    }

    #[test]
    fn nobody_else_will() {
        for bad in [
            "",
            "x",
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
            "https://user@sns.eu-west-1.amazonaws.com/x.pem",
            "https://:pw@sns.eu-west-1.amazonaws.com/x.pem",
            "https://@sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
            "https://evilamazonaws.com/x.pem",
            "https://xsns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.evil.amazonaws.com/x.pem",
            "https://sns.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://bucket.s3.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com./x.pem",
            "https://sns.eu-west-1.amazonaws.com/x.pem#y",
            "https:\\\\sns.eu-west-1.amazonaws.com/x.pem",
            "https://127.0.0.1/x.pem",
            "file:///x.pem",
        ] {
            assert!(url_of(bad, TOPIC).is_none(), "{bad}");
        }
        for topic in ["", "arn", "arn:aws:sqs:eu-west-1:1:x", "arn:aws:sns"] {
            let url = "https://sns.eu-west-1.amazonaws.com/x.pem";
            assert!(url_of(url, topic).is_none(), "{topic}");
        }
    }

    #[test]
    fn a_simulator_is_on_this_machine() {
        for good in [
            "http://127.0.0.1:4569",
            "http://localhost:1",
            "http://[::1]:9",
        ] {
            assert!(Hosts::loopback(good).is_some(), "{good}");
        }
        for bad in [
            "http://10.0.0.1",
            "https://127.0.0.1",
            "http://localhost.example",
            "",
        ] {
            assert!(Hosts::loopback(bad).is_none(), "{bad}");
        }
        let url = Url::parse("https://sns.eu-west-1.amazonaws.com/a.pem?b=c").expect("a URL");
        let hosts = Hosts::loopback("http://127.0.0.1:4569").expect("loopback");
        assert_eq!(
            hosts.locate(&url).as_str(),
            "http://127.0.0.1:4569/a.pem?b=c"
        );
        assert_eq!(Hosts::Amazon.locate(&url), url);
    }
}
