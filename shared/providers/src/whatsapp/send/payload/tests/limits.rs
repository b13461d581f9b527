//! Every documented limit: the longest that passes, and the shortest that does not. The reason names the member and
//! the limit and never the value.

use super::{ana, command, stored, written};
use crate::{Content, OutcomeClass};
use serde_json::{Value, json};

/// `limit` of them pass, one more does not, and neither do none of them.
fn has_limit(member: &str, limit: usize, content: impl Fn(String) -> Value) {
    written(&command(ana(), stored(content("ñ".repeat(limit)))));
    let reason = refused(content("ñ".repeat(limit + 1)));
    assert_eq!(
        reason,
        format!("{member} is longer than {limit} characters")
    );
    assert_eq!(
        refused(content("  ".to_owned())),
        format!("{member} is empty")
    );
}

fn refused(content: Value) -> String {
    refused_content(stored(content))
}

fn refused_content(content: Content) -> String {
    let command = command(ana(), content);
    let refusal = super::build(&command).err().expect("a refusal");
    assert_eq!(
        (refusal.class, refusal.code.as_str()),
        (OutcomeClass::PermanentContent, "invalid-content")
    );
    refusal.reason
}

#[test]
fn texts_and_captions() {
    has_limit(
        "text.body",
        4096,
        |body| json!({ "type": "text", "body": body }),
    );
    for kind in ["image", "video", "document"] {
        has_limit(
            &format!("{kind}.caption"),
            1024,
            |caption| json!({ "type": kind, "id": "1", "caption": caption }),
        );
    }
}

#[test]
fn files_have_one_source_and_sounds_no_caption() {
    for kind in ["image", "video", "audio", "document", "sticker"] {
        let both = json!({ "type": kind, "id": "1", "link": "https://a.example" });
        for content in [both, json!({ "type": kind })] {
            assert_eq!(
                refused(content),
                format!("{kind} must have exactly one of id and link")
            );
        }
        let local = json!({ "type": kind, "link": "file:///etc/passwd" });
        assert_eq!(refused(local), format!("{kind}.link is not an http(s) URL"));
    }
    for kind in ["audio", "sticker"] {
        let captioned = json!({ "type": kind, "id": "1", "caption": "c" });
        assert_eq!(
            refused(captioned),
            format!("{kind}.caption is not possible here")
        );
    }
}

#[test]
fn places_are_on_earth() {
    for (latitude, longitude) in [(90.1, 0.0), (-90.1, 0.0), (0.0, 180.1), (f64::NAN, 0.0)] {
        let place = crate::command::Location {
            url: None,
            latitude,
            longitude,
            name: None,
            address: None,
        };
        let reason = refused_content(Content::Location(place));
        assert!(reason.contains("is not within"), "{reason}");
    }
}

fn buttons(change: impl FnOnce(&mut Value)) -> Value {
    let mut content = json!({
        "type": "interactive", "body": "b",
        "action": { "type": "buttons", "buttons": [{ "id": "1", "title": "t" }] },
    });
    change(&mut content);
    content
}

fn list(change: impl FnOnce(&mut Value)) -> Value {
    let mut content = json!({
        "type": "interactive", "body": "b",
        "action": { "type": "list", "button": "v", "sections": [{ "title": "s", "rows": [{ "id": "1", "title": "t" }] }] },
    });
    change(&mut content);
    content
}

#[test]
fn reply_buttons() {
    has_limit("interactive.body", 1024, |text| {
        buttons(|content| content["body"] = text.into())
    });
    has_limit("interactive.footer", 60, |text| {
        buttons(|content| content["footer"] = text.into())
    });
    has_limit("interactive.header", 60, |text| {
        buttons(|content| content["header"] = text.into())
    });
    has_limit("interactive.buttons.id", 256, |text| {
        buttons(|content| content["action"]["buttons"][0]["id"] = text.into())
    });
    has_limit("interactive.buttons.title", 20, |text| {
        buttons(|content| content["action"]["buttons"][0]["title"] = text.into())
    });
    let count = |count: usize| {
        let many: Vec<_> = (0..count)
            .map(|n| json!({ "id": "i", "title": n.to_string() }))
            .collect();
        buttons(|content| content["action"]["buttons"] = many.into())
    };
    written(&command(ana(), stored(count(3))));
    assert_eq!(
        refused(count(4)),
        "interactive.buttons has more than 3 entries"
    );
    assert_eq!(refused(count(0)), "interactive.buttons is empty");
    let twice = json!([{ "id": "1", "title": "t" }, { "id": "2", "title": "t" }]);
    assert_eq!(
        refused(buttons(|content| content["action"]["buttons"] = twice)),
        "interactive.buttons.title is there twice"
    );
}

