//! `NotificationRequest`: the one way in for whoever is not Hasura: other services, n8n, people with a script.
//!
//! Everything is checked before anything is stored, and what is wrong is named by its path (`recipients[2].phone`). The key makes a
//! repeat harmless: it gets the first answer.

mod preview;
mod recipients;
mod runs;

pub use preview::{Preview, PreviewRequest, Previewed, preview};
pub use recipients::RequestedRecipient;
pub(super) use recipients::check_listed;
pub use runs::{CancelledRun, RunState, cancel_run, run_state};

use super::audience::{self, Recipient};
use super::hand_off::{self, Taken};
use super::intake::{self, Addressed, Run};
use super::registry::{Audience, Subject, Trigger, by_event};
use super::rules::{self, Rule, Step};
use super::subject::{self, Facts, RunContext, Which, over};
use super::{Accepted, AutomationError, RunAnswer, RunStatus};
use crate::model::{Category, Channel, Lane, RunId, TenantId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, instant},
};
use aws_lc_rs::digest;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Whoever is listed; more are a batch.
pub const MOST_RECIPIENTS: usize = 1_000;
const KEY_LIMIT: usize = 128;
/// Bytes of all variables.
const VARIABLES_LIMIT: usize = 32 * 1024;
/// Nobody plans further ahead.
const LONGEST_AHEAD: Duration = Duration::days(366);
/// The audience of those that a request lists, for triggers that are no others.
const LISTED: &str = "RECIPIENTS";

/// See the module. Absent is null.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationRequest {
    /// The token says it; only a client of the platform's must.
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    /// The caller's own, once for each thing that happened: 1 to 128 characters.
    pub idempotency_key: String,
    /// A run that was handed over: this is how it goes on, and its messages are the run's. Once; whoever comes later gets the answer
    /// of the first.
    #[serde(default)]
    pub run_id: Option<RunId>,
    /// One of the registry's, or a tenant's own: `A-Z`, digits and `_`.
    pub trigger_event: String,
    /// Instead of `recipients`: which people of what `context` names.
    #[serde(default)]
    pub audience: Option<String>,
    /// Instead of `audience`: at most 1,000.
    #[serde(default)]
    pub recipients: Option<Vec<RequestedRecipient>>,
    /// For templates, over what `context` tells: `{"trip": {"code": "…"}}`.
    #[serde(default)]
    pub variables: Map<String, Value>,
    /// In which language, whatever the recipients' own; `recipients[].locale` goes before it.
    #[serde(default)]
    pub locale: Option<String>,
    /// Instead of the rule's.
    #[serde(default)]
    pub category: Option<Category>,
    /// Instead of the rule's, in this order.
    #[serde(default)]
    pub channels: Option<Vec<Channel>>,
    /// RFC 3339. Not before; what is over is now.
    #[serde(
        default,
        deserialize_with = "instant",
        serialize_with = "time::serde::rfc3339::option::serialize"
    )]
    pub send_at: Option<OffsetDateTime>,
    /// RFC 3339. Not after.
    #[serde(
        default,
        deserialize_with = "instant",
        serialize_with = "time::serde::rfc3339::option::serialize"
    )]
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

/// A refusal that names its field.
fn invalid(field: &str, problem: impl AsRef<str>) -> ActionError {
    ActionError::invalid(format!("{field}: {}", problem.as_ref()))
        .with_details(json!({"field": field}))
}

impl NotificationRequest {
    /// All that can be said without looking anything up.
    ///
    /// # Errors
    /// `validation-failed` naming the field.
    pub fn check(&self, now: OffsetDateTime) -> Result<(), ActionError> {
        check_key(&self.idempotency_key)?;
        check_event(&self.trigger_event)?;
        check_variables(&self.variables)?;
        check_channels(self.channels.as_deref())?;
        match (&self.audience, &self.recipients) {
            (Some(_), Some(_)) => {
                return Err(invalid("recipients", "must not be given beside audience"));
            }
            (None, Some(listed)) if listed.is_empty() || listed.len() > MOST_RECIPIENTS => {
                let problem = format!("must be 1 to {MOST_RECIPIENTS}; more are a batch");
                return Err(invalid("recipients", problem));
            }
            (None, Some(listed)) => check_listed(listed)?,
            (_, None) => {}
        }
        if let Some(locale) = &self.locale {
            recipients::check_locale("locale", locale)?;
        }
        if self.send_at.is_some_and(|at| at > now + LONGEST_AHEAD) {
            return Err(invalid("send_at", "must be at most 366 days ahead"));
        }
        let starts = self.send_at.unwrap_or(now).max(now);
        if self.expires_at.is_some_and(|at| at <= starts) {
            return Err(invalid(
                "expires_at",
                "must be after send_at, and after now",
            ));
        }
        Ok(())
    }

    /// Of what is asked, however it was written.
    fn hash(&self) -> Vec<u8> {
        let said = json!(self).to_string();
        digest::digest(&digest::SHA256, said.as_bytes())
            .as_ref()
            .to_vec()
    }
}

