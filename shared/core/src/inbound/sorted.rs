//! The events of one payload by what happens to them: rows for their owners, or quarantine.
//!
//! Nobody is asked here any more: owners and people are known, so this is a function of what came and what was found.

use super::document::{Document, NewMessage, NewReaction, NewRevision, NewWish};
use super::known::{Loaded, Place};
use super::notices::Notice;
use super::people::{self, address};
use crate::contacts::{self, Wish, opt_out};
use crate::delivery::StatusReport;
use crate::model::{Channel, ContactId, Owner};
use crate::quarantine::{self, Misfit};
use comms_providers::event::{
    Actor, ConsentChange, Edit, EventKind, InboundMessage, PersonChange, PersonChangeKind,
    ProviderEvent,
};
use comms_providers::{Content, OptOut};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub document: Document,
    pub misfits: Vec<Misfit>,
}

/// How a channel's payloads are read.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    pub channel: Channel,
    /// The name in quarantine.
    pub name: &'static str,
    /// Writes an event as a payload of its own, for quarantine and replay.
    pub again: fn(&ProviderEvent) -> Vec<u8>,
}

impl Sorted {
    pub fn of(events: Vec<ProviderEvent>, known: &Loaded, source: Source) -> Self {
        let mut sorted = Self::default();
        let places: Vec<Place> = events.iter().map(|event| known.place(event)).collect();
        let sightings: Vec<contacts::Sighting> = events
            .iter()
            .zip(&places)
            .filter_map(|(event, place)| people::sighting(event, place.owner()?))
            .collect();
        let mut contacts = sorted.decide(known, &sightings).into_iter();
        for (event, place) in events.into_iter().zip(places) {
            let contact = people::of(&event.kind)
                .and(place.owner())
                .and_then(|_| contacts.next());
            match place {
                Place::Nowhere(reason) => sorted.misfit(reason, &event, source),
                Place::Account(owner) => sorted.file(event, owner, contact, source),
                Place::Business(owners) => sorted.notice(&event, &owners, source),
            }
        }
        sorted
    }

    fn decide(&mut self, known: &Loaded, sightings: &[contacts::Sighting]) -> Vec<ContactId> {
        let Some(people) = &known.people else {
            return Vec::new();
        };
        let decisions = contacts::decide(people, sightings);
        let contacts = decisions.contacts.clone();
        self.document.people = (!decisions.is_empty()).then_some(decisions);
        contacts
    }

    fn file(
        &mut self,
        event: ProviderEvent,
        owner: Owner,
        contact: Option<ContactId>,
        source: Source,
    ) {
        let document = &mut self.document;
        match (event.kind, contact) {
            (EventKind::Status(update), _) => {
                let aliases = people::pair(&update);
                document
                    .reports
                    .push(StatusReport::new(owner, *update, aliases, event.raw));
            }
            (EventKind::Message(message), Some(contact)) => {
                self.message(owner, contact, *message, source.channel);
            }
            (EventKind::Echo(echo), Some(contact)) => {
                let address = address(&echo.recipient);
                document
                    .messages
                    .push(NewMessage::echo(owner, contact, address, *echo));
            }
            (EventKind::Reaction(reaction), Some(contact)) => {
                document
                    .reactions
                    .push(NewReaction::of(owner, contact, reaction));
            }
            (EventKind::Edit(edit), Some(contact)) => {
                document
                    .wishes
                    .extend(corrected(owner, contact, &edit, source.channel));
                document
                    .revisions
                    .push(NewRevision::edit(owner, contact, *edit));
            }
            (EventKind::Revoke(revoke), Some(contact)) => {
                document
                    .revisions
                    .push(NewRevision::revoke(owner, contact, revoke));
            }
            (EventKind::PersonChanged(change), Some(contact)) => {
                let address = address(&change.after);
                let kind = changed(&change);
                document
                    .messages
                    .push(NewMessage::notice(owner, contact, address, kind, *change));
            }
            (EventKind::Consent(change), Some(contact)) => {
                document
                    .wishes
                    .push(told(owner, contact, source.channel, &change));
            }
            (kind, _) => {
                let event = ProviderEvent { kind, ..event };
                self.notice(&event, &[owner], source);
            }
        }
    }

