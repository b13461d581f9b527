//! What people see and what is acted on, where a snapshot would hide the point.

use super::samples::events;
use super::{message, parse_json, payload, status, text_from_ana};
use crate::Content;
use crate::event::{Actor, EventKind, PersonChange};
use serde_json::{Value, json};

#[test]
fn every_type_has_a_line_to_read() {
    let cases = [
        (
            "image",
            json!({ "id": "m1", "caption": "mi billete" }),
            "mi billete",
        ),
        ("image", json!({ "id": "m1" }), "[image]"),
        ("audio", json!({ "id": "m1" }), "[audio]"),
        (
            "audio",
            json!({ "id": "m1", "voice": true }),
            "[voice message]",
        ),
        (
            "document",
            json!({ "id": "m1", "filename": "a.pdf", "caption": "" }),
            "a.pdf",
        ),
        (
            "document",
            json!({ "filename": "a.pdf", "caption": "" }),
            "[document]",
        ),
        (
            "location",
            json!({ "latitude": 1.5, "longitude": 2 }),
            "[location]",
        ),
        (
            "location",
            json!({ "latitude": "1.5", "longitude": 2, "name": "Sol" }),
            "Sol",
        ),
        ("location", json!({ "name": "Sol" }), "[location]"),
        (
            "button",
            json!({ "payload": "STOP", "text": "No, gracias" }),
            "No, gracias",
        ),
        ("button", json!({ "payload": "STOP" }), "STOP"),
        ("button", json!({}), "[button]"),
        ("interactive", json!({ "list_reply": { "id": "1" } }), "1"),
        (
            "interactive",
            json!({ "type": "nfm_reply", "nfm_reply": {} }),
            "[form]",
        ),
        ("interactive", json!({ "type": "teleport" }), "[teleport]"),
        ("interactive", json!(null), "[interactive]"),
        ("reaction", json!({ "emoji": "👍" }), "👍"),
        ("contacts", json!([{ "name": {} }]), "[contacts]"),
        ("contacts", json!({}), "[contacts]"),
        ("order", json!({}), "[order]"),
        ("order", json!([]), "[order]"),
        ("system", json!({ "type": "x" }), "[system]"),
        (
            "unsupported",
            json!({ "type": "gif" }),
            "[unsupported: gif]",
        ),
        ("unsupported", json!(null), "[unsupported]"),
        ("hologram", json!(7), "[hologram]"),
    ];
    for (kind, object, line) in cases {
        let mut sent = text_from_ana("wamid.X");
        sent["type"] = json!(kind);
        sent[kind] = object;
        let events = parse_json(&payload(json!({ "messages": [sent] })));
        assert_eq!(message(&events[0]).body, line, "{sent}");
    }
}

#[test]
fn what_has_no_typed_form_is_kept_whole() {
    for (kind, object) in [
        ("hologram", json!({ "depth": 3 })),
        ("image", json!({ "mime_type": "image/png" })),
        ("location", json!({ "latitude": "north", "longitude": 1 })),
        ("contacts", json!("Luis")),
    ] {
        let mut sent = text_from_ana("wamid.X");
        sent["type"] = json!(kind);
        sent[kind] = object;
        let events = parse_json(&payload(json!({ "messages": [sent.clone()] })));
        let (kind, raw) = (kind.to_owned(), sent);
        assert_eq!(message(&events[0]).content, Content::Other { kind, raw });
    }
}

#[test]
fn an_error_on_any_type_leaves_a_placeholder_with_its_code() {
    for kind in [
        "text",
        "image",
        "interactive",
        "contacts",
        "order",
        "hologram",
        "reaction",
    ] {
        let mut sent = text_from_ana("wamid.X");
        sent["type"] = json!(kind);
        sent.as_object_mut().expect("an object").remove("text");
        sent["errors"] = json!([{ "code": 131_051, "title": "Message type unknown" }]);
        let events = parse_json(&payload(json!({ "messages": [sent] })));
        assert_eq!(
            message(&events[0]).content,
            Content::Unsupported {
                kind: kind.to_owned(),
                code: Some("131051".to_owned()),
                title: Some("Message type unknown".to_owned()),
            }
        );
        assert_eq!(message(&events[0]).body, format!("[unsupported: {kind}]"));
    }
}

