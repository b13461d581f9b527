//! Records of the queue that our topics write to, and what is in a record.

use super::{Deps, store};
use comms_core::inbound::aws::Notified;
use comms_core::platform::telemetry;
use comms_providers::sns::{Envelope, by_queue};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Takes in a batch and names the records that must come again. All together, and one by one where that fails: one that cannot be stored
/// must not take the others to the dead-letter queue with it.
pub(super) async fn handle(deps: &Deps, records: &[Value]) -> Vec<Value> {
    let all: Vec<(&str, Notified)> = records
        .iter()
        .map(|record| {
            let id = record["messageId"].as_str().unwrap_or_default();
            (id, notified(deps, record))
        })
        .collect();
    let together = all.iter().map(|(_, notified)| notified.clone()).collect();
    let Err(error) = store(deps, together).await else {
        return Vec::new();
    };
    tracing::error!(error = telemetry::chain(&error), "taking in one by one");
    let mut failures = Vec::new();
    for (id, notified) in all {
        if let Err(error) = store(deps, vec![notified]).await {
            tracing::error!(error = telemetry::chain(&error), "record not taken in");
            failures.push(json!({"itemIdentifier": id}));
        }
    }
    failures
}

/// The message in the record: in an envelope, or bare where the subscription delivers so. A record that has neither a body nor SNS's
/// envelope is kept as it is, for nobody would send it again.
pub(super) fn notified(deps: &Deps, record: &Value) -> Notified {
    if let Some(body) = record["body"].as_str() {
        return match Envelope::from_body(body.as_bytes()) {
            Ok(envelope) => enveloped(deps, envelope, body),
            Err(_bare) if names_a_topic(body) => Notified::strange(body),
            Err(_bare) => Notified::of(body, sent(record).unwrap_or_else(deps.clock)),
        };
    }
    let (Some(told), Ok(envelope)) = (record.get("Sns"), Envelope::from_record(record)) else {
        tracing::error!("a record has no message");
        return Notified::unreadable(record);
    };
    enveloped(deps, envelope, &told.to_string())
}

/// What is an envelope, if not a whole one, is not delivered bare, and nobody has said that its topic is ours.
fn names_a_topic(body: &str) -> bool {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body.get("TopicArn").is_some()
}

/// `text` is the envelope as it came, which is what is kept of a stranger's.
fn enveloped(deps: &Deps, envelope: Envelope, text: &str) -> Notified {
    let at = envelope.sent_at().unwrap_or_else(deps.clock);
    match by_queue(envelope, &deps.policy) {
        Ok(verified) => Notified::of(&verified.envelope().message, at),
        Err(error) => {
            tracing::error!(%error, "a message of a strange topic");
            Notified::strange(text)
        }
    }
}

/// When SQS took it over: milliseconds, as text.
fn sent(record: &Value) -> Option<OffsetDateTime> {
    let milliseconds: i128 = record["attributes"]["SentTimestamp"]
        .as_str()?
        .parse()
        .ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).ok()
}
