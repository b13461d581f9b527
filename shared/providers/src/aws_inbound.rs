//! What an SNS message tells, whichever service of AWS put it there.
//!
//! One topic may carry several kinds, EventBridge may have wrapped the event, and a queue may have been given the whole
//! envelope: all of that is taken off here. What is not understood is handed back with its JSON, to be kept, and so is what
//! should have been understood and does not read; nothing vanishes.

use crate::event::ProviderEvent;
use crate::event::mail::MailNotice;
use crate::{eum, json, ses, sms};
use serde_json::Value;
use time::OffsetDateTime;

/// Layers that are taken off: EventBridge around SES in SNS in SNS.
const LAYERS: usize = 4;

/// What a message of SNS is.
#[derive(Debug, Clone, PartialEq)]
pub enum Notification {
    /// What became of emails of ours.
    SesEvents(Vec<ProviderEvent>),
    /// Somebody wrote an email to one of our domains.
    Mail(Box<MailNotice>),
    /// What became of text messages of ours, sent by End User Messaging.
    EumEvents(Vec<ProviderEvent>),
    /// Somebody wrote a text message to one of our numbers.
    InboundSms(Box<ProviderEvent>),
    /// Understood, and of no consequence.
    Ignored(&'static str),
    /// Nothing that is known here.
    Unknown { reason: &'static str, raw: Value },
    /// It should have been one of the above, and does not read.
    Malformed { reason: &'static str, raw: Value },
    /// No JSON object.
    Unreadable { raw: Value },
}

/// Reads the `Message` of an envelope; `sent_at` is the envelope's time, for what has none of its own.
#[must_use]
pub fn read(message: &str, sent_at: OffsetDateTime) -> Notification {
    let text = message.trim_start_matches('\u{feff}').trim();
    match json::parse(text) {
        Some(value) if value.is_object() => unwrap(value, sent_at),
        _ if text.to_ascii_lowercase().starts_with(VALIDATED) => {
            Notification::Ignored("SES tried the topic out")
        }
        _ => Notification::Unreadable {
            raw: json::unparsed(text),
        },
    }
}

/// What SES says when it is told to report to a topic.
const VALIDATED: &str = "successfully validated";

fn unwrap(mut value: Value, mut sent_at: OffsetDateTime) -> Notification {
    for _ in 0..LAYERS {
        if json::text(&value, "/Type").is_some() && json::text(&value, "/TopicArn").is_some() {
            let at = json::text(&value, "/Timestamp").and_then(json::instant);
            sent_at = at.unwrap_or(sent_at);
            match json::text(&value, "/Message").map(json::parse) {
                Some(Some(inner)) if inner.is_object() => value = inner,
                _ => return read_layer(value),
            }
        } else if value.get("detail").is_some_and(Value::is_object)
            && value.get("detail-type").is_some()
        {
            value = value["detail"].take();
        } else {
            return kind(value, sent_at);
        }
    }
    Notification::Unknown {
        reason: "wrapped too often",
        raw: value,
    }
}

/// An envelope in an envelope whose message is no JSON object.
fn read_layer(envelope: Value) -> Notification {
    let message = json::text(&envelope, "/Message").unwrap_or_default();
    if message.to_ascii_lowercase().starts_with(VALIDATED) {
        return Notification::Ignored("SES tried the topic out");
    }
    Notification::Unreadable { raw: envelope }
}

fn kind(value: Value, sent_at: OffsetDateTime) -> Notification {
    let word = json::text(&value, "/eventType").or_else(|| json::text(&value, "/notificationType"));
    match word {
        Some("Received") => match ses::received::read(&value) {
            Ok(notice) => Notification::Mail(Box::new(notice)),
            Err(reason) => Notification::Malformed { reason, raw: value },
        },
        Some("AMAZON_SNS_SUBSCRIPTION_SUCCEEDED" | "AmazonSnsSubscriptionSucceeded") => {
            Notification::Ignored("SES tried the topic out")
        }
        Some(word) if word.starts_with("TEXT_") => {
            Notification::EumEvents(vec![eum::event::read(value, sent_at)])
        }
        Some(word)
            if ["VOICE_", "MEDIA_"]
                .iter()
                .any(|kind| word.starts_with(kind)) =>
        {
            Notification::Ignored("neither a text message nor an email")
        }
        Some(_) if value.get("mail").is_some() => {
            Notification::SesEvents(ses::event::read(value, sent_at))
        }
        None if is_inbound_sms(&value) => {
            Notification::InboundSms(Box::new(sms::inbound::read(value, sent_at)))
        }
        _ => Notification::Unknown {
            reason: "no kind of message that is known here",
            raw: value,
        },
    }
}

/// The one kind that does not say its name. No other has a sender by this word, also where the id is missing.
fn is_inbound_sms(value: &Value) -> bool {
    ["inboundMessageId", "originationNumber"]
        .iter()
        .any(|member| value.get(member).is_some())
}

#[cfg(test)]
mod tests;
