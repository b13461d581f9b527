//! A Hasura event trigger call, checked and turned into a run.
//!
//! Events come at least once and in any order, so nothing of the payload is believed but the row's identity: the row's
//! state of now is read from the domain views, and an event that it has overtaken is recorded as stale.

use super::hand_off::About;
use super::intake::Run;
use super::news::{is_news, same};
use super::registry::{Condition, Firing, Subject, Trigger, by_hasura_name};
use super::subject::{Facts, Which};
use super::{Accepted, AutomationError, RunStatus, people_of, subject};
use crate::model::{PassengerProfileId, TenantId};
use crate::platform::hasura::{EventRequest, Operation};
use crate::platform::{Database, DatabaseError, Tx};
use crate::quarantine::{self, Misfit};
use aws_lc_rs::digest;
use serde_json::Value;
use std::str::FromStr;

/// The source part of the idempotency key.
const SOURCE: &str = "hasura-event";

/// A checked event.
#[derive(Debug)]
pub struct Wanted {
    trigger: &'static Trigger,
    firing: &'static Firing,
    tenant: TenantId,
    which: Which,
    /// What the row must still be like for the event to be news.
    said: Vec<(&'static str, Value)>,
    key: String,
    body_hash: Vec<u8>,
}

/// What to tell Hasura.
#[derive(Debug)]
pub enum Handled {
    /// Not an event that sends anything: another status, a column that does not matter.
    NotWanted,
    Accepted(Box<Accepted>),
}

impl Wanted {
    /// Reads the event; `None` when it is none of the registry's firing conditions.
    ///
    /// # Errors
    /// `Unusable` naming the field when the payload lacks what it must have.
    pub fn read(request: &EventRequest) -> Result<Option<Self>, AutomationError> {
        let (trigger, firing) = by_hasura_name(&request.trigger.name)
            .ok_or_else(|| unusable("trigger.name", "no such trigger in the registry"))?;
        if !is_event_id(&request.id) {
            return Err(unusable("id", "must be 1 to 64 letters, digits or hyphens"));
        }
        let Some(new) = &request.event.data.new else {
            return Ok(None);
        };
        let old = request.event.data.old.as_ref();
        let Some(said) = fires(&firing.when, request.event.op, old, new)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            trigger,
            firing,
            tenant: id(new, "tenant_id")
                .ok_or_else(|| unusable("event.data.new.tenant_id", "must be a UUID"))?,
            which: which(firing.subject, new)?,
            said,
            key: request.id.clone(),
            body_hash: hash(request),
        }))
    }
}

fn unusable(field: &'static str, problem: &str) -> AutomationError {
    AutomationError::Unusable {
        field,
        problem: problem.to_owned(),
    }
}

