//! What became of a run, and taking it back.

use crate::automation::{RecipientAnswer, RunAnswer, RunStatus};
use crate::model::{Channel, MessageStatus, RunId, TenantId};
use crate::platform::{DatabaseError, Tx, hasura::ActionError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// A run as it stands now.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunState {
    pub run_id: RunId,
    pub trigger_event: String,
    /// What became of the request.
    #[schemars(with = "RunStatus")]
    pub status: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub cancelled_at: Option<OffsetDateTime>,
    pub recipients: Vec<RecipientState>,
    /// Messages by their status of now, fallbacks included.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub totals: Map<String, Value>,
}

/// A recipient of the answer, and their message as it is now; the fallback, where one was opened.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RecipientState {
    #[serde(flatten)]
    pub answer: RecipientAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MessageStatus")]
    pub message_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Channel")]
    pub channel: Option<String>,
}

/// What `cancel` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CancelledRun {
    pub run_id: RunId,
    /// Messages that will not leave any more.
    pub cancelled: i64,
    /// Those that had left, or had ended by themselves.
    pub too_late: i64,
}

/// # Errors
/// `not-found` for an unknown or foreign run.
pub async fn run_state(
    tx: &mut Tx,
    tenant: TenantId,
    run: RunId,
) -> Result<RunState, super::RequestError> {
    let row = sqlx::query!(
        r#"select trigger_event, status, answer, created_at, cancelled_at
             from communications.trigger_runs where tenant_id = $1 and id = $2"#,
        tenant.0,
        run.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("run"))?;
    let messages = sqlx::query!(
        "select contact_id, id, step, channel, status from communications.messages
          where tenant_id = $1 and run_id = $2 order by contact_id, step",
        tenant.0,
        run.0
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let mut totals = Map::new();
    for message in &messages {
        let count = totals.get(&message.status).and_then(Value::as_i64);
        totals.insert(message.status.clone(), json!(count.unwrap_or_default() + 1));
    }
    let answer: RunAnswer = serde_json::from_value(row.answer)
        .map_err(|error| DatabaseError::from(sqlx::Error::Decode(error.into())))?;
    let recipients = answer.recipients.into_iter().map(|recipient| {
        let first = messages
            .iter()
            .find(|message| Some(message.id) == recipient.message_id.map(|id| id.0));
        let newest = first.and_then(|first| {
            messages
                .iter()
                .rfind(|message| message.contact_id == first.contact_id)
        });
        RecipientState {
            answer: recipient,
            message_status: newest.map(|newest| newest.status.clone()),
            channel: newest.map(|newest| newest.channel.clone()),
        }
    });
    Ok(RunState {
        run_id: run,
        trigger_event: row.trigger_event,
        status: row.status,
        created_at: row.created_at,
        cancelled_at: row.cancelled_at,
        recipients: recipients.collect(),
        totals,
    })
}

/// Nothing more of the run leaves, and no fallback of what has left. The same call again answers the same.
///
/// # Errors
/// `not-found` for an unknown or foreign run; `conflict` for a batch's, which is cancelled as a batch.
pub async fn cancel_run(
    tx: &mut Tx,
    tenant: TenantId,
    run: RunId,
) -> Result<CancelledRun, super::RequestError> {
    let source = sqlx::query_scalar!(
        "select source from communications.trigger_runs where tenant_id = $1 and id = $2 for update",
        tenant.0,
        run.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    match source.as_deref() {
        None => return Err(ActionError::not_found("run").into()),
        Some("batch") => {
            return Err(ActionError::conflict("the run is a batch's: cancel the batch").into());
        }
        Some(_) => {}
    }
    let row = sqlx::query!(
        r#"select cancelled as "cancelled!", too_late as "too_late!" from communications.cancel_run($1, $2)"#,
        tenant.0,
        run.0
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(CancelledRun {
        run_id: run,
        cancelled: row.cancelled,
        too_late: row.too_late,
    })
}
