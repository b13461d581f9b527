//! One step of the fan-out: a thousand recipients, their messages and the checkpoint, in one transaction.

use crate::automation::answer::RecipientAnswer;
use crate::automation::intake::{Addressed, Run};
use crate::automation::plan::Planned;
use crate::automation::request::{NotificationRequest, RequestError, RequestedRecipient, prepared};
use crate::automation::{RecipientOutcome, Who};
use crate::model::{BatchDispatchJob, ContactId, MessageId, RunId, TenantId};
use crate::outbox;
use crate::platform::{DatabaseError, Tx, queue::Hint};
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

/// Recipients of a step.
const SIZE: i32 = 1_000;
/// A step that nobody has made for so long has lost its job.
const LOST_SECONDS: f64 = 60.0;

/// What a step came to.
#[derive(Debug)]
pub enum Stepped {
    /// Everybody is decided about, or the batch rests.
    Nothing,
    /// The next step's job, and what to hint at; none where everybody is decided about.
    Done {
        next: Option<BatchDispatchJob>,
        hints: Vec<Hint>,
        recipients: usize,
    },
    /// It can never be made; the batch has stopped and says why.
    Stopped(String),
}

struct Batch {
    cursor: i32,
    recipients: i32,
    run: RunId,
    trigger_event: String,
    request: Value,
}

/// Makes the batch's next step, whichever the job names: one that is delivered again after its worker died finds the batch where it
/// was left. Two at once take turns.
///
/// # Errors
/// When the database does not answer; nothing was decided then.
pub async fn step(tx: &mut Tx, job: &BatchDispatchJob) -> Result<Stepped, DatabaseError> {
    let tenant = job.tenant_id;
    let Some(batch) = lock(tx, job).await? else {
        return Ok(Stepped::Nothing);
    };
    let listed = listed(tx, job, batch.cursor).await?;
    match decide(tx, tenant, &batch, &listed).await {
        Ok((answers, hints)) => {
            let end = batch.cursor + i32::try_from(listed.len()).unwrap_or(SIZE);
            checkpoint(tx, job, (batch.cursor, end), &answers).await?;
            let next =
                (end < batch.recipients).then(|| BatchDispatchJob::new(tenant, job.batch_id, end));
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

async fn lock(tx: &mut Tx, job: &BatchDispatchJob) -> Result<Option<Batch>, DatabaseError> {
    Ok(sqlx::query_as!(
        Batch,
        r#"select cursor, recipients, run_id as "run: RunId", trigger_event, request
             from communications.batches
            where tenant_id = $1 and id = $2 and status = 'RUNNING' and cursor < recipients
              for no key update"#,
        job.tenant_id.0,
        job.batch_id
    )
    .fetch_optional(tx.conn())
    .await?)
}

async fn listed(
    tx: &mut Tx,
    job: &BatchDispatchJob,
    cursor: i32,
) -> Result<Vec<RequestedRecipient>, DatabaseError> {
    let rows = sqlx::query_scalar!(
        "select recipient from communications.batch_recipients
          where tenant_id = $1 and batch_id = $2 and position >= $3 and position < $3 + $4 order by position",
        job.tenant_id.0,
        job.batch_id,
        cursor,
        SIZE
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
    batch: &Batch,
    listed: &[RequestedRecipient],
) -> Result<(Vec<RecipientAnswer>, Vec<Hint>), RequestError> {
    let request: NotificationRequest = super::message(tenant, &batch.request)?;
    let prepared = prepared(tx, tenant, &request, listed).await?;
    let run = Run::of_batch(batch.run, tenant, &batch.trigger_event);
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
        mut rows,
        mut answers,
        ..
    } = planned.await?;
    // Whoever was written to by an earlier step is not again.
    let before = written_to(tx, tenant, batch.run, &rows).await?;
    let again: HashSet<MessageId> = rows
        .extract_if(.., |row| before.contains(&row.contact))
        .map(|row| row.id)
        .collect();
    for answer in &mut answers {
        if answer.message_id.is_some_and(|id| again.contains(&id)) {
            answer.message_id = None;
            answer.outcome = RecipientOutcome::Duplicate;
        }
    }
    let hints = outbox::queue(tx, tenant, &rows).await?;
    let mut answers = answers.into_iter();
    let all = prepared.known.iter().enumerate().map(|(place, known)| {
        let answer = if *known { answers.next() } else { None };
        answer.unwrap_or_else(|| RecipientAnswer::unknown(Who::Listed(place)))
    });
    Ok((all.collect(), hints))
}

async fn written_to(
    tx: &mut Tx,
    tenant: TenantId,
    run: RunId,
    rows: &[outbox::NewMessage],
) -> Result<HashSet<ContactId>, DatabaseError> {
    let contacts: Vec<Uuid> = rows.iter().map(|row| row.contact.0).collect();
    let found = sqlx::query_scalar!(
        r#"select contact_id as "contact: ContactId" from communications.messages
            where tenant_id = $1 and run_id = $2 and step = 0 and contact_id = any($3)"#,
        tenant.0,
        run.0,
        &contacts
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(found.into_iter().collect())
}

async fn checkpoint(
    tx: &mut Tx,
    job: &BatchDispatchJob,
    (from, end): (i32, i32),
    answers: &[RecipientAnswer],
) -> Result<(), DatabaseError> {
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
        "with answers as (
             select $3 + a.place::integer - 1 as position, a.outcome, a.reason, a.message_id
               from unnest($5::text[], $6::text[], $7::uuid[]) with ordinality as a (outcome, reason, message_id, place)),
         told as (
             update communications.batch_recipients r
                set outcome = a.outcome, reason = a.reason, message_id = a.message_id
               from answers a
              where r.tenant_id = $1 and r.batch_id = $2 and r.position = a.position)
         update communications.batches b
            set cursor = $4,
                queued = b.queued + c.queued, suppressed = b.suppressed + c.suppressed,
                duplicates = b.duplicates + c.duplicates,
                skipped = b.skipped + ($4 - $3) - c.queued - c.suppressed - c.duplicates,
                status = case when $4 = b.recipients then 'COMPLETED' else b.status end,
                fanned_out_at = case when $4 = b.recipients then now() end
           from (select count(*) filter (where outcome = 'QUEUED')::integer as queued,
                        count(*) filter (where outcome = 'SUPPRESSED')::integer as suppressed,
                        count(*) filter (where outcome = 'DUPLICATE')::integer as duplicates
                   from answers) c
          where b.tenant_id = $1 and b.id = $2",
        job.tenant_id.0,
        job.batch_id,
        from,
        end,
        &outcomes,
        &reasons as &[Option<String>],
        &messages as &[Option<Uuid>]
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Jobs of running batches that nobody has moved for a while.
///
/// # Errors
/// When the database does not answer.
pub async fn lost_steps(tx: &mut Tx) -> Result<Vec<BatchDispatchJob>, DatabaseError> {
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
