//! Who stands behind an event, as aliases.

use super::known::PersonSeen;
use crate::contacts::{self, Alias, AliasKind, Sighting};
use crate::model::Owner;
use comms_providers::event::{
    Actor, DeliveryUpdate, EventKind, Person, PersonChangeKind, ProviderEvent,
};
use time::OffsetDateTime;

/// The person that an event is about; as they are now, where they changed.
pub(super) fn of(kind: &EventKind) -> Option<&Person> {
    match kind {
        EventKind::Message(message) => Some(&message.sender),
        EventKind::Echo(echo) => Some(&echo.recipient),
        EventKind::Reaction(reaction) => Some(actor(&reaction.by)),
        EventKind::Edit(edit) => Some(actor(&edit.by)),
        EventKind::Revoke(revoke) => Some(actor(&revoke.by)),
        EventKind::PersonChanged(change) => Some(&change.after),
        EventKind::Consent(change) => Some(&change.person),
        EventKind::Status(_)
        | EventKind::Template(_)
        | EventKind::Account(_)
        | EventKind::Unhandled { .. }
        | EventKind::Malformed { .. } => None,
    }
}

fn actor(by: &Actor) -> &Person {
    let (Actor::Customer(person) | Actor::Us(person)) = by;
    person
}

/// Everybody that the payload names at a number, to be locked and looked up.
pub(super) fn seen(events: &[ProviderEvent]) -> Vec<PersonSeen<'_>> {
    let seen = |event| {
        let event: &ProviderEvent = event;
        let number = event.account.as_ref()?.external_account_id.as_deref()?;
        let now = aliases(of(&event.kind)?);
        let (before, claimed) = (formerly(event), claimed(&event.kind));
        let all = now.iter().chain(&before).chain(&claimed);
        let aliases = contacts::to_look_up(all);
        Some(PersonSeen { number, aliases })
    };
    events.iter().filter_map(seen).collect()
}

/// The evidence of one event about one person.
pub(super) fn sighting(event: &ProviderEvent, owner: Owner) -> Option<Sighting> {
    let person = of(&event.kind)?;
    let formerly = formerly(event);
    let given_up = given_up(event, &formerly);
    Some(Sighting {
        aliases: aliases(person),
        gained: gained(event, &formerly, &given_up),
        given_up,
        formerly,
        claimed: claimed(&event.kind),
        at: at(&event.kind),
        display_name: person.name.clone(),
        ..Sighting::new(owner.tenant_id)
    })
}

/// By the provider's clock.
fn at(kind: &EventKind) -> Option<OffsetDateTime> {
    match kind {
        EventKind::Message(message) => Some(message.sent_at),
        EventKind::Echo(echo) => Some(echo.sent_at),
        EventKind::Reaction(reaction) => Some(reaction.at),
        EventKind::Edit(edit) => Some(edit.at),
        EventKind::Revoke(revoke) => Some(revoke.at),
        EventKind::PersonChanged(change) => Some(change.at),
        EventKind::Consent(change) => Some(change.at),
        EventKind::Status(_)
        | EventKind::Template(_)
        | EventKind::Account(_)
        | EventKind::Unhandled { .. }
        | EventKind::Malformed { .. } => None,
    }
}

/// Another device key changes no id: it is a line in the thread and nothing more.
fn formerly(event: &ProviderEvent) -> Vec<Alias> {
    match &event.kind {
        EventKind::PersonChanged(change) if change.kind != PersonChangeKind::IdentityKey => {
            aliases(&change.before)
        }
        _ => Vec::new(),
    }
}

/// Whoever changes their number leaves the old one to somebody else, whatever the notice calls it. Ids stay theirs: nobody gets them a
/// second time.
fn given_up(event: &ProviderEvent, formerly: &[Alias]) -> Vec<Alias> {
    let EventKind::PersonChanged(change) = &event.kind else {
        return Vec::new();
    };
    let after = aliases(&change.after);
    let has_another =
        change.kind == PersonChangeKind::Number || after.iter().any(|alias| alias.kind.is_number());
    if !has_another {
        return Vec::new();
    }
    let now = contacts::to_look_up(&after);
    let left = |alias: &&Alias| alias.kind.is_number() && !now.contains(alias);
    formerly.iter().filter(left).cloned().collect()
}

/// Whoever had the new number before has it no more.
fn gained(event: &ProviderEvent, formerly: &[Alias], given_up: &[Alias]) -> Vec<Alias> {
    let EventKind::PersonChanged(change) = &event.kind else {
        return Vec::new();
    };
    if change.kind != PersonChangeKind::Number && given_up.is_empty() {
        return Vec::new();
    }
    let before = contacts::to_look_up(formerly);
    let new = |alias: &Alias| alias.kind.is_number() && !before.contains(alias);
    aliases(&change.after).into_iter().filter(new).collect()
}

/// Whoever shows no number may give one, asked for it: their word alone, for all that we know.
fn claimed(kind: &EventKind) -> Vec<Alias> {
    let given = match kind {
        EventKind::Message(message) if phone(&message.sender).is_none() => {
            message.given_phone.as_deref()
        }
        _ => None,
    };
    let alias = given.map(|phone| Alias::new(AliasKind::Phone, phone));
    alias.into_iter().collect()
}

/// The recipient's ids of a report that names more than one kind: which belong together.
pub(super) fn pair(update: &DeliveryUpdate) -> Vec<Alias> {
    match &update.recipient {
        Some(person) if person.user_id.is_some() => aliases(person),
        _ => Vec::new(),
    }
}

/// Strongest evidence first.
pub(super) fn aliases(person: &Person) -> Vec<Alias> {
    let alias =
        |kind, value: &Option<String>| value.as_deref().map(|value| Alias::new(kind, value));
    [
        alias(AliasKind::Bsuid, &person.user_id),
        alias(AliasKind::ParentBsuid, &person.parent_user_id),
        alias(AliasKind::WaId, &person.wa_id),
        alias(AliasKind::Phone, &phone(person)),
        alias(AliasKind::Email, &person.email),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A `wa_id` is a phone number without its plus, unless it is something new.
fn phone(person: &Person) -> Option<String> {
    if person.phone.is_some() {
        return person.phone.clone();
    }
    let digits = person.wa_id.as_deref()?;
    let plausible = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    plausible.then(|| format!("+{digits}"))
}

/// The address that an answer goes to.
pub(super) fn address(person: &Person) -> String {
    phone(person)
        .or_else(|| person.email.clone())
        .or_else(|| person.user_id.clone())
        .or_else(|| person.wa_id.clone())
        .unwrap_or_default()
}
