//! What hangs on a mail, and what must not be handed on.

use super::{mail, raw};
use crate::mail::{Attachment, attachment, is_dangerous, read};

fn names(name: &str) -> Vec<(String, String, bool)> {
    let of = |file: Attachment| (file.filename, file.mime_type, file.inline);
    mail(name).attachments.into_iter().map(of).collect()
}

fn file(name: &str, kind: &str, inline: bool) -> (String, String, bool) {
    (name.to_owned(), kind.to_owned(), inline)
}

#[test]
fn pictures_of_the_text_and_files_beside_it() {
    assert_eq!(
        names("inline_image_and_pdf"),
        [
            file("pic.png", "image/png", true),
            file("ticket.pdf", "application/pdf", false)
        ]
    );
    assert_eq!(
        names("apple_inline_without_cid"),
        [file("IMG_1.jpeg", "image/jpeg", false)]
    );
    assert_eq!(
        names("cid_attachment"),
        [file("plan.pdf", "application/pdf", false)]
    );
    assert_eq!(
        names("nameless_inline_image"),
        [
            file("file-1.png", "image/png", true),
            file("file-2.png", "image/png", true)
        ]
    );
    assert_eq!(
        names("outlook_inline"),
        [file("image001.png", "image/png", true)]
    );
    assert_eq!(
        names("calendar_invite"),
        [
            file("file-1.ics", "text/calendar", false),
            file("invite.ics", "application/ics", false)
        ]
    );
    assert_eq!(
        names("pgp_signed"),
        [file("signature.asc", "application/pgp-signature", false)]
    );
    assert_eq!(
        names("mail_in_mail"),
        [file("mail.eml", "message/rfc822", false)]
    );
    assert!(names("no_subject").is_empty());
    let id = mail("outlook_inline").attachments.remove(0).content_id;
    assert_eq!(id.as_deref(), Some("image001.png@01DB0000.00000000"));
}

#[test]
fn a_file_is_found_again_by_its_place() {
    for name in [
        "inline_image_and_pdf",
        "calendar_invite",
        "mail_in_mail",
        "pgp_signed",
        "nameless_inline_image",
    ] {
        let listed = mail(name).attachments;
        for expected in &listed {
            let (found, bytes) = attachment(&raw(name), expected.ordinal).expect("a file");
            assert_eq!((&found, bytes.len()), (expected, expected.size), "{name}");
            assert!(!bytes.is_empty(), "{name} {expected:?}");
        }
        assert_eq!(
            attachment(&raw(name), u16::try_from(listed.len()).expect("few")),
            None
        );
    }
    let (_, pdf) = attachment(&raw("inline_image_and_pdf"), 1).expect("a file");
    assert_eq!(pdf, b"%PDF-1.7\n");
    let (_, inner) = attachment(&raw("mail_in_mail"), 0).expect("a file");
    let inner = read(&inner).expect("a mail of its own");
    assert_eq!(inner.message_id.as_deref(), Some("inner@mail.example"));
    assert_eq!(inner.text, "Inner words.");
}

/// The only file of a mail: `headers` are its own, and `sent` is what stands between the boundaries.
fn only_file(headers: &str, sent: &[u8]) -> (Attachment, Vec<u8>) {
    let above = format!(
        "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nwords\r\n--m\r\nContent-Disposition: attachment; filename=f\r\n{headers}\r\n"
    );
    let raw = [above.as_bytes(), sent, b"\r\n--m--\r\n"].concat();
    let listed = read(&raw).expect("a mail").attachments;
    let (file, bytes) = attachment(&raw, 0).expect("a file");
    assert_eq!(listed, std::slice::from_ref(&file), "{headers}");
    assert_eq!(file.size, bytes.len(), "{headers}");
    (file, bytes)
}

#[test]
fn a_text_file_keeps_its_charset() {
    let latin1 = b"n\xfamero;estaci\xf3n\r\n4;M\xe1laga\r\n";
    for charset in [
        "",
        "; charset=utf-8",
        "; charset=us-ascii",
        "; charset=iso-8859-1",
        "; charset=windows-1252",
        "; charset=of-my-own",
    ] {
        for (encoding, sent) in [
            ("8bit", &latin1[..]),
            ("base64", b"bvptZXJvO2VzdGFj\r\nafNuDQo0O03hbGFnYQ0K"),
            (
                "quoted-printable",
                b"n=FAmero;esta=\r\nci=F3n\r\n4;M=E1laga\r\n",
            ),
        ] {
            let headers = format!(
                "Content-Type: text/csv{charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
            );
            assert_eq!(only_file(&headers, sent).1, latin1, "{headers}");
        }
    }
    let utf16 = b"\xff\xfe<\0a\0/\0>\0";
    let xml = only_file("Content-Type: text/xml; charset=utf-16\r\n", utf16).1;
    assert_eq!(xml, utf16);
    let html = only_file("Content-Type: text/html; charset=utf-8\r\n", b"<p>\xf1").1;
    assert_eq!(html, b"<p>\xf1");
}

