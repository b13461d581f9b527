//! The hand-off: a rule may say that an orchestrator (n8n) carries its runs out. The run is committed first and then announced; what
//! the orchestrator decides comes back as a `NotificationRequest` that names the run, and sends under it. If nothing has come by the
//! deadline, the run goes on here by the rule alone. The run's row decides who was first, so nobody is written to twice.

use super::answer::{RunAnswer, RunStatus};
use super::intake::{self, Run};
use super::news::is_news;
use super::registry::{Audience, Subject, Trigger, by_event};
use super::subject::{self, Facts, RunContext, Which};
use super::{Accepted, AutomationError, natively};
use crate::model::{PassengerProfileId, RunId, TenantId};
use crate::platform::config::Secret;
use crate::platform::{Aws, Database, DatabaseError, Queues, Settings, Tx, telemetry};
use comms_providers::http::client;
use comms_providers::orchestrator::{NotAUrl, OrchestratorClient};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// Runs that go on in one round, the tenants in turn.
const LIMIT: usize = 500;
/// Rounds in one run of the clock: another one only where something failed.
const ROUNDS: usize = 4;

/// What is told to the orchestrator: ids, and no address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandOff {
    pub run_id: RunId,
    pub tenant_id: TenantId,
    pub trigger_event: String,
    pub context: RunContext,
    #[serde(with = "time::serde::rfc3339")]
    pub deadline_at: OffsetDateTime,
}

/// What a run is about and for whom; kept with one that is handed over, for when it goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    pub subject: Subject,
    pub id: Uuid,
    pub profile: Option<PassengerProfileId>,
    pub audiences: Vec<Audience>,
    /// Worth nothing from then on.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_after: Option<OffsetDateTime>,
    /// The Hasura event trigger behind it; none of the clock's.
    #[serde(default)]
    pub firing: Option<String>,
    /// What the row must still say for it to be news.
    #[serde(default)]
    pub said: Map<String, Value>,
}

impl About {
    pub(super) fn new(which: Which, audiences: &[Audience]) -> Self {
        Self {
            subject: which.subject,
            id: which.id,
            profile: which.profile,
            audiences: audiences.to_vec(),
            not_after: None,
            firing: None,
            said: Map::new(),
        }
    }

    fn which(&self) -> Which {
        Which {
            subject: self.subject,
            id: self.id,
            profile: self.profile,
        }
    }

    fn is_news(&self, trigger: &Trigger, facts: &Facts) -> bool {
        let said = self.said.iter();
        let said = said.map(|(column, said)| (column.as_str(), said));
        is_news(trigger, self.firing.as_deref(), said, facts)
    }
}

/// Where runs are announced.
#[derive(Debug)]
pub struct Orchestrator {
    pub client: OrchestratorClient,
    pub secret: Secret,
}

impl Orchestrator {
    /// From `N8N_WEBHOOK_URL` and `N8N_SECRET`; `None` where the first is not set.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Result<Option<Self>, NotAUrl> {
        let url = settings.or("N8N_WEBHOOK_URL", "");
        if url.is_empty() {
            return Ok(None);
        }
        let secret = settings.secret("N8N_SECRET", aws);
        let http = client().map_err(|_| NotAUrl)?;
        let client = OrchestratorClient::new(http, &url)?;
        Ok(Some(Self { client, secret }))
    }

    /// One call, to the workflow of the trigger's name. Whatever becomes of it, the deadline stands.
    async fn announce(&self, run: &HandOff) -> Result<(), String> {
        let secret = self.secret.get().await.map_err(|error| error.to_string())?;
        let path = run.trigger_event.to_lowercase();
        let told = self.client.tell(&path, secret.expose_secret(), run).await;
        told.map_err(|error| telemetry::chain(&error))
    }
}

/// Announces what was handed over; false where nobody heard it, and the run goes on at its deadline.
pub async fn announce(orchestrator: Option<&Orchestrator>, accepted: &Accepted) -> bool {
    let Some(run) = &accepted.hand_off else {
        return true;
    };
    let told = match orchestrator {
        Some(orchestrator) => orchestrator.announce(run).await,
        None => Err("N8N_WEBHOOK_URL is not set".to_owned()),
    };
    if let Err(problem) = &told {
        tracing::warn!(tenant.id = %run.tenant_id, run.id = %run.run_id, problem, "the orchestrator was not told of a run");
    }
    told.is_ok()
}

