//! Messages of WhatsApp's own about a person: another number, another user id, another device.
//!
//! They stand among the messages and have no contacts beside them. `from` is who it was before; `system` has who it is
//! now and, for ids, who it was.

use super::json;
use super::message::Head;
use super::people::{self, Ids, SENDER};
use crate::event::{Person, PersonChange, PersonChangeKind};
use serde_json::Value;

const NOW: Ids = Ids {
    whatsapp: "/system/wa_id",
    user: "/system/user_id",
    parent: "/system/parent_user_id",
};

const BEFORE: Ids = Ids {
    whatsapp: "/system/previous_wa_id",
    user: "/system/previous_user_id",
    parent: "/system/previous_parent_user_id",
};

/// The change that the notice tells; `None` where it is another notice, or does not say who became whom.
pub(super) fn change(item: &Value, head: &Head) -> Option<PersonChange> {
    let kind = match json::text(item, "/system/type")?.as_str() {
        // The second name is that of payloads before 2023.
        "user_changed_number" | "customer_changed_number" => PersonChangeKind::Number,
        "user_changed_user_id" => PersonChangeKind::UserId,
        "customer_identity_changed" => PersonChangeKind::IdentityKey,
        _ => return None,
    };
    let from = people::named(item, &SENDER).unwrap_or_default();
    let named_now = now(item);
    let (before, after) = match kind {
        PersonChangeKind::IdentityKey => {
            let same = if people::has_ids(&from) {
                from
            } else {
                named_now
            };
            (same.clone(), same)
        }
        PersonChangeKind::Number => (before(item, from, &named_now), named_now),
        PersonChangeKind::UserId => {
            let after = Person {
                wa_id: named_now.wa_id.clone().or_else(|| from.wa_id.clone()),
                ..named_now
            };
            (before(item, from, &after), after)
        }
    };
    (people::has_ids(&before) && people::has_ids(&after)).then(|| PersonChange {
        external_message_id: head.id.clone(),
        kind,
        before,
        after,
        body: line(item),
        at: head.at,
    })
}

/// Whom a notice is about that is no change, and names nobody else.
pub(super) fn about(item: &Value) -> Option<Person> {
    Some(now(item)).filter(people::has_ids)
}

/// The line to read.
pub(super) fn line(item: &Value) -> String {
    json::text(item, "/system/body").unwrap_or_else(|| "[system]".to_owned())
}

fn now(item: &Value) -> Person {
    let named = people::named(item, &NOW).unwrap_or_default();
    Person {
        wa_id: named
            .wa_id
            .or_else(|| people::wa_id(item, "/system/new_wa_id")),
        ..named
    }
}

/// `from_user_id` may be either id: it is the former one only where it is not the one of now.
fn before(item: &Value, from: Person, after: &Person) -> Person {
    let named = people::named(item, &BEFORE).unwrap_or_default();
    Person {
        wa_id: named.wa_id.or(from.wa_id),
        user_id: named
            .user_id
            .or(from.user_id.filter(|id| after.user_id.as_ref() != Some(id))),
        parent_user_id: named.parent_user_id.or(from
            .parent_user_id
            .filter(|id| after.parent_user_id.as_ref() != Some(id))),
        ..Person::default()
    }
}
