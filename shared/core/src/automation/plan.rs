//! Who of the audience gets what, decided without any I/O.
//!
//! Every step of the rule is rendered for everybody now. The first that can be used becomes the message, the later ones
//! its chain: what a fallback needs is complete before the message is queued, and what is wrong with it is answered.

use super::answer::{RecipientAnswer, RecipientOutcome, SkipReason, Skipped};
use super::audience::{Recipient, Who};
use super::people::People;
use super::quiet::{Quiet, QuietAction};
use super::render::{Parts, RenderError, Rendered, Renderer, gives, missing};
use super::rules::{Rule, Step};
use super::subject::{over, without_gaps};
use super::templates::{Catalogue, Template};
use crate::channels::ActiveAccount;
use crate::model::{AccountId, Channel, ContactId, MessageId, RunId};
use crate::outbox::{Author, FallbackStep, NewMessage, TemplateUse, units};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashSet};
use time::{Duration, OffsetDateTime};

/// What a run knows when it decides.
pub(super) struct Planner<'a> {
    pub run: RunId,
    pub rule: &'a Rule,
    pub accounts: &'a [ActiveAccount],
    pub catalogue: &'a Catalogue,
    /// WhatsApp templates that Meta is known not to take now, as `(name, language)`.
    pub unapproved: &'a HashSet<(String, String)>,
    /// For everybody.
    pub words: &'a Map<String, Value>,
    pub quiet: &'a Quiet,
    pub renderer: Renderer,
    /// Now, by the database's clock.
    pub now: OffsetDateTime,
    /// Not before; absent: at once.
    pub send_at: Option<OffsetDateTime>,
}

/// What a run comes to.
#[derive(Default)]
pub struct Planned {
    pub rows: Vec<NewMessage>,
    /// One for each recipient, in their order.
    pub answers: Vec<RecipientAnswer>,
    /// Names that templates use and none of the recipients has, for want of which somebody is not written to: `trip.code`.
    pub lacking: BTreeSet<String>,
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
    lacking: Vec<String>,
}

/// Why a step cannot be used.
struct Skip {
    reason: SkipReason,
    detail: Option<String>,
    /// The names that its template lacks.
    lacking: Vec<String>,
}

impl From<SkipReason> for Skip {
    fn from(reason: SkipReason) -> Self {
        Self {
            reason,
            detail: None,
            lacking: Vec::new(),
        }
    }
}