/// Programs that set an encoding and use another: what came is all there is.
#[test]
fn a_file_whose_encoding_lies() {
    for (encoding, sent, file) in [
        (
            "base64",
            &b"espa\xf1a; no base64"[..],
            &b"espa\xf1a; no base64"[..],
        ),
        ("quoted-printable", b"50 =zu =F1", b"50 =zu \xf1"),
        ("quoted-printable", b"== \xf1", b"== \xf1"),
    ] {
        let headers =
            format!("Content-Type: text/plain\r\nContent-Transfer-Encoding: {encoding}\r\n");
        assert_eq!(only_file(&headers, sent).1, file, "{headers}");
    }
}

#[test]
fn what_is_no_text_is_as_it_was() {
    for (encoding, sent) in [
        ("binary", &b"%PDF\xe2\0\r\n\xff"[..]),
        ("base64", b"JVBERuIADQr/"),
        ("quoted-printable", b"%PDF=E2=00\r\n=FF"),
    ] {
        let headers =
            format!("Content-Type: application/pdf\r\nContent-Transfer-Encoding: {encoding}\r\n");
        assert_eq!(
            only_file(&headers, sent).1,
            b"%PDF\xe2\0\r\n\xff",
            "{encoding}"
        );
    }
}

/// Its first bytes are those of a program, and no text in any charset.
#[test]
fn a_program_that_says_it_is_a_text() {
    let headers =
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n";
    let (file, bytes) = only_file(headers, b"z/rt/gcAAAE=");
    assert!(file.dangerous, "{bytes:?}");
}

#[test]
fn names_that_a_file_system_can_bear() {
    let strange = mail("strange_filenames").attachments;
    let seen: Vec<(&str, bool)> = strange
        .iter()
        .map(|file| (file.filename.as_str(), file.dangerous))
        .collect();
    assert_eq!(
        seen,
        [
            ("passwd", false),
            ("invoicefdp.exe", true),
            ("billete nº 4.pdf", true),
            ("a.js", true),
            ("file-5.bin", false),
        ]
    );
    assert_eq!(strange[4].mime_type, "application/octet-stream");
    let long = format!(
        "From: a@b.example\r\nContent-Type: application/pdf; name=\"{}.pdf\"\r\n\r\nx",
        "ñ".repeat(300)
    );
    let name = read(long.as_bytes())
        .expect("a mail")
        .attachments
        .remove(0)
        .filename;
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    assert!(name.len() <= 255 && extension == Some("pdf"), "{name}");
}

#[test]
fn more_files_than_are_listed() {
    let part = "--m\r\nContent-Type: application/pdf\r\n\r\nx\r\n";
    let many = format!(
        "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n{}--m--\r\n",
        part.repeat(60)
    );
    let read = read(many.as_bytes()).expect("a mail");
    assert_eq!((read.attachments.len(), read.cut), (50, true));
    assert_eq!(attachment(many.as_bytes(), 50), None);
}

#[test]
fn programs_by_name_and_by_their_first_bytes() {
    for name in [
        "a.exe", "A.EXE", "a.pdf.js", "a.scr. .", "a.docm", "a.lnk", "x.ps1",
    ] {
        assert!(is_dangerous(name, b""), "{name}");
    }
    for bytes in [
        &b"MZ\x90"[..],
        b"\x7fELF\x02",
        b"#!/bin/sh",
        b"\xcf\xfa\xed\xfe\x07",
    ] {
        assert!(is_dangerous("photo.jpg", bytes), "{bytes:?}");
    }
    for (name, bytes) in [
        ("a.pdf", &b"%PDF"[..]),
        ("exe", b""),
        ("js.txt", b"M"),
        ("a.jpg", b"\xff\xd8"),
        ("a.zip", b"PK\x03\x04"),
        ("", b""),
    ] {
        assert!(!is_dangerous(name, bytes), "{name}");
    }
}
