//! Mails as they come, one file for each situation, and what is read from them.

mod automatic;
mod files;
mod fuzz;
mod groups;
mod headers;
mod lines;
mod senders;
mod words;

use super::*;
use std::path::Path;

/// The mail of that name beside this file, with the line ends that mail has.
fn raw(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mail/tests");
    let text = std::fs::read_to_string(folder.join(format!("{name}.eml"))).expect("a fixture");
    text.replace('\n', "\r\n").into_bytes()
}

fn mail(name: &str) -> Mail {
    read(&raw(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A mail with these lines above and this text.
fn written(headers: &str, text: &str) -> Mail {
    let raw = format!("From: ana@example.com\r\n{headers}\r\n{text}");
    read(raw.as_bytes()).expect("a mail")
}

#[test]
fn what_is_no_mail() {
    for raw in [&b""[..], b"\r\n\r\n", b"\xff\xfe\x00"] {
        assert_eq!(read(raw), Err(MailError::NoHeader), "{raw:?}");
        assert_eq!(attachment(raw, 0), None);
    }
    assert_eq!(read(&vec![b'a'; SIZE_LIMIT + 1]), Err(MailError::TooLarge));
    let layer = "Content-Type: message/rfc822\r\n\r\n";
    assert_eq!(
        read(layer.repeat(100_000).as_bytes()),
        Err(MailError::TooNested)
    );
    let parts = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n".repeat(1000);
    assert_eq!(read(parts.as_bytes()), Err(MailError::TooNested));
    assert!(
        read(layer.repeat(200).as_bytes()).is_ok(),
        "more than anybody sends, and still read"
    );
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_header() {
    let read =
        read("\u{feff}From: ana@example.com\r\nSubject: x\r\n\r\ny".as_bytes()).expect("a mail");
    assert_eq!(
        read.from.map(|from| from.address).as_deref(),
        Some("ana@example.com")
    );
    assert_eq!(read.text, "y");
}

#[test]
fn what_is_too_long_is_cut_and_said_to_be() {
    let long = written("", &"ñ".repeat(TEXT_LIMIT));
    assert!(long.cut && long.text.len() <= TEXT_LIMIT && long.text.len() > TEXT_LIMIT - 4);
    let short = written(&format!("Subject: {}\r\n", "x".repeat(5000)), "y");
    assert_eq!(short.subject.map(|subject| subject.len()), Some(500));
    assert!(!short.cut);
    let html = format!("<p>{}</p>", "<b>x</b> ".repeat(TEXT_LIMIT / 8));
    let html = written("Content-Type: text/html\r\n", &html);
    assert!(html.cut && html.html.is_some());
}
