//! Reports of End User Messaging about text messages of ours, as provider-neutral events.
//!
//! Whether a report is the last word is said by `isFinal` and not by its name: a failure that is not final is one attempt
//! of several, and `SUCCESSFUL` is the end where a country has no receipts of handsets. Since the same word may come twice
//! with different meaning, `provider_status` is the report's kind, with `/pending` behind it while it is not final and would
//! mean something else if it were.
//!
//! Source: "Event types for SMS, MMS and voice" and "Example event data", End User Messaging user guide.

use crate::event::{
    AccountRef, DeliveryFailure, DeliveryStatus, DeliveryUpdate, EventKind, Person, Price,
    ProviderEvent,
};
use crate::{OptOut, OutcomeClass, json, sms};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Reads one report; `sent_at` stands in where it has no time of its own.
#[must_use]
pub fn read(event: Value, sent_at: OffsetDateTime) -> ProviderEvent {
    let account = AccountRef {
        external_account_id: sms::number(&event, "/originationPhoneNumber"),
        waba_id: None,
        account_id: ours(&event, "account_id"),
    };
    let kind = update(&event, sent_at).map_or_else(
        |reason| EventKind::Malformed {
            reason: reason.to_owned(),
        },
        |update| EventKind::Status(Box::new(update)),
    );
    ProviderEvent {
        account: (account != AccountRef::default()).then_some(account),
        kind,
        raw: event,
    }
}

/// What [`super::send`] put into the context.
fn ours(event: &Value, name: &str) -> Option<Uuid> {
    Uuid::parse_str(json::text(event, &format!("/context/{name}"))?).ok()
}

fn update(event: &Value, sent_at: OffsetDateTime) -> Result<DeliveryUpdate, &'static str> {
    let word = json::id(event, "/eventType").ok_or("a report has no kind")?;
    let is_final = event.get("isFinal").and_then(Value::as_bool);
    let meaning = meaning(word.strip_prefix("TEXT_").unwrap_or(&word));
    let (status, failure, pending) = match (meaning, is_final) {
        (Meaning::Sent, _) => (DeliveryStatus::Sent, None, false),
        (Meaning::Delivered, _) | (Meaning::AtCarrier, Some(true)) => {
            (DeliveryStatus::Delivered, None, false)
        }
        (Meaning::AtCarrier, _) => (DeliveryStatus::Sent, None, true),
        (Meaning::Failed(_), Some(false)) => (DeliveryStatus::Unknown, None, true),
        (Meaning::Failed(fault), _) => (
            DeliveryStatus::Failed,
            Some(failure(&word, fault, event)),
            false,
        ),
        (Meaning::Unknown, _) => (DeliveryStatus::Unknown, None, is_final == Some(false)),
    };
    Ok(DeliveryUpdate {
        external_message_id: json::id(event, "/messageId")
            .ok_or("a report has no usable message id")?,
        status,
        provider_status: if pending {
            format!("{word}/pending")
        } else {
            word
        },
        correlation_id: ours(event, "message_id"),
        occurred_at: json::milliseconds(event.get("eventTimestamp")).unwrap_or(sent_at),
        failure,
        recipient: sms::phone(event, "/destinationPhoneNumber").map(|phone| Person {
            phone: Some(phone),
            ..Person::default()
        }),
        price: price(event),
    })
}

#[derive(Clone, Copy)]
enum Meaning {
    Sent,
    /// The carrier has it, and may or may not say more.
    AtCarrier,
    Delivered,
    Failed(Fault),
    Unknown,
}

#[derive(Clone, Copy)]
struct Fault {
    class: OutcomeClass,
    address_is_bad: bool,
    reason: &'static str,
}

/// The words of `messageStatus`, which are those of `eventType` without `TEXT_`.
fn meaning(word: &str) -> Meaning {
    let fault = |class, reason| {
        Meaning::Failed(Fault {
            class,
            address_is_bad: false,
            reason,
        })
    };
    match word {
        "QUEUED" | "PENDING" | "ACCEPTED" | "SENT" => Meaning::Sent,
        "SUCCESSFUL" => Meaning::AtCarrier,
        "DELIVERED" => Meaning::Delivered,
        "INVALID" => Meaning::Failed(Fault {
            class: OutcomeClass::PermanentRecipient,
            address_is_bad: true,
            reason: "there is no such number",
        }),
        "UNREACHABLE" => fault(
            OutcomeClass::PermanentRecipient,
            "the phone is not reachable",
        ),
        "UNROUTABLE" => fault(
            OutcomeClass::PermanentRecipient,
            "no way leads to the number",
        ),
        "BLOCKED" => fault(
            OutcomeClass::PermanentRecipient,
            "the phone blocks text messages",
        ),
        "PROTECT_BLOCKED" => fault(
            OutcomeClass::PermanentRecipient,
            "the country or the number is blocked by our settings",
        ),
        "CARRIER_BLOCKED" => fault(
            OutcomeClass::PermanentRecipient,
            "the carrier blocks the message",
        ),
        "INVALID_MESSAGE" => fault(OutcomeClass::PermanentContent, "the text is not valid"),
        "SPAM" => fault(
            OutcomeClass::PermanentContent,
            "the carrier takes the text for spam",
        ),
        "CARRIER_UNREACHABLE" => fault(OutcomeClass::Retryable, "the carrier is not reachable"),
        "TTL_EXPIRED" => fault(OutcomeClass::Retryable, "not delivered within its time"),
        "FAILED" => fault(OutcomeClass::Retryable, "not delivered"),
        _ => Meaning::Unknown,
    }
}

/// The description is read for one thing only, and not kept: it is free text.
fn failure(word: &str, fault: Fault, event: &Value) -> DeliveryFailure {
    let said = json::text(event, "/messageStatusDescription")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let opted_out = ["opted out", "opted-out", "opt-out", "optout"]
        .iter()
        .any(|words| said.contains(words));
    DeliveryFailure {
        code: word.to_owned(),
        class: if opted_out {
            OutcomeClass::PermanentRecipient
        } else {
            fault.class
        },
        opt_out: opted_out.then_some(OptOut::Everything),
        address_is_bad: fault.address_is_bad && !opted_out,
        reason: if opted_out {
            "the recipient opted out of our messages"
        } else {
            fault.reason
        }
        .to_owned(),
    }
}

/// The message and the carrier's fee, which are one bill.
fn price(event: &Value) -> Option<Price> {
    let part = |name: &str| sms::micros(event.get(name));
    let message = part("totalMessagePrice");
    let fee = part("totalCarrierFee");
    let units = event
        .get("totalMessageParts")
        .and_then(Value::as_i64)
        .and_then(|parts| i32::try_from(parts).ok());
    if message.is_none() && units.is_none() {
        return None;
    }
    let micros = message.map(|message| message.saturating_add(fee.unwrap_or_default()));
    Some(Price {
        category: json::id(event, "/messageType"),
        micros,
        currency: micros.map(|_| "USD".to_owned()),
        units,
        ..Price::default()
    })
}

#[cfg(test)]
mod tests;
