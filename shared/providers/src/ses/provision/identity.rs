//! The identity of a domain, and the configuration set that its mail is sent with.

use super::{Answered, SesProvisioner, exists, fault, faults, says};
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput;
use aws_sdk_sesv2::types::{
    BehaviorOnMxFailure, DkimAttributes, DkimSigningAttributesOrigin, EventDestinationDefinition,
    EventType, MailFromAttributes, SnsDestination, Tag, VerificationInfo,
};

/// What of a message's life is reported. Opens and clicks are absent: they would need a tracking domain.
const EVENTS: [EventType; 7] = [
    EventType::Send,
    EventType::Reject,
    EventType::Delivery,
    EventType::Bounce,
    EventType::Complaint,
    EventType::RenderingFailure,
    EventType::DeliveryDelay,
];

/// The one event destination of a configuration set.
const DESTINATION: &str = "communications";

/// A domain at SES. Words are SES's own and may be new ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainIdentity {
    pub domain: String,
    /// Whether it may be sent from: the one answer that counts.
    pub verified_for_sending: bool,
    /// `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, `NOT_STARTED`; `None` where SES did not say.
    pub verification_status: Option<String>,
    /// Why the last check found nothing: `HOST_NOT_FOUND`, `TYPE_NOT_FOUND`, `INVALID_VALUE`…
    pub verification_error: Option<String>,
    pub dkim: DkimState,
    /// `None` where none has been put.
    pub mail_from: Option<MailFromState>,
    pub configuration_set: Option<String>,
    /// The tags it was made with, of which one says whose it is.
    pub tags: Vec<(String, String)>,
}

/// The signature of a domain's mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DkimState {
    /// As [`DomainIdentity::verification_status`].
    pub status: Option<String>,
    /// Three, of Easy DKIM.
    pub tokens: Vec<String>,
    /// The zone that the records point to; `None` where SES did not say, which means the classic one.
    pub hosted_zone: Option<String>,
}

/// The domain in the envelope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFromState {
    pub domain: String,
    /// `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`.
    pub status: String,
}

/// A domain that is now at SES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub identity: DomainIdentity,
    /// It was there before this call, made by an earlier attempt or by somebody else: its tags say whom.
    pub existed: bool,
}

impl SesProvisioner {
    /// Makes the identity of a domain with Easy DKIM; one that exists is read and left as it is. The tags say whose
    /// it is (`tenant`, `…`), for whoever looks at the AWS account, and for the next call.
    ///
    /// # Errors
    /// The code of ours `invalid-domain` without a call; else as [`crate::FaultClass`] says.
    pub async fn create_identity(
        &self,
        domain: &str,
        configuration_set: Option<&str>,
        tags: &[(String, String)],
    ) -> Answered<Claimed> {
        const OPERATION: &str = "CreateEmailIdentity";
        let domain = checked_domain(OPERATION, domain)?;
        let request = self
            .0
            .create_email_identity()
            .email_identity(domain)
            .set_configuration_set_name(configuration_set.map(str::to_owned))
            .set_tags(Some(aws_tags(OPERATION, tags)?));
        let existed = match request.send().await {
            Ok(_) => false,
            Err(error) if exists(&error) => true,
            Err(error) => return Err(fault(OPERATION, &error)),
        };
        match self.identity(domain).await? {
            Some(identity) => Ok(Claimed { identity, existed }),
            None => Err(faults::ours(OPERATION, "identity-gone")),
        }
    }

