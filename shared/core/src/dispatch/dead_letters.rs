//! The dead-letter queues drain themselves: what reached one met broken infrastructure five times, and a hint is only a hint.
//!
//! The row decides. One that still waits gets a new hint after a minute, three times at most, because what kills its batch
//! each time would do so for ever; then it is CANCELLED as `poison` and people see it. A body that is no job at all goes
//! into quarantine. Nothing is deleted from the queue before that is committed.

use crate::model::{BatchDispatchJob, DispatchJob, DispatchMessageJob, MessageId, TenantId};
use crate::platform::config::{Settings, aws_code};
use crate::platform::queue::Hint;
use crate::platform::{Aws, Database, DatabaseError, Queues, Tx};
use crate::quarantine::{self, Misfit, Noted};
use aws_sdk_sqs::types::Message;
use uuid::Uuid;

/// Before a message is tried again.
const COOL_OFF_SECONDS: f64 = 60.0;
/// Times that a message may come back from here.
const MOST_RETURNS: i64 = 3;
/// Requests of one run: five hundred dead letters a queue and minute.
const RECEIVES: usize = 50;

/// The dead-letter queues of the three lanes.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    aws: Aws,
    urls: Vec<String>,
}

/// What one run found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Drained {
    /// Taken out of the queues.
    pub letters: usize,
    /// Queued again.
    pub returned: usize,
    /// Given up as poison.
    pub poison: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("dead-letter queue: {0}")]
    Queue(String),
}

impl DeadLetters {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        let names = [
            "INTERACTIVE_DEAD_LETTER_QUEUE_URL",
            "TRANSACTIONAL_DEAD_LETTER_QUEUE_URL",
            "BULK_DEAD_LETTER_QUEUE_URL",
        ];
        Self {
            aws: aws.clone(),
            urls: names.map(|name| settings.required(name)).to_vec(),
        }
    }

    /// For tests, which have one queue for all lanes.
    #[must_use]
    pub fn at(aws: &Aws, url: &str) -> Self {
        Self {
            aws: aws.clone(),
            urls: vec![url.to_owned()],
        }
    }

    /// Empties the queues.
    ///
    /// # Errors
    /// When a queue or the database does not answer; what was not deleted comes again.
    pub async fn drain(&self, database: &Database, queues: &Queues) -> Result<Drained, DrainError> {
        let mut drained = Drained::default();
        for url in &self.urls {
            for _ in 0..RECEIVES {
                let letters = self.receive(url).await?;
                if letters.is_empty() {
                    break;
                }
                let mut tx = database.begin().await?;
                let (step, hints, noted) = judge(&mut tx, &letters).await?;
                tx.commit().await?;
                noted.tell();
                queues.publish_or_leave_to_scan(&hints).await;
                self.delete(url, &letters).await?;
                drained.letters += letters.len();
                drained.returned += step.returned;
                drained.poison += step.poison;
            }
        }
        Ok(drained)
    }

    async fn receive(&self, url: &str) -> Result<Vec<Message>, DrainError> {
        let call = self.aws.sqs().await.receive_message().queue_url(url);
        let answer = call.max_number_of_messages(10).send().await;
        answer
            .map(|answer| answer.messages.unwrap_or_default())
            .map_err(|error| DrainError::Queue(aws_code(&error)))
    }

    async fn delete(&self, url: &str, letters: &[Message]) -> Result<(), DrainError> {
        for letter in letters {
            let call = self.aws.sqs().await.delete_message().queue_url(url);
            let receipt = letter.receipt_handle().unwrap_or_default();
            let answer = call.receipt_handle(receipt).send().await;
            answer.map_err(|error| DrainError::Queue(aws_code(&error)))?;
        }
        Ok(())
    }
}

async fn judge(
    tx: &mut Tx,
    letters: &[Message],
) -> Result<(Drained, Vec<Hint>, Noted), DatabaseError> {
    let mut jobs = Vec::new();
    let mut misfits = Vec::new();
    for letter in letters {
        let body = letter.body().unwrap_or_default();
        match DispatchJob::parse(body) {
            Ok(DispatchJob::Message(job)) => jobs.push(job),
            // Too late to be worth telling; the next one is for it too.
            Ok(DispatchJob::Receipt(_)) => {}
            // The batch's row knows where it stands, and the scan moves it on.
            Err(_) if BatchDispatchJob::parse(body).is_ok() => {}
            Err(_) => {
                let payload = body.as_bytes().to_vec();
                misfits.push(Misfit::of(quarantine::POISON_JOB, payload));
            }
        }
    }
    let noted = quarantine::store(tx, "DISPATCH_QUEUE", None, &misfits).await?;
    let rows = judged(tx, &jobs).await?;
    let poison = rows.iter().filter(|row| row.status == "CANCELLED").count();
    let hints: Vec<Hint> = rows
        .iter()
        .filter(|row| row.status == "QUEUED")
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, COOL_OFF_SECONDS))
        .collect();
    let drained = Drained {
        letters: letters.len(),
        returned: hints.len(),
        poison: poison + misfits.len(),
    };
    Ok((drained, hints, noted))
}

struct Judged {
    tenant: TenantId,
    message: MessageId,
    status: String,
    lane: String,
}

async fn judged(tx: &mut Tx, jobs: &[DispatchMessageJob]) -> Result<Vec<Judged>, DatabaseError> {
    let tenants: Vec<Uuid> = jobs.iter().map(|job| job.tenant_id.0).collect();
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.message_id.0).collect();
    Ok(sqlx::query_as!(
        Judged,
        r#"with named as (select distinct tenant_id, id from unnest($1::uuid[], $2::uuid[]) as n(tenant_id, id)),
           waiting as (
               select m.tenant_id, m.id,
                      (select count(*) from communications.repairs r
                        where r.tenant_id = m.tenant_id and r.message_id = m.id and r.kind = 'DEAD_LETTER') as returns
                 from named n join communications.messages m on m.tenant_id = n.tenant_id and m.id = n.id
                where m.status = 'QUEUED'
                order by m.tenant_id, m.id
                  for no key update of m),
           judged as (
               update communications.messages m
                  set status = case when w.returns < $3 then 'QUEUED' else 'CANCELLED' end,
                      due_at = greatest(m.due_at, now() + $4 * interval '1 second'),
                      hint_at = greatest(m.due_at, now() + $4 * interval '1 second'),
                      slot_at = null,
                      failed_code = case when w.returns < $3 then m.failed_code else 'poison' end,
                      failed_reason = case when w.returns < $3 then m.failed_reason
                                           else 'its batch ended in the dead-letter queue again and again' end
                 from waiting w where m.tenant_id = w.tenant_id and m.id = w.id
               returning m.tenant_id, m.id, m.status, m.lane),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id, detail)
               select tenant_id, communications.uuid_v7(), 'DEAD_LETTER', id, jsonb_build_object('next', status) from judged)
           select tenant_id as "tenant: TenantId", id as "message: MessageId", status, lane as "lane!" from judged"#,
        &tenants,
        &ids,
        MOST_RETURNS,
        COOL_OFF_SECONDS
    )
    .fetch_all(tx.conn())
    .await?)
}
