//! The channel decision matrix: the tenant's rule for a trigger, else the platform's.
//!
//! Rules are written by people. One that does not say exactly what is known here is refused by name: a wait that was
//! misspelt and ignored would be a fallback that never comes.

use super::AutomationError;
use super::quiet::QuietHours;
use crate::model::{Category, Channel, Lane, TenantId, UnknownWord};
use crate::platform::{DatabaseError, Tx};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Providers report for three days; a longer wait is for something that cannot come.
const LONGEST_WAIT_SECONDS: i64 = 72 * 60 * 60;

/// How a trigger is answered.
#[derive(Debug, Clone)]
pub struct Rule {
    pub steps: Vec<Step>,
    pub category: Category,
    pub lane: Lane,
    pub expires_after: Duration,
    /// Worth nothing from then on, however long `expires_after` is: what it is about has come, or the request says so.
    pub not_after: Option<OffsetDateTime>,
    pub quiet_hours: Option<QuietHours>,
    /// An orchestrator carries it out, within this time.
    pub hand_over_within: Option<Duration>,
}

impl Rule {
    /// What is written by it ends then, where it does not end before.
    pub fn end_by(&mut self, end: Option<OffsetDateTime>) {
        self.not_after = self.not_after.into_iter().chain(end).min();
    }
}

/// One channel in the order of preference. The waits say when to go on to it from the step before (a permanent failure
/// always goes on); which step that is for somebody depends on which can be used for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub channel: Channel,
    pub not_delivered_within: Option<Duration>,
    pub not_read_within: Option<Duration>,
}

/// A rule that does not read. `step` counts from one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("notification rule {rule}, step {step}: {problem}")]
pub struct RuleError {
    pub rule: Uuid,
    pub step: usize,
    pub problem: String,
}

/// What there is for a trigger and an audience.
#[derive(Debug)]
pub enum Found {
    Rule(Rule),
    SwitchedOff,
    None,
}

/// The tenant's rule, else the platform's.
///
/// # Errors
/// When the database does not answer, or holds a rule that does not read.
pub async fn look_up(
    tx: &mut Tx,
    tenant: TenantId,
    trigger_event: &str,
    audience: &str,
) -> Result<Found, AutomationError> {
    let row = sqlx::query!(
        r#"select id, steps, category, lane, enabled, quiet_hours, orchestrator,
                  extract(epoch from orchestrator_deadline)::float8 as "deadline!", extract(epoch from expires_after)::float8 as "expires_after!"
             from communications.notification_rules
            where tenant_id in ($1, communications.platform_tenant()) and trigger_event = $2 and audience = $3
            order by tenant_id = $1 desc
            limit 1"#,
        tenant.0,
        trigger_event,
        audience
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let Some(row) = row else {
        return Ok(Found::None);
    };
    if !row.enabled {
        return Ok(Found::SwitchedOff);
    }
    let unknown = |error: UnknownWord| DatabaseError::from(sqlx::Error::Decode(error.into()));
    Ok(Found::Rule(Rule {
        steps: steps(&row.steps).map_err(|(step, problem)| RuleError {
            rule: row.id,
            step,
            problem,
        })?,
        category: row.category.parse().map_err(unknown)?,
        lane: row.lane.parse().map_err(unknown)?,
        expires_after: Duration::seconds_f64(row.expires_after),
        not_after: None,
        hand_over_within: (row.orchestrator == "N8N").then(|| Duration::seconds_f64(row.deadline)),
        quiet_hours: row
            .quiet_hours
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| DatabaseError::from(sqlx::Error::Decode(error.into())))?,
    }))
}

/// The steps, or which of them is wrong (from one) and how.
fn steps(stored: &Value) -> Result<Vec<Step>, (usize, String)> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, stored) in stored.as_array().into_iter().flatten().enumerate() {
        let fault = |problem| (index + 1, problem);
        let step = step(stored).map_err(fault)?;
        let waits = step.not_delivered_within.or(step.not_read_within);
        if index == 0 && waits.is_some() {
            return Err(fault(
                "the first step has none before it to wait for".to_owned(),
            ));
        }
        if steps.iter().any(|before| before.channel == step.channel) {
            return Err(fault(format!("{} stands in it twice", step.channel)));
        }
        steps.push(step);
    }
    Ok(steps)
}

fn step(stored: &Value) -> Result<Step, String> {
    let members = stored.as_object().ok_or("not an object")?;
    let mut channel = None;
    let (mut not_delivered_within, mut not_read_within) = (None, None);
    for (name, value) in members {
        match name.as_str() {
            "channel" => {
                let word = value.as_str().ok_or("channel is not a text")?;
                channel = Some(
                    word.parse()
                        .map_err(|error: UnknownWord| error.to_string())?,
                );
            }
            "not_delivered_within_seconds" => not_delivered_within = wait(name, value)?,
            "not_read_within_seconds" => not_read_within = wait(name, value)?,
            _ => return Err(format!("unknown member {name:?}")),
        }
    }
    Ok(Step {
        channel: channel.ok_or("channel is missing")?,
        not_delivered_within,
        not_read_within,
    })
}

fn wait(name: &str, value: &Value) -> Result<Option<Duration>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.as_i64();
    seconds
        .filter(|seconds| (1..=LONGEST_WAIT_SECONDS).contains(seconds))
        .map(|seconds| Some(Duration::seconds(seconds)))
        .ok_or_else(|| {
            format!("{name} must be a whole number from 1 to {LONGEST_WAIT_SECONDS}, or null")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_says_in_which_order_and_when_to_go_on() {
        let read = steps(&json!([
            {"channel": "WHATSAPP"},
            {"channel": "EMAIL", "not_delivered_within_seconds": 1800, "not_read_within_seconds": null},
            {"channel": "SMS", "not_read_within_seconds": 259_200}
        ]))
        .unwrap();
        let channels: Vec<Channel> = read.iter().map(|step| step.channel).collect();
        assert_eq!(channels, [Channel::WhatsApp, Channel::Email, Channel::Sms]);
        assert_eq!(read[1].not_delivered_within, Some(Duration::minutes(30)));
        assert_eq!(read[1].not_read_within, None);
        assert_eq!(read[2].not_read_within, Some(Duration::hours(72)));
    }

    #[test]
    fn what_a_step_may_not_say_is_named() {
        let wrong = |step: Value| steps(&json!([{"channel": "WHATSAPP"}, step])).unwrap_err();
        for (step, problem) in [
            (json!("EMAIL"), "not an object"),
            (json!({}), "channel is missing"),
            (json!({"channel": "FAX"}), "unknown Channel \"FAX\""),
            (json!({"channel": 1}), "channel is not a text"),
            (
                json!({"channel": "WHATSAPP"}),
                "WHATSAPP stands in it twice",
            ),
            (
                json!({"channel": "EMAIL", "not_delivered_within": 5}),
                "unknown member \"not_delivered_within\"",
            ),
        ] {
            assert_eq!(wrong(step), (2, problem.to_owned()));
        }
        for seconds in [json!(0), json!(-1), json!(259_201), json!(1.5), json!("60")] {
            let (_, problem) =
                wrong(json!({"channel": "EMAIL", "not_read_within_seconds": seconds}));
            assert_eq!(
                problem,
                "not_read_within_seconds must be a whole number from 1 to 259200, or null"
            );
        }
        let first = json!([{"channel": "EMAIL", "not_read_within_seconds": 60}]);
        assert_eq!(steps(&first).unwrap_err().0, 1);
    }
}
