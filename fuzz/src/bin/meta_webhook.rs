//! Any body: no panic; each event, written as a payload of its own, reads as the same event.

#![no_main]

use comms_providers::event::ProviderEvent;
use comms_providers::whatsapp::signature::{sign, verify};
use comms_providers::whatsapp::webhook::{self, ParseError};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

fn parse(body: &[u8]) -> Result<Vec<ProviderEvent>, ParseError> {
    let secret = SecretString::from("test_app_secret");
    let signature = sign(body, &secret);
    let webhook = verify(body, Some(&signature), &[secret]).expect("our own signature");
    webhook::parse(&webhook)
}

fuzz_target!(|body: &[u8]| {
    let Ok(events) = parse(body) else {
        return;
    };
    for event in events {
        let read = parse(&webhook::again(&event)).expect("a webhook of our own");
        assert_eq!(read, [event]);
    }
});
