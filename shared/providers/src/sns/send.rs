//! `Publish` to a phone number: one command, one call, one outcome.

use super::codes;
use crate::aws::{self, Handed, Timeouts};
use crate::sms::{self, Outgoing};
use crate::{Accepted, Refusal, SendMessageCommand, SendOutcome};
use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::operation::publish::builders::PublishFluentBuilder;
use aws_sdk_sns::types::MessageAttributeValue;

/// Bytes of a text, all parts together.
const BODY_LIMIT: usize = 1600;

/// Sends through SNS in one AWS account and region. Cheap to clone; one per process is enough for every tenant.
#[derive(Debug, Clone)]
pub struct SnsClient(Client);

/// What a text message leaves from. With nothing set, SNS picks a number of the AWS account.
#[derive(Debug, Clone, Default)]
pub struct SnsSender {
    /// A name instead of a number, where the recipient's country allows one: 1 to 11 letters, digits and hyphens.
    pub sender_id: Option<String>,
    /// 5 to 14 digits, with or without `+`.
    pub origination_number: Option<String>,
    /// In USD for each part, such as `0.10`.
    pub max_price: Option<String>,
}

impl SnsClient {
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
    /// A command that SNS would refuse for its shape is refused here without a call, with a code of ours:
    /// `invalid-content`, `invalid-recipient` or `invalid-sender`.
    pub async fn send(&self, sender: &SnsSender, command: &SendMessageCommand) -> SendOutcome {
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
            "SNS did not accept a message",
        );
        SendOutcome::Refused(Refusal {
            opt_out: codes::opt_out(&refusal.code),
            ..refusal
        })
    }

    fn request(
        &self,
        sender: &SnsSender,
        command: &SendMessageCommand,
    ) -> Result<PublishFluentBuilder, Refusal> {
        let outgoing = sms::outgoing(command)?;
        if outgoing.body.len() > BODY_LIMIT {
            return Err(Refusal::invalid_content(format!(
                "sms.body is longer than {BODY_LIMIT} bytes"
            )));
        }
        check(sender)?;
        let mut request = self
            .0
            .publish()
            .phone_number(outgoing.to)
            .message(outgoing.body);
        for (name, kind, value) in attributes(sender, outgoing) {
            let value = MessageAttributeValue::builder()
                .data_type(kind)
                .string_value(value)
                .build()
                .map_err(|_| Refusal::invalid_sender("the request could not be built"))?;
            request = request.message_attributes(name, value);
        }
        Ok(request)
    }
}

/// The documents disagree about the type that is assumed, so it is always said.
fn attributes<'a>(
    sender: &'a SnsSender,
    outgoing: Outgoing<'a>,
) -> impl Iterator<Item = (&'static str, &'static str, &'a str)> {
    let kind = if outgoing.promotional {
        "Promotional"
    } else {
        "Transactional"
    };
    let set = |name, kind, value: &'a Option<String>| Some((name, kind, value.as_deref()?));
    [
        Some(("AWS.SNS.SMS.SMSType", "String", kind)),
        set("AWS.SNS.SMS.SenderID", "String", &sender.sender_id),
        set("AWS.SNS.SMS.MaxPrice", "Number", &sender.max_price),
        set(
            "AWS.MM.SMS.OriginationNumber",
            "String",
            &sender.origination_number,
        ),
    ]
    .into_iter()
    .flatten()
}

fn check(sender: &SnsSender) -> Result<(), Refusal> {
    let is_name = |id: &String| {
        (1..=11).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && id.contains(|c: char| c.is_ascii_alphabetic())
    };
    let is_number = |number: &String| {
        let digits = number.strip_prefix('+').unwrap_or(number);
        (5..=14).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let fault = if !sender.sender_id.iter().all(is_name) {
        "sender_id is not 1 to 11 letters, digits and hyphens with a letter among them"
    } else if !sender.origination_number.iter().all(is_number) {
        "origination_number is not 5 to 14 digits"
    } else if !sender.max_price.iter().all(|price| sms::is_price(price)) {
        "max_price is not a price such as 0.10"
    } else {
        return Ok(());
    };
    Err(Refusal::invalid_sender(fault))
}
