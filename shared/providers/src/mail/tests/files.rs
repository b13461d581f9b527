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
