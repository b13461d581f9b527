//! Records of the queue that our topics write to.

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

/// The message in the record: in an envelope, or bare where the subscription delivers so.
fn notified(deps: &Deps, record: &Value) -> Notified {
    let body = record["body"].as_str().unwrap_or_default();
    let Ok(envelope) = Envelope::from_body(body.as_bytes()) else {
        return Notified::of(body, sent(record).unwrap_or_else(deps.clock));
    };
    let at = envelope.sent_at().unwrap_or_else(deps.clock);
    match by_queue(envelope, &deps.policy) {
        Ok(verified) => Notified::of(&verified.envelope().message, at),
        Err(error) => {
            tracing::error!(%error, "the queue was given a message of a strange topic");
            Notified::strange(body)
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
