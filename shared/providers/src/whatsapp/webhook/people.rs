//! Who an item is about: the ids in it, and what the contacts beside it add.
//!
//! Phone numbers are left out for people with a user name, and user ids in payloads older than April 2026; the contact
//! often knows the other half.

use super::json;
use crate::event::Person;
use crate::national;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap};

/// Where an item has the ids of one person.
pub(super) struct Ids {
    pub whatsapp: &'static str,
    pub user: &'static str,
    pub parent: &'static str,
}

/// Of a message.
pub(super) const SENDER: Ids = Ids {
    whatsapp: "/from",
    user: "/from_user_id",
    parent: "/from_parent_user_id",
};

/// Characters of a profile name that are kept; WhatsApp allows 25.
const NAME_LIMIT: usize = 200;

/// Bytes of a contact that is kept beside what cannot be read; Meta's have 200.
const CONTACT_LIMIT: usize = 4096;

/// Those ids that can be used; `None` where there is none.
pub(super) fn named(item: &Value, ids: &Ids) -> Option<Person> {
    let person = Person {
        wa_id: wa_id(item, ids.whatsapp),
        user_id: json::id(item, ids.user),
        parent_user_id: json::id(item, ids.parent),
        ..Person::default()
    };
    has_ids(&person).then_some(person)
}

pub(super) fn has_ids(person: &Person) -> bool {
    person.wa_id.is_some() || person.user_id.is_some() || person.parent_user_id.is_some()
}

/// Digits, as WhatsApp names an account; the longest number has 15.
pub(super) fn wa_id(item: &Value, pointer: &str) -> Option<String> {
    let text = json::text(item, pointer)?;
    let digits = text.trim_start_matches('+');
    ((5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.to_owned())
}

/// The `contacts` beside a list, found by any of their ids; the first of an id counts.
pub(super) struct Contacts<'a> {
    raw: Vec<&'a RawValue>,
    people: Vec<Person>,
    by_user_id: HashMap<String, usize>,
    by_wa_id: HashMap<String, usize>,
    by_parent: HashMap<String, usize>,
}

impl<'a> Contacts<'a> {
    pub fn of(raw: Vec<&'a RawValue>) -> Self {
        let people: Vec<Person> = raw.iter().map(|raw| contact(&json::stored(raw))).collect();
        let index = |id: fn(&Person) -> Option<&String>| {
            let ids = people.iter().enumerate().rev();
            ids.filter_map(|(at, person)| Some((id(person)?.clone(), at)))
                .collect()
        };
        Self {
            by_user_id: index(|person| person.user_id.as_ref()),
            by_wa_id: index(|person| person.wa_id.as_ref()),
            by_parent: index(|person| person.parent_user_id.as_ref()),
            people,
            raw,
        }
    }

    /// As they came: those whose ids the item has anywhere among its members, or the only one.
    pub fn beside(&self, item: &Value) -> Vec<Value> {
        let members = item.as_object().into_iter().flat_map(|item| item.values());
        let named: BTreeSet<usize> = members
            .filter_map(Value::as_str)
            .filter_map(|id| {
                let digits = id.trim_start_matches('+');
                let by_parent = || self.by_parent.get(id);
                let found = self.by_user_id.get(id).or_else(by_parent);
                found.copied().or_else(|| self.at(digits))
            })
            .collect();
        let only = self.raw.len() == 1;
        let kept = self.raw.iter().enumerate();
        kept.filter(|(at, raw)| (only || named.contains(at)) && raw.get().len() <= CONTACT_LIMIT)
            .map(|(_, raw)| json::stored(raw))
            .collect()
    }

    /// The person that the item names, with what the matching contact knows besides.
    pub fn person(&self, item: &Value, ids: &Ids) -> Option<Person> {
        named(item, ids).map(|person| self.complete(person))
    }

    /// The contact of this number, also where it stands there in another of its national forms.
    fn at(&self, wa_id: &str) -> Option<usize> {
        let exact = || self.by_wa_id.get(wa_id).copied();
        let another = || {
            let forms = national::forms(wa_id);
            forms
                .iter()
                .find_map(|form| self.by_wa_id.get(form).copied())
        };
        exact().or_else(another)
    }

    pub fn complete(&self, person: Person) -> Person {
        let found =
            |index: &HashMap<String, usize>, id: &Option<String>| index.get(id.as_ref()?).copied();
        let contact = found(&self.by_user_id, &person.user_id)
            .or_else(|| self.at(person.wa_id.as_deref()?))
            .or_else(|| found(&self.by_parent, &person.parent_user_id))
            .and_then(|at| self.people.get(at));
        let Some(contact) = contact else {
            return person;
        };
        Person {
            wa_id: person.wa_id.or_else(|| contact.wa_id.clone()),
            user_id: person.user_id.or_else(|| contact.user_id.clone()),
            parent_user_id: person
                .parent_user_id
                .or_else(|| contact.parent_user_id.clone()),
            name: contact.name.clone(),
            ..person
        }
    }
}

/// A user name stands in for a profile name that is not there: something to call them by, never an address.
fn contact(contact: &Value) -> Person {
    let name = json::text(contact, "/profile/name")
        .or_else(|| json::text(contact, "/profile/username"))
        .map(|name| name.chars().take(NAME_LIMIT).collect());
    Person {
        wa_id: wa_id(contact, "/wa_id"),
        user_id: json::id(contact, "/user_id"),
        parent_user_id: json::id(contact, "/parent_user_id"),
        name,
        ..Person::default()
    }
}
