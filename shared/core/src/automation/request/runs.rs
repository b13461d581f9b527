//! What became of a run, and taking it back.

use crate::automation::RunAnswer;
use crate::model::{RunId, TenantId};
use crate::platform::{DatabaseError, Tx, hasura::ActionError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

/// A run as it stands now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunState {
    pub run_id: RunId,
    pub trigger_event: String,
    /// COMPLETED, STALE or IGNORED: what became of the request.
    pub status: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub cancelled_at: Option<OffsetDateTime>,
    /// The answer's recipients, each with its message's `message_status` of now; that of the fallback, where one was opened.
    pub recipients: Vec<Value>,
    /// Messages by their status of now, fallbacks included.
    pub totals: Map<String, Value>,
}

/// What `cancel` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    let recipients = answer.recipients.iter().map(|recipient| {
        let mut shown = json!(recipient);
        let first = messages
            .iter()
            .find(|message| Some(message.id) == recipient.message_id.map(|id| id.0));
        let newest = first.and_then(|first| {
            messages
                .iter()
                .rfind(|message| message.contact_id == first.contact_id)
        });
        if let Some(newest) = newest {
            shown["message_status"] = json!(newest.status);
            shown["channel"] = json!(newest.channel);
        }
        shown
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
/// `not-found` for an unknown or foreign run.
pub async fn cancel_run(
    tx: &mut Tx,
    tenant: TenantId,
    run: RunId,
) -> Result<CancelledRun, super::RequestError> {
    let known = sqlx::query_scalar!(
        "select id from communications.trigger_runs where tenant_id = $1 and id = $2 for update",
        tenant.0,
        run.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if known.is_none() {
        return Err(ActionError::not_found("run").into());
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
