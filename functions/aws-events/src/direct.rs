//! Records that came without a queue: SNS, or SES by its Lambda action, has called the function itself.
//!
//! Lambda has answered already, so nothing in our answer can ask for one record again. What is not taken in must fail the invocation: then
//! Lambda repeats all of it, and what was stored before changes nothing.

use super::{Deps, queue, store};
use comms_core::inbound::InboundError;
use serde_json::Value;

/// The event's records where any has no id that a queue could give it back by.
pub(super) fn records(event: &Value) -> Option<&[Value]> {
    let records = event.get("Records")?.as_array()?.as_slice();
    let came_alone = |record: &Value| record.get("messageId").is_none();
    records.iter().any(came_alone).then_some(records)
}

/// Takes in all of them.
pub(super) async fn handle(deps: &Deps, records: &[Value]) -> Result<(), InboundError> {
    let all = records
        .iter()
        .map(|record| queue::notified(deps, record))
        .collect();
    store(deps, all).await.map(drop)
}
