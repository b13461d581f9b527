//! What a message says: typed, with a line for people to read, and with the files to fetch.
//!
//! A type that is new is kept whole. What the provider could not pass on is a placeholder with its error: a customer
//! wrote, and nobody may miss that.

mod interactive;
mod media;

use super::{json, system};
use crate::Content;
use crate::command::{Location, TappedReply};
use crate::event::InboundMedia;
use serde_json::Value;

/// See the module.
pub(super) struct Said {
    pub content: Content,
    pub body: String,
    pub media: Vec<InboundMedia>,
}

impl Said {
    fn new(content: Content, body: String) -> Self {
        Self {
            content,
            body,
            media: Vec::new(),
        }
    }
}

/// Reads a message, or what an edit made of one.
pub(super) fn read(message: &Value) -> Result<Said, &'static str> {
    let error = message.pointer("/errors/0");
    let Some(kind) = json::id(message, "/type") else {
        return match error {
            Some(_) => Ok(unsupported("unknown", message)),
            None => Err("a message has no usable type"),
        };
    };
    if let Some(said) = typed(&kind, message) {
        return Ok(said);
    }
    match kind.as_str() {
        "unsupported" => {
            let inner = json::id(message, "/unsupported/type");
            Ok(unsupported(inner.as_deref().unwrap_or("unknown"), message))
        }
        // What `unsupported` was called before.
        "unknown" | "ephemeral" => Ok(unsupported(&kind, message)),
        _ if error.is_some() => Ok(unsupported(&kind, message)),
        "text" => Err("a text message has no text"),
        _ => Ok(other(kind, message)),
    }
}

/// `None` where there is no typed form of it, or its object is not there.
fn typed(kind: &str, message: &Value) -> Option<Said> {
    match kind {
        "text" => {
            let body = message.pointer("/text/body")?.as_str()?.to_owned();
            let content = Content::Text {
                body: body.clone(),
                preview_url: false,
            };
            Some(Said::new(content, body))
        }
        "image" | "video" | "audio" | "document" | "sticker" => media::read(kind, message),
        "location" => location(message),
        "contacts" => contacts(message),
        "interactive" => interactive::read(message),
        "button" => {
            let payload = json::text(message, "/button/payload");
            let title = json::text(message, "/button/text").or_else(|| payload.clone())?;
            Some(tapped(title, payload, None, true))
        }
        "order" => {
            let order = message.get("order")?.clone();
            let body = words("order", message).unwrap_or_else(|| placeholder("order"));
            order
                .is_object()
                .then(|| Said::new(Content::Order { order }, body))
        }
        "system" => {
            let kind = json::id(message, "/system/type").unwrap_or_else(|| "unknown".to_owned());
            let body = system::line(message);
            message.get("system")?;
            Some(Said::new(
                Content::System {
                    kind,
                    body: body.clone(),
                },
                body,
            ))
        }
        _ => None,
    }
}

fn tapped(
    title: String,
    id: Option<String>,
    description: Option<String>,
    of_template: bool,
) -> Said {
    let content = Content::Reply(TappedReply {
        title: title.clone(),
        id,
        description,
        of_template,
    });
    Said::new(content, title)
}

fn location(message: &Value) -> Option<Said> {
    let degrees = |name| match message.get("location")?.get(name)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text
            .parse()
            .ok()
            .filter(|degrees: &f64| degrees.is_finite()),
        _ => None,
    };
    let text = |name| json::text(message, name);
    let (name, address) = (text("/location/name"), text("/location/address"));
    let body = match (&name, &address) {
        (Some(name), Some(address)) => format!("{name}, {address}"),
        (Some(place), None) | (None, Some(place)) => place.clone(),
        (None, None) => placeholder("location"),
    };
    let content = Content::Location(Location {
        latitude: degrees("latitude")?,
        longitude: degrees("longitude")?,
        name,
        address,
        url: text("/location/url"),
    });
    Some(Said::new(content, body))
}

/// One message with all its cards, none included.
fn contacts(message: &Value) -> Option<Said> {
    let cards = message.get("contacts")?.as_array()?.clone();
    let names: Vec<String> = cards
        .iter()
        .filter_map(|card| {
            json::text(card, "/name/formatted_name")
                .or_else(|| json::text(card, "/name/first_name"))
                .or_else(|| json::text(card, "/phones/0/phone"))
        })
        .collect();
    let body = if names.is_empty() {
        placeholder("contacts")
    } else {
        names.join(", ")
    };
    Some(Said::new(Content::Contacts { cards }, body))
}

fn unsupported(kind: &str, message: &Value) -> Said {
    let body = words(kind, message).unwrap_or_else(|| match kind {
        "unknown" => placeholder("unsupported"),
        kind => placeholder(&format!("unsupported: {kind}")),
    });
    let title =
        json::text(message, "/errors/0/title").or_else(|| json::text(message, "/errors/0/message"));
    let content = Content::Unsupported {
        kind: kind.to_owned(),
        code: json::id(message, "/errors/0/code"),
        title,
    };
    Said::new(content, body)
}

fn other(kind: String, message: &Value) -> Said {
    let body = words(&kind, message).unwrap_or_else(|| placeholder(&kind));
    let raw = message.clone();
    Said::new(Content::Other { kind, raw }, body)
}

/// The words of a type that could not be read otherwise.
fn words(kind: &str, message: &Value) -> Option<String> {
    let pointer = match kind {
        "image" => "/image/caption",
        "video" => "/video/caption",
        "document" => "/document/caption",
        "reaction" => "/reaction/emoji",
        "order" => "/order/text",
        _ => return None,
    };
    json::text(message, pointer)
}

/// Characters of a type's name that a placeholder shows.
const PLACEHOLDER_LIMIT: usize = 40;

/// The line of what has no words: `[sticker]`.
fn placeholder(kind: &str) -> String {
    format!(
        "[{}]",
        kind.chars().take(PLACEHOLDER_LIMIT).collect::<String>()
    )
}
