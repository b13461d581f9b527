//! The media worker: SQS batches of `FetchMediaJob`, partial batch responses.
//!
//! One file after the other, because each is held in memory whole. A record is reported as failed only when the infrastructure
//! failed under it, or when it is no job at all; a file that cannot be had is its row's business and costs no receive.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use comms_core::channels::Vault;
use comms_core::media::{Buckets, MediaWorker};
use comms_core::model::FetchMediaJob;
use comms_core::platform::{Aws, Database, MediaQueue, Settings, telemetry};
use comms_providers::http::{GraphUrl, client};
use comms_providers::whatsapp::media::{MediaClient, MediaHosts};
use lambda_runtime::Error;

/// What WhatsApp takes from its users at most.
const DEFAULT_LIMIT: &str = "104857600";

/// Makes the worker from the environment.
///
/// # Errors
/// Naming every setting that is missing or unusable.
pub fn worker_from_env() -> Result<MediaWorker, Error> {
    let (aws, mut settings) = (Aws::default(), Settings::from_env());
    let database = Database::new(settings.secret("DATABASE_URL", &aws));
    let queue = MediaQueue::from_settings(&mut settings, &aws);
    let vault = Vault::new(&aws, &settings.required("KMS_KEY_ID"));
    let buckets = Buckets::from_settings(&mut settings, &aws);
    let graph =
        GraphUrl::parse(&settings.or("META_GRAPH_URL", "https://graph.facebook.com/v26.0"))?;
    let hosts = MediaHosts::parse(&settings.or("MEDIA_HOSTS", ".fbsbx.com"))?;
    let limit = settings.or("MEDIA_MAX_BYTES", DEFAULT_LIMIT).parse()?;
    settings.done()?;
    Ok(MediaWorker {
        database,
        queue,
        vault,
        client: MediaClient::new(client()?, graph, hosts),
        buckets,
        limit,
    })
}

/// Handles one batch and names the records that must be delivered again.
pub async fn handle(worker: &MediaWorker, event: SqsEvent) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for record in &event.records {
        let job = match FetchMediaJob::parse(record.body.as_deref().unwrap_or_default()) {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(
                    error = telemetry::chain(&error),
                    "poison record, left to the dead-letter queue"
                );
                fail(&mut response, record);
                continue;
            }
        };
        match worker.fetch(job).await {
            Ok(fetched) => {
                tracing::info!(tenant.id = %job.tenant_id, media.id = %job.media_id, ?fetched, "file");
            }
            Err(error) => {
                tracing::error!(
                    tenant.id = %job.tenant_id,
                    media.id = %job.media_id,
                    error = telemetry::chain(&error),
                    "file not settled"
                );
                fail(&mut response, record);
            }
        }
    }
    response
}

fn fail(response: &mut SqsBatchResponse, record: &SqsMessage) {
    if let Some(id) = &record.message_id {
        response.add_failure(id.clone());
    }
}
