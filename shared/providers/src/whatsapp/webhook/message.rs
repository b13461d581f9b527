//! One item of `messages[]` or `message_echoes[]`: somebody wrote, reacted, edited or deleted; a customer, or we in the
//! phone app.

use super::people::{Contacts, Ids, SENDER};
use super::{card, content, context, json, system};
use crate::event::{Actor, Echo, Edit, EventKind, InboundMessage, Reaction, Revoke};
use serde_json::Value;
use time::OffsetDateTime;

const RECIPIENT: Ids = Ids {
    whatsapp: "/to",
    user: "/to_user_id",
    parent: "/to_parent_user_id",
};

/// A customer did it. A greeting that Meta asked for when somebody opened the chat, and no longer does, is no message.
pub(super) fn read(item: &Value, contacts: &Contacts<'_>) -> Result<EventKind, &'static str> {
    let kind = json::text(item, "/type");
    if kind.as_deref() == Some("request_welcome") {
        return Ok(EventKind::Unhandled {
            field: "request_welcome".to_owned(),
        });
    }
    let head = Head::of(item)?;
    if kind.as_deref() == Some("system")
        && let Some(change) = system::change(item, &head)
    {
        return Ok(EventKind::PersonChanged(Box::new(change)));
    }
    let sender = contacts
        .person(item, &SENDER)
        .or_else(|| system::about(item))
        .ok_or("a message has no usable sender")?;
    act(item, head, Actor::Customer(sender))
}

/// We did it, elsewhere.
pub(super) fn read_echo(item: &Value, contacts: &Contacts<'_>) -> Result<EventKind, &'static str> {
    let recipient = contacts
        .person(item, &RECIPIENT)
        .ok_or("an echo has no usable recipient")?;
    act(item, Head::of(item)?, Actor::Us(recipient))
}

/// What every item has.
pub(super) struct Head {
    pub id: String,
    pub at: OffsetDateTime,
}

impl Head {
    fn of(item: &Value) -> Result<Self, &'static str> {
        Ok(Self {
            id: json::id(item, "/id").ok_or("a message has no usable id")?,
            at: json::seconds(item.get("timestamp"))
                .ok_or("a message has no readable timestamp")?,
        })
    }
}

/// What names no message to act on is a message itself: kept, and seen.
fn act(item: &Value, head: Head, by: Actor) -> Result<EventKind, &'static str> {
    let kind = json::text(item, "/type").unwrap_or_default();
    let target = match kind.as_str() {
        "reaction" => "/reaction/message_id",
        "edit" => "/edit/original_message_id",
        "revoke" => "/revoke/original_message_id",
        _ => return write(item, head, by),
    };
    let Some(target) = json::id(item, target) else {
        return write(item, head, by);
    };
    match (kind.as_str(), item.pointer("/edit/message")) {
        ("reaction", _) => Ok(EventKind::Reaction(Reaction {
            external_message_id: head.id,
            by,
            target,
            emoji: json::text(item, "/reaction/emoji"),
            at: head.at,
        })),
        ("revoke", _) => Ok(EventKind::Revoke(Revoke {
            external_message_id: head.id,
            by,
            target,
            at: head.at,
        })),
        (_, Some(now)) => {
            let in_a_group = item.get("group_id").is_some();
            edit(now, target, head, by, in_a_group)
        }
        (_, None) => write(item, head, by),
    }
}

fn edit(
    now: &Value,
    target: String,
    head: Head,
    by: Actor,
    in_a_group: bool,
) -> Result<EventKind, &'static str> {
    let said = content::read(now)?;
    Ok(EventKind::Edit(Box::new(Edit {
        external_message_id: head.id,
        by,
        target,
        content: said.content,
        body: said.body,
        in_a_group,
        at: head.at,
    })))
}

fn write(item: &Value, head: Head, by: Actor) -> Result<EventKind, &'static str> {
    let content::Said {
        content,
        body,
        media,
    } = content::read(item)?;
    let (reply_to, context) = (context::reply_to(item), context::beside(item));
    Ok(match by {
        Actor::Customer(sender) => EventKind::Message(Box::new(InboundMessage {
            external_message_id: head.id,
            sender,
            content,
            body,
            reply_to,
            context,
            media,
            barred_by_provider: false,
            given_phone: card::given_phone(item),
            sent_at: head.at,
        })),
        Actor::Us(recipient) => EventKind::Echo(Box::new(Echo {
            external_message_id: head.id,
            recipient,
            content,
            body,
            reply_to,
            context,
            media,
            sent_at: head.at,
        })),
    })
}
