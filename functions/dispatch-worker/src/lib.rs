//! The dispatch worker: SQS batches of `DispatchMessageJob` and `GiveReceiptJob`, partial batch responses.
//!
//! A record is reported as failed only when the infrastructure failed under it (or when it is no job at all: it then goes by
//! the dead-letter queue into quarantine, where people see it). Waiting and refusals are the row's business and cost no
//! receive.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use comms_core::channels::Vault;
use comms_core::dispatch::{Adapters, Worker};
use comms_core::model::{DispatchJob, DispatchMessageJob, GiveReceiptJob};
use comms_core::platform::{Aws, Database, Queues, Settings, telemetry};
use comms_providers::http::{GraphUrl, client};
use comms_providers::whatsapp::WhatsAppClient;
use lambda_runtime::Error;

/// Makes the worker from the environment.
///
/// # Errors
/// Naming every setting that is missing or unusable.
pub fn worker_from_env() -> Result<Worker, Error> {
    let (aws, mut settings) = (Aws::default(), Settings::from_env());
    let database = Database::new(settings.secret("DATABASE_URL", &aws));
    let queues = Queues::from_settings(&mut settings, &aws);
    let vault = Vault::new(&aws, &settings.required("KMS_KEY_ID"));
    let reply_secrets = settings.secret("REPLY_TOKEN_SECRETS", &aws);
    let graph =
        GraphUrl::parse(&settings.or("META_GRAPH_URL", "https://graph.facebook.com/v26.0"))?;
    settings.done()?;
    Ok(Worker {
        database,
        queues,
        adapters: Adapters::new(
            &aws,
            vault,
            reply_secrets,
            WhatsAppClient::new(client()?, graph),
        ),
    })
}

/// Dispatches one batch and names the records that must be delivered again.
pub async fn handle(worker: &Worker, event: SqsEvent) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let (mut jobs, mut receipts) = (Vec::new(), Vec::new());
    for record in &event.records {
        match DispatchJob::parse(record.body.as_deref().unwrap_or_default()) {
            Ok(DispatchJob::Message(job)) => jobs.push((record, job)),
            Ok(DispatchJob::Receipt(job)) => receipts.push((record, job)),
            Err(error) => {
                tracing::error!(
                    error = telemetry::chain(&error),
                    "poison record, left to the dead-letter queue"
                );
                fail(&mut response, record);
            }
        }
    }
    dispatch(worker, &jobs, &mut response).await;
    let wanted: Vec<GiveReceiptJob> = receipts.iter().map(|(_, job)| *job).collect();
    if let Err(error) = worker.give_receipts(&wanted).await {
        tracing::error!(error = telemetry::chain(&error), "read receipts not given");
        for (record, _) in &receipts {
            fail(&mut response, record);
        }
    }
    response
}

async fn dispatch(
    worker: &Worker,
    jobs: &[(&SqsMessage, DispatchMessageJob)],
    response: &mut SqsBatchResponse,
) {
    if jobs.is_empty() {
        return;
    }
    let wanted: Vec<DispatchMessageJob> = jobs.iter().map(|(_, job)| *job).collect();
    match worker.dispatch(&wanted).await {
        Ok(dispatched) => {
            tracing::info!(
                records = jobs.len(),
                claimed = dispatched.claimed,
                accepted = dispatched.accepted,
                deferred = dispatched.deferred,
                "batch"
            );
        }
        // One message that cannot be claimed must not take the others to the dead-letter queue with it.
        Err(error) if error.is_about_rows() && jobs.len() > 1 => {
            tracing::error!(error = telemetry::chain(&error), "dispatching one by one");
            for (record, job) in jobs {
                if let Err(error) = worker.dispatch(std::slice::from_ref(job)).await {
                    tracing::error!(error = telemetry::chain(&error), "job not dispatched");
                    fail(response, record);
                }
            }
        }
        Err(error) => {
            tracing::error!(error = telemetry::chain(&error), "batch not dispatched");
            for (record, _) in jobs {
                fail(response, record);
            }
        }
    }
}

fn fail(response: &mut SqsBatchResponse, record: &SqsMessage) {
    if let Some(id) = &record.message_id {
        response.add_failure(id.clone());
    }
}
