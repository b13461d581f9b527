//! What a file is: by its first bytes, never by what its sender calls it.
//!
//! What a browser may show (pictures, sound, film, PDF) is served as what it is. Everything else is a download: office files
//! and plain text under their own type, and the rest, which may be a page, a drawing with a script or a program, as
//! `application/octet-stream`. An agent gets what the customer sent, and no browser runs it. A picture that is none is refused:
//! nobody needs it, and it is how such things are hidden.

const DOWNLOAD: &str = "application/octet-stream";

/// How the bucket serves a file. The disposition has no name: that is personal, and stands in the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    pub content_type: String,
    pub disposition: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Image,
    Sound,
    Pdf,
    /// Sound or film: a container of either.
    Mp4,
    Ogg,
    Webm,
    /// Zip or the older container of office files.
    Office,
}

/// What the file may be served as.
///
/// # Errors
/// With the reason for refusing it.
pub(super) fn judge(
    kind: &str,
    declared: Option<&str>,
    bytes: &[u8],
) -> Result<Served, &'static str> {
    if bytes.is_empty() {
        return Err("empty");
    }
    let found = sniff(bytes);
    if !fits(kind, found.map(|(family, _)| family)) {
        return Err("wrong-type");
    }
    let declared = declared.map(essence).unwrap_or_default();
    Ok(match found {
        Some((Family::Office, _)) if is_office(&declared) => download(&declared),
        Some((Family::Office, sniffed)) => download(sniffed),
        Some((family, sniffed)) => Served {
            content_type: more_exact(family, sniffed, kind, &declared),
            disposition: "inline",
        },
        None if is_plain(&declared) && is_text(bytes) => {
            download(&format!("{declared}; charset=utf-8"))
        }
        None => download(DOWNLOAD),
    })
}

/// Is it of the types that a browser shows, and so no download?
pub(super) fn is_shown(content_type: &str) -> bool {
    let families = ["image/", "audio/", "video/"];
    content_type == "application/pdf" || families.iter().any(|of| content_type.starts_with(of))
}

fn download(content_type: &str) -> Served {
    Served {
        content_type: content_type.to_owned(),
        disposition: "attachment",
    }
}

/// Does it keep the promise of its kind? Documents and attachments promise nothing.
fn fits(kind: &str, found: Option<Family>) -> bool {
    use Family::{Image, Mp4, Ogg, Sound, Webm};
    match kind {
        "image" | "sticker" => found == Some(Image),
        "audio" | "voice" => matches!(found, Some(Sound | Mp4 | Ogg | Webm)),
        "video" => matches!(found, Some(Mp4 | Ogg | Webm)),
        _ => true,
    }
}

/// A container says what is in it only further inside; among the types that it can be, the sender's word or the kind counts.
fn more_exact(family: Family, sniffed: &str, kind: &str, declared: &str) -> String {
    if family == Family::Mp4 && matches!(declared, "audio/mp4" | "video/3gpp") {
        return declared.to_owned();
    }
    let sound = kind == "audio" || kind == "voice";
    match (family, sound) {
        (Family::Mp4, true) => "audio/mp4".to_owned(),
        (Family::Webm, true) => "audio/webm".to_owned(),
        (Family::Ogg, false) if kind == "video" => "video/ogg".to_owned(),
        _ => sniffed.to_owned(),
    }
}

