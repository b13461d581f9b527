//! One step of the fan-out: some hundreds of recipients, their messages and the checkpoint, in one transaction.
//!
//! Whoever makes a step holds its row, and passes over those that others hold: steps of one batch are made at the same time, in any
//! order. Two that have somebody in common wait for each other at that person's aliases or message, whichever comes first, and take
//! both in the order of everybody. The batch's own row is held for the checkpoint alone; a batch that was paused, cancelled or
//! stopped by then gets nothing of the step.

use crate::automation::answer::RecipientAnswer;
use crate::automation::intake::{Addressed, Run};
use crate::automation::plan::Planned;
use crate::automation::request::{NotificationRequest, RequestError, RequestedRecipient, prepared};
use crate::automation::{RecipientOutcome, Who};
use crate::model::{BatchDispatchJob, ContactId, RunId, TenantId};
use crate::outbox;
use crate::platform::{DatabaseError, Tx, queue::Hint};
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

/// Recipients of a step. Each takes up to four locks of the server's (an address and a number in three forms), in every step that is
/// made at the same time.
pub(super) const SIZE: i32 = 500;
/// A step that nobody has made for so long has lost its job.
const LOST_SECONDS: f64 = 60.0;

/// What a step came to.
#[derive(Debug)]
pub enum Stepped {
    /// Everybody is decided about or about to be, or the batch rests. The transaction must not be committed: what a step did for a
    /// batch that came to rest meanwhile is in it.
    Nothing,
    /// The job of the steps that are left, if any, and what to hint at.
    Done {
        next: Option<BatchDispatchJob>,
        hints: Vec<Hint>,
        recipients: usize,
    },
    /// It can never be made; the batch has stopped and says why.
    Stopped(String),
}

struct Step {
    first: i32,
    until: i32,
    run: RunId,
    trigger_event: String,
    request: Value,
}

/// Makes a step of the batch that nobody has made or is making, whatever the job says of it: one that is delivered again after its
/// worker died finds the batch where it was left.
///
/// # Errors
/// When the database does not answer; nothing was decided then.
pub async fn step(tx: &mut Tx, job: &BatchDispatchJob) -> Result<Stepped, DatabaseError> {
    let tenant = job.tenant_id;
    let Some(step) = claim(tx, job).await? else {
        return Ok(Stepped::Nothing);
    };
    let listed = listed(tx, job, &step).await?;
    match decide(tx, tenant, &step, &listed).await {
        Ok((answers, hints)) => {
            let next = match checkpoint(tx, job, &step, &answers).await? {
                Checkpoint::Rests => return Ok(Stepped::Nothing),
                Checkpoint::Over => None,
                Checkpoint::Left(decided) => {
                    Some(BatchDispatchJob::new(tenant, job.batch_id, decided))
                }
            };
            Ok(Stepped::Done {
                next,
                hints,
                recipients: listed.len(),
            })
        }
        Err(error) => {
            let reason = unusable(error)?;
            super::control::stop(tx, tenant, job.batch_id, &reason).await?;
            Ok(Stepped::Stopped(reason))
        }
    }
}

/// What will not pass; an error of the database's does.
fn unusable(error: RequestError) -> Result<String, DatabaseError> {
    use crate::automation::AutomationError;
    match error {
        RequestError::Refused(refused) => Ok(refused.message),
        RequestError::Automation(AutomationError::Database(error)) => Err(error),
        RequestError::Automation(error) => Ok(error.to_string()),
    }
}

async fn claim(tx: &mut Tx, job: &BatchDispatchJob) -> Result<Option<Step>, DatabaseError> {
    Ok(sqlx::query_as!(
        Step,
        r#"select s.first, s.until, b.run_id as "run: RunId", b.trigger_event, b.request
             from communications.batches b
             join communications.batch_steps s on s.tenant_id = b.tenant_id and s.batch_id = b.id
            where b.tenant_id = $1 and b.id = $2 and b.status = 'RUNNING' and s.decided_at is null
            order by s.first limit 1
              for update of s skip locked"#,
        job.tenant_id.0,
        job.batch_id
    )
    .fetch_optional(tx.conn())
    .await?)
}

async fn listed(
    tx: &mut Tx,
    job: &BatchDispatchJob,
    step: &Step,
) -> Result<Vec<RequestedRecipient>, DatabaseError> {
    let rows = sqlx::query_scalar!(
        "select recipient from communications.batch_recipients
          where tenant_id = $1 and batch_id = $2 and position >= $3 and position < $4 order by position",
        job.tenant_id.0,
        job.batch_id,
        step.first,
        step.until
    )
    .fetch_all(tx.conn())
    .await?;
    let read = |row| serde_json::from_value(row).map_err(|error| sqlx::Error::Decode(error.into()));
    Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
}

