//! Files: the typed content shows what is known of them, and their ids and addresses are there to fetch them by.

use super::{Said, json, placeholder, words};
use crate::Content;
use crate::command::Media;
use crate::event::InboundMedia;
use crate::filename;
use serde_json::Value;

/// `None` where neither a file nor words are named: an edit of a caption may come without the file.
pub(super) fn read(kind: &str, message: &Value) -> Option<Said> {
    let file = message.get(kind)?;
    let text = |pointer| json::text(file, pointer);
    let flag = |name| file.get(name) == Some(&Value::Bool(true));
    let media = Media {
        id: json::id(file, "/id"),
        link: None,
        caption: text("/caption"),
        filename: text("/filename").and_then(|name| filename::clean(&name)),
        mime_type: text("/mime_type"),
        voice: flag("voice"),
        animated: flag("animated"),
    };
    let failed = message.pointer("/errors/0").is_some();
    if media.id.is_none() && (media.caption.is_none() || failed) {
        return None;
    }
    let body = words(kind, message).unwrap_or_else(|| match &media.filename {
        Some(filename) => filename.clone(),
        None if media.voice => placeholder("voice message"),
        None => placeholder(kind),
    });
    let files = media.id.iter().map(|id| InboundMedia {
        kind: kind.to_owned(),
        provider_media_id: id.clone(),
        url: text("/url"),
        mime_type: media.mime_type.clone(),
        sha256: text("/sha256"),
        filename: media.filename.clone(),
    });
    Some(Said {
        media: files.collect(),
        body,
        content: match kind {
            "image" => Content::Image(media),
            "video" => Content::Video(media),
            "audio" => Content::Audio(media),
            "document" => Content::Document(media),
            _ => Content::Sticker(media),
        },
    })
}
