//! A payload of every documented type and field: what it comes to, and that it can be written and read again.

use super::parse_bytes;
use crate::event::ProviderEvent;
use crate::whatsapp::webhook::again;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/whatsapp/webhook/tests/payloads"
);

/// The samples by name.
pub(super) fn samples() -> Vec<(String, Value)> {
    let mut samples: Vec<(String, Value)> = std::fs::read_dir(Path::new(FOLDER))
        .expect("the folder of samples")
        .map(|entry| entry.expect("a file").path())
        .map(|path| {
            let name = path
                .file_stem()
                .and_then(|name| name.to_str())
                .expect("a name");
            let text = std::fs::read_to_string(&path).expect("a text");
            let body =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name.to_owned(), body)
        })
        .collect();
    samples.sort_by(|(one, _), (other, _)| one.cmp(other));
    samples
}

/// The events of one sample.
pub(super) fn events(name: &str) -> Vec<ProviderEvent> {
    let text = std::fs::read(format!("{FOLDER}/{name}.json")).expect("a sample");
    parse_bytes(&text).expect("a webhook")
}

/// Each event as a payload of its own is the same event.
pub(super) fn read_again(events: &[ProviderEvent]) {
    for event in events {
        let body = again(event);
        let read = parse_bytes(&body).expect("a webhook of our own");
        assert_eq!(
            read,
            std::slice::from_ref(event),
            "{}",
            String::from_utf8_lossy(&body)
        );
    }
}

#[test]
fn every_sample_comes_to_its_events() {
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    for (name, _) in samples() {
        let group = name.split('-').next().unwrap_or_default().to_owned();
        let text = groups.entry(group).or_default();
        for event in events(&name) {
            let _ = writeln!(text, "## {name}\n{}\n", shown(&event));
        }
    }
    for (group, text) in groups {
        insta::assert_snapshot!(group, text);
    }
}

#[test]
fn every_sample_reads_again_as_the_same() {
    for (name, _) in samples() {
        let events = events(&name);
        assert!(!events.is_empty(), "{name}");
        read_again(&events);
    }
}

/// Account and kind, without what is not there. The JSON that is kept stands in the sample.
fn shown(event: &ProviderEvent) -> String {
    let account = match &event.account {
        Some(account) => format!(
            "{} of {}",
            account.external_account_id.as_deref().unwrap_or("-"),
            account.waba_id.as_deref().unwrap_or("-")
        ),
        None => "no account".to_owned(),
    };
    let kind = format!("{:#?}", event.kind);
    let lines: Vec<&str> = kind
        .lines()
        .filter(|line| !line.ends_with(": None,") && !line.ends_with(": [],"))
        .collect();
    let mut text = account;
    let mut at = 0;
    while at < lines.len() {
        text.push('\n');
        text.push_str(lines[at]);
        // `Some(`, its one line and `),` are one thought.
        if lines[at].ends_with("Some(") && lines.get(at + 2).is_some_and(|end| end.trim() == "),") {
            text.push_str(lines[at + 1].trim().trim_end_matches(','));
            text.push_str("),");
            at += 2;
        }
        at += 1;
    }
    text
}