/// What the change says of the row, if it is one that fires.
fn fires(
    when: &Condition,
    op: Operation,
    old: Option<&Value>,
    new: &Value,
) -> Result<Option<Vec<(&'static str, Value)>>, AutomationError> {
    let was = |column: &str| old.and_then(|old| old.get(column));
    let status = || {
        let status = new.get("status").and_then(Value::as_str);
        status.ok_or_else(|| unusable("event.data.new.status", "missing"))
    };
    match when {
        Condition::Becomes(wanted) => {
            let changed = was("status").and_then(Value::as_str) != Some(wanted);
            let fires = status()? == *wanted && changed;
            Ok(fires.then(|| vec![("status", Value::from(*wanted))]))
        }
        Condition::Inserted => {
            let inserted = matches!(op, Operation::Insert | Operation::Manual);
            Ok(inserted.then(Vec::new))
        }
        Condition::Changes {
            columns,
            while_status,
            when_inserted,
        } => {
            if !while_status.is_empty() && !while_status.contains(&status()?) {
                return Ok(None);
            }
            if old.is_none() && !when_inserted {
                return Ok(None);
            }
            let changed: Vec<(&'static str, Value)> = columns
                .iter()
                .filter_map(|column| {
                    let is = new.get(column).filter(|is| !is.is_null())?;
                    (!same(was(column), is)).then(|| (*column, is.clone()))
                })
                .collect();
            Ok((!changed.is_empty()).then_some(changed))
        }
    }
}

fn which(subject: Subject, new: &Value) -> Result<Which, AutomationError> {
    let (column, field) = match subject {
        Subject::Seat => ("booking_id", "event.data.new.booking_id"),
        _ => ("id", "event.data.new.id"),
    };
    let row = id(new, column).ok_or_else(|| unusable(field, "must be a UUID"))?;
    let profile = match subject {
        Subject::Seat => Some(
            id::<PassengerProfileId>(new, "passenger_profile_id")
                .ok_or_else(|| unusable("event.data.new.passenger_profile_id", "must be a UUID"))?,
        ),
        _ => None,
    };
    Ok(Which {
        subject,
        id: row,
        profile,
    })
}

/// Hasura's are UUIDs; the id becomes a key and stands in logs.
fn is_event_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

fn id<T: FromStr>(row: &Value, column: &str) -> Option<T> {
    row.get(column)?.as_str()?.parse().ok()
}

/// Of what the event says, not of how often it was delivered.
fn hash(request: &EventRequest) -> Vec<u8> {
    let said = serde_json::json!([request.trigger.name, request.event.data]);
    digest::digest(&digest::SHA256, said.to_string().as_bytes())
        .as_ref()
        .to_vec()
}

/// Keeps an event that can never be processed, where people see it: acknowledging it is right, forgetting it is not.
///
/// # Errors
/// When the database does not answer; Hasura must then deliver it again.
pub async fn keep_unusable(database: &Database, raw: &[u8]) -> Result<(), DatabaseError> {
    let mut tx = database.begin().await?;
    let misfit = Misfit::of(quarantine::UNUSABLE_EVENT, said(raw));
    let noted = quarantine::store(&mut tx, "HASURA_EVENT", None, &[misfit]).await?;
    tx.commit().await?;
    noted.tell();
    Ok(())
}

/// What it says, without the count of its deliveries: the next delivery of the same event is then seen to be the same.
fn said(raw: &[u8]) -> Vec<u8> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(raw) else {
        return raw.to_vec();
    };
    members.remove("delivery_info");
    Value::Object(members).to_string().into_bytes()
}

/// Takes the event in, once. A repeat gets the first answer and queues nothing.
///
/// # Errors
/// `Unusable`, `KeyReused` and `Rule` are final; `Database` passes.
pub async fn handle_event(
    database: &Database,
    request: &EventRequest,
) -> Result<Handled, AutomationError> {
    let Some(wanted) = Wanted::read(request)? else {
        return Ok(Handled::NotWanted);
    };
    match take_in(database, &wanted).await {
        Err(AutomationError::Database(error)) if error.is_undefined() => {
            Err(gaps(database).await?.unwrap_or(error.into()))
        }
        taken => taken.map(|accepted| Handled::Accepted(Box::new(accepted))),
    }
}

async fn take_in(database: &Database, wanted: &Wanted) -> Result<Accepted, AutomationError> {
    let mut tx = database.begin().await?;
    let run = Run::new(
        wanted.tenant,
        SOURCE,
        &wanted.key,
        wanted.body_hash.clone(),
        wanted.trigger.event,
    );
    if let Some(answer) = run.begin(&mut tx).await? {
        return Ok(Accepted::settled(answer));
    }
    let facts = subject::read(&mut tx, wanted.tenant, wanted.which).await?;
    let accepted = match facts.filter(|facts| stands(wanted, facts)) {
        None => {
            let context = subject::context(wanted.which);
            run.ends(&mut tx, RunStatus::Stale, &context).await?
        }
        Some(facts) => fan_out(&mut tx, &run, wanted, &facts).await?,
    };
    tx.commit().await?;
    Ok(accepted)
}

/// Is it still news?
fn stands(wanted: &Wanted, facts: &Facts) -> bool {
    let firing = Some(wanted.firing.hasura_name);
    let said = wanted.said.iter().map(|(column, said)| (*column, said));
    is_news(wanted.trigger, firing, said, facts)
}

