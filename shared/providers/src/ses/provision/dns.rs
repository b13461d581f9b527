//! The DNS records that an operator has to publish for a domain.

use super::DomainIdentity;

/// The zone of Easy DKIM where SES names none.
const CLASSIC_ZONE: &str = "dkim.amazonses.com";

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    pub kind: RecordKind,
    /// The whole name, without a dot at the end.
    pub name: String,
    /// As it is typed into most consoles; an MX begins with its priority.
    pub value: String,
    pub purpose: Purpose,
    /// Nothing is sent before it is found.
    pub required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    Cname,
    Mx,
    Txt,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Proves the domain and signs its mail.
    Dkim,
    /// Brings bounces back.
    MailFromBounces,
    /// Lets SES send in the name of the MAIL FROM domain.
    MailFromSpf,
    /// Says what receivers do with mail that is not ours.
    Dmarc,
    /// Brings the answers of customers in.
    Inbound,
}

impl RecordKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Txt => "TXT",
        }
    }
}

impl Purpose {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dkim => "DKIM",
            Self::MailFromBounces => "MAIL_FROM_BOUNCES",
            Self::MailFromSpf => "MAIL_FROM_SPF",
            Self::Dmarc => "DMARC",
            Self::Inbound => "INBOUND",
        }
    }
}

/// The records of a domain: three of DKIM, two of its MAIL FROM domain if it has one, one of DMARC that is only
/// recommended, and one of the domain that answers come to, if one is wanted.
///
/// Source: "Creating and verifying identities" and "Using a custom MAIL FROM domain", developer guide.
#[must_use]
pub fn records(
    identity: &DomainIdentity,
    region: &str,
    inbound_domain: Option<&str>,
) -> Vec<DnsRecord> {
    let domain = &identity.domain;
    let zone = identity.dkim.hosted_zone.as_deref().unwrap_or(CLASSIC_ZONE);
    let mut records: Vec<DnsRecord> = identity
        .dkim
        .tokens
        .iter()
        .map(|token| DnsRecord {
            kind: RecordKind::Cname,
            name: format!("{token}._domainkey.{domain}"),
            value: format!("{token}.{zone}"),
            purpose: Purpose::Dkim,
            required: true,
        })
        .collect();
    let mut add = |kind, name: &str, value: String, purpose| {
        records.push(DnsRecord {
            kind,
            name: name.to_owned(),
            value,
            purpose,
            required: false,
        });
    };
    if let Some(mail_from) = &identity.mail_from {
        let server = format!("10 feedback-smtp.{region}.amazonses.com");
        let spf = "v=spf1 include:amazonses.com ~all".to_owned();
        add(
            RecordKind::Mx,
            &mail_from.domain,
            server,
            Purpose::MailFromBounces,
        );
        add(
            RecordKind::Txt,
            &mail_from.domain,
            spf,
            Purpose::MailFromSpf,
        );
    }
    let policy = "v=DMARC1; p=none".to_owned();
    add(
        RecordKind::Txt,
        &format!("_dmarc.{domain}"),
        policy,
        Purpose::Dmarc,
    );
    if let Some(inbound) = inbound_domain {
        let server = format!("10 inbound-smtp.{region}.amazonaws.com");
        add(RecordKind::Mx, inbound, server, Purpose::Inbound);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ses::provision::{DkimState, MailFromState};

    #[test]
    fn the_table_of_a_domain_with_everything() {
        let identity = DomainIdentity {
            domain: "tren.example".to_owned(),
            dkim: DkimState {
                tokens: ["t1", "t2", "t3"].map(str::to_owned).to_vec(),
                ..DkimState::default()
            },
            mail_from: Some(MailFromState {
                domain: "bounce.tren.example".to_owned(),
                status: "PENDING".to_owned(),
            }),
            ..DomainIdentity::default()
        };
        let table = |identity: &DomainIdentity, inbound| {
            let lines: Vec<String> = records(identity, "eu-west-1", inbound)
                .iter()
                .map(|record| {
                    let needed = if record.required { "must" } else { "may" };
                    let (kind, purpose) = (record.kind.as_str(), record.purpose.as_str());
                    format!(
                        "{needed} {purpose}: {} {kind} {}",
                        record.name, record.value
                    )
                })
                .collect();
            lines.join("\n")
        };
        insta::assert_snapshot!(table(&identity, Some("in.tren.example")), @r"
        must DKIM: t1._domainkey.tren.example CNAME t1.dkim.amazonses.com
        must DKIM: t2._domainkey.tren.example CNAME t2.dkim.amazonses.com
        must DKIM: t3._domainkey.tren.example CNAME t3.dkim.amazonses.com
        may MAIL_FROM_BOUNCES: bounce.tren.example MX 10 feedback-smtp.eu-west-1.amazonses.com
        may MAIL_FROM_SPF: bounce.tren.example TXT v=spf1 include:amazonses.com ~all
        may DMARC: _dmarc.tren.example TXT v=DMARC1; p=none
        may INBOUND: in.tren.example MX 10 inbound-smtp.eu-west-1.amazonaws.com
        ");
        let zoned = DomainIdentity {
            dkim: DkimState {
                tokens: vec!["t1".to_owned()],
                hosted_zone: Some("a1.dkim.eu-west-1.amazonses.com".to_owned()),
                ..DkimState::default()
            },
            mail_from: None,
            ..identity
        };
        insta::assert_snapshot!(table(&zoned, None), @r"
        must DKIM: t1._domainkey.tren.example CNAME t1.a1.dkim.eu-west-1.amazonses.com
        may DMARC: _dmarc.tren.example TXT v=DMARC1; p=none
        ");
    }
}
