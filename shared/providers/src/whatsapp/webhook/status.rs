//! One item of `statuses[]`: what became of a message of ours, of whom, and at what price.

mod failure;

use super::json;
use super::people::{Contacts, Ids};
use crate::event::{DeliveryStatus, DeliveryUpdate, EventKind, Person, Price};
use failure::failure;
use serde_json::Value;
use uuid::Uuid;

const RECIPIENT: Ids = Ids {
    whatsapp: "/recipient_id",
    user: "/recipient_user_id",
    parent: "/recipient_parent_user_id",
};

/// Of a message to a group: `recipient_id` is then the group's.
const PARTICIPANT: Ids = Ids {
    whatsapp: "/recipient_participant_id",
    user: "/recipient_participant_user_id",
    parent: "/recipient_participant_parent_user_id",
};

/// Reads the status. A status of another thing than a message (payments) is unhandled.
pub(super) fn read(status: &Value, contacts: &Contacts<'_>) -> Result<EventKind, &'static str> {
    if let Some(field) = json::text(status, "/type").filter(|kind| kind != "message") {
        return Ok(EventKind::Unhandled { field });
    }
    let word = json::id(status, "/status").ok_or("a status has no usable status")?;
    let known = known(&word);
    Ok(EventKind::Status(Box::new(DeliveryUpdate {
        external_message_id: json::id(status, "/id").ok_or("a status has no usable message id")?,
        status: known,
        provider_status: word,
        correlation_id: json::text(status, "/biz_opaque_callback_data")
            .and_then(|ours| Uuid::parse_str(&ours).ok()),
        occurred_at: json::seconds(status.get("timestamp"))
            .ok_or("a status has no readable timestamp")?,
        failure: failure(status, known),
        recipient: recipient(status, contacts),
        price: price(status),
    })))
}

/// `played` is a voice note that was heard, which implies read.
fn known(word: &str) -> DeliveryStatus {
    match word {
        "sent" => DeliveryStatus::Sent,
        "delivered" => DeliveryStatus::Delivered,
        "read" | "played" => DeliveryStatus::Read,
        "failed" => DeliveryStatus::Failed,
        _ => DeliveryStatus::Unknown,
    }
}

/// Failures have no contacts beside them, and often not both ids.
fn recipient(status: &Value, contacts: &Contacts<'_>) -> Option<Person> {
    let to_a_group = json::text(status, "/recipient_type").as_deref() == Some("group");
    contacts.person(status, if to_a_group { &PARTICIPANT } else { &RECIPIENT })
}

/// Comes once for each message. Meta's words, which change; the amount is in no webhook.
fn price(status: &Value) -> Option<Price> {
    let pricing = status.get("pricing")?;
    let price = Price {
        category: json::id(pricing, "/category"),
        model: json::id(pricing, "/pricing_model"),
        kind: json::id(pricing, "/type"),
        billable: pricing.get("billable").and_then(Value::as_bool),
        ..Price::default()
    };
    (price != Price::default()).then_some(price)
}
