//! The dead-letter queue of files drains itself: a hint is only a hint, and the row knows when it is due.
//!
//! A job is deleted, because the scan publishes what nobody looks at, after longer and longer. A body that is no job goes into
//! quarantine first, where people see it.

use crate::model::FetchMediaJob;
use crate::platform::config::aws_code;
use crate::platform::{Aws, Database, DatabaseError, Settings};
use crate::quarantine::{self, Misfit};
use aws_sdk_sqs::types::Message;

/// Requests of one run: five hundred dead letters a minute.
const RECEIVES: usize = 50;

#[derive(Debug, Clone)]
pub struct MediaDeadLetters {
    aws: Aws,
    url: String,
}

impl MediaDeadLetters {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        Self::at(aws, &settings.required("MEDIA_DEAD_LETTER_QUEUE_URL"))
    }

    #[must_use]
    pub fn at(aws: &Aws, url: &str) -> Self {
        Self {
            aws: aws.clone(),
            url: url.to_owned(),
        }
    }

    /// Empties the queue; how many letters were in it. A queue that does not answer ends the run: what was not deleted comes
    /// again, and the alarm on the queue stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drain(&self, database: &Database) -> Result<usize, DatabaseError> {
        let mut drained = 0;
        for _ in 0..RECEIVES {
            let letters = match self.receive().await {
                Ok(letters) if letters.is_empty() => break,
                Ok(letters) => letters,
                Err(code) => {
                    tracing::error!(code, "the dead-letter queue of files does not answer");
                    break;
                }
            };
            keep_misfits(database, &letters).await?;
            self.delete(&letters).await;
            drained += letters.len();
        }
        Ok(drained)
    }

    async fn receive(&self) -> Result<Vec<Message>, String> {
        let call = self.aws.sqs().await.receive_message().queue_url(&self.url);
        let answer = call.max_number_of_messages(10).send().await;
        answer
            .map(|answer| answer.messages.unwrap_or_default())
            .map_err(|error| aws_code(&error))
    }

    async fn delete(&self, letters: &[Message]) {
        for letter in letters {
            let call = self.aws.sqs().await.delete_message().queue_url(&self.url);
            let receipt = letter.receipt_handle().unwrap_or_default();
            if let Err(error) = call.receipt_handle(receipt).send().await {
                tracing::warn!(code = aws_code(&error), "a dead letter comes again");
            }
        }
    }
}

async fn keep_misfits(database: &Database, letters: &[Message]) -> Result<(), DatabaseError> {
    let misfits: Vec<Misfit> = letters
        .iter()
        .filter_map(Message::body)
        .filter(|body| FetchMediaJob::parse(body).is_err())
        .map(|body| Misfit::of(quarantine::POISON_JOB, body.as_bytes().to_vec()))
        .collect();
    if misfits.is_empty() {
        return Ok(());
    }
    let mut tx = database.begin().await?;
    let noted = quarantine::store(&mut tx, "MEDIA_QUEUE", None, &misfits).await?;
    tx.commit().await?;
    noted.tell();
    Ok(())
}
