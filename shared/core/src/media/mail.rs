//! The one place where an attachment is cut out of a raw mail.

use comms_providers::mail;

/// `source_ref` of a MAIL file: `<object key>#<part ordinal>`. A key may have a `#` of its own.
pub(super) fn place(source_ref: &str) -> Option<(&str, u16)> {
    let (key, ordinal) = source_ref.rsplit_once('#')?;
    Some((key, ordinal.parse().ok()?)).filter(|(key, _)| !key.is_empty())
}

/// The part's bytes, without their transfer encoding, and whether it is a program. Counted as the mail's attachments are, from 0.
pub(super) fn mail_part(raw: &[u8], ordinal: u16) -> Option<(Vec<u8>, bool)> {
    mail::attachment(raw, ordinal).map(|(file, bytes)| (bytes, file.dangerous))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] =
        b"From: ana@example.com\r\nTo: c@reply.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nhola\r\n\
        --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n\
        --b--\r\n";

    #[test]
    fn an_attachment_is_decoded_and_a_part_that_is_not_there_is_none() {
        assert_eq!(mail_part(MAIL, 0), Some((b"%PDF-1.4".to_vec(), false)));
        let program = String::from_utf8_lossy(MAIL).replace("a.pdf", "a.pdf.exe");
        assert!(mail_part(program.as_bytes(), 0).is_some_and(|(_, is_program)| is_program));
        assert_eq!(mail_part(MAIL, 1), None);
        assert_eq!(mail_part(b"", 0), None);
    }

    #[test]
    fn a_place_is_a_key_and_a_number() {
        assert_eq!(place("in/abc#2"), Some(("in/abc", 2)));
        assert_eq!(place("in/a#b#0"), Some(("in/a#b", 0)));
        for bad in ["in/abc", "in/abc#", "in/abc#-1", "in/abc#x", "#1", ""] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
