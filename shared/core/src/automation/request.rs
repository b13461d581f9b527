//! `NotificationRequest`: the one way in for whoever is not Hasura: other services, n8n, people with a script.
//!
//! Everything is checked before anything is stored, and what is wrong is named by its path (`recipients[2].phone`). The key makes a
//! repeat harmless: it gets the first answer.

mod check;
mod preview;
mod recipients;
mod rule;
mod runs;
mod words;

pub(in crate::automation) use check::{
    EVENT_PATTERN, KEY_LIMIT, KEY_PATTERN, check_event, check_key, invalid, typed,
};
pub use check::{forbidden, parse};
pub use preview::{Preview, PreviewRequest, Previewed, preview};
pub use recipients::RequestedRecipient;
pub(super) use recipients::check_listed;
pub use runs::{CancelledRun, RecipientState, RunState, cancel_run, run_state};
pub(in crate::automation) use words::{enough, lacking};

use super::audience::Recipient;
use super::clients::{Client, Scope};
use super::hand_off::{self, Taken};
use super::intake::{self, Addressed, Run};
use super::registry::{Subject, by_event};
use super::rules::Rule;
use super::subject::{self, Facts, RunContext, Which, over};
use super::{Accepted, AutomationError, RunAnswer, RunStatus, story};
use crate::model::{Category, Channel, Lane, RunId, TenantId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, instant},
};
use aws_lc_rs::digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use time::OffsetDateTime;

/// Whoever is listed; more are a batch.
pub const MOST_RECIPIENTS: usize = 1_000;

/// A notification that a program asks for. Absent is null.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationRequest {
    /// The token says it; only a client of the platform's must.
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    /// The caller's own, once for each thing that happened: 1 to 128 characters.
    #[schemars(length(min = 1, max = KEY_LIMIT), regex(pattern = KEY_PATTERN))]
    pub idempotency_key: String,
    /// A run that was handed over: this is how it goes on, and its messages are the run's. Once; whoever comes later gets the answer
    /// of the first, without recipients where it is another's and the token may not read.
    #[serde(default)]
    pub run_id: Option<RunId>,
    /// Instead of `run_id`: a run that this adds to, under a key of its own. Whomever that run, or another request beside it, writes to
    /// on a channel is not written to on that channel again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<RunId>,
    /// One of the registry's, or a tenant's own: `A-Z`, digits and `_`.
    #[schemars(regex(pattern = EVENT_PATTERN))]
    pub trigger_event: String,
    /// Instead of `recipients`: which people of what `context` names.
    #[serde(default)]
    #[schemars(extend("enum" = rule::audience_words()))]
    pub audience: Option<String>,
    /// Instead of `audience`: at most 1,000.
    #[serde(default)]
    #[schemars(length(min = 1, max = MOST_RECIPIENTS))]
    pub recipients: Option<Vec<RequestedRecipient>>,
    /// For templates, over what `context` tells: `{"trip": {"code": "…"}}`.
    #[serde(default)]
    pub variables: Map<String, Value>,
    /// In which language, whatever the recipients' own; `recipients[].locale` goes before it.
    #[serde(default)]
    #[schemars(regex(pattern = recipients::LOCALE_PATTERN))]
    pub locale: Option<String>,
    /// Instead of the rule's. SERVICE is an agent's answer to somebody, and asks for no consent: a program says none of it.
    #[serde(default)]
    #[schemars(extend("not" = json!({"const": "SERVICE"})))]
    pub category: Option<Category>,
    /// Instead of the rule's, in this order. WEBCHAT carries no notifications.
    #[serde(default)]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub channels: Option<Vec<Channel>>,
    /// RFC 3339. Not before; what is over is now.
    #[serde(
        default,
        deserialize_with = "instant",
        serialize_with = "time::serde::rfc3339::option::serialize"
    )]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub send_at: Option<OffsetDateTime>,
    /// RFC 3339. Not after.
    #[serde(
        default,
        deserialize_with = "instant",
        serialize_with = "time::serde::rfc3339::option::serialize"
    )]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<OffsetDateTime>,
    /// What it is about.
    #[serde(default)]
    pub context: RunContext,
}

