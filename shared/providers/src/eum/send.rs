//! `SendTextMessage`: one command, one call, one outcome.

use super::codes;
use crate::aws::{self, Handed, Timeouts};
use crate::sms::{self, Encoding};
use crate::{Accepted, Refusal, SendMessageCommand, SendOutcome};
use aws_config::SdkConfig;
use aws_sdk_pinpointsmsvoicev2::Client;
use aws_sdk_pinpointsmsvoicev2::operation::send_text_message::SendTextMessageError;
use aws_sdk_pinpointsmsvoicev2::operation::send_text_message::builders::SendTextMessageFluentBuilder;
use aws_sdk_pinpointsmsvoicev2::types::MessageType;
use std::collections::HashMap;
use std::time::Duration;

/// Septets of a text in GSM-7, all parts together; units of one in UCS-2.
const GSM_LIMIT: usize = 1530;
const UCS_LIMIT: usize = 630;
/// Seconds that a message may be tried for.
const SHORTEST_LIFE: u64 = 5;
const LONGEST_LIFE: u64 = 259_200;
/// Pairs of the context, ours included.
const CONTEXT: usize = 5;

/// Sends in one AWS account and region. Cheap to clone; one per process is enough for every tenant.
#[derive(Debug, Clone)]
pub struct EumClient(Client);

/// What a text message leaves from. With nothing set, a number of the AWS account is picked.
#[derive(Debug, Clone, Default)]
pub struct EumSender {
    /// A number, a sender id, a pool, or the id or ARN of one of them.
    pub origination_identity: Option<String>,
    /// Says where the events of the message go.
    pub configuration_set: Option<String>,
    /// In USD for each part, such as `0.10`.
    pub max_price: Option<String>,
    /// How long the message is worth sending; the shorter of this and the command's own counts.
    pub time_to_live: Option<Duration>,
    /// Echoed in every event, beside `message_id`; at most four.
    pub context: Vec<(String, String)>,
}

impl EumClient {
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
    /// A command that the provider would refuse for its shape is refused here without a call, with a code of ours:
    /// `invalid-content`, `invalid-recipient` or `invalid-sender`. A recipient who opted out is told by
    /// [`Refusal::opt_out`].
    pub async fn send(&self, sender: &EumSender, command: &SendMessageCommand) -> SendOutcome {
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
            Err(error) => aws::refusal(&error, &handed, reason, codes::classify),
        };
        tracing::info!(
            correlation_id = %command.correlation_id,
            class = refusal.class.as_str(),
            code = refusal.code,
            "End User Messaging did not accept a message",
        );
        SendOutcome::Refused(Refusal {
            opt_out: codes::opt_out(&refusal.code),
            ..refusal
        })
    }

    fn request(
        &self,
        sender: &EumSender,
        command: &SendMessageCommand,
    ) -> Result<SendTextMessageFluentBuilder, Refusal> {
        let outgoing = sms::outgoing(command)?;
        check_length(outgoing.body)?;
        check_names(sender)?;
        let kind = if outgoing.promotional {
            MessageType::Promotional
        } else {
            MessageType::Transactional
        };
        Ok(self
            .0
            .send_text_message()
            .destination_phone_number(outgoing.to)
            .message_body(outgoing.body)
            .message_type(kind)
            .set_origination_identity(sender.origination_identity.clone())
            .set_configuration_set_name(sender.configuration_set.clone())
            .set_max_price(sender.max_price.clone())
            .set_time_to_live(time_to_live(sender, command))
            .set_context(Some(context(sender, command)?)))
    }
}

fn reason(error: &SendTextMessageError) -> Option<&str> {
    match error {
        SendTextMessageError::AccessDeniedException(error) => Some(error.reason()?.as_str()),
        SendTextMessageError::ConflictException(error) => Some(error.reason()?.as_str()),
        SendTextMessageError::ServiceQuotaExceededException(error) => {
            Some(error.reason()?.as_str())
        }
        SendTextMessageError::ValidationException(error) => Some(error.reason()?.as_str()),
        _ => None,
    }
}

fn check_length(body: &str) -> Result<(), Refusal> {
    let segments = sms::segments(body);
    let (limit, units) = match segments.encoding {
        Encoding::Gsm7 => (GSM_LIMIT, "septets"),
        Encoding::Ucs2 => (UCS_LIMIT, "units of UCS-2"),
    };
    if segments.units > limit {
        Err(Refusal::invalid_content(format!(
            "sms.body is longer than {limit} {units}"
        )))
    } else {
        Ok(())
    }
}

fn check_names(sender: &EumSender) -> Result<(), Refusal> {
    let is_name = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_:/+-".contains(c);
        (1..=256).contains(&name.len()) && name.chars().all(plain)
    };
    let fault = if !sender.origination_identity.iter().all(is_name) {
        "origination_identity is not a number, an id or an ARN"
    } else if !sender.configuration_set.iter().all(is_name) {
        "the configuration set is not a name"
    } else if !sender.max_price.iter().all(|price| sms::is_price(price)) {
        "max_price is not a price such as 0.10"
    } else {
        return Ok(());
    };
    Err(Refusal::invalid_sender(fault))
}

/// In seconds, within what the provider takes; `None` leaves it to the provider.
fn time_to_live(sender: &EumSender, command: &SendMessageCommand) -> Option<i32> {
    let life = match (sender.time_to_live, command.expires_in) {
        (Some(one), Some(other)) => one.min(other),
        (one, other) => one.or(other)?,
    };
    i32::try_from(life.as_secs().clamp(SHORTEST_LIFE, LONGEST_LIFE)).ok()
}

/// Echoed in every event, so a later one names our message even when this answer is lost.
fn context(
    sender: &EumSender,
    command: &SendMessageCommand,
) -> Result<HashMap<String, String>, Refusal> {
    let fits = |(key, value): &(String, String)| {
        let is_key = (1..=100).contains(&key.len()) && !key.contains(char::is_whitespace);
        is_key && (1..=800).contains(&value.len()) && value.trim() == value
    };
    if sender.context.len() >= CONTEXT || !sender.context.iter().all(fits) {
        return Err(Refusal::invalid_sender(
            "the context of the account has more than four pairs, or one that is too long",
        ));
    }
    let mut context: HashMap<String, String> = sender.context.iter().cloned().collect();
    let id = command.correlation_id.hyphenated().to_string();
    context.insert("message_id".to_owned(), id);
    Ok(context)
}
