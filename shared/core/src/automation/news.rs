//! Whether what happened is still news: events come late and in any order, and an orchestrator may have had a run for an hour.

use super::registry::{Condition, FiredBy, Trigger};
use super::subject::Facts;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Whatever began and has come to this is no news as a beginning.
const OVER: [&str; 3] = ["RESOLVED", "CANCELLED", "CLOSED"];

/// Is the row still as was said, and still in a state in which that matters? `firing` is the Hasura event trigger; none of the clock's.
pub(super) fn is_news<'a>(
    trigger: &Trigger,
    firing: Option<&str>,
    said: impl IntoIterator<Item = (&'a str, &'a Value)>,
    facts: &Facts,
) -> bool {
    let status = facts.row.get("status").and_then(Value::as_str);
    let has = |column: &str, said: &Value| same(facts.row.get(column), said);
    matters(trigger, firing, status) && said.into_iter().all(|(column, said)| has(column, said))
}

fn matters(trigger: &Trigger, firing: Option<&str>, status: Option<&str>) -> bool {
    let is_one_of = |statuses: &[&str]| status.is_some_and(|status| statuses.contains(&status));
    let firings = match &trigger.fired_by {
        FiredBy::Time(moment) => return is_one_of(moment.while_status),
        FiredBy::Changes(firings) => firings.iter(),
    };
    let fired = firings
        .map(|known| (known.hasura_name, &known.when))
        .find(|(name, _)| firing == Some(name));
    match fired {
        Some((_, Condition::Changes { while_status, .. })) if !while_status.is_empty() => {
            is_one_of(while_status)
        }
        Some((_, Condition::Inserted)) => !is_one_of(&OVER),
        _ => true,
    }
}

/// One instant can be written in several zones.
pub(super) fn same(was: Option<&Value>, is: &Value) -> bool {
    let instant = |value: &Value| OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok();
    let Some(was) = was else { return false };
    was == is || instant(was).is_some_and(|was| instant(is) == Some(was))
}
