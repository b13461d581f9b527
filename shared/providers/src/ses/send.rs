//! `SendEmail`: one command, one call, one recipient, one outcome.
//!
//! One recipient per call, so that a bounce or an entry on the suppression list is one message's and nobody else's.

use super::{codes, mime};
use crate::aws::{self, Handed, Timeouts};
use crate::{Accepted, Content, Recipient, Refusal, SendMessageCommand, SendOutcome};
use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::BuildError;
use aws_sdk_sesv2::operation::send_email::builders::SendEmailFluentBuilder;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Destination, EmailContent, MessageTag, RawMessage};

/// Characters of a tag's name and of its value.
const TAG_LIMIT: usize = 256;
/// Of one email, ours included.
const TAGS: usize = 50;

/// Sends through SES in one AWS account and region. Cheap to clone; one per process is enough for every tenant.
#[derive(Debug, Clone)]
pub struct SesClient(Client);

/// The address that a message leaves from, and what belongs to it.
#[derive(Debug, Clone, Default)]
pub struct SesSender {
    /// `local@domain`, verified at SES.
    pub from_address: String,
    /// What people see instead of it.
    pub from_name: Option<String>,
    /// The domain whose mail comes to us; a mail to `unsubscribe+<message id>@…` unsubscribes.
    pub reply_domain: Option<String>,
    /// Where answers to this message go, by which they find their thread: see [`super::reply_token`].
    pub reply_to: Option<String>,
    /// An https URL; a POST to `<it>/<message id>` unsubscribes the recipient of that message (RFC 8058).
    pub unsubscribe_url: Option<String>,
    pub configuration_set: Option<String>,
    /// The SES tenant; it needs a configuration set, and both must be associated with each other.
    pub tenant_name: Option<String>,
    /// Echoed in every event, beside `message_id`: ASCII letters, digits and `_ - . @`.
    pub tags: Vec<(String, String)>,
}

impl SesClient {
    /// Credentials, region and endpoint come from `config`; retries and timeouts are this adapter's own.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self::with_timeouts(config, Timeouts::default())
    }

    /// As [`Self::new`], for tests that cannot wait.
    #[must_use]
    pub fn with_timeouts(config: &SdkConfig, timeouts: Timeouts) -> Self {
        Self(Client::new(&aws::for_sending(config, timeouts)))
    }

    /// Sends one message and says what became of it; every fault is a [`Refusal`].
    ///
    /// A command that SES would refuse for its shape is refused here without a call, with a code of ours:
    /// `invalid-content`, `invalid-recipient` or `invalid-sender`.
    pub async fn send(&self, sender: &SesSender, command: &SendMessageCommand) -> SendOutcome {
        let request = match self.request(sender, command) {
            Ok(request) => request,
            Err(refusal) => return SendOutcome::Refused(refusal),
        };
        let handed = Handed::default();
        let answer = request.customize().interceptor(handed.clone()).send().await;
        let refusal = match answer {
            Ok(output) => match output.message_id().filter(|id| !id.is_empty()) {
                Some(id) => return SendOutcome::Accepted(Accepted::new(id)),
                None => aws::without_id(),
            },
            Err(error) => aws::refusal(&error, &handed, |_| None, codes::classify),
        };
        tracing::info!(
            correlation_id = %command.correlation_id,
            class = refusal.class.as_str(),
            code = refusal.code,
            "SES did not accept a message",
        );
        SendOutcome::Refused(refusal)
    }

    fn request(
        &self,
        sender: &SesSender,
        command: &SendMessageCommand,
    ) -> Result<SendEmailFluentBuilder, Refusal> {
        let Content::Email(email) = &command.content else {
            return Err(Refusal::invalid_content(
                "SES carries emails and nothing else",
            ));
        };
        let to = match &command.recipient {
            Recipient::Email(address) if mime::is_address(address) => address,
            _ => {
                return Err(Refusal::invalid_recipient(
                    "the recipient is not an email address in ASCII",
                ));
            }
        };
        check_names(sender)?;
        let raw = mime::write(sender, command, email, to)?;
        let request = self
            .0
            .send_email()
            .from_email_address(&sender.from_address)
            .destination(Destination::builder().to_addresses(to).build())
            .content(whole(raw).map_err(|_| unbuildable())?)
            .set_email_tags(Some(tags(sender, command)?))
            .set_configuration_set_name(sender.configuration_set.clone())
            .set_tenant_name(sender.tenant_name.clone());
        Ok(request)
    }
}

fn whole(raw: Vec<u8>) -> Result<EmailContent, BuildError> {
    let raw = RawMessage::builder().data(Blob::new(raw)).build()?;
    Ok(EmailContent::builder().raw(raw).build())
}

fn unbuildable() -> Refusal {
    Refusal::invalid_sender("the request could not be built")
}

fn check_names(sender: &SesSender) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_name = |name: &String| (1..=64).contains(&name.len()) && name.chars().all(plain);
    if !sender.configuration_set.iter().all(is_name) || !sender.tenant_name.iter().all(is_name) {
        return Err(Refusal::invalid_sender(
            "the configuration set or the SES tenant is not a name",
        ));
    }
    if sender.tenant_name.is_some() && sender.configuration_set.is_none() {
        return Err(Refusal::invalid_sender(
            "an SES tenant needs a configuration set",
        ));
    }
    Ok(())
}

/// SES echoes them in every event, so a later one names our message even when this answer is lost.
fn tags(sender: &SesSender, command: &SendMessageCommand) -> Result<Vec<MessageTag>, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
    let is_tag = |text: &str| (1..=TAG_LIMIT).contains(&text.len()) && text.chars().all(plain);
    if sender.tags.len() >= TAGS
        || !sender
            .tags
            .iter()
            .all(|(name, value)| is_tag(name) && is_tag(value))
    {
        return Err(Refusal::invalid_sender("a tag of the account is not one"));
    }
    let id = command.correlation_id.hyphenated().to_string();
    let ours = ("message_id".to_owned(), id);
    std::iter::once(&ours)
        .chain(&sender.tags)
        .map(|(name, value)| {
            MessageTag::builder()
                .name(name)
                .value(value)
                .build()
                .map_err(|_| unbuildable())
        })
        .collect()
}
