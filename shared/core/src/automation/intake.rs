//! The run: accepted once, fanned out to its recipients, answered the same for ever.

use super::answer::{RunAnswer, RunStatus};
use super::audience::Recipient;
use super::people::People;
use super::plan::{Planned, Planner};
use super::quiet::Quiet;
use super::render::Renderer;
use super::rules::Rule;
use super::subject::RunContext;
use super::templates::{Catalogue, unapproved};
use super::{Accepted, AutomationError};
use crate::channels::{ActiveAccount, accounts};
use crate::model::{ContactId, RunId, TenantId};
use crate::outbox;
use crate::platform::{DatabaseError, Tx};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use time::OffsetDateTime;
use uuid::Uuid;

/// A run that is being taken in.
#[derive(Debug)]
pub struct Run {
    pub id: RunId,
    pub(super) tenant: TenantId,
    /// Who asks: a part of the key.
    source: String,
    key: String,
    body_hash: Vec<u8>,
    pub(super) trigger_event: String,
    /// Is its row there already?
    continues: bool,
    /// The first run of the story that it is a part of.
    pub(super) beside: Option<RunId>,
    /// The API client that carries it out, where it was handed over.
    pub(super) carried_out_by: Option<Uuid>,
}

/// What a run stands on, whomever it writes to: read once.
pub struct Ground {
    accounts: Vec<ActiveAccount>,
    catalogue: Catalogue,
    unapproved: HashSet<(String, String)>,
    /// By the database's clock.
    now: OffsetDateTime,
}

/// Some of a run's people, and how they are written to.
pub struct Addressed<'a> {
    pub rule: &'a Rule,
    pub recipients: &'a [Recipient],
}

impl Run {
    #[must_use]
    pub fn new(
        tenant: TenantId,
        source: &str,
        key: &str,
        body_hash: Vec<u8>,
        trigger_event: &str,
    ) -> Self {
        Self {
            id: RunId::generate(),
            tenant,
            source: source.to_owned(),
            key: key.to_owned(),
            body_hash,
            trigger_event: trigger_event.to_owned(),
            continues: false,
            beside: None,
            carried_out_by: None,
        }
    }

    /// One that was handed over, and is locked by whoever takes it up.
    #[must_use]
    pub fn continued(id: RunId, tenant: TenantId, trigger_event: &str) -> Self {
        Self {
            continues: true,
            ..Self::of_batch(id, tenant, trigger_event)
        }
    }