#[test]
fn a_file_that_came_with_an_error_beside_it_is_still_a_file() {
    let mut sent = text_from_ana("wamid.X");
    sent["type"] = json!("image");
    sent["image"] = json!({ "id": "m1" });
    sent["errors"] = json!([{ "code": 131_052 }]);
    let events = parse_json(&payload(json!({ "messages": [sent] })));
    assert_eq!(message(&events[0]).media[0].provider_media_id, "m1");
}

#[test]
fn the_answers_of_a_form_are_seen_whatever_they_are() {
    let response = |text: Value| {
        let mut sent = text_from_ana("wamid.X");
        sent["type"] = json!("interactive");
        sent["interactive"] =
            json!({ "type": "nfm_reply", "nfm_reply": { "name": "flow", "response_json": text } });
        let events = parse_json(&payload(json!({ "messages": [sent] })));
        match &message(&events[0]).content {
            Content::Form { response, .. } => response.clone(),
            other => panic!("no form: {other:?}"),
        }
    };
    assert_eq!(response(json!("{\"seats\":2}")), json!({ "seats": 2 }));
    assert_eq!(response(json!("{seats")), json!("{seats"));
    assert_eq!(response(json!(null)), json!(null));
    assert_eq!(response(json!({ "seats": 2 })), json!({ "seats": 2 }));
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(response(json!(deep)), json!(deep));
    assert_eq!(
        response(json!("{\"a\":\"x\\u0000y\"}")),
        json!({ "a": "xy" })
    );
}

#[test]
fn a_reaction_is_taken_away_by_an_empty_and_by_an_absent_emoji() {
    let emoji = |name| match &events(name)[0].kind {
        EventKind::Reaction(reaction) => {
            assert_eq!(reaction.target, "wamid.OUT.7");
            reaction.emoji.clone()
        }
        other => panic!("no reaction: {other:?}"),
    };
    assert_eq!(emoji("message-reaction").as_deref(), Some("👍"));
    assert_eq!(emoji("message-reaction-removed-empty"), None);
    assert_eq!(emoji("message-reaction-removed-absent"), None);
}

#[test]
fn what_we_did_in_the_phone_app_is_ours_and_towards_the_customer() {
    for name in ["echo-edit", "echo-revoke", "echo-reaction"] {
        let by = match &events(name)[0].kind {
            EventKind::Edit(edit) => edit.by.clone(),
            EventKind::Revoke(revoke) => revoke.by.clone(),
            EventKind::Reaction(reaction) => reaction.by.clone(),
            other => panic!("{name}: {other:?}"),
        };
        let Actor::Us(person) = by else {
            panic!("{name} is not ours");
        };
        assert_eq!(person.wa_id.as_deref(), Some("34600111222"), "{name}");
    }
}

