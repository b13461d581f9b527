//! Talk of layers is none, and what the parser takes for one is counted.

use super::*;
use crate::mail::{MailError, read};
use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

fn reads(lines: &str) -> bool {
    let raw = format!("From: ana@example.com\r\nSubject: x\r\n\r\n{lines}");
    match read(raw.as_bytes()) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, MailError::TooNested);
            false
        }
    }
}

#[test]
fn a_long_thread_may_speak_of_anything() {
    for line in [
        "> The message is at https://x.example/globalassets/timetable.pdf\r\n",
        "> your message https://x.example/digest/2026 and /rfc822\r\n",
        "> Ana (CEO) Global Rail\r\n",
        "> the boundary of the zone, a boundary\r\n",
        "<a href=\"https://x.example/globalassets/a.png\">a</a>",
        "https://x.example/boundary?x=y\r\n",
        "https://x.example/message/1/global\r\n",
    ] {
        assert!(reads(&line.repeat(264)), "{line}");
    }
}

#[test]
fn parts_that_say_nothing_are_counted_too() {
    let mail = |part: &str, many| {
        let parts = part.repeat(many);
        let raw = format!(
            "From: ana@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}"
        );
        read(raw.as_bytes())
    };
    assert!(mail("--b\nA:b\n\n", 90_000).is_ok());
    for part in ["--b\nA:b\n\n", "x--b\n\n"] {
        assert_eq!(mail(part, 110_000), Err(MailError::TooNested));
    }
    assert!(reads(&("-".repeat(100) + "\r\n").repeat(5_000)));
    for header in ["a:\n", "To: a@b\n"] {
        let raw = header.repeat(600_000) + "\nhola";
        assert_eq!(read(raw.as_bytes()), Err(MailError::TooNested));
    }
    assert!(reads(&"clave: valor\r\n".repeat(100_000)));
}

#[test]
fn what_opens_a_layer_is_counted_in_whatever_form() {
    for header in [
        "message/rfc822",
        "MESSAGE/RFC822",
        "message / global",
        "message/ (x (y)) rfc822",
        "message (x)\r\n (y) / rfc822",
        "message/x (y) rfc822",
        "\"message\"/\"rfc822\"",
        "message\\/\\rfc822",
        "multipart/digest",
        "text/x; boundary=x",
        "text/x; boundary =x",
        "text/x; boundary\"=x",
        "text/x; boundary*=x",
        "text/x; boundary*0=x",
        "text/x; boundary*; y=x",
        "text/x; y*; boundary; =x",
        "text/x; y*; boundary\r\n =x",
        "text/x; y*; boundary (z) =x",
    ] {
        let header = format!("Content-Type: {header}\r\n");
        assert_eq!(announcements(header.as_bytes()).count(), 1, "{header}");
        assert!(!reads(&header.repeat(LIMIT + 1)), "{header}");
    }
}

/// Does the parser take this header for the beginning of a layer?
fn opens_a_layer(header: &str) -> bool {
    let raw = format!("Content-Type: {header}\r\n\r\n");
    let parsed = MessageParser::default().parse_headers(&raw);
    let part = parsed.as_ref().and_then(|mail| mail.parts.first());
    part.and_then(|part| part.content_type())
        .is_some_and(|kind| {
            kind.attribute("boundary").is_some()
                || kind.ctype() == "message" && matches!(kind.subtype(), Some("rfc822" | "global"))
                || kind.ctype() == "multipart" && kind.subtype() == Some("digest")
        })
}

/// Types and parameters in all the forms that the parser knows.
fn headers() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "message",
        "multipart",
        "Message",
        "rfc822",
        "global",
        "digest",
        "boundary",
        "Boundary",
        "text",
        "x",
        "/",
        "/",
        ";",
        ";",
        "=",
        "=",
        "*",
        "*0",
        "(",
        ")",
        "\\",
        "\"",
        "'",
        " ",
        "\t",
        "\r\n ",
        "\n\t",
        "\r",
        ",",
        ":",
        "=?utf-8?Q?x?=",
    ]);
    let pieces =
        |most| prop::collection::vec(piece.clone(), 0..most).prop_map(|pieces| pieces.concat());
    (
        pieces(3),
        prop::sample::select(vec!["message", "multipart", "text/x;", ""]),
        pieces(5),
        prop::sample::select(vec!["/", "", ";"]),
        pieces(5),
        prop::sample::select(vec!["rfc822", "digest", "boundary", ""]),
        pieces(6),
        prop::sample::select(vec!["=x", ""]),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| format!("{a}{b}{c}{d}{e}{f}{g}{h}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn the_parser_sees_no_layer_that_is_not_counted(header in headers()) {
        let raw = format!("Content-Type: {header}\r\n");
        let counted = announcements(raw.as_bytes()).next().is_some();
        prop_assert!(counted || !opens_a_layer(&header), "{:?}", header);
    }
}

/// A mail that was sent along encoded opens layers as well, once the parser has decoded it.
#[test]
fn what_is_encoded_is_counted_as_it_will_be_read() {
    let layers =
        |many: usize| "Content-Type: message/rfc822\r\n\r\n".repeat(many) + "From: a@b.c\r\n\r\nhi";
    let base64 =
        |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let quoted = |text: &str| text.replace('=', "=3D").replace('m', "=6D");
    let alone = |encoding: &str, body: &str| {
        format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
        )
    };
    let in_a_digest = |body: &str| {
        format!(
            "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\ncontent-transfer-ENCODING: BASE64\r\n\r\n{body}\r\n--x--\r\n"
        )
    };
    for raw in [
        alone("base64", &base64(&layers(20_000))),
        alone("quoted-printable", &quoted(&layers(20_000))),
        alone(
            "quoted-printable",
            &format!("--x\r\n{}", quoted(&layers(20_000))),
        ),
        in_a_digest(&base64(&layers(20_000))),
        alone(
            "base64",
            &base64(&alone("base64", &base64(&layers(20_000)))),
        ),
        alone("base64", "aGk=").repeat(70),
    ] {
        assert_eq!(
            crate::mail::read(raw.as_bytes()).err(),
            Some(crate::mail::MailError::TooNested)
        );
    }
    for raw in [
        alone("base64", &base64(&layers(5))),
        alone("quoted-printable", &quoted(&layers(5))),
        in_a_digest(&base64(&layers(5))),
    ] {
        assert!(!is_too_nested(raw.as_bytes()), "{raw}");
    }
}

/// As long as they may be, and each name of the header in the way of the next.
#[test]
fn a_long_mail_is_walked_through_once() {
    let name = "Content-Transfer-Encoding: base64\n";
    assert!(!is_too_nested(name.repeat(200_000).as_bytes()));
    assert!(!is_too_nested(
        format!("Content-Type: text/plain\n{}", name.repeat(200_000)).as_bytes()
    ));
}

/// Plain text decodes to itself: each of these holds all that follow, three times over.
#[test]
fn what_would_be_decoded_again_and_again_is_refused() {
    let head =
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    let raw = head.repeat(60) + &"hola\r\n".repeat(200_000);
    assert!(is_too_nested(raw.as_bytes()));
    let one = format!("{head}{}", "hola\r\n".repeat(1_000));
    assert!(!is_too_nested(one.repeat(6).as_bytes()));
}
