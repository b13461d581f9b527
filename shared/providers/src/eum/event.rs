//! x
use crate::event::{EventKind, ProviderEvent};
use serde_json::Value;
use time::OffsetDateTime;
pub(crate) fn read(event: Value, sent_at: OffsetDateTime) -> ProviderEvent {
    let _ = sent_at;
    ProviderEvent {
        account: None,
        kind: EventKind::Unhandled {
            field: String::new(),
        },
        raw: event,
    }
}
