//! One line of SNS's log: what became of one text message.

use crate::event::{DeliveryFailure, DeliveryStatus, DeliveryUpdate, Price};
use crate::{OptOut, OutcomeClass, Scope, json, sms};
use serde_json::Value;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Reads the line; `logged_at` stands in where its own time is not readable.
pub(super) fn read(
    line: &Value,
    logged_at: OffsetDateTime,
) -> Result<DeliveryUpdate, &'static str> {
    let word = json::text(line, "/status").ok_or("a line has no status")?;
    let said = json::text(line, "/delivery/providerResponse").unwrap_or_default();
    let meaning = meaning(word, said)?;
    let provider_status = format!("{word}/{}", meaning.word);
    Ok(DeliveryUpdate {
        external_message_id: json::id(line, "/notification/messageId")
            .ok_or("a line has no usable message id")?,
        status: meaning.status,
        correlation_id: None,
        occurred_at: json::text(line, "/notification/timestamp")
            .and_then(instant)
            .unwrap_or(logged_at),
        failure: meaning.failure(&provider_status),
        provider_status,
        recipient: None,
        price: price(line),
    })
}

/// `2026-11-23 10:00:00.123`, in UTC.
fn instant(text: &str) -> Option<OffsetDateTime> {
    let fractions =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]");
    let whole = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    PrimitiveDateTime::parse(text.trim(), fractions)
        .or_else(|_| PrimitiveDateTime::parse(text.trim(), whole))
        .ok()
        .map(PrimitiveDateTime::assume_utc)
}

fn price(line: &Value) -> Option<Price> {
    let delivery = line.get("delivery")?;
    let micros = sms::micros(delivery.get("priceInUSD"));
    let units = delivery
        .get("numberOfMessageParts")
        .and_then(Value::as_i64)
        .and_then(|parts| i32::try_from(parts).ok());
    (micros.is_some() || units.is_some()).then(|| Price {
        category: json::id(delivery, "/smsType"),
        micros,
        currency: micros.map(|_| "USD".to_owned()),
        units,
        ..Price::default()
    })
}

struct Meaning {
    /// Ours: the response is free text, and this tells one from another.
    word: &'static str,
    status: DeliveryStatus,
    class: OutcomeClass,
    opt_out: Option<OptOut>,
    address_is_bad: bool,
    reason: &'static str,
}

impl Meaning {
    fn failure(&self, code: &str) -> Option<DeliveryFailure> {
        (self.status == DeliveryStatus::Failed).then(|| DeliveryFailure {
            code: code.to_owned(),
            class: self.class,
            opt_out: self.opt_out,
            address_is_bad: self.address_is_bad,
            reason: self.reason.to_owned(),
        })
    }
}

fn meaning(word: &str, said: &str) -> Result<Meaning, &'static str> {
    match word {
        "SUCCESS" => Ok(success(said)),
        "FAILURE" => Ok(FAILURES
            .iter()
            .find(|failure| failure.is(said))
            .map_or_else(unknown, Failure::meaning)),
        _ => Err("a line has a status that is not known"),
    }
}

/// The carrier has it, unless the words are exactly those for a phone: theirs are the beginning of the carrier's.
fn success(said: &str) -> Meaning {
    let said = said.trim().trim_end_matches('.');
    let (word, status) = if said.eq_ignore_ascii_case("Message has been accepted by phone") {
        ("phone", DeliveryStatus::Delivered)
    } else {
        ("carrier", DeliveryStatus::Sent)
    };
    Meaning {
        word,
        status,
        ..unknown()
    }
}

fn unknown() -> Meaning {
    Meaning {
        word: "unknown",
        status: DeliveryStatus::Failed,
        class: OutcomeClass::Unknown,
        opt_out: None,
        address_is_bad: false,
        reason: "not delivered, and nobody knows why",
    }
}

/// What the provider says, in any of these wordings, and what it means.
struct Failure {
    says: &'static [&'static str],
    word: &'static str,
    class: OutcomeClass,
    wish: Wish,
    reason: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    None,
    /// The recipient wants nothing from us.
    OptedOut,
    /// Nobody is there.
    NoSuchNumber,
}

impl Failure {
    fn is(&self, said: &str) -> bool {
        let said = said.to_ascii_lowercase();
        self.says.iter().any(|words| said.contains(words))
    }

    fn meaning(&self) -> Meaning {
        Meaning {
            word: self.word,
            class: self.class,
            opt_out: (self.wish == Wish::OptedOut).then_some(OptOut::Everything),
            address_is_bad: self.wish == Wish::NoSuchNumber,
            reason: self.reason,
            ..unknown()
        }
    }
}

/// In this order: a carrier that blocks a message is no phone that blocks everything.
const FAILURES: &[Failure] = &[
    Failure {
        says: &["opted out"],
        word: "opted-out",
        class: OutcomeClass::PermanentRecipient,
        wish: Wish::OptedOut,
        reason: "the recipient opted out of our messages",
    },
    Failure {
        says: &["phone has blocked sms"],
        word: "phone-blocks",
        class: OutcomeClass::PermanentRecipient,
        wish: Wish::OptedOut,
        reason: "the phone blocks text messages",
    },
    Failure {
        says: &["on a blocked list", "blacklist"],
        word: "blocked-list",
        class: OutcomeClass::PermanentRecipient,
        wish: Wish::None,
        reason: "the number is on a list of blocked ones",
    },
    Failure {
        says: &["invalid phone number"],
        word: "invalid-number",
        class: OutcomeClass::PermanentRecipient,
        wish: Wish::NoSuchNumber,
        reason: "there is no such number",
    },
    Failure {
        says: &["blocked as spam"],
        word: "spam",
        class: OutcomeClass::PermanentContent,
        wish: Wish::None,
        reason: "the carrier takes the text for spam",
    },
    Failure {
        says: &["carrier has blocked this message"],
        word: "carrier-blocks",
        class: OutcomeClass::PermanentContent,
        wish: Wish::None,
        reason: "the carrier blocks the message",
    },
    Failure {
        says: &["message body is invalid"],
        word: "invalid-text",
        class: OutcomeClass::PermanentContent,
        wish: Wish::None,
        reason: "the text is not valid",
    },
    Failure {
        says: &[
            "carrier is currently unreachable",
            "carrier is currently unavailable",
        ],
        word: "carrier-unreachable",
        class: OutcomeClass::Retryable,
        wish: Wish::None,
        reason: "the carrier is not reachable",
    },
    Failure {
        says: &[
            "phone is currently unreachable",
            "phone is currently unavailable",
        ],
        word: "phone-unreachable",
        class: OutcomeClass::Retryable,
        wish: Wish::None,
        reason: "the phone is not reachable",
    },
    Failure {
        says: &["exceed max price"],
        word: "max-price",
        // The price is an attribute of the one message: others are cheaper, or allow more.
        class: OutcomeClass::PermanentContent,
        wish: Wish::None,
        reason: "dearer than the price that was allowed",
    },
    Failure {
        says: &["no quota left"],
        word: "no-quota",
        class: OutcomeClass::Hold(Scope::App),
        wish: Wish::None,
        reason: "the spend limit of the AWS account is reached",
    },
    Failure {
        says: &["sandboxed account"],
        word: "sandbox",
        class: OutcomeClass::AccountConfig,
        wish: Wish::None,
        reason: "the AWS account is in the sandbox and the number is not verified",
    },
];
