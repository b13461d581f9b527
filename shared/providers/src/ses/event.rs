//! x
use crate::event::ProviderEvent;
use serde_json::Value;
use time::OffsetDateTime;
pub(crate) fn read(event: Value, sent_at: OffsetDateTime) -> Vec<ProviderEvent> {
    let _ = (event, sent_at);
    Vec::new()
}
