//! The rules of each kind of message but text: files, places, questions and reactions.

use super::text;
use crate::cloud::errors::ApiError;
use serde_json::Value;

const CAPTION_LIMIT: usize = 1024;

fn missing(member: &str) -> ApiError {
    ApiError::new(131_008, &format!("{member} is required."))
}

fn wrong(member: &str, rule: &str) -> ApiError {
    ApiError::new(131_009, &format!("{member} {rule}."))
}

/// A text that must be there and must not be too long.
fn words<'a>(member: &str, value: &'a Value, limit: usize) -> Result<&'a str, ApiError> {
    match text(value) {
        None => Err(missing(member)),
        Some(words) if words.chars().count() > limit => Err(wrong(
            member,
            &format!("must be at most {limit} characters long"),
        )),
        Some(words) => Ok(words),
    }
}

/// As [`words`], where there may be none.
fn optional(member: &str, value: &Value, limit: usize) -> Result<(), ApiError> {
    if value.is_null() {
        Ok(())
    } else {
        words(member, value, limit).map(|_| ())
    }
}

fn entries<'a>(member: &str, value: &'a Value, limit: usize) -> Result<&'a [Value], ApiError> {
    match value.as_array().map(Vec::as_slice) {
        None | Some([]) => Err(missing(member)),
        Some(entries) if entries.len() > limit => {
            Err(wrong(member, &format!("must have at most {limit} entries")))
        }
        Some(entries) => Ok(entries),
    }
}

/// `kind` is the type of the message, or of a template's header, whose files take no caption.
pub(super) fn file(kind: &str, object: &Value, in_header: bool) -> Result<(), ApiError> {
    match (text(&object["id"]), text(&object["link"])) {
        (None, None) => return Err(missing(&format!("{kind}.id or {kind}.link"))),
        (Some(_), Some(_)) => return Err(wrong(kind, "takes an id or a link, not both")),
        (None, Some(link)) if !link.starts_with("http") => {
            return Err(wrong("link", "must be a URL"));
        }
        _ => {}
    }
    let captioned = matches!(kind, "image" | "video" | "document") && !in_header;
    if !captioned && object.get("caption").is_some() {
        return Err(ApiError::new(100, "caption is not a parameter here."));
    }
    if kind != "document" && object.get("filename").is_some() {
        return Err(ApiError::new(100, "filename is a parameter of documents."));
    }
    optional("caption", &object["caption"], CAPTION_LIMIT)
}

pub(super) fn place(object: &Value) -> Result<(), ApiError> {
    for (member, limit) in [("latitude", 90.0), ("longitude", 180.0)] {
        let degrees = &object[member];
        let degrees = degrees
            .as_f64()
            .or_else(|| degrees.as_str()?.parse().ok())
            .ok_or_else(|| missing(member))?;
        if degrees.abs() > limit {
            return Err(wrong(member, "must be in degrees"));
        }
    }
    Ok(())
}

pub(super) fn reaction(body: &Value) -> Result<(), ApiError> {
    let object = &body["reaction"];
    if body.get("context").is_some() {
        return Err(ApiError::new(100, "context is no parameter of a reaction."));
    }
    if text(&object["message_id"]).is_none() {
        return Err(missing("reaction.message_id"));
    }
    if object["emoji"].is_string() {
        Ok(())
    } else {
        Err(missing("reaction.emoji"))
    }
}

pub(super) fn question(object: &Value) -> Result<(), ApiError> {
    let body_limit = match object["type"].as_str() {
        Some("button") => {
            buttons(&object["action"])?;
            1024
        }
        Some("list") => {
            list(&object["action"])?;
            4096
        }
        _ => return Err(wrong("interactive.type", "must be button or list")),
    };
    words("interactive.body.text", &object["body"]["text"], body_limit)?;
    optional("interactive.footer.text", &object["footer"]["text"], 60)?;
    match &object["header"] {
        Value::Null => Ok(()),
        header if header["type"] == "text" => {
            words("interactive.header.text", &header["text"], 60).map(|_| ())
        }
        _ => Err(wrong("interactive.header.type", "must be text")),
    }
}

fn buttons(action: &Value) -> Result<(), ApiError> {
    let mut titles = Vec::new();
    for button in entries("interactive.action.buttons", &action["buttons"], 3)? {
        if button["type"] != "reply" {
            return Err(wrong("buttons.type", "must be reply"));
        }
        words("reply.id", &button["reply"]["id"], 256)?;
        titles.push(words("reply.title", &button["reply"]["title"], 20)?);
    }
    titles.sort_unstable();
    if titles.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(wrong("reply.title", "must be unique"));
    }
    Ok(())
}

fn list(action: &Value) -> Result<(), ApiError> {
    words("action.button", &action["button"], 20)?;
    let sections = entries("action.sections", &action["sections"], 10)?;
    let mut rows = 0;
    for section in sections {
        if sections.len() > 1 && text(&section["title"]).is_none() {
            return Err(missing("sections.title"));
        }
        optional("sections.title", &section["title"], 24)?;
        for row in entries("sections.rows", &section["rows"], 10)? {
            words("rows.id", &row["id"], 200)?;
            words("rows.title", &row["title"], 24)?;
            optional("rows.description", &row["description"], 72)?;
            rows += 1;
        }
    }
    if rows > 10 {
        return Err(wrong("sections", "must have at most 10 rows in all"));
    }
    Ok(())
}