pub(crate) fn check_key(key: &str) -> Result<(), ActionError> {
    let plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && (1..=KEY_LIMIT).contains(&key.len()) {
        return Ok(());
    }
    Err(invalid(
        "idempotency_key",
        format!("must be 1 to {KEY_LIMIT} visible ASCII characters"),
    ))
}

pub(crate) fn check_event(event: &str) -> Result<(), ActionError> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let good = event.starts_with(|first: char| first.is_ascii_uppercase())
        && (3..=64).contains(&event.len())
        && event.bytes().all(plain);
    if good {
        return Ok(());
    }
    Err(invalid(
        "trigger_event",
        "must be 3 to 64 of A-Z, 0-9 and _, such as TRIP_DELAYED",
    ))
}

fn check_variables(variables: &Map<String, Value>) -> Result<(), ActionError> {
    if json!(variables).to_string().len() > VARIABLES_LIMIT {
        let problem = format!("must be at most {VARIABLES_LIMIT} bytes");
        return Err(invalid("variables", problem));
    }
    Ok(())
}

fn check_channels(channels: Option<&[Channel]>) -> Result<(), ActionError> {
    let Some(channels) = channels else {
        return Ok(());
    };
    let twice = |(place, channel): (usize, &Channel)| channels[..place].contains(channel);
    if channels.is_empty() || channels.iter().enumerate().any(twice) {
        return Err(invalid(
            "channels",
            "must name each channel once, and one at least",
        ));
    }
    if channels.contains(&Channel::Webchat) {
        return Err(invalid("channels", "WEBCHAT carries no notifications"));
    }
    Ok(())
}

/// Takes the request in, once, for the tenant that the caller may speak for. A repeat gets the first answer.
///
/// # Errors
/// `validation-failed` naming the field; `not-found` for what `context` names; `conflict` where the key was used for another
/// request.
pub async fn accept(
    tx: &mut Tx,
    tenant: TenantId,
    client: Uuid,
    request: &NotificationRequest,
) -> Result<Accepted, RequestError> {
    let now = intake::now(tx).await?;
    // A repeat that comes after its time gets its answer all the same.
    let run = match begin(tx, tenant, client, request).await? {
        Begun::Run(run) => run,
        Begun::Answered(answer) => return Ok(Accepted::settled(answer)),
    };
    request.check(now)?;
    let trigger = by_event(&request.trigger_event);
    let facts = facts(tx, tenant, &request.context).await?;
    let parts = addressed(tx, tenant, request, trigger, &facts, now).await?;
    if parts.is_empty() {
        return Ok(run.ends(tx, RunStatus::Ignored, &facts.context).await?);
    }
    let addressed: Vec<Addressed<'_>> = parts
        .iter()
        .map(|(rule, recipients)| Addressed { rule, recipients })
        .collect();
    let words = over(facts.words, &request.variables);
    let send_at = request.send_at.filter(|at| *at > now);
    Ok(run
        .fan_out(tx, &facts.context, &words, &addressed, send_at)
        .await?)
}

/// Whether there is anything left to do.
enum Begun {
    Run(Run),
    Answered(RunAnswer),
}

