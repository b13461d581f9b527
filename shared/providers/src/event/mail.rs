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

    /// Is nothing known that the mail's From was not made up by somebody else? Its domain did not disown it, and signed it or names the
    /// server that it came from.
    #[must_use]
    pub fn sender_is_proven(&self) -> bool {
        let proves = |verdict| {
            matches!(
                verdict,
                Verdict::Pass | Verdict::Disabled | Verdict::Unknown
            )
        };
        self.dmarc != Verdict::Fail && (proves(self.spf) || proves(self.dkim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_proven_by_one_check_that_its_domain_does_not_overrule() {
        let verdicts = |spf, dkim, dmarc| Verdicts {
            spam: Verdict::Pass,
            virus: Verdict::Pass,
            spf,
            dkim,
            dmarc,
            dmarc_policy: Some(DmarcPolicy::None),
        };
        let (pass, fail, gray) = (Verdict::Pass, Verdict::Fail, Verdict::Gray);
        for (spf, dkim, dmarc, proven) in [
            (pass, pass, pass, true),
            (pass, gray, gray, true),
            (fail, pass, pass, true),
            (gray, gray, gray, false),
            (fail, gray, gray, false),
            (pass, pass, fail, false),
            (Verdict::Unknown, Verdict::Unknown, Verdict::Unknown, true),
            (gray, Verdict::ProcessingFailed, gray, false),
        ] {
            let verdicts = verdicts(spf, dkim, dmarc);
            assert_eq!(verdicts.sender_is_proven(), proven, "{verdicts:?}");
        }
    }
}
