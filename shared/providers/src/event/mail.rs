//! That a mail came, and where it lies: what is known before anybody reads it.
//!
//! The envelope says whose it is; what stands in the mail's own headers is the sender's word and routes nothing.

use serde::Serialize;
use time::OffsetDateTime;

/// A mail came to one of our domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailNotice {
    /// The provider's id of the mail, not the sender's `Message-ID`. The same mail may be told about several times.
    pub external_message_id: String,
    /// Whom it was delivered to, Bcc included: `local@domain` in lower case, each once.
    pub recipients: Vec<String>,
    /// Where a bounce of it would go, in lower case; `None` where nobody is named who could be written to.
    pub envelope_from: Option<String>,
    /// The envelope names nobody (`<>`): it is itself a bounce or an automatic answer, whatever its headers say.
    pub is_from_nobody: bool,
    pub verdicts: Verdicts,
    pub body: MailBody,
    pub received_at: OffsetDateTime,
}

/// Where the mail itself is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailBody {
    /// In a bucket, as it came.
    Stored { bucket: String, key: String },
    /// In the notice: a small one.
    Inline(Vec<u8>),
}

/// What the provider found out about a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    pub spam: Verdict,
    pub virus: Verdict,
    pub spf: Verdict,
    pub dkim: Verdict,
    pub dmarc: Verdict,
    /// What the sender's domain asks for where DMARC failed.
    pub dmarc_policy: Option<DmarcPolicy>,
}

/// `Unknown` stands for a word that is not listed and for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Pass,
    Fail,
    Gray,
    ProcessingFailed,
    /// Scanning is off.
    Disabled,
    #[default]
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DmarcPolicy {
    None,
    Quarantine,
    Reject,
}

impl Verdicts {
    /// May the mail's From be believed? Not where its domain's own rules say that it was not sent by it.
    #[must_use]
    pub fn sender_is_forged(&self) -> bool {
        self.dmarc == Verdict::Fail
            && matches!(
                self.dmarc_policy,
                Some(DmarcPolicy::Reject | DmarcPolicy::Quarantine)
            )
    }
}

impl MailNotice {
    /// Was it this sender who wrote it? DMARC says so; where their domain has no such rules, that its own server sent it (SPF). A signature
    /// alone says nothing: it may be anybody's.
    #[must_use]
    pub fn proves(&self, from: &str) -> bool {
        match self.verdicts.dmarc {
            Verdict::Pass => true,
            Verdict::Fail => false,
            _ => {
                let envelope = self.envelope_from.as_deref();
                self.verdicts.spf == Verdict::Pass
                    && envelope.is_some_and(|envelope| is_of(envelope, from))
            }
        }
    }
}

/// Is the first address of the second's domain, or of one beneath it?
#[must_use]
pub fn is_of(envelope: &str, from: &str) -> bool {
    let domain = |address: &str| {
        address
            .rsplit_once('@')
            .map(|(_, domain)| domain.to_lowercase())
    };
    let (Some(envelope), Some(from)) = (domain(envelope), domain(from)) else {
        return false;
    };
    let beneath = envelope.strip_suffix(&from);
    beneath.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_sender_is_proven_by_what_is_about_their_own_domain() {
        let (pass, fail, gray) = (Verdict::Pass, Verdict::Fail, Verdict::Gray);
        let unknown = Verdict::Unknown;
        for (envelope, spf, dkim, dmarc, proven) in [
            ("b@mallory.example", pass, pass, pass, true),
            ("b@mallory.example", pass, pass, gray, false),
            ("b@mallory.example", gray, pass, gray, false),
            ("bounce@eva.example", pass, gray, gray, true),
            ("bounce@mail.eva.example", pass, gray, gray, true),
            ("bounce@not-eva.example", pass, pass, gray, false),
            ("bounce@eva.example", fail, pass, gray, false),
            ("bounce@eva.example", pass, pass, fail, false),
            ("bounce@eva.example", unknown, unknown, unknown, false),
        ] {
            let notice = MailNotice {
                external_message_id: "m".to_owned(),
                recipients: Vec::new(),
                envelope_from: Some(envelope.to_owned()),
                is_from_nobody: false,
                verdicts: Verdicts {
                    spam: pass,
                    virus: pass,
                    spf,
                    dkim,
                    dmarc,
                    dmarc_policy: None,
                },
                body: MailBody::Inline(Vec::new()),
                received_at: datetime!(2026-11-23 10:00 UTC),
            };
            assert_eq!(notice.proves("ana@Eva.example"), proven, "{notice:?}");
        }
    }
}
