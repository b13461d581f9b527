//! Files in a world: a customer sends one, the worker fetches it, and what stands in the row and in the bucket then.
//!
//! A message with a file comes in as the provider's event that a webhook is parsed into.

use super::{World, setting};
use crate::calls;
use comms_core::channels::Vault;
use comms_core::inbound::{self, Door, Source};
use comms_core::media::{Buckets, Fetched, FileLinks, MediaWorker};
use comms_core::model::{Channel, FetchMediaJob, MediaId, TenantId};
use comms_core::platform::{Aws, Backend, Database, MediaQueue};
use comms_providers::Content;
use comms_providers::event::{
    AccountRef, EventKind, InboundMedia, InboundMessage, Person, ProviderEvent,
};
use comms_providers::http::{GraphUrl, client};
use comms_providers::whatsapp::media::{MediaClient, MediaHosts};
use comms_simulator::Media;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// A file that a customer has sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub job: FetchMediaJob,
    /// At the provider.
    pub media_id: String,
}

/// A row of `message_media`.
#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    pub state: String,
    pub reason: Option<String>,
    pub attempts: i32,
    pub mime_type: Option<String>,
    pub size_bytes: Option<i64>,
    pub storage_key: Option<String>,
    /// Seconds from now.
    pub due_in: f64,
    pub hinted: bool,
    /// Of the account.
    pub media_health: String,
    pub send_health: String,
    pub status: String,
}

/// An object of the media bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    pub content_type: String,
    pub disposition: String,
    pub bytes: Vec<u8>,
}

/// As Meta's webhook has it.
pub const SOURCE: Source = Source {
    channel: Channel::WhatsApp,
    name: "META_WEBHOOK",
    again: |_| Vec::new(),
};

/// The agents' actions, of which one opens files.
pub(super) fn with_links(backend: Backend, aws: &Aws) -> inbox_actions::Deps {
    inbox_actions::Deps {
        backend,
        files: FileLinks::named(aws, &setting("MEDIA_BUCKET")),
    }
}

/// A worker against this simulator, which lies behind plain http on this machine.
pub(super) fn worker(
    database: Database,
    queue: MediaQueue,
    aws: &Aws,
    simulator: &str,
) -> MediaWorker {
    let graph = GraphUrl::parse(&format!("{simulator}/v26.0")).unwrap();
    let hosts = MediaHosts::parse(simulator).unwrap();
    MediaWorker {
        database,
        queue,
        vault: Vault::new(aws, &setting("KMS_KEY_ID")),
        client: MediaClient::new(client().unwrap(), graph, hosts),
        buckets: Buckets::named(aws, &setting("MEDIA_BUCKET"), &setting("MAIL_BUCKET")),
        limit: 1024 * 1024,
    }
}

/// What a message names of a file.
#[must_use]
pub fn named(kind: &str, media_id: &str, media: &Media) -> InboundMedia {
    InboundMedia {
        kind: kind.to_owned(),
        provider_media_id: media_id.to_owned(),
        url: None,
        mime_type: Some(media.mime_type.clone()),
        sha256: Some(media.sha256_base64()),
        filename: Some("billete de Ana.pdf".to_owned()),
    }
}

/// A message of the moment with this file, to this number.
#[must_use]
pub fn message(number: &str, waba: &str, file: InboundMedia) -> ProviderEvent {
    #[expect(
        clippy::disallowed_methods,
        reason = "the provider's clock, not the service's"
    )]
    let sent_at = OffsetDateTime::now_utc();
    let message = InboundMessage {
        external_message_id: format!("wamid.{}", Uuid::now_v7().simple()),
        sender: Person {
            wa_id: Some("34600111222".to_owned()),
            ..Person::default()
        },
        content: Content::Other {
            kind: file.kind.clone(),
            raw: Value::Null,
        },
        body: format!("[{}]", file.kind),
        reply_to: None,
        context: None,
        media: vec![file],
        barred_by_provider: false,
        given_phone: None,
        sent_at,
    };
    ProviderEvent {
        account: Some(AccountRef {
            external_account_id: Some(number.to_owned()),
            waba_id: Some(waba.to_owned()),
            ..AccountRef::default()
        }),
        kind: EventKind::Message(Box::new(message)),
        raw: Value::Null,
    }
}

impl World {
    /// A customer of the first operator sends a file of this kind; the row is there, nobody has been told.
    pub async fn customer_sends(&self, kind: &str, mime_type: &str, bytes: &[u8]) -> Sent {
        let media = Media::new(self.iberia.phone_number_id, mime_type, bytes);
        let media_id = self.simulator.upload(media.clone()).unwrap();
        self.customer_sends_named(named(kind, &media_id, &media))
            .await
    }

    /// The same with what the message says of it in the test's own words.
    pub async fn customer_sends_named(&self, file: InboundMedia) -> Sent {
        let media_id = file.provider_media_id.clone();
        let event = message(self.iberia.phone_number_id, self.iberia.waba_id, file);
        let ingested = inbound::take_in(
            &self.database(),
            SOURCE,
            Door::Tenant(self.iberia.tenant),
            vec![event],
        )
        .await
        .unwrap();
        let [(tenant, media)] = ingested.media[..] else {
            panic!("one file: {ingested:?}")
        };
        Sent {
            job: FetchMediaJob::new(tenant, media),
            media_id,
        }
    }