    /// A batch's, which its steps share.
    #[must_use]
    pub fn of_batch(id: RunId, tenant: TenantId, trigger_event: &str) -> Self {
        Self {
            id,
            ..Self::new(tenant, "batch", "", Vec::new(), trigger_event)
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

    /// The run that begins it, where it may have other parts.
    fn story(&self) -> Option<RunId> {
        self.beside.or(self.continues.then_some(self.id))
    }

    async fn lock(&self, tx: &mut Tx, key: &str) -> Result<(), DatabaseError> {
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", key)
            .execute(tx.conn())
            .await?;
        Ok(())
    }

    /// Writes down that nothing is sent, and why.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ends(
        &self,
        tx: &mut Tx,
        status: RunStatus,
        context: &RunContext,
    ) -> Result<Accepted, AutomationError> {
        let answer = RunAnswer {
            run_id: self.id,
            status,
            recipients: Vec::new(),
        };
        self.store(tx, context, &answer, None).await?;
        Ok(Accepted::settled(answer))
    }

    /// Turns the audiences into message rows, each by its rule. Whoever is in two of them is written to by the first, and whoever is
    /// `taken` by none. Nothing is stored but whom they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn plan_all(
        &self,
        tx: &mut Tx,
        words: &Map<String, Value>,
        addressed: &[Addressed<'_>],
        send_at: Option<OffsetDateTime>,
        mut taken: HashSet<ContactId>,
    ) -> Result<Planned, AutomationError> {
        let ground = self.ground(tx).await?;
        let mut all = Planned::default();
        for part in addressed {
            let planned = self
                .plan(tx, &ground, words, part, send_at, &mut taken)
                .await?;
            all.rows.extend(planned.rows);
            all.answers.extend(planned.answers);
            all.lacking.extend(planned.lacking);
        }
        Ok(all)
    }

    /// Stores what was planned, and the answer.
    ///
    /// # Errors
    /// When the database does not answer; nothing is then stored.
    pub async fn carry_out(
        &self,
        tx: &mut Tx,
        context: &RunContext,
        planned: Planned,
    ) -> Result<Accepted, AutomationError> {
        let answer = RunAnswer {
            run_id: self.id,
            status: RunStatus::Completed,
            recipients: planned.answers,
        };
        self.store(tx, context, &answer, None).await?;
        let hints = outbox::queue(tx, self.tenant, &planned.rows).await?.hints;
        Ok(Accepted {
            hints,
            ..Accepted::settled(answer)
        })
    }

    /// # Errors
    /// When the database does not answer, or holds a template that does not read.
    pub async fn ground(&self, tx: &mut Tx) -> Result<Ground, DatabaseError> {
        let accounts = accounts::active(tx, self.tenant).await?;
        let catalogue = Catalogue::load(tx, self.tenant, &self.trigger_event).await?;
        Ok(Ground {
            unapproved: unapproved(tx, self.tenant, &accounts, catalogue.whatsapp()).await?,
            catalogue,
            accounts,
            now: now(tx).await?,
        })
    }

    /// What is to be written to these recipients; nothing is stored but whom they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn plan(
        &self,
        tx: &mut Tx,
        ground: &Ground,
        words: &Map<String, Value>,
        part: &Addressed<'_>,
        send_at: Option<OffsetDateTime>,
        taken: &mut HashSet<ContactId>,
    ) -> Result<Planned, DatabaseError> {
        let Addressed { rule, recipients } = *part;
        let mut people = People::find(tx, self.tenant, recipients, rule).await?;
        if let Some(first) = self.story() {
            people.have_heard(tx, self.tenant, first).await?;
        }
        let quiet = Quiet::at(
            tx,
            rule.quiet_hours.as_ref(),
            ground.catalogue.tenant_timezone.as_deref(),
            recipients.iter().filter_map(|who| who.timezone.as_deref()),
            send_at.unwrap_or(ground.now),
        )
        .await?;
        let planner = Planner {
            run: self.id,
            rule,
            accounts: &ground.accounts,
            catalogue: &ground.catalogue,
            unapproved: &ground.unapproved,
            words,
            quiet: &quiet,
            renderer: Renderer::new(),
            now: ground.now,
            send_at,
        };
        Ok(planner.plan(recipients, &people, taken))
    }

    /// The run's row: made (for an orchestrator, with what it is about and its deadline), or brought to its end.
    pub(super) async fn store(
        &self,
        tx: &mut Tx,
        context: &RunContext,
        answer: &RunAnswer,
        handed_over: Option<(Value, OffsetDateTime)>,
    ) -> Result<(), DatabaseError> {
        if self.continues {
            sqlx::query!(
                "update communications.trigger_runs set status = $3, answer = $4, carried_out_by = $5
                  where tenant_id = $1 and id = $2",
                self.tenant.0,
                self.id.0,
                answer.status.as_str(),
                json!(answer),
                self.carried_out_by
            )
            .execute(tx.conn())
            .await?;
            return Ok(());
        }
        let (about, deadline_at) = handed_over.unzip();
        sqlx::query!(
            "insert into communications.trigger_runs
                 (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, context, answer,
                  hand_off, deadline_at, beside_run_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            self.tenant.0,
            self.id.0,
            self.source,
            self.key,
            self.body_hash,
            self.trigger_event,
            answer.status.as_str(),
            json!(context),
            json!(answer),
            about,
            deadline_at,
            self.beside.map(|first| first.0)
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// The database's clock decides about times.
pub(super) async fn now(tx: &mut Tx) -> Result<OffsetDateTime, DatabaseError> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(tx.conn())
        .await?)
}
