//! From a domain event to message rows: audience, consent, rule, template, rows, in one transaction.

mod answer;
mod audience;
pub mod batches;
pub mod clients;
mod domain_event;
pub mod editing;
mod intake;
mod people;
mod plan;
mod quiet;
mod registry;
pub(crate) mod render;
pub mod request;
mod rules;
mod subject;
mod templates;
mod timed;

pub use answer::{RecipientAnswer, RecipientOutcome, RunAnswer, RunStatus, SkipReason, Skipped};
pub use audience::Who;
pub use domain_event::{Handled, Wanted, handle_event, keep_unusable};
pub use quiet::{QuietAction, QuietHours};
pub use registry::{
    Audience, Condition, FiredBy, Firing, REGISTRY, Subject, Trigger, by_event, by_hasura_name,
    hasura_names,
};
pub use render::RenderError;
pub use rules::RuleError;
pub use subject::RunContext;
pub use timed::{Fired, fire_due};

use crate::model::TenantId;
use crate::platform::{DatabaseError, Tx, queue::Hint};
use intake::{Addressed, Run};
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

/// Writes to everybody whom a trigger's event concerns, each audience by its rule. Where no audience has one, the run is IGNORED.
async fn people_of(
    tx: &mut Tx,
    run: &Run,
    tenant: TenantId,
    trigger: &Trigger,
    audiences: &[Audience],
    facts: &Facts,
) -> Result<Accepted, AutomationError> {
    let mut parts = Vec::new();
    for audience in audiences {
        let found = rules::look_up(tx, tenant, trigger.event, audience.as_str()).await?;
        if let rules::Found::Rule(rule) = found {
            parts.push((rule, audience::of(tx, tenant, *audience, facts).await?));
        }
    }
    if parts.is_empty() {
        return run.ends(tx, RunStatus::Ignored, &facts.context).await;
    }
    let addressed: Vec<Addressed<'_>> = parts
        .iter()
        .map(|(rule, recipients)| Addressed { rule, recipients })
        .collect();
    let send_at = later(tx, trigger.after).await?;
    run.fan_out(tx, &facts.context, &facts.words, &addressed, send_at)
        .await
}

async fn later(tx: &mut Tx, after: Duration) -> Result<Option<OffsetDateTime>, DatabaseError> {
    if after.is_zero() {
        return Ok(None);
    }
    Ok(Some(intake::now(tx).await? + after))
}