    /// The worker handles one batch with every file that is not finished, due or not: the claim decides.
    pub async fn step_media(&self) {
        let rows: Vec<(TenantId, MediaId)> = sqlx::query_as(
            "select tenant_id, id from communications.message_media where state = 'PENDING' order by id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let jobs: Vec<FetchMediaJob> = rows
            .into_iter()
            .map(|(tenant, media)| FetchMediaJob::new(tenant, media))
            .collect();
        let response = media_worker::handle(&self.media, calls::media_batch(&jobs)).await;
        assert!(response.batch_item_failures.is_empty(), "{response:?}");
    }

    /// Fetches one file and says how that went, and what its row says then.
    pub async fn fetch(&self, sent: &Sent) -> (Fetched, Row) {
        let fetched = self.media.fetch(sent.job).await.unwrap();
        (fetched, self.media_row(sent).await)
    }

    pub async fn media_row(&self, sent: &Sent) -> Row {
        let sql = "select f.state, f.reason, f.attempts, f.mime_type, f.size_bytes, f.storage_key,
                          extract(epoch from f.due_at - now())::float8 as due_in, f.hint_at > '-infinity' as hinted,
                          a.media_health, a.send_health, a.status
                     from communications.message_media f
                     join communications.channel_accounts a on a.tenant_id = f.tenant_id and a.id = f.account_id
                    where f.id = $1";
        let row = sqlx::query_as(sql).bind(sent.job.media_id);
        row.fetch_one(&self.pool).await.unwrap()
    }

    /// Every clock of the files goes forward but their birth, which names their object.
    pub async fn media_time_passes(&self, minutes: i64) {
        let sql = "update communications.message_media
                      set due_at = due_at - $1 * interval '1 minute', hint_at = hint_at - $1 * interval '1 minute',
                          lease_until = lease_until - $1 * interval '1 minute',
                          expires_at = expires_at - $1 * interval '1 minute'";
        let query = sqlx::query(sql).bind(minutes);
        query.execute(&self.pool).await.unwrap();
    }

    /// The hints for files that are visible now; they are gone from the queue then.
    pub async fn take_media_hints(&self) -> Vec<String> {
        self.take_from(&self.media_queue_url).await
    }

    pub(super) async fn take_from(&self, url: &str) -> Vec<String> {
        let sqs = self.aws.sqs().await;
        let mut bodies = Vec::new();
        loop {
            let answer = sqs
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(10)
                .send()
                .await
                .unwrap();
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                let receipt = message.receipt_handle.unwrap();
                sqs.delete_message()
                    .queue_url(url)
                    .receipt_handle(receipt)
                    .send()
                    .await
                    .unwrap();
                bodies.push(message.body.unwrap());
            }
        }
    }

    /// Hints of files have met broken infrastructure five times.
    pub async fn media_hints_die(&self, bodies: &[&str]) {
        for body in bodies {
            let call = self.aws.sqs().await.send_message();
            call.queue_url(&self.media_dead_letter_url)
                .message_body(*body)
                .send()
                .await
                .unwrap();
        }
    }

    /// A second worker on the same rows, as another sandbox would be.
    #[must_use]
    pub fn another_media_worker(&self) -> MediaWorker {
        let queue = MediaQueue::at(&self.aws, &self.media_queue_url);
        worker(self.database(), queue, &self.aws, &self.simulator.url())
    }

    /// A worker that may fetch files from nowhere but these hosts.
    #[must_use]
    pub fn media_worker_for(&self, hosts: &str) -> MediaWorker {
        let graph = GraphUrl::parse(&format!("{}/v26.0", self.simulator.url())).unwrap();
        MediaWorker {
            client: MediaClient::new(client().unwrap(), graph, MediaHosts::parse(hosts).unwrap()),
            ..self.another_media_worker()
        }
    }

    pub async fn object(&self, key: &str) -> Option<Object> {
        let bucket = setting("MEDIA_BUCKET");
        let call = self.aws.s3().await.get_object().bucket(bucket).key(key);
        let object = call.send().await.ok()?;
        Some(Object {
            content_type: object.content_type.clone().unwrap_or_default(),
            disposition: object.content_disposition.clone().unwrap_or_default(),
            bytes: object.body.collect().await.unwrap().to_vec(),
        })
    }

    /// The keys of all objects of a tenant that end as this file's does.
    pub async fn objects_of(&self, sent: &Sent) -> Vec<String> {
        let listed = self
            .aws
            .s3()
            .await
            .list_objects_v2()
            .bucket(setting("MEDIA_BUCKET"))
            .prefix(sent.job.tenant_id.to_string())
            .send()
            .await
            .unwrap();
        let keys = listed
            .contents()
            .iter()
            .filter_map(aws_sdk_s3::types::Object::key);
        keys.filter(|key| key.ends_with(&sent.job.media_id.to_string()))
            .map(str::to_owned)
            .collect()
    }

    /// A raw mail lies in the mail bucket under this key.
    pub async fn mail_with_a_file(&self, key: &str, raw: &[u8]) {
        let call = self.aws.s3().await.put_object();
        call.bucket(setting("MAIL_BUCKET"))
            .key(key)
            .body(raw.to_vec().into())
            .send()
            .await
            .unwrap();
    }
}
