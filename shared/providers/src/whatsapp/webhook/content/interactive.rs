//! Answers to something that can be tapped or filled in.

use super::{Said, json, placeholder, tapped};
use crate::Content;
use crate::whatsapp::webhook::json::without_nul;
use serde_json::Value;

/// `None` where the object is not there: then the message's errors say why.
pub(super) fn read(message: &Value) -> Option<Said> {
    let answer = message
        .get("interactive")
        .filter(|answer| answer.is_object())?;
    Some(
        reply(answer, "button_reply")
            .or_else(|| reply(answer, "list_reply"))
            .or_else(|| form(answer))
            .unwrap_or_else(|| another(answer, message)),
    )
}

fn reply(answer: &Value, kind: &str) -> Option<Said> {
    let reply = answer.get(kind)?;
    let id = json::text(reply, "/id");
    let title = json::text(reply, "/title").or_else(|| id.clone())?;
    Some(tapped(title, id, json::text(reply, "/description"), false))
}

/// The answers of a form come as a text of JSON. Whatever it is, the message is seen.
fn form(answer: &Value) -> Option<Said> {
    let form = answer.get("nfm_reply").filter(|form| form.is_object())?;
    let response = match form.get("response_json") {
        Some(Value::String(text)) => {
            let text = without_nul(text);
            serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
        }
        Some(filled_in) => filled_in.clone(),
        None => Value::Null,
    };
    let content = Content::Form {
        name: json::text(form, "/name").unwrap_or_default(),
        response,
    };
    let body = json::text(form, "/body").unwrap_or_else(|| placeholder("form"));
    Some(Said::new(content, body))
}

/// Permissions to call and whatever comes next.
fn another(answer: &Value, message: &Value) -> Said {
    let kind = json::id(answer, "/type").unwrap_or_else(|| "interactive".to_owned());
    let body = placeholder(&kind);
    let raw = message.clone();
    Said::new(Content::Other { kind, raw }, body)
}
