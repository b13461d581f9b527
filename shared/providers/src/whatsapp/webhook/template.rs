//! Notices about a template: its state, quality, category, and words.

use super::json;
use crate::event::{EventKind, TemplateUpdate};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// Longest reason that is kept, in characters.
const REASON_LIMIT: usize = 500;

/// `message_template_status_update`.
pub(super) fn status(value: &Value, at: Option<OffsetDateTime>) -> Result<EventKind, &'static str> {
    let event = json::id(value, "/event").ok_or("a template's notice has no event")?;
    Ok(told(TemplateUpdate {
        status: Some(event),
        category: json::id(value, "/message_template_category"),
        reason: reason(value),
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

/// `message_template_components_update`.
pub(super) fn components(
    value: &Value,
    at: Option<OffsetDateTime>,
) -> Result<EventKind, &'static str> {
    let parts: Map<String, Value> = ["title", "element", "footer", "buttons"]
        .into_iter()
        .filter_map(|part| {
            let content = value.get(format!("message_template_{part}"))?;
            Some((part.to_owned(), content.clone()))
        })
        .collect();
    Ok(told(TemplateUpdate {
        components: Some(Value::Object(parts)),
        ..template(value, at)?
    }))
}

fn told(update: TemplateUpdate) -> EventKind {
    EventKind::Template(Box::new(update))
}

/// What every notice says: which template.
fn template(value: &Value, at: Option<OffsetDateTime>) -> Result<TemplateUpdate, &'static str> {
    let member = |name| json::id(value, name).ok_or("a notice does not name its template");
    Ok(TemplateUpdate {
        name: member("/message_template_name")?,
        language: member("/message_template_language")?,
        template_id: json::id(value, "/message_template_id"),
        at,
        ..TemplateUpdate::default()
    })
}

/// Why, in a word and in a sentence, as far as it is said. `NONE` says nothing.
fn reason(value: &Value) -> Option<String> {
    let word = json::text(value, "/reason").filter(|word| !word.eq_ignore_ascii_case("none"));
    let sentence = json::text(value, "/rejection_info/reason")
        .or_else(|| json::text(value, "/other_info/description"))
        .or_else(|| json::text(value, "/other_info/title"));
    let said: Vec<String> = [word, sentence].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(": ").chars().take(REASON_LIMIT).collect())
}