/// Carries out every run whose deadline is over, each in a transaction of its own. Answers how many. What fails makes room for what comes
/// after it.
///
/// # Errors
/// When the database does not answer. What was carried out stays so.
pub async fn go_on(database: &Database, queues: &Queues) -> Result<usize, DatabaseError> {
    let mut done = 0;
    let mut failed: Vec<Uuid> = Vec::new();
    for _ in 0..ROUNDS {
        let waiting = waiting(database, &failed).await?;
        let (all, before) = (waiting.len() < LIMIT, failed.len());
        for waiting in waiting {
            match carry_out(database, &waiting).await {
                Ok(Some(accepted)) => {
                    tracing::warn!(tenant.id = %waiting.tenant, run.id = %waiting.run, "the orchestrator did not answer in time");
                    queues.publish_or_leave_to_scan(&accepted.hints).await;
                    done += 1;
                }
                Ok(None) => {}
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::error!(tenant.id = %waiting.tenant, run.id = %waiting.run, error, "a run does not go on");
                    failed.push(waiting.run.0);
                }
            }
        }
        if all || failed.len() == before {
            break;
        }
    }
    Ok(done)
}

struct Waiting {
    tenant: TenantId,
    run: RunId,
}

async fn waiting(database: &Database, failed: &[Uuid]) -> Result<Vec<Waiting>, DatabaseError> {
    let mut tx = database.begin().await?;
    let waiting = sqlx::query_as!(
        Waiting,
        r#"select w.tenant_id as "tenant: TenantId", w.id as "run: RunId"
             from (select r.tenant_id, r.id, r.deadline_at,
                          row_number() over (partition by r.tenant_id order by r.deadline_at, r.id) as turn
                     from communications.trigger_runs r
                    where r.status = 'HANDED_OVER' and r.deadline_at <= now() and r.id <> all($1)) w
            order by w.turn, w.deadline_at limit $2"#,
        failed,
        i64::try_from(LIMIT).unwrap_or(i64::MAX)
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(waiting)
}

async fn carry_out(
    database: &Database,
    waiting: &Waiting,
) -> Result<Option<Accepted>, AutomationError> {
    let mut tx = database.begin().await?;
    let Taken::Waiting {
        trigger_event,
        about,
        since,
    } = take(&mut tx, waiting.tenant, waiting.run).await?
    else {
        return Ok(None);
    };
    let run = Run::continued(waiting.run, waiting.tenant, &trigger_event);
    let which = about.which();
    let facts = subject::read(&mut tx, waiting.tenant, which).await?;
    let news = facts
        .zip(by_event(&trigger_event))
        .filter(|(facts, trigger)| about.is_news(trigger, facts));
    let accepted = if let Some((facts, trigger)) = news {
        natively(&mut tx, &run, (trigger, since), &about, &facts).await?
    } else {
        let context = subject::context(which);
        run.ends(&mut tx, RunStatus::Stale, &context).await?
    };
    tx.commit().await?;
    Ok(Some(accepted))
}

/// A run that somebody wants to carry out; its row is locked.
pub(super) enum Taken {
    Waiting {
        trigger_event: String,
        about: About,
        /// When it was taken in.
        since: OffsetDateTime,
    },
    /// Carried out before, by this API client if by any; or never handed over.
    Over(Value, Option<Uuid>),
    Unknown,
}

pub(super) async fn take(
    tx: &mut Tx,
    tenant: TenantId,
    run: RunId,
) -> Result<Taken, DatabaseError> {
    let row = sqlx::query!(
        "select status, trigger_event, answer, hand_off, created_at, carried_out_by from communications.trigger_runs
          where tenant_id = $1 and id = $2 for update",
        tenant.0,
        run.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(match row {
        None => Taken::Unknown,
        Some(row) if row.status == "HANDED_OVER" => Taken::Waiting {
            trigger_event: row.trigger_event,
            about: serde_json::from_value(row.hand_off.unwrap_or_default())
                .map_err(|error| sqlx::Error::Decode(error.into()))?,
            since: row.created_at,
        },
        Some(row) => Taken::Over(row.answer, row.carried_out_by),
    })
}

/// Leaves the run to the orchestrator.
pub(super) async fn hand_over(
    tx: &mut Tx,
    run: &Run,
    about: &About,
    context: &RunContext,
    deadline: time::Duration,
) -> Result<Accepted, AutomationError> {
    let answer = RunAnswer {
        run_id: run.id,
        status: RunStatus::HandedOver,
        recipients: Vec::new(),
    };
    let deadline_at = intake::now(tx).await? + deadline;
    run.store(tx, context, &answer, Some((json!(about), deadline_at)))
        .await?;
    Ok(Accepted {
        answer,
        hints: Vec::new(),
        hand_off: Some(HandOff {
            run_id: run.id,
            tenant_id: run.tenant,
            trigger_event: run.trigger_event.clone(),
            context: context.clone(),
            deadline_at,
        }),
    })
}
