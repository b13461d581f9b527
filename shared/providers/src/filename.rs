//! What senders call their files: shown to agents, and given to whoever downloads them.

use crate::mail::one_line;

/// Bytes: what file systems take.
pub(crate) const FILENAME_LIMIT: usize = 255;
/// Longer ends of a name are no extension.
const EXTENSION_LIMIT: usize = 16;

/// The last step of a path, without what a file system or a reader's eye would stumble over; `None` where nothing is left.
pub(crate) fn clean(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = one_line(name, 4 * FILENAME_LIMIT).replace(['<', '>', ':', '"', '|', '?', '*'], "_");
    let name = name.trim_matches(['.', ' ']);
    let name = if name.len() <= FILENAME_LIMIT {
        name.to_owned()
    } else {
        shortened(name)
    };
    (!name.is_empty()).then_some(name)
}

fn shortened(name: &str) -> String {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= EXTENSION_LIMIT => (stem, extension),
        _ => (name, ""),
    };
    let room = FILENAME_LIMIT - extension.len() - 1;
    let stem = &stem[..stem.floor_char_boundary(room)];
    format!("{stem}.{extension}")
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_look_like() {
        for (said, shown) in [
            ("ticket\u{202e}fdp.exe", Some("ticketfdp.exe")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\tmp\\a.pdf", Some("a.pdf")),
            ("a\nb.pdf", Some("a b.pdf")),
            ("...", None),
            ("\u{200b}", None),
        ] {
            assert_eq!(clean(said).as_deref(), shown, "{said:?}");
        }
        let long = clean(&format!("{}.pdf", "ä".repeat(300))).unwrap();
        assert!(long.len() <= FILENAME_LIMIT);
        assert_eq!(long.rsplit_once('.').unwrap().1, "pdf");
    }
}
