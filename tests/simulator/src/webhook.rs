//! Webhooks as Meta writes and signs them.
//!
//! Meta escapes `/` and everything beyond ASCII in the JSON it signs, so a receiver that writes the body anew
//! before checking the signature fails here as it would there.

mod item;

pub use item::{Inbound, StatusReport};

use crate::Number;
use aws_lc_rs::hmac;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A body and the value of its `X-Hub-Signature-256`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWebhook {
    pub body: Vec<u8>,
    pub signature: String,
}

/// `sha256=` and the HMAC-SHA256 of the bytes in hex.
#[must_use]
pub fn sign(app_secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

/// Puts messages and statuses into one payload.
///
/// What belongs to the same number joins the same change, and changes of the same WABA the same entry, until
/// [`WebhookBuilder::split_change`] or [`WebhookBuilder::split_entry`] asks for a new one.
#[derive(Debug, Clone)]
pub struct WebhookBuilder {
    app_secret: String,
    entries: Vec<Value>,
    split_change: bool,
    split_entry: bool,
}

impl WebhookBuilder {
    #[must_use]
    pub fn new(app_secret: &str) -> Self {
        Self {
            app_secret: app_secret.to_owned(),
            entries: Vec::new(),
            split_change: false,
            split_entry: false,
        }
    }

    /// A customer wrote.
    #[must_use]
    pub fn message(self, number: &Number, inbound: &Inbound) -> Self {
        self.item(
            number,
            "messages",
            inbound.message(),
            Some(inbound.contact()),
        )
    }

    /// Something became of a message of ours.
    #[must_use]
    pub fn status(self, number: &Number, report: &StatusReport) -> Self {
        self.item(number, "statuses", report.status(), report.contact())
    }

    /// Any item of `messages`, however odd.
    #[must_use]
    pub fn raw_message(self, number: &Number, message: Value) -> Self {
        self.item(number, "messages", message, None)
    }

    /// Any change, such as one of another field.
    #[must_use]
    pub fn change(mut self, waba_id: &str, field: &str, value: &Value) -> Self {
        self.changes(waba_id)
            .push(json!({ "value": value, "field": field }));
        self.split_change = true;
        self
    }

    /// When the entries happened, in seconds since 1970; only those about accounts say so.
    #[must_use]
    pub fn at(mut self, time: u64) -> Self {
        for entry in &mut self.entries {
            entry["time"] = json!(time);
        }
        self
    }

    /// The next item begins a new change.
    #[must_use]
    pub fn split_change(mut self) -> Self {
        self.split_change = true;
        self
    }

    /// The next item begins a new entry.
    #[must_use]
    pub fn split_entry(mut self) -> Self {
        self.split_entry = true;
        self
    }

    #[must_use]
    pub fn payload(&self) -> Value {
        json!({ "object": "whatsapp_business_account", "entry": self.entries })
    }

    /// Writes and signs the payload.
    #[must_use]
    pub fn build(self) -> SignedWebhook {
        let body = escaped(&self.payload().to_string()).into_bytes();
        let signature = sign(&self.app_secret, &body);
        SignedWebhook { body, signature }
    }

    fn item(mut self, number: &Number, list: &str, item: Value, contact: Option<Value>) -> Self {
        let value = self.value(number);
        if let Some(contact) = contact {
            push(&mut value["contacts"], contact);
        }
        push(&mut value[list], item);
        self
    }

    /// The value of the change that the next item of this number belongs to.
    fn value(&mut self, number: &Number) -> &mut Value {
        let split = std::mem::take(&mut self.split_change) || self.split_entry;
        let changes = self.changes(&number.waba_id);
        let joins = changes.last().is_some_and(|change| {
            change["value"]["metadata"]["phone_number_id"] == number.phone_number_id.as_str()
        });
        if split || !joins {
            changes.push(json!({ "field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": {
                    "display_phone_number": number.display_phone_number,
                    "phone_number_id": number.phone_number_id,
                },
            }}));
        }
        let last = changes.len() - 1;
        &mut changes[last]["value"]
    }

    /// The changes of the entry that the next change of this WABA belongs to.
    fn changes(&mut self, waba_id: &str) -> &mut Vec<Value> {
        let joins = self
            .entries
            .last()
            .is_some_and(|entry| entry["id"] == waba_id);
        if std::mem::take(&mut self.split_entry) || !joins {
            self.entries.push(json!({ "id": waba_id, "changes": [] }));
        }
        let last = self.entries.len() - 1;
        match &mut self.entries[last]["changes"] {
            Value::Array(changes) => changes,
            _ => unreachable!("an entry is made with a list of changes"),
        }
    }
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) if !items.contains(&item) => items.push(item),
        Value::Array(_) => {}
        empty => *empty = json!([item]),
    }
}

/// `/` and non-ASCII stand only inside strings, so the whole text can be escaped at once.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '/' => text.push_str("\\/"),
            c if c.is_ascii() => text.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_of_a_known_body() {
        let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
        let known = "sha256=dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756";
        assert_eq!(sign("test_app_secret", body), known);
    }

    #[test]
    fn bodies_are_escaped_as_metas_are() {
        assert_eq!(
            escaped(r#"{"a":"café 😀 a/b"}"#),
            r#"{"a":"caf\u00e9 \ud83d\ude00 a\/b"}"#
        );
    }

    #[test]
    fn items_join_until_they_are_split() {
        let first = Number::new("1", "w1", "34911", "t");
        let second = Number::new("2", "w1", "34912", "t");
        let third = Number::new("3", "w2", "34913", "t");
        let hello = || Inbound::text("34600", "hola");
        let payload = WebhookBuilder::new("s")
            .message(&first, &hello())
            .message(&first, &hello())
            .message(&second, &hello())
            .message(&third, &hello())
            .split_change()
            .message(&third, &hello())
            .split_entry()
            .message(&third, &hello())
            .change("w2", "account_update", &json!({}))
            .payload();
        let shape: Vec<Vec<usize>> = payload["entry"]
            .as_array()
            .expect("entries")
            .iter()
            .map(|entry| {
                let changes = entry["changes"].as_array().expect("changes");
                changes
                    .iter()
                    .map(|change| change["value"]["messages"].as_array().map_or(0, Vec::len))
                    .collect()
            })
            .collect();
        assert_eq!(shape, [vec![2, 1], vec![1, 1], vec![1, 0]]);
        assert_eq!(
            payload["entry"][0]["changes"][0]["value"]["contacts"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
    }
}
