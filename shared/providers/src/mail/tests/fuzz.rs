//! The reader against whatever may come: it never panics, and what it lists it can also take out.

use super::raw;
use crate::mail::{attachment, read};
use proptest::prelude::*;

const NAMES: [&str; 8] = [
    "bounce_gmail",
    "inline_image_and_pdf",
    "html_only",
    "mail_in_mail",
    "pgp_signed",
    "strange_filenames",
    "references_folded",
    "koi8",
];

fn agrees(raw: &[u8]) {
    let Ok(mail) = read(raw) else { return };
    for file in &mail.attachments {
        let (found, bytes) = attachment(raw, file.ordinal).expect("a listed file is there");
        assert_eq!((&found, bytes.len()), (file, file.size));
    }
    assert!(
        mail.visible_text.is_empty() == mail.text.is_empty(),
        "{:?}",
        mail.text
    );
    assert!(!mail.text.contains('\0') && !mail.html.unwrap_or_default().contains('\0'));
}

/// Lines that a mail is made of, in any order.
fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        prop::sample::select(vec![
            "From: a@b.example",
            "Subject: =?utf-8?B?",
            "References: <a@b> <",
            "Message-ID: <<>",
            "To: a:b@c, <d@e>;",
            "Date: Mon, 99 Foo",
            "Content-Type: multipart/mixed; boundary=\"x\"",
            "Content-Type: multipart/alternative; boundary=x",
            "Content-Type: message/rfc822",
            "Content-Type: text/html; charset=utf-16",
            "Content-Type: multipart/digest; boundary=y",
            "Content-Transfer-Encoding: base64",
            "Content-Transfer-Encoding: quoted-printable",
            "Content-Disposition: attachment; filename*0*=utf-8''a%",
            "Content-Type: message/delivery-status",
            "--x",
            "--x--",
            "--y",
            "--y--",
            "",
            "",
            "AAAA",
            "=C3=",
            "> quoted",
            "On 1/2/2026 Ana <a@b> wrote:",
            "-- ",
            "From: x",
            "Sent: 1",
            "To: y",
            "________________",
            "<p><img src=x>",
            "Content-Type: text/html",
            "<blockquote><tr><td><td><li>a",
            "</blockquote></div><pre>&#0;&nbsp;&",
            "Final-Recipient: rfc822; a@b",
            "\u{feff}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,20}",
    ];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.join("\r\n"))
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        agrees(&bytes);
        agrees(&[b"From: a@b\r\n\r\n".as_slice(), &bytes].concat());
    }

    #[test]
    fn no_lines_make_it_panic(text in lines()) {
        agrees(text.as_bytes());
        agrees(text.replace("\r\n", "\n").as_bytes());
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic(pick in 0..NAMES.len(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut raw = raw(NAMES[pick]);
        let at = at.index(raw.len());
        if cut { raw.truncate(at) } else { raw[at] = byte }
        agrees(&raw);
    }
}