    /// The domain's state; `None` where SES has no such identity.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn identity(&self, domain: &str) -> Answered<Option<DomainIdentity>> {
        const OPERATION: &str = "GetEmailIdentity";
        let domain = checked_domain(OPERATION, domain)?;
        match self
            .0
            .get_email_identity()
            .email_identity(domain)
            .send()
            .await
        {
            Ok(output) => Ok(Some(read(domain, &output))),
            Err(error) if says(&error, "NotFoundException") => Ok(None),
            Err(error) => Err(fault(OPERATION, &error)),
        }
    }

    /// Has the envelopes of a domain's mail say `mail_from`, which must be a subdomain that is used for nothing
    /// else. Until its records are found, mail leaves with SES's own domain there.
    ///
    /// # Errors
    /// The code of ours `invalid-mail-from` without a call; else as [`crate::FaultClass`] says.
    pub async fn put_mail_from(&self, domain: &str, mail_from: &str) -> Answered<()> {
        const OPERATION: &str = "PutEmailIdentityMailFromAttributes";
        let domain = checked_domain(OPERATION, domain)?;
        let is_below = mail_from
            .strip_suffix(domain)
            .is_some_and(|label| label.len() > 1 && label.ends_with('.'));
        if !is_below || checked_domain(OPERATION, mail_from).is_err() {
            return Err(faults::ours(OPERATION, "invalid-mail-from"));
        }
        self.0
            .put_email_identity_mail_from_attributes()
            .email_identity(domain)
            .mail_from_domain(mail_from)
            .behavior_on_mx_failure(BehaviorOnMxFailure::UseDefaultValue)
            .send()
            .await
            .map(drop)
            .map_err(|error| fault(OPERATION, &error))
    }

    /// Asks SES to look for the records of Easy DKIM anew, after it has given up (`FAILED`).
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn restart_dkim(&self, domain: &str) -> Answered<()> {
        const OPERATION: &str = "PutEmailIdentityDkimSigningAttributes";
        let domain = checked_domain(OPERATION, domain)?;
        self.0
            .put_email_identity_dkim_signing_attributes()
            .email_identity(domain)
            .signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes)
            .send()
            .await
            .map(drop)
            .map_err(|error| fault(OPERATION, &error))
    }

    /// A configuration set whose events go to an SNS topic; what is there already is brought to that.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn ensure_configuration_set(&self, name: &str, topic_arn: &str) -> Answered<()> {
        const OPERATION: &str = "CreateConfigurationSet";
        match self
            .0
            .create_configuration_set()
            .configuration_set_name(name)
            .send()
            .await
        {
            Err(error) if !exists(&error) => Err(fault(OPERATION, &error)),
            _ => self.ensure_destination(name, topic_arn).await,
        }
    }

    async fn ensure_destination(&self, set: &str, topic_arn: &str) -> Answered<()> {
        const OPERATION: &str = "CreateConfigurationSetEventDestination";
        let topic = SnsDestination::builder().topic_arn(topic_arn).build();
        let topic = topic.map_err(|_| faults::ours(OPERATION, "invalid-topic"))?;
        let definition = EventDestinationDefinition::builder()
            .enabled(true)
            .set_matching_event_types(Some(EVENTS.to_vec()))
            .sns_destination(topic)
            .build();
        let created = self
            .0
            .create_configuration_set_event_destination()
            .configuration_set_name(set)
            .event_destination_name(DESTINATION)
            .event_destination(definition.clone())
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(error) if exists(&error) => self
                .0
                .update_configuration_set_event_destination()
                .configuration_set_name(set)
                .event_destination_name(DESTINATION)
                .event_destination(definition)
                .send()
                .await
                .map(drop)
                .map_err(|error| fault("UpdateConfigurationSetEventDestination", &error)),
            Err(error) => Err(fault(OPERATION, &error)),
        }
    }

    /// Deletes the identity; one that is not there is as good. It must belong to no SES tenant any more.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn delete_identity(&self, domain: &str) -> Answered<()> {
        const OPERATION: &str = "DeleteEmailIdentity";
        let domain = checked_domain(OPERATION, domain)?;
        match self
            .0
            .delete_email_identity()
            .email_identity(domain)
            .send()
            .await
        {
            Err(error) if !says(&error, "NotFoundException") => Err(fault(OPERATION, &error)),
            _ => Ok(()),
        }
    }

    /// Deletes a configuration set and its destinations; one that is not there is as good.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn delete_configuration_set(&self, name: &str) -> Answered<()> {
        let request = self
            .0
            .delete_configuration_set()
            .configuration_set_name(name);
        match request.send().await {
            Err(error) if !says(&error, "NotFoundException") => {
                Err(fault("DeleteConfigurationSet", &error))
            }
            _ => Ok(()),
        }
    }
}

/// Lower case, in ASCII, of at least two labels: SES takes others for addresses or for other domains.
fn checked_domain<'a>(operation: &'static str, domain: &'a str) -> Answered<&'a str> {
    let is_label = |label: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels = domain.split('.').count();
    if labels >= 2 && domain.len() <= 253 && domain.split('.').all(is_label) {
        Ok(domain)
    } else {
        Err(faults::ours(operation, "invalid-domain"))
    }
}

pub(super) fn aws_tags(operation: &'static str, tags: &[(String, String)]) -> Answered<Vec<Tag>> {
    let tag = |(key, value): &(String, String)| Tag::builder().key(key).value(value).build();
    let tags: Result<Vec<Tag>, _> = tags.iter().map(tag).collect();
    tags.map_err(|_| faults::ours(operation, "invalid-tag"))
}

fn read(domain: &str, output: &GetEmailIdentityOutput) -> DomainIdentity {
    let info = output.verification_info();
    DomainIdentity {
        domain: domain.to_owned(),
        verified_for_sending: output.verified_for_sending_status(),
        verification_status: output
            .verification_status()
            .map(|status| status.as_str().to_owned()),
        verification_error: info
            .and_then(VerificationInfo::error_type)
            .map(|error| error.as_str().to_owned()),
        dkim: output.dkim_attributes().map(dkim).unwrap_or_default(),
        mail_from: output.mail_from_attributes().and_then(mail_from),
        configuration_set: output.configuration_set_name().map(str::to_owned),
        tags: output
            .tags()
            .iter()
            .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
            .collect(),
    }
}

fn dkim(attributes: &DkimAttributes) -> DkimState {
    DkimState {
        status: attributes.status().map(|status| status.as_str().to_owned()),
        tokens: attributes.tokens().to_vec(),
        hosted_zone: attributes
            .signing_hosted_zone()
            .filter(|zone| !zone.is_empty())
            .map(str::to_owned),
    }
}

fn mail_from(attributes: &MailFromAttributes) -> Option<MailFromState> {
    let domain = attributes.mail_from_domain().to_owned();
    (!domain.is_empty()).then(|| MailFromState {
        domain,
        status: attributes.mail_from_domain_status().as_str().to_owned(),
    })
}