/// The messages, and an answer for each recipient in their order.
async fn decide(
    tx: &mut Tx,
    tenant: TenantId,
    step: &Step,
    listed: &[RequestedRecipient],
) -> Result<(Vec<RecipientAnswer>, Vec<Hint>), RequestError> {
    let request: NotificationRequest = super::message(tenant, &step.request)?;
    let prepared = prepared(tx, tenant, &request, listed).await?;
    let run = Run::of_batch(step.run, tenant, &step.trigger_event);
    let mut taken: HashSet<ContactId> = HashSet::new();
    let part = Addressed {
        rule: &prepared.rule,
        recipients: &prepared.recipients,
    };
    let ground = run.ground(tx).await?;
    let planned = run.plan(
        tx,
        &ground,
        &prepared.words,
        &part,
        prepared.send_at,
        &mut taken,
    );
    let Planned {
        rows, mut answers, ..
    } = planned.await?;
    let queued = outbox::queue(tx, tenant, &rows).await?;
    for answer in &mut answers {
        // Whoever is written to by another step is not again.
        if answer
            .message_id
            .is_some_and(|id| !queued.rows.contains(&id))
        {
            answer.message_id = None;
            answer.outcome = RecipientOutcome::Duplicate;
        }
    }
    let mut answers = answers.into_iter();
    let all = prepared.known.iter().enumerate().map(|(place, known)| {
        let answer = if *known { answers.next() } else { None };
        answer.unwrap_or_else(|| RecipientAnswer::unknown(Who::Listed(place)))
    });
    Ok((all.collect(), queued.hints))
}

/// How the batch stands once a step is made.
enum Checkpoint {
    /// Paused, cancelled or stopped meanwhile.
    Rests,
    /// Everybody is decided about.
    Over,
    /// So many are; others are not.
    Left(i32),
}

/// Writes down what became of the step's recipients.
async fn checkpoint(
    tx: &mut Tx,
    job: &BatchDispatchJob,
    step: &Step,
    answers: &[RecipientAnswer],
) -> Result<Checkpoint, DatabaseError> {
    let outcomes: Vec<String> = answers
        .iter()
        .map(|answer| {
            json!(answer.outcome)
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let reasons: Vec<Option<String>> = answers.iter().map(|answer| answer.reason.clone()).collect();
    let messages: Vec<Option<Uuid>> = answers
        .iter()
        .map(|answer| answer.message_id.map(|id| id.0))
        .collect();
    sqlx::query!(
        "update communications.batch_steps
            set outcomes = $4, reasons = $5, message_ids = $6, decided_at = now()
          where tenant_id = $1 and batch_id = $2 and first = $3",
        job.tenant_id.0,
        job.batch_id,
        step.first,
        &outcomes,
        &reasons as &[Option<String>],
        &messages as &[Option<Uuid>]
    )
    .execute(tx.conn())
    .await?;
    let counted = |outcome: &RecipientOutcome| {
        let those = answers.iter().filter(|answer| answer.outcome == *outcome);
        i32::try_from(those.count()).unwrap_or(SIZE)
    };
    let left = sqlx::query_scalar!(
        r#"update communications.batches
              set cursor = cursor + $3, queued = queued + $4, suppressed = suppressed + $5, duplicates = duplicates + $6,
                  skipped = skipped + $3 - $4 - $5 - $6,
                  status = case when cursor + $3 = recipients then 'COMPLETED' else status end,
                  fanned_out_at = case when cursor + $3 = recipients then now() end
            where tenant_id = $1 and id = $2 and status = 'RUNNING'
           returning nullif(cursor, recipients) as left"#,
        job.tenant_id.0,
        job.batch_id,
        step.until - step.first,
        counted(&RecipientOutcome::Queued),
        counted(&RecipientOutcome::Suppressed),
        counted(&RecipientOutcome::Duplicate)
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(match left {
        None => Checkpoint::Rests,
        Some(None) => Checkpoint::Over,
        Some(Some(decided)) => Checkpoint::Left(decided),
    })
}

/// Jobs of running batches that nobody has moved for a while.
///
/// # Errors
/// When the database does not answer.
pub async fn lost_steps(tx: &mut Tx) -> Result<Vec<BatchDispatchJob>, DatabaseError> {
    // Started by code that knew no steps.
    sqlx::query!(
        "select communications.add_batch_steps(b.tenant_id, b.id, $1)
           from communications.batches b
          where b.status = 'RUNNING' and b.cursor = 0 and b.updated_at < now() - $2 * interval '1 second'
            and not exists (select from communications.batch_steps s where s.tenant_id = b.tenant_id and s.batch_id = b.id)",
        SIZE,
        LOST_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = sqlx::query!(
        r#"update communications.batches b set updated_at = now()
             from (select tenant_id, id from communications.batches
                    where status = 'RUNNING' and cursor < recipients and updated_at < now() - $1 * interval '1 second'
                    limit 100 for no key update skip locked) lost
            where b.tenant_id = lost.tenant_id and b.id = lost.id
           returning b.tenant_id as "tenant: TenantId", b.id, b.cursor"#,
        LOST_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| BatchDispatchJob::new(row.tenant, row.id, row.cursor))
        .collect())
}
