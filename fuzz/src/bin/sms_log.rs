//! Any line of SNS's log, and any event that should hold some: no panic, and never more unpacked than is allowed.

#![no_main]

use comms_providers::sns::log::{again, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let event = again(input);
    assert_eq!(again(event.raw.to_string().as_bytes()).kind, event.kind);
    let data = String::from_utf8_lossy(input);
    let _ = read(&serde_json::json!({"awslogs": {"data": data}}));
});
