//! What people write to a number of ours that is made for two ways.
//!
//! The number that was written to says whose it is, a short code too; whoever writes has a phone. STOP and its relatives come here too, whatever the provider answered to
//! them by itself.
//!
//! Source: "Two-way SMS message payload" and "Keywords", End User Messaging user guide.

use super::{number, phone};
use crate::event::{AccountRef, EventKind, InboundMessage, Person, ProviderEvent};
use crate::{Content, json};
use serde_json::Value;
use time::OffsetDateTime;

/// Reads one message; it has no time of its own, so it is as old as the envelope that it came in.
#[must_use]
pub fn read(message: Value, sent_at: OffsetDateTime) -> ProviderEvent {
    let account = number(&message, "/destinationNumber").map(|number| AccountRef {
        external_account_id: Some(number),
        ..AccountRef::default()
    });
    let kind = inbound(&message, sent_at).map_or_else(
        |reason| EventKind::Malformed {
            reason: reason.to_owned(),
        },
        |message| EventKind::Message(Box::new(message)),
    );
    ProviderEvent {
        account,
        kind,
        raw: message,
    }
}

fn inbound(message: &Value, sent_at: OffsetDateTime) -> Result<InboundMessage, &'static str> {
    let phone =
        phone(message, "/originationNumber").ok_or("a text message has no usable sender")?;
    let body = message
        .get("messageBody")
        .and_then(Value::as_str)
        .ok_or("a text message has no text")?;
    Ok(InboundMessage {
        external_message_id: json::id(message, "/inboundMessageId")
            .ok_or("a text message has no usable id")?,
        sender: Person {
            phone: Some(phone),
            ..Person::default()
        },
        content: Content::Text {
            body: body.to_owned(),
            preview_url: false,
        },
        body: body.to_owned(),
        reply_to: json::id(message, "/previousPublishedMessageId"),
        context: None,
        media: Vec::new(),
        barred_by_provider: is_barred(message),
        given_phone: None,
        sent_at,
    })
}

/// Keywords upon which AWS puts whoever writes them on its opt-out list, unless the number's opt-outs are left to us.
const BARRING: [&str; 10] = [
    "ARRET",
    "CANCEL",
    "END",
    "OPT-OUT",
    "OPTOUT",
    "QUIT",
    "REMOVE",
    "STOP",
    "TD",
    "UNSUBSCRIBE",
];

/// AWS matches a keyword at the beginning of a text: `Cancel my seat` is CANCEL to it.
fn is_barred(message: &Value) -> bool {
    let keyword = json::text(message, "/messageKeyword").unwrap_or_default();
    let keyword = keyword.trim();
    BARRING
        .iter()
        .any(|word| keyword.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
