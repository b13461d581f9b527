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
    assert!(
        !html.contains("<script") && !html.contains("javascript:"),
        "{html}"
    );
    for file in &mail.attachments {
        let (found, _) = attachment(raw, file.ordinal).expect("a file that was listed");
        assert_eq!(found, *file);
    }
});
