//! A Hasura event trigger call, checked and turned into a run.
//!
//! Events come at least once and in any order, so nothing of the payload is believed but the row's identity: the row's
//! state of now is read from the domain views, and an event that it has overtaken is recorded as stale.

use super::intake::{self, RunContext};
use super::registry::{Trigger, by_hasura_name};
use super::{Accepted, AutomationError, audience};
use crate::model::{TenantId, TripId};
use crate::platform::hasura::EventRequest;
use crate::platform::{Database, DatabaseError};
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
    tenant: TenantId,
    trip: TripId,
    key: String,
    body_hash: Vec<u8>,
}

/// What to tell Hasura.
#[derive(Debug)]
pub enum Handled {
    /// Not an event that sends anything: another status, a column that does not matter.
    NotWanted,
    Accepted(Accepted),
}

impl Wanted {
    /// Reads the event; `None` when it is none of the registry's firing conditions.
    ///
    /// # Errors
    /// `Unusable` naming the field when the payload lacks what it must have.
    pub fn read(request: &EventRequest) -> Result<Option<Self>, AutomationError> {
        let unusable = |field, problem: &str| AutomationError::Unusable {
            field,
            problem: problem.to_owned(),
        };
        let trigger = by_hasura_name(&request.trigger.name)
            .ok_or_else(|| unusable("trigger.name", "no such trigger in the registry"))?;
        if !is_event_id(&request.id) {
            return Err(unusable("id", "must be 1 to 64 letters, digits or hyphens"));
        }
        let Some(new) = &request.event.data.new else {
            return Ok(None);
        };
        let was = request
            .event
            .data
            .old
            .as_ref()
            .and_then(|old| old.get("status"));
        let is = new
            .get("status")
            .and_then(Value::as_str)
            .ok_or_else(|| unusable("event.data.new.status", "missing"))?;
        if is != trigger.becomes || was.and_then(Value::as_str) == Some(is) {
            return Ok(None);
        }
        Ok(Some(Self {
            trigger,
            tenant: id(new, "tenant_id")
                .ok_or_else(|| unusable("event.data.new.tenant_id", "must be a UUID"))?,
            trip: id(new, "id").ok_or_else(|| unusable("event.data.new.id", "must be a UUID"))?,
            key: request.id.clone(),
            body_hash: hash(request),
        }))
    }
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
    let misfit = Misfit {
        reason: "UNUSABLE_EVENT",
        external_account_id: None,
        payload: said(raw),
    };
    quarantine::store(&mut tx, "HASURA_EVENT", None, &[misfit]).await?;
    tx.commit().await
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
/// `Unusable` and `KeyReused` are final; `Database` passes.
pub async fn handle_event(
    database: &Database,
    request: &EventRequest,
) -> Result<Handled, AutomationError> {
    let Some(wanted) = Wanted::read(request)? else {
        return Ok(Handled::NotWanted);
    };
    let mut tx = database.begin().await?;
    let run = intake::Run::new(
        wanted.tenant,
        SOURCE,
        &wanted.key,
        wanted.body_hash,
        wanted.trigger.event,
    );
    if let Some(answer) = run.begin(&mut tx).await? {
        return Ok(Handled::Accepted(Accepted {
            answer,
            hints: Vec::new(),
        }));
    }
    let context = RunContext {
        trip_id: Some(wanted.trip),
    };
    let trip = audience::trip(&mut tx, wanted.tenant, wanted.trip).await?;
    let accepted = match trip {
        Some(trip) if trip.status == wanted.trigger.becomes => {
            let passengers = audience::trip_passengers(&mut tx, wanted.tenant, wanted.trip).await?;
            run.fan_out(&mut tx, wanted.trigger, context, &trip, &passengers)
                .await?
        }
        _ => run.stale(&mut tx, context).await?,
    };
    tx.commit().await?;
    Ok(Handled::Accepted(accepted))
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
        json!({"id": TripId::generate(), "tenant_id": TenantId::generate(), "status": status})
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
