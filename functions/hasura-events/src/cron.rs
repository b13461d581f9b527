//! Cron triggers: each does everything that is due, within bounds, whichever tick it is called for.
//!
//! A tick comes late, twice, twice at once, or never. That is why no tick is remembered: the rows themselves say what is still
//! to be done, and the second to look finds nothing. A call for a name or a payload that is not ours is refused by name;
//! Hasura tries it again a few times, which does no harm, and notes it as an error.

use crate::{Deps, later, settled};
use comms_core::event_log::{self, Cleaned, EventLogError};
use comms_core::platform::hasura::{ActionError, CronRequest, without_values};
use comms_core::platform::{DatabaseError, telemetry};
use comms_core::{automation, inbox};
use http::Response;
use lambda_http::Request;
use serde::Deserialize;
use serde_json::{Value, json};

/// Every name that is answered.
pub const CRON_TRIGGERS: &[&str] = &[
    "conversation_snooze_wakeup",
    "clean_event_log",
    "timed_notifications",
];

/// Why a tick did nothing.
enum CronError {
    Refused(ActionError),
    Database(DatabaseError),
}

pub(super) async fn answer(deps: &Deps, request: &Request) -> Response<String> {
    let tick: CronRequest = match serde_json::from_slice(request.body()) {
        Ok(tick) => tick,
        Err(error) => {
            let problem = without_values(&error);
            return ActionError::invalid(format!("not a cron trigger call: {problem}")).response();
        }
    };
    match run(deps, &tick).await {
        Ok(done) => {
            tracing::info!(
                cron = tick.name,
                scheduled_time = tick.scheduled_time,
                id = tick.id,
                %done,
                "cron trigger"
            );
            settled(&done)
        }
        Err(CronError::Refused(error)) => {
            tracing::error!(error = error.message, "cron trigger refused");
            error.response()
        }
        Err(CronError::Database(error)) => later(&error),
    }
}

async fn run(deps: &Deps, tick: &CronRequest) -> Result<Value, CronError> {
    match tick.name.as_str() {
        "conversation_snooze_wakeup" => wake(deps).await,
        "clean_event_log" => clean(deps, tick).await,
        "timed_notifications" => fire(deps).await,
        name => Err(CronError::Refused(ActionError::not_found(&format!(
            "cron trigger {name:?}"
        )))),
    }
}

async fn wake(deps: &Deps) -> Result<Value, CronError> {
    let woken = inbox::wake_all(&deps.database).await;
    let woken = woken.map_err(CronError::Database)?;
    Ok(json!({"outcome": "done", "woken": woken}))
}

async fn fire(deps: &Deps) -> Result<Value, CronError> {
    let fired =
        automation::fire_due(&deps.database, &deps.queues, deps.orchestrator.as_ref()).await;
    let fired = fired.map_err(CronError::Database)?;
    Ok(json!({"outcome": "done", "fired": fired}))
}

/// The metadata's `payload` of `clean_event_log`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Cleaning {
    /// What is over is kept for so long.
    days: i32,
    /// Event triggers of the host's own that are to be cleaned as well.
    also: Vec<String>,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self {
            days: 14,
            also: Vec::new(),
        }
    }
}

async fn clean(deps: &Deps, tick: &CronRequest) -> Result<Value, CronError> {
    let Cleaning { days, also } = tick.arguments().map_err(CronError::Refused)?;
    if !(1..=365).contains(&days) {
        let problem = ActionError::invalid("payload: days must be 1 to 365");
        return Err(CronError::Refused(problem));
    }
    let ours = automation::hasura_names();
    let all: Vec<&str> = ours
        .iter()
        .copied()
        .chain(also.iter().map(String::as_str))
        .collect();
    match cleaned(deps, &ours, &all, days).await {
        Ok((cleaned, given_up)) => {
            #[expect(clippy::cast_precision_loss, reason = "a count for a metric")]
            telemetry::metric("EventsGivenUp", given_up as f64, &[]);
            Ok(json!({"outcome": "done", "deleted": cleaned, "given_up": given_up}))
        }
        Err(EventLogError::Database(error)) => Err(CronError::Database(error)),
        Err(standing) => Ok(not_here(&standing)),
    }
}

async fn cleaned(
    deps: &Deps,
    ours: &[&str],
    all: &[&str],
    days: i32,
) -> Result<(Cleaned, i64), EventLogError> {
    let cleaned = event_log::clean(&deps.database, all, days).await?;
    let given_up = event_log::given_up(&deps.database, ours).await?;
    Ok((cleaned, given_up))
}

/// Trying again would find the same: said and acknowledged. The next tick says it again.
fn not_here(standing: &EventLogError) -> Value {
    let reason = telemetry::chain(standing);
    tracing::warn!(reason, "event log not cleaned");
    json!({"outcome": "skipped", "reason": reason})
}
