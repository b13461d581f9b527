//! Any message of a topic, and any body of its envelope: no panic; a report that is kept reads as the same report.

#![no_main]

use comms_providers::aws_inbound::{Notification, read};
use comms_providers::sns::Envelope;
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

fuzz_target!(|input: &[u8]| {
    let _ = Envelope::from_body(input);
    let text = String::from_utf8_lossy(input);
    let at = OffsetDateTime::UNIX_EPOCH;
    if let Notification::SesEvents(events) | Notification::EumEvents(events) = read(&text, at) {
        for event in events {
            match read(&event.raw.to_string(), at) {
                Notification::SesEvents(again) | Notification::EumEvents(again) => {
                    assert!(again.contains(&event), "{event:?}\n{again:?}");
                }
                other => panic!("{event:?}\n{other:?}"),
            }
        }
    }
});