async fn fan_out(
    tx: &mut Tx,
    run: &Run,
    wanted: &Wanted,
    facts: &Facts,
) -> Result<Accepted, AutomationError> {
    let audiences = wanted.firing.audiences.unwrap_or(wanted.trigger.audiences);
    let said = wanted.said.iter().cloned();
    let about = About {
        firing: Some(wanted.firing.hasura_name.to_owned()),
        said: said
            .map(|(column, said)| (column.to_owned(), said))
            .collect(),
        ..About::new(wanted.which, audiences)
    };
    people_of(tx, run, wanted.trigger, &about, facts).await
}

/// What the host's views lack, if that is why something was not found.
async fn gaps(database: &Database) -> Result<Option<AutomationError>, DatabaseError> {
    let mut tx = database.begin().await?;
    let missing = sqlx::query_scalar!(
        "select string_agg(distinct view_name || '.' || column_name, ', ') from communications.domain_contract_gaps"
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(missing.map(|missing| AutomationError::Unusable {
        field: "domain views",
        problem: format!("the host lacks {missing}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(old: &Value, new: &Value) -> EventRequest {
        serde_json::from_value(json!({
            "id": "e1", "created_at": "2026-11-23T10:00:00", "trigger": {"name": "trip_delayed"},
            "table": {"schema": "operations", "name": "trips"},
            "event": {"op": "UPDATE", "session_variables": null, "data": {"old": old, "new": new}, "trace_context": null},
            "delivery_info": {"current_retry": 0, "max_retries": 10}
        }))
        .unwrap()
    }

    fn row(status: &str) -> Value {
        json!({"id": uuid::Uuid::now_v7(), "tenant_id": TenantId::generate(), "status": status})
    }

    #[test]
    fn only_becoming_delayed_is_wanted() {
        assert!(
            Wanted::read(&event(&row("SCHEDULED"), &row("DELAYED")))
                .unwrap()
                .is_some()
        );
        assert!(
            Wanted::read(&event(&Value::Null, &row("DELAYED")))
                .unwrap()
                .is_some()
        );
        assert!(
            Wanted::read(&event(&row("DELAYED"), &row("DELAYED")))
                .unwrap()
                .is_none()
        );
        assert!(
            Wanted::read(&event(&row("SCHEDULED"), &row("BOARDING")))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_change_counts_where_its_column_has_another_value() {
        let changes = |columns: &'static [&'static str], when_inserted| Condition::Changes {
            columns,
            while_status: &["SCHEDULED"],
            when_inserted,
        };
        let fires = |when: &Condition, old: Option<&Value>, new: &Value| {
            fires(when, Operation::Update, old, new)
                .unwrap()
                .map(|said| said.len())
        };
        let departs =
            |at: &str| json!({"status": "SCHEDULED", "departure_at": at, "vehicle": null});
        let when = changes(&["departure_at", "vehicle"], false);
        let (one, other) = (
            departs("2026-11-23T10:00:00+00:00"),
            departs("2026-11-23T12:00:00+00:00"),
        );
        assert_eq!(fires(&when, Some(&one), &other), Some(1));
        assert_eq!(
            fires(&when, Some(&one), &departs("2026-11-23T11:00:00+01:00")),
            None,
            "the same instant"
        );
        assert_eq!(fires(&when, None, &one), None, "a new row");
        assert_eq!(
            fires(&changes(&["departure_at"], true), None, &one),
            Some(1)
        );
        let mut left = other;
        left["status"] = json!("COMPLETED");
        assert_eq!(fires(&when, Some(&one), &left), None);
    }

    #[test]
    fn an_unusable_event_names_its_field() {
        let error = Wanted::read(&event(
            &Value::Null,
            &json!({"status": "DELAYED", "tenant_id": "x", "id": "y"}),
        ))
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "event.data.new.tenant_id: must be a UUID"
        );
        let error = Wanted::read(&event(&Value::Null, &json!({}))).unwrap_err();
        assert_eq!(error.to_string(), "event.data.new.status: missing");
    }

    #[test]
    fn the_hash_ignores_how_often_it_was_delivered() {
        let (old, new) = (row("SCHEDULED"), row("DELAYED"));
        assert_eq!(hash(&event(&old, &new)), hash(&event(&old, &new)));
        assert_ne!(
            hash(&event(&old, &new)),
            hash(&event(&old, &row("DELAYED")))
        );
    }
}