#[test]
fn lists() {
    has_limit("interactive.body", 4096, |text| {
        list(|content| content["body"] = text.into())
    });
    has_limit("interactive.button", 20, |text| {
        list(|content| content["action"]["button"] = text.into())
    });
    has_limit("interactive.sections.title", 24, |text| {
        list(|content| content["action"]["sections"][0]["title"] = text.into())
    });
    for (member, limit) in [("id", 200), ("title", 24), ("description", 72)] {
        has_limit(&format!("interactive.rows.{member}"), limit, |text| {
            list(|content| content["action"]["sections"][0]["rows"][0][member] = text.into())
        });
    }
    let sections = |sections: usize, rows: usize| {
        let rows: Vec<_> = (0..rows)
            .map(|n| json!({ "id": n.to_string(), "title": "t" }))
            .collect();
        let section = json!({ "title": "s", "rows": rows });
        list(|content| content["action"]["sections"] = vec![section; sections].into())
    };
    written(&command(ana(), stored(sections(1, 10))));
    written(&command(ana(), stored(sections(10, 1))));
    let too_many_rows = "interactive.sections.rows has more than 10 entries";
    assert_eq!(refused(sections(1, 11)), too_many_rows);
    assert_eq!(refused(sections(2, 6)), too_many_rows);
    assert_eq!(
        refused(sections(11, 0)),
        "interactive.sections has more than 10 entries"
    );
    assert_eq!(
        refused(sections(1, 0)),
        "interactive.sections.rows is empty"
    );
    let untitled = json!([{ "rows": [{ "id": "1", "title": "t" }] }, { "rows": [] }]);
    assert_eq!(
        refused(list(|content| content["action"]["sections"] = untitled)),
        "interactive.sections.title is needed where there is more than one section"
    );
}

fn template(change: impl FnOnce(&mut Value)) -> Value {
    let mut content = json!({ "type": "template", "name": "n", "language": "es" });
    change(&mut content);
    content
}

#[test]
fn templates() {
    for member in ["name", "language"] {
        assert_eq!(
            refused(template(|content| content[member] = "".into())),
            format!("template.{member} is empty")
        );
    }
    has_limit("template.header.text", 60, |text| {
        template(|content| content["header"] = json!({ "type": "text", "text": text }))
    });
    has_limit("template.buttons.code", 15, |text| {
        let parameter = json!({ "type": "copy_code", "code": text });
        template(|content| content["buttons"] = json!([{ "index": 0, "parameter": parameter }]))
    });
    let body = |texts: Value| template(|content| content["body"] = texts);
    written(&command(
        ana(),
        stored(body(json!(["a".repeat(512), "b".repeat(512)]))),
    ));
    assert_eq!(
        refused(body(json!(["a".repeat(512), "b".repeat(513)]))),
        "template.body is longer than 1024 characters in all"
    );
    assert_eq!(refused(body(json!([""]))), "template.body is empty");
    let named = |names: Value| {
        template(|content| {
            content["body"] = json!(["a", "b"]);
            content["body_names"] = names;
        })
    };
    assert_eq!(
        refused(named(json!(["x"]))),
        "template.body_names must be as many as template.body has"
    );
    assert_eq!(
        refused(named(json!(["x", "x"]))),
        "template.body_names is there twice"
    );
    assert_eq!(
        refused(named(json!(["x", ""]))),
        "template.body_names is empty"
    );
    let button = json!({ "index": 0, "parameter": { "type": "url", "text": "a" } });
    assert_eq!(
        refused(template(
            |content| content["buttons"] = json!([button, button])
        )),
        "template.buttons.index is there twice"
    );
    let captioned = json!({ "type": "image", "id": "1", "caption": "c" });
    assert_eq!(
        refused(template(|content| content["header"] = captioned)),
        "template.header.caption is not possible here"
    );
}

#[test]
fn reactions_name_their_message_and_other_channels_are_refused() {
    let reaction = json!({ "type": "reaction", "message_id": "", "emoji": "👍" });
    assert_eq!(refused(reaction), "reaction.message_id is empty");
    for content in [
        json!({ "type": "email", "subject": "s", "text": "t" }),
        json!({ "type": "sms", "body": "b" }),
        json!({ "type": "other", "kind": "order", "raw": {} }),
    ] {
        assert_eq!(
            refused(content),
            "WhatsApp cannot carry this type of message"
        );
    }
}
