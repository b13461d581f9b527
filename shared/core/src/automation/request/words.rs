//! Whether a request says all that its templates use. What nobody gives is the caller's to mend before anything is stored: the key
//! stays free.

use super::preview::somebody;
use super::rule::rule;
use super::{NotificationRequest, RequestError, facts, invalid};
use crate::automation::intake;
use crate::automation::plan::variables;
use crate::automation::registry::by_event;
use crate::automation::render::{RenderError, missing, render};
use crate::automation::subject::over;
use crate::automation::templates::{Catalogue, Template};
use crate::model::TenantId;
use crate::platform::{Tx, hasura::ActionError};
use serde_json::json;
use std::collections::BTreeSet;

/// # Errors
/// `validation-failed` naming the first of the names below `field`, and all of them in its details.
pub(in crate::automation) fn enough(
    field: &str,
    lacking: &BTreeSet<String>,
) -> Result<(), ActionError> {
    let Some(first) = lacking.first() else {
        return Ok(());
    };
    let first = format!("{field}.{first}");
    let names: Vec<&str> = lacking.iter().map(String::as_str).collect();
    let problem = format!("is missing: templates use {}", names.join(", "));
    Err(invalid(&first, problem).with_details(json!({"field": first, "missing": lacking})))
}

/// The names for want of which a request could be read to nobody, whoever they are: no channel's template renders without them. Of
/// a request without a rule or templates, none.
///
/// # Errors
/// What the request is refused for.
pub(in crate::automation) async fn lacking(
    tx: &mut Tx,
    tenant: TenantId,
    request: &NotificationRequest,
) -> Result<BTreeSet<String>, RequestError> {
    let now = intake::now(tx).await?;
    let names = by_event(&request.trigger_event).map_or(&[][..], |trigger| trigger.audiences);
    let Some(rule) = rule(tx, tenant, request, names, now).await? else {
        return Ok(BTreeSet::new());
    };
    let facts = facts(tx, tenant, &request.context).await?;
    let words = over(facts.words, &request.variables);
    let variables = variables(&somebody(None), &words);
    let catalogue = Catalogue::load(tx, tenant, &request.trigger_event).await?;
    let steps = rule.steps.iter();
    let templates: Vec<&Template> = steps
        .filter_map(|step| catalogue.find(step.channel, request.locale.as_deref()))
        .collect();
    let mut lacking = BTreeSet::new();
    for template in templates {
        match render(template, &variables, rule.category) {
            Err(RenderError::Undefined { .. }) => lacking.extend(missing(template, &variables)),
            _ => return Ok(BTreeSet::new()),
        }
    }
    Ok(lacking)
}
