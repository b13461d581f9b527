//! Who of the audience gets what, decided without any I/O.
//!
//! Every step of the rule is rendered for everybody now. The first that can be used becomes the message, the later ones
//! its chain: what a fallback needs is complete before the message is queued, and what is wrong with it is answered.

use super::answer::{RecipientAnswer, RecipientOutcome, SkipReason, Skipped};
use super::audience::{Passenger, Trip};
use super::people::People;
use super::render::{Rendered, render};
use super::rules::{Rule, Step};
use super::templates::{Catalogue, Template};
use crate::channels::ActiveAccount;
use crate::model::{AccountId, Channel, ContactId, MessageId, RunId};
use crate::outbox::{Author, FallbackStep, NewMessage, TemplateUse, units};
use serde_json::{Value, json};
use std::collections::HashSet;

/// What a run knows when it decides.
pub(super) struct Planner<'a> {
    pub run: RunId,
    pub rule: &'a Rule,
    pub accounts: &'a [ActiveAccount],
    pub catalogue: &'a Catalogue,
    pub trip: &'a Trip,
}

/// A step with everything that it needs, but for consent.
struct Ready<'a> {
    step: &'a Step,
    account: AccountId,
    address: String,
    template: &'a Template,
    rendered: Rendered,
}

/// The rule walked for one recipient.
#[derive(Default)]
struct Walk<'a> {
    usable: Vec<Ready<'a>>,
    /// The first of those that lack nothing but consent.
    unwanted: Option<Ready<'a>>,
    skipped: Vec<Skipped>,
}

impl Planner<'_> {
    pub(super) fn plan(
        &self,
        passengers: &[Passenger],
        people: &People,
    ) -> (Vec<NewMessage>, Vec<RecipientAnswer>) {
        let mut rows: Vec<NewMessage> = Vec::new();
        let mut taken = HashSet::new();
        let answers = passengers
            .iter()
            .map(|passenger| match people.contact(passenger) {
                None => answer(passenger, RecipientOutcome::NoAddress),
                Some(contact) if !taken.insert(contact) => {
                    answer(passenger, RecipientOutcome::Duplicate)
                }
                Some(contact) => {
                    let (row, answer) = self.decide(passenger, contact, people);
                    rows.extend(row);
                    answer
                }
            })
            .collect();
        (rows, answers)
    }

    /// The row, if there is one. Where no step can be used, the first says why.
    fn decide(
        &self,
        passenger: &Passenger,
        contact: ContactId,
        people: &People,
    ) -> (Option<NewMessage>, RecipientAnswer) {
        let variables = variables(passenger, self.trip);
        let Walk {
            usable,
            unwanted,
            skipped,
        } = self.walk(passenger, contact, people, &variables);
        let mut steps = usable.into_iter();
        let suppressed = steps.len() == 0;
        let Some(first) = steps.next().or(unwanted) else {
            let first = skipped.first();
            let refusal = RecipientAnswer {
                reason: first.and_then(|first| first.detail.clone()),
                ..answer(passenger, outcome(first))
            };
            return (None, RecipientAnswer { skipped, ..refusal });
        };
        let row = NewMessage {
            id: MessageId::generate(),
            channel: first.step.channel,
            account: first.account,
            contact,
            conversation: people.thread(contact),
            author: Author::System,
            address: first.address,
            content: first.rendered.content,
            body: first.rendered.body,
            template: Some(TemplateUse {
                id: first.template.id,
                version: first.template.version,
                variables,
            }),
            suppressed,
            lane: self.rule.lane,
            category: self.rule.category,
            expires_after: self.rule.expires_after,
            run: Some(self.run),
            idempotency_key: None,
            reply_to: None,
            fallback: steps.map(fallback).collect(),
        };
        let outcome = if suppressed {
            RecipientOutcome::Suppressed
        } else {
            RecipientOutcome::Queued
        };
        let answer = RecipientAnswer {
            message_id: Some(row.id),
            skipped,
            ..answer(passenger, outcome)
        };
        (Some(row), answer)
    }

    fn walk(
        &self,
        passenger: &Passenger,
        contact: ContactId,
        people: &People,
        variables: &Value,
    ) -> Walk<'_> {
        let mut walk = Walk::default();
        for step in &self.rule.steps {
            let skip = match self.ready(step, passenger, variables) {
                Ok(ready) if people.is_suppressed(step.channel, &ready.address) => {
                    (SkipReason::AddressSuppressed, None)
                }
                Ok(ready) if people.consents(contact, step.channel) => {
                    walk.usable.push(ready);
                    continue;
                }
                Ok(ready) => {
                    walk.unwanted.get_or_insert(ready);
                    (SkipReason::NoConsent, None)
                }
                Err(skip) => skip,
            };
            walk.skipped.push(Skipped {
                channel: step.channel,
                reason: skip.0,
                detail: skip.1,
            });
        }
        walk
    }

    fn ready<'a>(
        &'a self,
        step: &'a Step,
        passenger: &Passenger,
        variables: &Value,
    ) -> Result<Ready<'a>, (SkipReason, Option<String>)> {
        let mut accounts = self.accounts.iter();
        let account = accounts
            .find(|account| account.channel == step.channel)
            .ok_or((SkipReason::NoActiveAccount, None))?;
        let address = address(passenger, step.channel).ok_or((SkipReason::NoAddress, None))?;
        let template = self
            .catalogue
            .find(step.channel, passenger.locale.as_deref())
            .ok_or((SkipReason::NoTemplate, None))?;
        let rendered = render(template, variables, self.rule.category)
            .map_err(|error| (SkipReason::TemplateError, Some(error.to_string())))?;
        Ok(Ready {
            step,
            account: account.id,
            address: address.to_owned(),
            template,
            rendered,
        })
    }
}