/// Why a request is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The caller's to mend.
    #[error(transparent)]
    Refused(#[from] ActionError),
    #[error(transparent)]
    Automation(#[from] AutomationError),
}

impl From<DatabaseError> for RequestError {
    fn from(error: DatabaseError) -> Self {
        Self::Automation(error.into())
    }
}

impl NotificationRequest {
    /// Of what is asked, however it was written.
    fn hash(&self) -> Vec<u8> {
        let said = json!(self).to_string();
        digest::digest(&digest::SHA256, said.as_bytes())
            .as_ref()
            .to_vec()
    }
}

/// Takes the request in, once, for the tenant that the caller may speak for. A repeat gets the first answer.
///
/// # Errors
/// `validation-failed` naming the field, also a variable that templates use and nobody gave; `not-found` for what `context` names;
/// `conflict` where the key was used for another request. Whatever was written by then is to be rolled back.
pub async fn accept(
    tx: &mut Tx,
    tenant: TenantId,
    client: &Client,
    request: &NotificationRequest,
) -> Result<Accepted, RequestError> {
    let now = intake::now(tx).await?;
    // A repeat that comes after its time gets its answer all the same.
    let (mut run, given) = match begin(tx, tenant, client, request).await? {
        Begun::Run(run) => (run, Given::default()),
        Begun::HandedOver(run, given) => (run, given),
        Begun::Answered(answer) => return Ok(Accepted::settled(answer)),
    };
    request.check(now)?;
    if given.not_after.is_some_and(|end| end <= now) {
        return Ok(run.ends(tx, RunStatus::Stale, &request.context).await?);
    }
    if let Some(beside) = request.beside {
        let field = || ActionError::not_found("beside").with_details(json!({"field": "beside"}));
        run.beside = Some(story::of(tx, tenant, beside).await?.ok_or_else(field)?);
    }
    let trigger = by_event(&request.trigger_event);
    let facts = facts(tx, tenant, &request.context).await?;
    let mut parts = rule::addressed(tx, tenant, request, trigger, &facts, now).await?;
    for (rule, _) in &mut parts {
        rule.end_by(given.not_after);
    }
    if parts.is_empty() {
        return Ok(run.ends(tx, RunStatus::Ignored, &facts.context).await?);
    }
    let addressed: Vec<Addressed<'_>> = parts
        .iter()
        .map(|(rule, recipients)| Addressed { rule, recipients })
        .collect();
    let words = over(facts.words, &request.variables);
    let send_at = request.send_at.or(given.not_before);
    let send_at = send_at.filter(|at| *at > now);
    let planned = run
        .plan_all(tx, &words, &addressed, send_at, HashSet::new())
        .await?;
    enough("variables", &planned.lacking)?;
    Ok(run.carry_out(tx, &facts.context, planned).await?)
}

/// Whether there is anything left to do.
enum Begun {
    Run(Run),
    HandedOver(Run, Given),
    Answered(RunAnswer),
}

/// What a run that was handed over brings with it.
#[derive(Default)]
struct Given {
    /// When its trigger is told of, where the request does not say.
    not_before: Option<OffsetDateTime>,
    /// When what it is about has come.
    not_after: Option<OffsetDateTime>,
}

async fn begin(
    tx: &mut Tx,
    tenant: TenantId,
    client: &Client,
    request: &NotificationRequest,
) -> Result<Begun, RequestError> {
    let event = &request.trigger_event;
    if let Some(run) = request.run_id {
        return match hand_off::take(tx, tenant, run).await? {
            Taken::Waiting {
                trigger_event,
                about,
                since,
            } if trigger_event == *event => {
                let given = Given {
                    not_before: by_event(event).map(|trigger| since + trigger.after),
                    not_after: about.not_after,
                };
                let mut run = Run::continued(run, tenant, event);
                run.carried_out_by = Some(client.id);
                Ok(Begun::HandedOver(run, given))
            }
            Taken::Waiting { .. } => Err(invalid("trigger_event", "is not the run's").into()),
            Taken::Over(answer, by) => {
                let mut answer: RunAnswer = serde_json::from_value(answer)
                    .map_err(|error| DatabaseError::from(sqlx::Error::Decode(error.into())))?;
                if by != Some(client.id) && !client.may(Scope::Read) {
                    answer.recipients.clear();
                }
                Ok(Begun::Answered(answer))
            }
            Taken::Unknown => Err(ActionError::not_found("run_id")
                .with_details(json!({"field": "run_id"}))
                .into()),
        };
    }
    let source = format!("api/{}", client.id);
    let run = Run::new(
        tenant,
        &source,
        &request.idempotency_key,
        request.hash(),
        event,
    );
    let answered = run.begin(tx).await.map_err(reused)?;
    Ok(answered.map_or(Begun::Run(run), Begun::Answered))
}

/// A request and some of its people, ready to be planned.
pub(super) struct Prepared {
    pub rule: Rule,
    /// Those that are known, in the order of the list.
    pub recipients: Vec<Recipient>,
    /// For everybody on the list: are they?
    pub known: Vec<bool>,
    pub words: Map<String, Value>,
    pub send_at: Option<OffsetDateTime>,
}

/// A step of a batch: the request, for these people.
///
/// # Errors
/// What the request is refused for; `conflict` where the trigger is switched off.
pub(super) async fn prepared(
    tx: &mut Tx,
    tenant: TenantId,
    request: &NotificationRequest,
    listed: &[RequestedRecipient],
) -> Result<Prepared, RequestError> {
    let now = intake::now(tx).await?;
    let names = by_event(&request.trigger_event).map_or(&[][..], |trigger| trigger.audiences);
    let mut rule = rule::rule(tx, tenant, request, names, now)
        .await?
        .ok_or_else(|| ActionError::conflict("trigger_event: has no rule, or is switched off"))?;
    // Very many are never urgent: they wait for their sender's rate, behind everybody else.
    rule.lane = Lane::Bulk;
    let facts = facts(tx, tenant, &request.context).await?;
    let found = recipients::find_each(tx, tenant, listed).await?;
    let known: Vec<bool> = found.iter().map(Result::is_ok).collect();
    let mut recipients: Vec<Recipient> = found.into_iter().filter_map(Result::ok).collect();
    if let Some(locale) = &request.locale {
        let own = listed.iter().zip(&known).filter(|(_, known)| **known);
        for ((listed, _), recipient) in own.zip(&mut recipients) {
            if listed.locale.is_none() {
                recipient.locale = Some(locale.clone());
            }
        }
    }
    Ok(Prepared {
        rule,
        recipients,
        known,
        words: over(facts.words, &request.variables),
        send_at: request.send_at.filter(|at| *at > now),
    })
}

fn reused(error: AutomationError) -> RequestError {
    match error {
        AutomationError::KeyReused => {
            ActionError::conflict("idempotency_key: was used for another request")
                .with_details(json!({"field": "idempotency_key"}))
                .into()
        }
        error => error.into(),
    }
}

/// What `context` names, as it is now.
async fn facts(tx: &mut Tx, tenant: TenantId, context: &RunContext) -> Result<Facts, RequestError> {
    let named = [
        (
            "context.incident_id",
            Subject::Incident,
            context.incident_id,
        ),
        ("context.invoice_id", Subject::Invoice, context.invoice_id),
        ("context.booking_id", Subject::Booking, context.booking_id),
        ("context.trip_id", Subject::Trip, context.trip_id),
    ];
    let mut facts = Facts::default();
    // The narrowest last: what it says of the trip it shares goes over what the others say.
    for (field, subject, id) in named.into_iter().rev() {
        let Some(id) = id else { continue };
        let which = Which {
            subject,
            id,
            profile: None,
        };
        let found = subject::read(tx, tenant, which)
            .await?
            .ok_or_else(|| ActionError::not_found(field).with_details(json!({"field": field})))?;
        facts.words.extend(found.words);
        facts.concerned.profile = found.concerned.profile.or(facts.concerned.profile);
        facts.concerned.driver = found.concerned.driver.or(facts.concerned.driver);
        facts.context.trip_id = found.context.trip_id.or(facts.context.trip_id);
        facts.context.booking_id = found.context.booking_id.or(facts.context.booking_id);
    }
    facts.context = RunContext {
        trip_id: context.trip_id.or(facts.context.trip_id),
        booking_id: context.booking_id.or(facts.context.booking_id),
        ..context.clone()
    };
    Ok(facts)
}
