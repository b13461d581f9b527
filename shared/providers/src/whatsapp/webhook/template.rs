//! Notices about a template: its state, quality, category, and words.

use super::json;
use crate::event::{EventKind, TemplateUpdate};
use serde_json::Value;
use time::OffsetDateTime;

/// Longest reason that is kept, in characters.
const REASON_LIMIT: usize = 500;

/// `message_template_status_update`.
pub(super) fn status(value: &Value, at: Option<OffsetDateTime>) -> Result<EventKind, &'static str> {
    let event = json::id(value, "/event").ok_or("a template's notice has no event")?;
    let reason = reason(value);
    let (status, reason) = match event.as_str() {
        // It may be sent again.
        "REINSTATED" | "UNARCHIVED" => (Some("APPROVED".to_owned()), reason),
        // At risk, and not to be edited: it may be sent as before.
        "FLAGGED" | "LOCKED" => {
            let said: Vec<String> = [Some(event), reason].into_iter().flatten().collect();
            (None, Some(said.join(": ")))
        }
        _ => (Some(event), reason),
    };
    Ok(told(TemplateUpdate {
        status,
        category: json::id(value, "/message_template_category"),
        reason,
        ..template(value, at)?
    }))
}

/// `message_template_quality_update`.
pub(super) fn quality(
    value: &Value,
    at: Option<OffsetDateTime>,
) -> Result<EventKind, &'static str> {
    let quality =
        json::id(value, "/new_quality_score").ok_or("a template's notice has no quality")?;
    Ok(told(TemplateUpdate {
        quality: Some(quality),
        ..template(value, at)?
    }))
}

/// `template_category_update`. A day before Meta changes a category it says which one is right; until then it is not.
pub(super) fn category(
    value: &Value,
    at: Option<OffsetDateTime>,
) -> Result<EventKind, &'static str> {
    let announced = json::id(value, "/correct_category");
    let category = json::id(value, "/new_category").filter(|_| announced.is_none());
    if category.is_none() && announced.is_none() {
        return Err("a template's notice has no category");
    }
    Ok(told(TemplateUpdate {
        category,
        reason: announced.map(|category| format!("will become {category}")),
        ..template(value, at)?
    }))
}

/// `message_template_components_update`, in the form that Meta's list of templates has them in.
pub(super) fn components(
    value: &Value,
    at: Option<OffsetDateTime>,
) -> Result<EventKind, &'static str> {
    let text = |member| json::text(value, member);
    let components = [
        text("/message_template_title")
            .map(|title| json!({ "type": "HEADER", "format": "TEXT", "text": title })),
        text("/message_template_element").map(|body| json!({ "type": "BODY", "text": body })),
        text("/message_template_footer").map(|footer| json!({ "type": "FOOTER", "text": footer })),
        buttons(value).map(|buttons| json!({ "type": "BUTTONS", "buttons": buttons })),
    ];
    Ok(told(TemplateUpdate {
        components: Some(components.into_iter().flatten().collect()),
        ..template(value, at)?
    }))
}

/// `message_template_button_text` is `text` there.
fn buttons(value: &Value) -> Option<Vec<Value>> {
    let buttons = value.get("message_template_buttons")?.as_array()?;
    let listed = |button: &Value| {
        let members = button.as_object()?.iter().map(|(name, member)| {
            let name = name.strip_prefix("message_template_button_");
            (name.unwrap_or("other").to_owned(), member.clone())
        });
        Some(Value::Object(members.collect()))
    };
    Some(buttons.iter().filter_map(listed).collect())
}

fn told(update: TemplateUpdate) -> EventKind {
    EventKind::Template(Box::new(update))
}

/// What every notice says: which template. Some write its language with a hyphen; lists and sends have `en_US`.
fn template(value: &Value, at: Option<OffsetDateTime>) -> Result<TemplateUpdate, &'static str> {
    let member = |name| json::id(value, name).ok_or("a notice does not name its template");
    Ok(TemplateUpdate {
        name: member("/message_template_name")?,
        language: member("/message_template_language")?.replace('-', "_"),
        template_id: json::id(value, "/message_template_id"),
        at,
        ..TemplateUpdate::default()
    })
}

/// Why, in a word and in a sentence, and what to do about it, as far as it is said. `NONE` says nothing.
fn reason(value: &Value) -> Option<String> {
    let word = json::text(value, "/reason").filter(|word| !word.eq_ignore_ascii_case("none"));
    let sentence = json::text(value, "/rejection_info/reason")
        .or_else(|| json::text(value, "/other_info/description"))
        .or_else(|| json::text(value, "/other_info/title"));
    let advice = json::text(value, "/rejection_info/recommendation");
    let sentences: Vec<String> = [sentence, advice].into_iter().flatten().collect();
    let sentences = Some(sentences.join(" ")).filter(|sentences| !sentences.is_empty());
    let said: Vec<String> = [word, sentences].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(": ").chars().take(REASON_LIMIT).collect())
}