    fn message(
        &mut self,
        owner: Owner,
        contact: ContactId,
        message: InboundMessage,
        channel: Channel,
    ) {
        // Whoever the provider lets nothing more through to is not to be written to, whatever the sentence meant.
        let said = wish(&message, channel);
        let barred = message.barred_by_provider && said != Some(Wish::Stop);
        let barred = barred.then_some((Wish::Stop, "told the provider", "provider"));
        let said = said.map(|wish| (wish, "said so", "message"));
        for (wish, basis, source) in said.into_iter().chain(barred) {
            self.document.wishes.push(NewWish {
                tenant_id: owner.tenant_id,
                contact_id: contact,
                channel,
                wish,
                basis,
                source,
                address: (channel == Channel::Sms).then(|| address(&message.sender)),
                at: message.sent_at,
            });
        }
        let speaks = !matches!(message.content, Content::System { .. });
        let address = address(&message.sender);
        let row = NewMessage::inbound(owner, channel, contact, address, message);
        self.document.messages.push(NewMessage {
            wakes: speaks,
            opens_window: speaks && row.opens_window,
            muted: !speaks,
            ..row
        });
    }

    /// What is about an account and not about a message; what is neither is kept where people can look at it.
    fn notice(&mut self, event: &ProviderEvent, owners: &[Owner], source: Source) {
        let notices: Vec<Notice> = owners
            .iter()
            .filter_map(|owner| Notice::of(event, *owner))
            .collect();
        if notices.is_empty() {
            self.misfit(quarantine::UNHANDLED, event, source);
        }
        self.document.notices.extend(notices);
    }

    fn misfit(&mut self, reason: &'static str, event: &ProviderEvent, source: Source) {
        let payload = (source.again)(event);
        self.misfits.push(Misfit::of_event(reason, event, payload));
    }
}

/// Who corrects what they wrote to "stop" wants less from then on. What was a no before stays one.
fn corrected(owner: Owner, contact: ContactId, edit: &Edit, channel: Channel) -> Option<NewWish> {
    let Actor::Customer(person) = &edit.by else {
        return None;
    };
    let wish = said(&edit.content, channel).filter(|wish| wish.is_a_no() && !edit.in_a_group)?;
    Some(NewWish {
        tenant_id: owner.tenant_id,
        contact_id: contact,
        channel,
        wish,
        basis: "said so",
        source: "message",
        address: (channel == Channel::Sms).then(|| address(person)),
        at: edit.at,
    })
}

/// What somebody wants of us, if the message says that and nothing else. "Stop" among others may be said to any of them.
pub(super) fn wish(message: &InboundMessage, channel: Channel) -> Option<Wish> {
    (!message.is_to_a_group())
        .then(|| said(&message.content, channel))
        .flatten()
}

fn said(content: &Content, channel: Channel) -> Option<Wish> {
    match content {
        Content::Text { body, .. } => opt_out::wish(body, channel),
        Content::Sms(sms) => opt_out::wish(&sms.body, channel),
        Content::Reply(tapped) if tapped.of_template => opt_out::wish(&tapped.title, channel),
        Content::Reply(tapped) => opt_out::wish_of_an_answer(&tapped.title, channel),
        _ => None,
    }
}

/// A wish that the provider passes on.
fn told(owner: Owner, contact: ContactId, channel: Channel, change: &ConsentChange) -> NewWish {
    let wish = match (change.what, change.granted) {
        (OptOut::Everything, false) => Wish::Stop,
        (OptOut::Everything, true) => Wish::Start,
        (OptOut::Marketing, false) => Wish::StopMarketing,
        (OptOut::Marketing, true) => Wish::StartMarketing,
    };
    NewWish {
        tenant_id: owner.tenant_id,
        contact_id: contact,
        channel,
        wish,
        basis: "told the provider",
        source: "provider",
        address: None,
        at: change.at,
    }
}

fn changed(change: &PersonChange) -> &'static str {
    match change.kind {
        PersonChangeKind::Number => "user_changed_number",
        PersonChangeKind::UserId => "user_changed_user_id",
        PersonChangeKind::IdentityKey => "customer_identity_changed",
    }
}
