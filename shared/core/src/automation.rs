//! From a domain event to message rows: audience, consent, rule, template, rows, in one transaction.

mod answer;
mod audience;
pub mod batches;
pub mod clients;
mod domain_event;
pub mod editing;
mod hand_off;
mod intake;
mod news;
mod people;
mod plan;
mod quiet;
mod registry;
pub(crate) mod render;
pub mod request;
mod rules;
mod story;
mod subject;
mod templates;
mod timed;

pub use answer::{RecipientAnswer, RecipientOutcome, RunAnswer, RunStatus, SkipReason, Skipped};
pub use audience::Who;
pub use domain_event::{Handled, Wanted, handle_event, keep_unusable};
pub use hand_off::{HandOff, Orchestrator, announce, go_on};
pub use quiet::{QuietAction, QuietHours};
pub use registry::{
    Audience, Condition, FiredBy, Firing, REGISTRY, Subject, Trigger, by_event, by_hasura_name,
    hasura_names,
};
pub use render::RenderError;
pub use rules::RuleError;
pub use subject::RunContext;
pub use timed::{Fired, fire_due};

use crate::model::ContactId;
use crate::platform::{DatabaseError, Tx, queue::Hint};
use hand_off::About;
use intake::{Addressed, Run};
use rules::{Found, Rule};
use std::collections::HashSet;
use subject::Facts;
use time::{Duration, OffsetDateTime};

/// Why an event could not be taken in now.
#[derive(Debug, thiserror::Error)]
pub enum AutomationError {
    /// The event itself can never be processed; repeating it is useless.
    #[error("{field}: {problem}")]
    Unusable {
        field: &'static str,
        problem: String,
    },
    /// The key belongs to another event.
    #[error("the event id was used for a different event")]
    KeyReused,
    /// No event of this trigger can be taken in until somebody mends its rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A committed intake: what to answer, and what to hint at.
#[derive(Debug)]
pub struct Accepted {
    pub answer: RunAnswer,
    pub hints: Vec<Hint>,
    /// To be announced to the orchestrator.
    pub hand_off: Option<HandOff>,
}

impl Accepted {
    /// Nothing is left to be done about it.
    fn settled(answer: RunAnswer) -> Self {
        Self {
            answer,
            hints: Vec::new(),
            hand_off: None,
        }
    }
}

/// Whom some of a trigger's firings are for instead of its audiences.
pub fn firing_audiences(trigger: &Trigger) -> impl Iterator<Item = &'static Audience> {
    let firings = match trigger.fired_by {
        FiredBy::Changes(firings) => firings,
        FiredBy::Time(_) => &[],
    };
    firings
        .iter()
        .filter_map(|firing| firing.audiences)
        .flatten()
}

/// Writes to everybody whom a trigger's event concerns, each audience by its rule, or leaves that to an orchestrator where the first
/// of the rules says so. Where no audience has a rule, the run is IGNORED.
async fn people_of(
    tx: &mut Tx,
    run: &Run,
    trigger: &Trigger,
    about: &About,
    facts: &Facts,
) -> Result<Accepted, AutomationError> {
    let rules = rules_of(tx, run, about).await?;
    let first = rules.first().and_then(|(_, rule)| rule.hand_over_within);
    let Some(deadline) = first else {
        let send_at = later(tx, trigger.after).await?;
        let part = (rules, send_at, HashSet::new());
        return write_to(tx, run, facts, part).await;
    };
    hand_off::hand_over(tx, run, about, &facts.context, deadline).await
}

/// The same, whatever the rules say of an orchestrator, of what happened at `since`. What is said then is worth as much less as it is
/// late; a run that is worth nothing any more is STALE.
async fn natively(
    tx: &mut Tx,
    run: &Run,
    (trigger, since): (&Trigger, OffsetDateTime),
    about: &About,
    facts: &Facts,
) -> Result<Accepted, AutomationError> {
    let now = intake::now(tx).await?;
    let at = since + trigger.after;
    let late = (now - at).max(Duration::ZERO);
    let mut rules = rules_of(tx, run, about).await?;
    let known = !rules.is_empty();
    rules.retain(|(_, rule)| {
        rule.expires_after > late && rule.not_after.is_none_or(|end| end > now)
    });
    if known && rules.is_empty() {
        return run.ends(tx, RunStatus::Stale, &facts.context).await;
    }
    for (_, rule) in &mut rules {
        rule.expires_after -= late;
    }
    let send_at = Some(at).filter(|at| *at > now);
    // Whom the orchestrator has written to beside it hears of it by that.
    let taken = story::told_beside(tx, run.tenant, run.id).await?;
    write_to(tx, run, facts, (rules, send_at, taken)).await
}

/// The audiences that have a rule, with it.
async fn rules_of(
    tx: &mut Tx,
    run: &Run,
    about: &About,
) -> Result<Vec<(Audience, Rule)>, AutomationError> {
    let mut rules = Vec::new();
    for audience in &about.audiences {
        let found = rules::look_up(tx, run.tenant, &run.trigger_event, audience.as_str()).await?;
        if let Found::Rule(mut rule) = found {
            rule.end_by(about.not_after);
            rules.push((*audience, rule));
        }
    }
    Ok(rules)
}

/// By which rules, not before when, and who hears of it otherwise.
type Part = (
    Vec<(Audience, Rule)>,
    Option<OffsetDateTime>,
    HashSet<ContactId>,
);

async fn write_to(
    tx: &mut Tx,
    run: &Run,
    facts: &Facts,
    (rules, send_at, taken): Part,
) -> Result<Accepted, AutomationError> {
    if rules.is_empty() {
        return run.ends(tx, RunStatus::Ignored, &facts.context).await;
    }
    let mut people = Vec::new();
    for (audience, _) in &rules {
        people.push(audience::of(tx, run.tenant, *audience, facts).await?);
    }
    let addressed: Vec<Addressed<'_>> = rules
        .iter()
        .zip(&people)
        .map(|((_, rule), recipients)| Addressed { rule, recipients })
        .collect();
    let planned = run
        .plan_all(tx, &facts.words, &addressed, send_at, taken)
        .await?;
    run.carry_out(tx, &facts.context, planned).await
}

async fn later(tx: &mut Tx, after: Duration) -> Result<Option<OffsetDateTime>, DatabaseError> {
    if after.is_zero() {
        return Ok(None);
    }
    Ok(Some(intake::now(tx).await? + after))
}
