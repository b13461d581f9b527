//! Any message of a topic, and any body of its envelope: no panic; a report that is kept reads as the same report, if
//! its envelope's time is told.

#![no_main]

use comms_providers::aws_inbound::{Notification, read};
use comms_providers::event::EventKind;
use comms_providers::sns::Envelope;
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

fuzz_target!(|input: &[u8]| {
    let _ = Envelope::from_body(input);
    let text = String::from_utf8_lossy(input);
    let sent_at = OffsetDateTime::UNIX_EPOCH;
    if let Notification::SesEvents(events) | Notification::EumEvents(events) = read(&text, sent_at)
    {
        for event in events {
            match read(&event.raw.to_string(), time_of(&event.kind)) {
                Notification::SesEvents(again) | Notification::EumEvents(again) => {
                    assert!(again.contains(&event), "{event:?}\n{again:?}");
                }
                other => panic!("{event:?}\n{other:?}"),
            }
        }
    }
});

/// What is kept has lost its envelope, and with it the time of a report that has none of its own.
fn time_of(kind: &EventKind) -> OffsetDateTime {
    match kind {
        EventKind::Status(update) => update.occurred_at,
        EventKind::Consent(change) => change.at,
        _ => OffsetDateTime::UNIX_EPOCH,
    }
}