fn person_change(name: &str) -> PersonChange {
    match &events(name)[0].kind {
        EventKind::PersonChanged(change) => change.as_ref().clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn somebody_who_changed_is_named_before_and_after() {
    let number = person_change("system-number");
    assert_eq!(number.before.wa_id.as_deref(), Some("34600111222"));
    assert_eq!(
        number.before.user_id.as_deref(),
        Some("ES.13491208655302741918")
    );
    assert_eq!(number.after.wa_id.as_deref(), Some("34600999888"));
    assert_eq!(number.after.user_id.as_deref(), Some("ES.222"));
    // The id of now beside the number of before is not evidence of the former id.
    assert_eq!(
        person_change("system-number-new-id-in-from").before.user_id,
        None
    );
    let id = person_change("system-user-id");
    assert_eq!(
        (id.before.wa_id, id.before.user_id.as_deref()),
        (None, Some("ES.222"))
    );
    assert_eq!(id.after.user_id.as_deref(), Some("ES.333"));
    let identity = person_change("system-identity");
    assert_eq!(identity.before, identity.after);
}

#[test]
fn a_contact_is_matched_by_any_id_and_the_first_counts() {
    let person = |message: Value, contacts: Value| {
        let mut sent = text_from_ana("wamid.X");
        for name in ["from", "from_user_id"] {
            sent.as_object_mut().expect("an object").remove(name);
        }
        for (name, id) in message.as_object().expect("an object") {
            sent[name] = id.clone();
        }
        let events = parse_json(&payload(
            json!({ "contacts": contacts, "messages": [sent] }),
        ));
        message_sender(&events[0])
    };
    let contacts = json!([
        { "wa_id": "+34600111222", "profile": { "name": "by number" } },
        { "user_id": "ES.1", "wa_id": "34600333444", "profile": { "name": "by id" } },
        { "user_id": "ES.1", "profile": { "name": "a second" } },
        { "parent_user_id": "ES.ENT.1", "profile": { "username": "by parent" } },
        { "wa_id": "34600999000" },
        7,
    ]);
    for (message, name) in [
        (json!({ "from": "34600111222" }), Some("by number")),
        (json!({ "from_user_id": "ES.1" }), Some("by id")),
        (
            json!({ "from": "34600111222", "from_user_id": "ES.1" }),
            Some("by id"),
        ),
        (
            json!({ "from_parent_user_id": "ES.ENT.1" }),
            Some("by parent"),
        ),
        (json!({ "from": "34600999000" }), None),
        (json!({ "from": "34600000000" }), None),
        (json!({ "from": "no number", "from_user_id": "ES.2" }), None),
    ] {
        assert_eq!(
            person(message.clone(), contacts.clone()).name.as_deref(),
            name,
            "{message}"
        );
    }
    let both = person(
        json!({ "from": "34600111222", "from_user_id": "ES.1" }),
        contacts,
    );
    assert_eq!(
        both.wa_id.as_deref(),
        Some("34600111222"),
        "what the message says counts"
    );
}

fn message_sender(event: &crate::event::ProviderEvent) -> crate::event::Person {
    message(event).sender.clone()
}

#[test]
fn a_failure_keeps_everything_that_was_said_about_it() {
    let events = events("status-failed");
    let failure = status(&events[0]).failure.clone().expect("a failure");
    assert_eq!(failure.code, "131026");
    assert_eq!(failure.reason, "Message undeliverable: Not delivered to +…");
    assert_eq!(
        events[0].raw["errors"][0]["error_data"]["details"],
        "Not delivered to +34600111222."
    );
    assert!(events[0].raw["errors"][0]["href"].is_string());
    let recipient = status(&events[0]).recipient.clone().expect("a recipient");
    assert_eq!(
        (recipient.wa_id.as_deref(), recipient.user_id),
        (Some("34600111222"), None)
    );
}

#[test]
fn a_list_that_is_null_is_none() {
    let value = json!({"messages": [text_from_ana("wamid.X")], "statuses": null, "errors": null});
    let events = parse_json(&payload(value));
    assert_eq!(events.len(), 1);
    assert_eq!(message(&events[0]).body, "hola");
}

/// Meta may write one number of Brazil with and without its ninth digit, in the same payload.
#[test]
fn the_contact_beside_a_message_is_found_in_another_form_of_its_number() {
    for (from, wa_id) in [
        ("551198765432", "5511998765432"),
        ("5215512345678", "525512345678"),
        ("5491123456789", "541123456789"),
    ] {
        let mut text = text_from_ana("wamid.X");
        text["from"] = json!(from);
        text.as_object_mut().unwrap().remove("from_user_id");
        let body = payload(
            json!({"contacts": [{"wa_id": "34999888777", "user_id": "ES.7"},
                                {"wa_id": wa_id, "user_id": "BR.1", "profile": {"name": "Bruna"}}],
                   "messages": [&text]}),
        );
        let events = parse_json(&body);
        let sender = &message(&events[0]).sender;
        assert_eq!(sender.wa_id.as_deref(), Some(from));
        assert_eq!(sender.user_id.as_deref(), Some("BR.1"));
        assert_eq!(sender.name.as_deref(), Some("Bruna"));

        // Beside what does not read it is kept as well.
        text["type"] = json!({});
        let body = payload(
            json!({"contacts": [{"wa_id": "34999888777"}, {"wa_id": wa_id, "profile": {"name": "Bruna"}}], "messages": [text]}),
        );
        let kept = parse_json(&body)[0].raw.to_string();
        assert!(
            kept.contains("Bruna") && !kept.contains("34999888777"),
            "{kept}"
        );
    }
}