fn address(passenger: &Passenger, channel: Channel) -> Option<&str> {
    match channel {
        Channel::WhatsApp | Channel::Sms => passenger.phone.as_deref(),
        Channel::Email => passenger.email.as_deref(),
        // A visitor of the site; no profile has one.
        Channel::Webchat => None,
    }
}

/// Its waits count from the message before it, whichever step that is for this recipient.
fn fallback(ready: Ready<'_>) -> FallbackStep {
    FallbackStep {
        channel: ready.step.channel,
        account: ready.account,
        address: ready.address,
        units: units(&ready.rendered.content),
        content: ready.rendered.content,
        body: ready.rendered.body,
        template: ready.template.id,
        template_version: ready.template.version,
        not_delivered_within: ready.step.not_delivered_within,
        not_read_within: ready.step.not_read_within,
    }
}

/// A rule without steps has no account either.
fn outcome(first: Option<&Skipped>) -> RecipientOutcome {
    first.map_or(RecipientOutcome::NoActiveAccount, |first| {
        first.reason.outcome()
    })
}

fn variables(passenger: &Passenger, trip: &Trip) -> Value {
    let first_name = passenger.full_name.split_whitespace().next();
    let trip = Trip {
        code: or_dash(&trip.code),
        origin: or_dash(&trip.origin),
        destination: or_dash(&trip.destination),
        ..trip.clone()
    };
    json!({
        "passenger": {"full_name": or_dash(&passenger.full_name), "first_name": or_dash(first_name.unwrap_or_default())},
        "trip": trip,
    })
}

/// Meta refuses an empty parameter; a gap in the host's data must not keep the news from anybody.
fn or_dash(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { "–" } else { text }.to_owned()
}

fn answer(passenger: &Passenger, outcome: RecipientOutcome) -> RecipientAnswer {
    RecipientAnswer {
        passenger_profile_id: passenger.profile,
        outcome,
        message_id: None,
        reason: None,
        skipped: Vec::new(),
    }
}
