//! Any header, up to the first line break, and any body: believed exactly if the header is the signature of the body.

#![no_main]

use comms_providers::whatsapp::signature::{sign, verify};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

fuzz_target!(|input: &[u8]| {
    let secret = SecretString::from("test_app_secret");
    let end = input.iter().position(|byte| *byte == b'\n');
    let (header, body) = input.split_at(end.unwrap_or(input.len()));
    let body = body.get(1..).unwrap_or_default();
    let right = sign(body, &secret);
    let secrets = [SecretString::from("an older secret"), secret];

    assert!(verify(body, Some(&right), &secrets).is_ok());
    assert!(verify(body, Some(&right), &secrets[..1]).is_err());
    assert!(verify(body, None, &secrets).is_err());
    let Ok(header) = std::str::from_utf8(header) else {
        return;
    };
    // Hex digits may be large; the word before them may not.
    let same = header
        .trim()
        .strip_prefix("sha256=")
        .is_some_and(|digest| right["sha256=".len()..].eq_ignore_ascii_case(digest));
    assert_eq!(verify(body, Some(header), &secrets).is_ok(), same);
});
