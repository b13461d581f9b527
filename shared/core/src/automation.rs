//! From a domain event to message rows: audience, consent, rule, template, rows, in one transaction.

mod answer;
mod audience;
mod domain_event;
mod intake;
mod people;
mod plan;
mod registry;
pub(crate) mod render;
mod rules;
mod templates;

pub use answer::{RecipientAnswer, RecipientOutcome, RunAnswer, RunStatus, SkipReason, Skipped};
pub use domain_event::{Handled, Wanted, handle_event, keep_unusable};
pub use registry::{Trigger, by_hasura_name, hasura_names};
pub use render::RenderError;
pub use rules::RuleError;

use crate::platform::{DatabaseError, queue::Hint};

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