fn sniff(bytes: &[u8]) -> Option<(Family, &'static str)> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    let at = |offset: usize, magic: &[u8]| {
        bytes
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    Some(match bytes {
        _ if begins(b"\xff\xd8\xff") => (Family::Image, "image/jpeg"),
        _ if begins(b"\x89PNG\r\n\x1a\n") => (Family::Image, "image/png"),
        _ if begins(b"GIF87a") || begins(b"GIF89a") => (Family::Image, "image/gif"),
        _ if begins(b"RIFF") && at(8, b"WEBP") => (Family::Image, "image/webp"),
        _ if begins(b"RIFF") && at(8, b"WAVE") => (Family::Sound, "audio/wav"),
        _ if begins(b"OggS") => (Family::Ogg, "audio/ogg"),
        _ if begins(b"#!AMR") => (Family::Sound, "audio/amr"),
        _ if begins(b"ID3") => (Family::Sound, "audio/mpeg"),
        // A frame of AAC, and of MP3: eleven or twelve bits set, then the layer.
        [0xff, second, ..] if second & 0xf6 == 0xf0 => (Family::Sound, "audio/aac"),
        [0xff, second, ..] if second & 0xe6 == 0xe2 => (Family::Sound, "audio/mpeg"),
        _ if at(4, b"ftyphei") || at(4, b"ftypmif1") => (Family::Image, "image/heic"),
        _ if at(4, b"ftyp3gp") => (Family::Mp4, "video/3gpp"),
        _ if at(4, b"ftypM4A") => (Family::Mp4, "audio/mp4"),
        _ if at(4, b"ftyp") => (Family::Mp4, "video/mp4"),
        _ if begins(b"\x1a\x45\xdf\xa3") => (Family::Webm, "video/webm"),
        _ if begins(b"%PDF-") => (Family::Pdf, "application/pdf"),
        _ if begins(b"PK\x03\x04") => (Family::Office, "application/zip"),
        _ if begins(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") => (Family::Office, DOWNLOAD),
        _ => return None,
    })
}

/// Without parameters, in lower case.
fn essence(mime_type: &str) -> String {
    let essence = mime_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn is_office(essence: &str) -> bool {
    const OFFICE: [&str; 9] = [
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.presentation",
    ];
    OFFICE.contains(&essence)
}

fn is_plain(essence: &str) -> bool {
    matches!(
        essence,
        "text/plain" | "text/csv" | "text/calendar" | "text/vcard"
    )
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF";
    const PDF: &[u8] = b"%PDF-1.7\n";
    const MP4: &[u8] = b"\0\0\0\x18ftypisom";
    const OGG: &[u8] = b"OggS\0\x02";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0";
    const HTML: &[u8] = b"<!doctype html><script>alert(1)</script>";
    const SVG: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>";
    const EXE: &[u8] = b"MZ\x90\0\x03";
    const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

    fn served(
        kind: &str,
        declared: &str,
        bytes: &[u8],
    ) -> Result<(String, &'static str), &'static str> {
        judge(kind, Some(declared), bytes).map(|served| (served.content_type, served.disposition))
    }

    #[test]
    fn what_a_browser_may_show_is_shown_as_what_it_is() {
        for (kind, declared, bytes, shown) in [
            ("image", "image/jpeg", JPEG, "image/jpeg"),
            ("image", "image/svg+xml", JPEG, "image/jpeg"),
            ("document", "text/html", JPEG, "image/jpeg"),
            (
                "sticker",
                "image/webp",
                b"RIFF\x10\0\0\0WEBPVP8 ",
                "image/webp",
            ),
            ("audio", "audio/ogg; codecs=opus", OGG, "audio/ogg"),
            ("audio", "audio/mp4", MP4, "audio/mp4"),
            ("audio", "", MP4, "audio/mp4"),
            ("audio", "audio/mpeg", b"\xff\xfb\x90\x44", "audio/mpeg"),
            ("audio", "audio/aac", b"\xff\xf1\x50\x80", "audio/aac"),
            ("audio", "audio/amr", b"#!AMR\n", "audio/amr"),
            ("video", "video/mp4", MP4, "video/mp4"),
            ("video", "VIDEO/3GPP", MP4, "video/3gpp"),
            ("document", "application/pdf", PDF, "application/pdf"),
            (
                "attachment",
                "application/octet-stream",
                PDF,
                "application/pdf",
            ),
        ] {
            assert_eq!(
                served(kind, declared, bytes),
                Ok((shown.to_owned(), "inline")),
                "{kind} {declared}"
            );
        }
    }

    #[test]
    fn everything_else_is_a_download_and_what_could_run_has_no_type() {
        for (declared, bytes, kept) in [
            ("text/html", HTML, DOWNLOAD),
            ("image/svg+xml", SVG, DOWNLOAD),
            ("application/pdf", EXE, DOWNLOAD),
            ("application/x-msdownload", EXE, DOWNLOAD),
            ("", EXE, DOWNLOAD),
            (DOCX, ZIP, DOCX),
            (DOCX, HTML, DOWNLOAD),
            ("application/java-archive", ZIP, "application/zip"),
            ("text/plain", HTML, "text/plain; charset=utf-8"),
            (
                "text/csv; header=present",
                b"a,b\n",
                "text/csv; charset=utf-8",
            ),
            ("text/plain", EXE, DOWNLOAD),
        ] {
            assert_eq!(
                served("document", declared, bytes),
                Ok((kept.to_owned(), "attachment")),
                "{declared}"
            );
        }
        assert_eq!(
            judge("document", None, HTML).map(|s| s.content_type),
            Ok(DOWNLOAD.to_owned())
        );
    }

    #[test]
    fn a_kind_that_is_promised_must_be_kept() {
        for (kind, bytes) in [
            ("image", HTML),
            ("image", SVG),
            ("image", PDF),
            ("image", EXE),
            ("sticker", ZIP),
            ("audio", JPEG),
            ("audio", HTML),
            ("video", EXE),
            ("video", JPEG),
        ] {
            assert_eq!(
                served(kind, "image/jpeg", bytes),
                Err("wrong-type"),
                "{kind}"
            );
        }
        assert_eq!(served("document", "text/plain", b""), Err("empty"));
    }
}
