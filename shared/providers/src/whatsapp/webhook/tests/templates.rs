//! What a notice says of a template, and of which.

use super::{parse_json, payload};
use crate::event::{EventKind, TemplateUpdate};
use serde_json::{Value, json};

fn told(field: &str, more: &Value) -> TemplateUpdate {
    let mut value = json!({ "message_template_id": 9, "message_template_name": "trip_delayed", "message_template_language": "pt-BR" });
    for (name, member) in more.as_object().expect("members") {
        value[name] = member.clone();
    }
    let mut notice = payload(json!({}));
    notice["entry"][0]["changes"][0] = json!({ "field": field, "value": value });
    match parse_json(&notice).remove(0).kind {
        EventKind::Template(update) => *update,
        other => panic!("no template: {other:?}"),
    }
}

#[test]
fn an_event_that_leaves_a_template_sendable_stops_nothing() {
    for (event, status, reason) in [
        ("APPROVED", Some("APPROVED"), None),
        ("PAUSED", Some("PAUSED"), None),
        ("REINSTATED", Some("APPROVED"), None),
        ("UNARCHIVED", Some("APPROVED"), None),
        ("FLAGGED", None, Some("FLAGGED")),
        ("LOCKED", None, Some("LOCKED")),
    ] {
        let update = told("message_template_status_update", &json!({ "event": event }));
        assert_eq!(
            (update.status.as_deref(), update.reason.as_deref()),
            (status, reason),
            "{event}"
        );
        assert_eq!(update.language, "pt_BR", "as lists and sends have it");
    }
}

#[test]
fn the_words_of_a_template_come_in_the_form_of_the_list() {
    let update = told(
        "message_template_components_update",
        &json!({
            "message_template_element": "Hola {{1}}",
            "message_template_footer": "",
            "message_template_buttons": [
                { "message_template_button_type": "URL", "message_template_button_text": "Ver", "message_template_button_url": "https://example.org" },
                7,
            ],
        }),
    );
    assert_eq!(
        update.components,
        Some(json!([
            { "type": "BODY", "text": "Hola {{1}}" },
            { "type": "BUTTONS", "buttons": [{ "type": "URL", "text": "Ver", "url": "https://example.org" }] },
        ]))
    );
}