impl Planner<'_> {
    /// `taken` are those who are written to already; whoever is decided about joins them.
    pub(super) fn plan(
        &self,
        recipients: &[Recipient],
        people: &People,
        taken: &mut HashSet<ContactId>,
    ) -> Planned {
        let mut planned = Planned {
            rows: Vec::with_capacity(recipients.len()),
            answers: Vec::with_capacity(recipients.len()),
            lacking: BTreeSet::new(),
        };
        for recipient in recipients {
            let answer = match people.contact(recipient) {
                None => answer(recipient, RecipientOutcome::NoAddress),
                Some(contact) if !taken.insert(contact) => {
                    answer(recipient, RecipientOutcome::Duplicate)
                }
                Some(contact) => self.decide(recipient, contact, people, &mut planned),
            };
            planned.answers.push(answer);
        }
        if !planned.lacking.is_empty() {
            for recipient in recipients {
                let own = variables(recipient, self.words);
                planned.lacking.retain(|name| !gives(&own, name));
            }
        }
        planned
    }

    /// The answer; the row is planned, if there is one. Where no step can be used, the first says why.
    fn decide(
        &self,
        recipient: &Recipient,
        contact: ContactId,
        people: &People,
        planned: &mut Planned,
    ) -> RecipientAnswer {
        let Ok(send_at) = self.when(recipient) else {
            return answer(recipient, RecipientOutcome::QuietHours);
        };
        let variables = variables(recipient, self.words);
        let Walk {
            usable,
            unwanted,
            skipped,
            lacking,
        } = self.walk(recipient, contact, people, &variables);
        let mut steps = usable.into_iter();
        let suppressed = steps.len() == 0;
        let Some(first) = steps.next().or(unwanted) else {
            let first = skipped.first();
            let refusal = RecipientAnswer {
                reason: first.and_then(|first| first.detail.clone()),
                ..answer(recipient, outcome(first))
            };
            planned.lacking.extend(lacking);
            return RecipientAnswer { skipped, ..refusal };
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
            send_at,
            expires_after: self.life(send_at),
            quiet_hours: self.quiet_hours(recipient),
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
            send_at: send_at.filter(|_| !suppressed),
            skipped,
            ..answer(recipient, outcome)
        };
        planned.rows.push(row);
        answer
    }

    /// When it may leave; an error where that would be never. What waits is worth as long as what does not, but nothing is held for
    /// longer than it is worth.
    fn when(&self, recipient: &Recipient) -> Result<Option<OffsetDateTime>, ()> {
        let at = self.send_at.unwrap_or(self.now);
        let Some((hours, until)) = self
            .rule
            .quiet_hours
            .as_ref()
            .zip(self.quiet.until(recipient.timezone.as_deref()))
        else {
            return Ok(self.send_at);
        };
        let in_time = self.rule.not_after.is_none_or(|end| until < end);
        match hours.action {
            QuietAction::Hold if in_time && until - at < self.rule.expires_after => Ok(Some(until)),
            QuietAction::Hold | QuietAction::Drop => Err(()),
        }
    }

    fn quiet_hours(&self, recipient: &Recipient) -> Option<Value> {
        let hours = self.rule.quiet_hours.as_ref()?;
        Some(self.quiet.of_message(hours, recipient.timezone.as_deref()))
    }

    /// How long it is worth sending, counted from when it may leave.
    fn life(&self, send_at: Option<OffsetDateTime>) -> Duration {
        let from = send_at.unwrap_or(self.now).max(self.now);
        let left = self.rule.not_after.map(|end| end - from);
        left.map_or(self.rule.expires_after, |left| {
            left.min(self.rule.expires_after)
        })
    }

    fn walk(
        &self,
        recipient: &Recipient,
        contact: ContactId,
        people: &People,
        variables: &Value,
    ) -> Walk<'_> {
        let mut walk = Walk::default();
        let parts = self.renderer.with(variables);
        for step in &self.rule.steps {
            let skip: Skip = match self.ready(step, recipient, variables, &parts) {
                Ok(_) if people.is_told(contact, step.channel) => SkipReason::AlreadyTold.into(),
                Ok(ready) if people.is_suppressed(step.channel, &ready.address) => {
                    SkipReason::AddressSuppressed.into()
                }
                Ok(ready) if people.consents(contact, step.channel) => {
                    walk.usable.push(ready);
                    continue;
                }
                Ok(ready) => {
                    walk.unwanted.get_or_insert(ready);
                    SkipReason::NoConsent.into()
                }
                Err(skip) => skip,
            };
            walk.skipped.push(Skipped {
                channel: step.channel,
                reason: skip.reason,
                detail: skip.detail,
            });
            walk.lacking.extend(skip.lacking);
        }
        walk
    }

    fn ready<'a>(
        &'a self,
        step: &'a Step,
        recipient: &Recipient,
        variables: &Value,
        parts: &Parts<'_>,
    ) -> Result<Ready<'a>, Skip> {
        let mut accounts = self.accounts.iter();
        let account = accounts
            .find(|account| account.channel == step.channel)
            .ok_or(SkipReason::NoActiveAccount)?;
        let address = address(recipient, step.channel).ok_or(SkipReason::NoAddress)?;
        let template = self
            .catalogue
            .find(step.channel, recipient.locale.as_deref())
            .ok_or(SkipReason::NoTemplate)?;
        if let Some(whatsapp) = template
            .whatsapp
            .as_ref()
            .filter(|_| step.channel == Channel::WhatsApp)
        {
            let named = (whatsapp.name.clone(), whatsapp.language.clone());
            if self.unapproved.contains(&named) {
                let which = format!("{} in {}", named.0, named.1);
                return Err(Skip {
                    detail: Some(which),
                    ..SkipReason::TemplateNotApproved.into()
                });
            }
        }
        let rendered = parts
            .render(template, self.rule.category)
            .map_err(|error| broken(template, variables, &error))?;
        Ok(Ready {
            step,
            account: account.id,
            address: address.to_owned(),
            template,
            rendered,
        })
    }
}

fn broken(template: &Template, variables: &Value, error: &RenderError) -> Skip {
    let undefined = matches!(error, RenderError::Undefined { .. });
    Skip {
        reason: SkipReason::TemplateError,
        detail: Some(error.to_string()),
        lacking: if undefined {
            missing(template, variables)
        } else {
            Vec::new()
        },
    }
}

fn address(recipient: &Recipient, channel: Channel) -> Option<&str> {
    match channel {
        Channel::WhatsApp | Channel::Sms => recipient.phone.as_deref(),
        Channel::Email => recipient.email.as_deref(),
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

/// `recipient` is everybody; `passenger` too, where it is one. A gap is a dash.
pub(super) fn variables(recipient: &Recipient, words: &Map<String, Value>) -> Value {
    let first_name = recipient.full_name.split_whitespace().next();
    let mut own = recipient.words.clone();
    own.insert("full_name".to_owned(), json!(recipient.full_name));
    own.insert("first_name".to_owned(), json!(first_name));
    let mut all = words.clone();
    if matches!(recipient.who, Who::Passenger(_)) {
        all.insert("passenger".to_owned(), Value::Object(own.clone()));
    }
    all.insert("recipient".to_owned(), Value::Object(own));
    let mut all = Value::Object(over(all, &recipient.variables));
    without_gaps(&mut all);
    all
}

fn answer(recipient: &Recipient, outcome: RecipientOutcome) -> RecipientAnswer {
    RecipientAnswer {
        who: recipient.who,
        outcome,
        send_at: None,
        message_id: None,
        reason: None,
        skipped: Vec::new(),
    }
}
