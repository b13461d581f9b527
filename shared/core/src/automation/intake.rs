//! The run: accepted once, fanned out to its recipients, answered the same for ever.

use super::answer::{RunAnswer, RunStatus};
use super::audience::{Passenger, Trip};
use super::people::People;
use super::plan::Planner;
use super::registry::Trigger;
use super::rules;
use super::templates::Catalogue;
use super::{Accepted, AutomationError};
use crate::channels::accounts;
use crate::model::{RunId, TenantId, TripId};
use crate::outbox;
use crate::platform::{DatabaseError, Tx};
use serde::Serialize;
use serde_json::json;

/// What the run is about; becomes the thread's links when the contact answers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RunContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip_id: Option<TripId>,
}

/// A run that is being taken in.
#[derive(Debug)]
pub struct Run {
    id: RunId,
    tenant: TenantId,
    source: &'static str,
    key: String,
    body_hash: Vec<u8>,
    trigger_event: &'static str,
}

impl Run {
    #[must_use]
    pub fn new(
        tenant: TenantId,
        source: &'static str,
        key: &str,
        body_hash: Vec<u8>,
        trigger_event: &'static str,
    ) -> Self {
        Self {
            id: RunId::generate(),
            tenant,
            source,
            key: key.to_owned(),
            body_hash,
            trigger_event,
        }
    }

    /// Takes the key. `Some` is the answer that an earlier run with it got. Two at once: the second waits for the first
    /// (a lock of its own statement, so that the look-up's snapshot comes after it).
    ///
    /// # Errors
    /// `KeyReused` when the earlier run was of another body.
    pub async fn begin(&self, tx: &mut Tx) -> Result<Option<RunAnswer>, AutomationError> {
        let key = format!("{}/run/{}/{}", self.tenant, self.source, self.key);
        self.lock(tx, &key).await?;
        let earlier = sqlx::query!(
            "select body_hash, answer from communications.trigger_runs
              where tenant_id = $1 and source = $2 and idempotency_key = $3",
            self.tenant.0,
            self.source,
            self.key
        )
        .fetch_optional(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        match earlier {
            None => Ok(None),
            Some(row) if row.body_hash != self.body_hash => Err(AutomationError::KeyReused),
            Some(row) => {
                let answer = serde_json::from_value(row.answer)
                    .map_err(|error| sqlx::Error::Decode(error.into()));
                Ok(Some(answer.map_err(DatabaseError::from)?))
            }
        }
    }

    async fn lock(&self, tx: &mut Tx, key: &str) -> Result<(), DatabaseError> {
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", key)
            .execute(tx.conn())
            .await?;
        Ok(())
    }

    /// Writes down that the event came too late.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stale(
        &self,
        tx: &mut Tx,
        context: RunContext,
    ) -> Result<Accepted, AutomationError> {
        let answer = RunAnswer {
            run_id: self.id,
            status: RunStatus::Stale,
            recipients: Vec::new(),
        };
        self.store(tx, context, &answer).await?;
        Ok(Accepted {
            answer,
            hints: Vec::new(),
        })
    }

    /// Turns the audience into message rows.
    ///
    /// # Errors
    /// When the database does not answer; nothing is then stored.
    pub async fn fan_out(
        &self,
        tx: &mut Tx,
        trigger: &Trigger,
        context: RunContext,
        trip: &Trip,
        passengers: &[Passenger],
    ) -> Result<Accepted, AutomationError> {
        let Some(rule) = rules::find(tx, self.tenant, trigger).await? else {
            let answer = RunAnswer {
                run_id: self.id,
                status: RunStatus::Ignored,
                recipients: Vec::new(),
            };
            self.store(tx, context, &answer).await?;
            return Ok(Accepted {
                answer,
                hints: Vec::new(),
            });
        };
        let accounts = accounts::active(tx, self.tenant).await?;
        let catalogue = Catalogue::load(tx, self.tenant, trigger.event).await?;
        let people = People::find(tx, self.tenant, passengers, &rule).await?;
        let (rows, recipients) = Planner {
            run: self.id,
            rule: &rule,
            accounts: &accounts,
            catalogue: &catalogue,
            trip,
        }
        .plan(passengers, &people);
        let answer = RunAnswer {
            run_id: self.id,
            status: RunStatus::Completed,
            recipients,
        };
        self.store(tx, context, &answer).await?;
        let hints = outbox::queue(tx, self.tenant, &rows).await?;
        Ok(Accepted { answer, hints })
    }

    async fn store(
        &self,
        tx: &mut Tx,
        context: RunContext,
        answer: &RunAnswer,
    ) -> Result<(), DatabaseError> {
        sqlx::query!(
            "insert into communications.trigger_runs
                 (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, context, answer)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            self.tenant.0,
            self.id.0,
            self.source,
            self.key,
            self.body_hash,
            self.trigger_event,
            answer.status.as_str(),
            json!(context),
            json!(answer)
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}
