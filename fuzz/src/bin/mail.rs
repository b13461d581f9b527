//! Any mail: no panic; what is shown is not empty where something was written, and cannot act.

#![no_main]

use comms_providers::mail::{attachment, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let Ok(mail) = read(raw) else {
        return;
    };
    assert!(mail.text.trim().is_empty() || !mail.visible_text.trim().is_empty());
    let html = mail.html.unwrap_or_default().to_ascii_lowercase();
    assert!(!html.contains("<script"), "{html}");
    let mut values = values(&html).into_iter();
    let acts = values.find(|value| value.trim_start().starts_with("javascript:"));
    assert_eq!(acts, None, "{html}");
    for file in &mail.attachments {
        let (found, _) = attachment(raw, file.ordinal).expect("a file that was listed");
        assert_eq!(found, *file);
    }
});

/// The values of all attributes. In a text `javascript:` is a word like any other.
fn values(html: &str) -> Vec<&str> {
    let mut values = Vec::new();
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        rest = tag;
        while let Some(at) = rest.find(['"', '>']) {
            let ends = rest[at..].starts_with('>');
            rest = &rest[at + 1..];
            if ends {
                break;
            }
            let (value, after) = rest.split_once('"').unwrap_or((rest, ""));
            values.push(value);
            rest = after;
        }
    }
    values
}
