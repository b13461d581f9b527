//! What a customer's message says: typed where we have a type, kept whole otherwise.

use super::json;
use crate::Content;
use serde_json::Value;

/// The content, and the line that people read for it.
pub(super) fn read(message: &Value) -> Result<(Content, String), &'static str> {
    let kind = json::text(message, "/type").ok_or("a message has no type")?;
    if kind == "text" {
        let body = message
            .pointer("/text/body")
            .and_then(Value::as_str)
            .ok_or("a text message has no text")?;
        return Ok((
            Content::Text {
                body: body.to_owned(),
                preview_url: false,
            },
            body.to_owned(),
        ));
    }
    let words = words_of(&kind)
        .iter()
        .find_map(|pointer| json::text(message, pointer));
    let body = words.unwrap_or_else(|| format!("[{}]", kind.chars().take(40).collect::<String>()));
    Ok((
        Content::Other {
            kind,
            raw: message.clone(),
        },
        body,
    ))
}

/// Where a type has words of its own, best first.
fn words_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "image" => &["/image/caption"],
        "video" => &["/video/caption"],
        "document" => &["/document/caption"],
        "location" => &["/location/name", "/location/address"],
        "button" => &["/button/text"],
        "interactive" => &[
            "/interactive/button_reply/title",
            "/interactive/list_reply/title",
            "/interactive/nfm_reply/body",
        ],
        "reaction" => &["/reaction/emoji"],
        "order" => &["/order/text"],
        "system" => &["/system/body"],
        _ => &[],
    }
}
