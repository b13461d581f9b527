//! Any line of SNS's log, and any event that should hold some: no panic; a report that is kept reads as the same report.

#![no_main]

use comms_providers::event::EventKind;
use comms_providers::sns::log::{again, read};
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

fuzz_target!(|input: &[u8]| {
    let seen_at = OffsetDateTime::UNIX_EPOCH;
    let event = again(input, seen_at);
    if matches!(event.kind, EventKind::Status(_)) {
        assert_eq!(again(event.raw.to_string().as_bytes(), seen_at), event);
    }
    let data = String::from_utf8_lossy(input);
    let _ = read(&serde_json::json!({"awslogs": {"data": data}}));
});