async fn begin(
    tx: &mut Tx,
    tenant: TenantId,
    client: Uuid,
    request: &NotificationRequest,
) -> Result<Begun, RequestError> {
    let event = &request.trigger_event;
    if let Some(run) = request.run_id {
        return match hand_off::take(tx, tenant, run).await? {
            Taken::Waiting { trigger_event, .. } if trigger_event == *event => {
                Ok(Begun::Run(Run::continued(run, tenant, event)))
            }
            Taken::Waiting { .. } => Err(invalid("trigger_event", "is not the run's").into()),
            Taken::Over(answer) => Ok(Begun::Answered(
                serde_json::from_value(answer)
                    .map_err(|error| DatabaseError::from(sqlx::Error::Decode(error.into())))?,
            )),
            Taken::Unknown => Err(ActionError::not_found("run_id")
                .with_details(json!({"field": "run_id"}))
                .into()),
        };
    }
    let source = format!("api/{client}");
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
    let mut rule = rule(tx, tenant, request, names, now)
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

/// Each part of the people and its rule; none where the trigger is switched off.
async fn addressed(
    tx: &mut Tx,
    tenant: TenantId,
    request: &NotificationRequest,
    trigger: Option<&'static Trigger>,
    facts: &Facts,
    now: OffsetDateTime,
) -> Result<Vec<(Rule, Vec<Recipient>)>, RequestError> {
    let mut parts = Vec::new();
    if let Some(listed) = &request.recipients {
        let mut people = recipients::find(tx, tenant, listed).await?;
        in_locale(&mut people, listed, request.locale.as_deref());
        let names = trigger.map_or(&[][..], |trigger| trigger.audiences);
        if let Some(rule) = rule(tx, tenant, request, names, now).await? {
            parts.push((rule, people));
        }
        return Ok(parts);
    }
    for audience in audiences(request, trigger)? {
        let Some(rule) = rule(tx, tenant, request, &[audience], now).await? else {
            continue;
        };
        let mut people = audience::of(tx, tenant, audience, facts).await?;
        in_locale(&mut people, &[], request.locale.as_deref());
        parts.push((rule, people));
    }
    Ok(parts)
}

/// The named one, or the trigger's.
fn audiences(
    request: &NotificationRequest,
    trigger: Option<&'static Trigger>,
) -> Result<Vec<Audience>, ActionError> {
    let Some(name) = &request.audience else {
        let trigger = trigger.ok_or_else(|| {
            invalid(
                "recipients",
                "must be given: the trigger is none of the registry's",
            )
        })?;
        return Ok(trigger.audiences.to_vec());
    };
    Audience::ALL
        .iter()
        .copied()
        .find(|known| known.as_str() == name)
        .map(|audience| vec![audience])
        .ok_or_else(|| {
            let known: Vec<&str> = Audience::ALL.iter().map(|known| known.as_str()).collect();
            invalid("audience", format!("must be one of {}", known.join(", ")))
        })
}

fn in_locale(people: &mut [Recipient], listed: &[RequestedRecipient], locale: Option<&str>) {
    let Some(locale) = locale else { return };
    for (place, person) in people.iter_mut().enumerate() {
        if listed
            .get(place)
            .is_none_or(|listed| listed.locale.is_none())
        {
            person.locale = Some(locale.to_owned());
        }
    }
}

/// The first rule that there is for these audiences, with what the request says over it. Where there is none, the request's own
/// channels are one; switched off is off.
async fn rule(
    tx: &mut Tx,
    tenant: TenantId,
    request: &NotificationRequest,
    audiences: &[Audience],
    now: OffsetDateTime,
) -> Result<Option<Rule>, RequestError> {
    let mut rule = None;
    let names = audiences.iter().map(|audience| audience.as_str());
    for name in names.chain([LISTED]) {
        match rules::look_up(tx, tenant, &request.trigger_event, name).await? {
            rules::Found::Rule(found) => {
                rule = Some(found);
                break;
            }
            rules::Found::SwitchedOff => return Ok(None),
            rules::Found::None => {}
        }
    }
    let mut rule = match (rule, &request.channels) {
        (Some(rule), _) => rule,
        (None, Some(_)) => plain(request.category.unwrap_or(Category::Transactional)),
        (None, None) => return Ok(None),
    };
    if let Some(channels) = &request.channels {
        rule.steps = steps(&rule, channels);
    }
    if let Some(category) = request.category {
        rule.category = category;
    }
    if rule.category == Category::Otp {
        // A code is asked for and waited for.
        rule.lane = Lane::Interactive;
        rule.quiet_hours = None;
    }
    if let Some(at) = request.expires_at {
        rule.expires_after = at - request.send_at.unwrap_or(now).max(now);
    }
    Ok(Some(rule))
}

/// A rule of nothing but its category.
fn plain(category: Category) -> Rule {
    let (lane, expires_after) = match category {
        Category::Otp => (Lane::Interactive, Duration::minutes(10)),
        Category::Marketing => (Lane::Bulk, Duration::hours(24)),
        Category::Transactional | Category::Service => (Lane::Transactional, Duration::hours(24)),
    };
    Rule {
        steps: Vec::new(),
        category,
        lane,
        expires_after,
        quiet_hours: None,
        hand_over_within: None,
    }
}

/// These channels in this order, with the rule's own waits where it has them; the first has none to wait for.
fn steps(rule: &Rule, channels: &[Channel]) -> Vec<Step> {
    let step = |(place, channel): (usize, &Channel)| {
        let known = rule.steps.iter().find(|step| step.channel == *channel);
        let waits = known.filter(|_| place > 0);
        Step {
            channel: *channel,
            not_delivered_within: waits.and_then(|step| step.not_delivered_within),
            not_read_within: waits.and_then(|step| step.not_read_within),
        }
    };
    channels.iter().enumerate().map(step).collect()
}

/// As `extensions` name what is wrong with a body.
///
/// # Errors
/// `validation-failed` naming the field.
pub fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, ActionError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        ActionError::invalid(format!(
            "not JSON, line {} column {}",
            error.line(),
            error.column()
        ))
    })?;
    typed(&value, "")
}

/// The same of what is read already and stands below `parent`: a field that is missing is named like one that is wrong.
///
/// # Errors
/// `validation-failed` naming the field.
pub(super) fn typed<T: for<'de> Deserialize<'de>>(
    value: &Value,
    parent: &str,
) -> Result<T, ActionError> {
    crate::platform::hasura::read(value).map_err(|error| {
        let (path, problem) = error.message.split_once(": ").unwrap_or_default();
        let absent = problem
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'));
        let mut field: Vec<&str> = [parent, path]
            .into_iter()
            .filter(|part| !part.is_empty() && *part != "input")
            .collect();
        field.extend(absent);
        let field = field.join(".");
        let said = if absent.is_some() {
            "is missing"
        } else {
            problem
        };
        match field.as_str() {
            "" => error,
            field => invalid(field, said),
        }
    })
}

/// The status of a client that may not do this.
#[must_use]
pub fn forbidden(scope: &str) -> ActionError {
    ActionError::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!("the token lacks the scope {scope}"),
    )
}
