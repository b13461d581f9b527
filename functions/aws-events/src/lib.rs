//! What AWS tells by SNS: what became of emails and text messages, mails and texts that came in.
//!
//! By a queue, where the queue's policy says who may put something there; by SNS itself, where the function's policy does; and at
//! `POST /api/webhooks/sns` for topics that can only be reached over HTTPS, where the signature does. SNS takes any 4xx for a final no and
//! loses the message, so everything that may pass is 503.

mod direct;
mod https;
mod queue;

use comms_core::inbound::aws::Notified;
use comms_core::inbound::mail::Mailroom;
use comms_core::inbound::{InboundError, Ingested, aws};
use comms_core::platform::clock::{self, Clock};
use comms_core::platform::{Aws, Database, MediaQueue, Settings};
use comms_providers::http::client;
use comms_providers::sns::{Certificates, Hosts, Policy, Versions};
use lambda_runtime::Error;
use serde_json::{Value, json};

/// All that the function stands on, made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub database: Database,
    pub mailroom: Mailroom,
    /// Hears of the files in mails.
    pub media: MediaQueue,
    /// Which topics may speak, and how they sign.
    pub policy: Policy,
    pub certificates: Certificates,
    pub hosts: Hosts,
    pub http: reqwest::Client,
    pub clock: Clock,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing or unusable.
    pub fn from_env() -> Result<Self, Error> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let topics = settings.required("SNS_TOPIC_ARNS");
        let versions = settings.or("SNS_SIGNATURE_VERSIONS", "1,2");
        let hosts = match settings.or("SNS_URL", "").as_str() {
            "" => Hosts::Amazon,
            url => {
                Hosts::loopback(url).ok_or("SNS_URL must be a plain-http URL of a loopback host")?
            }
        };
        let http = client()?;
        let deps = Self {
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            media: MediaQueue::from_settings(&mut settings, &aws),
            mailroom: Mailroom {
                bucket: settings.required("MAIL_BUCKET"),
                reply_secrets: settings.secret("REPLY_TOKEN_SECRETS", &aws),
                aws,
            },
            policy: Policy {
                topics: list(&topics),
                versions: match versions.as_str() {
                    "2" => Versions::Second,
                    "1,2" => Versions::FirstAndSecond,
                    _ => return Err("SNS_SIGNATURE_VERSIONS must be 2 or 1,2".into()),
                },
            },
            certificates: Certificates::new(http.clone(), hosts.clone()),
            hosts,
            http,
            clock: clock::now,
        };
        settings.done()?;
        Ok(deps)
    }
}

fn list(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Answers whatever the function was invoked with.
///
/// # Errors
/// When records that came without a queue were not taken in: only an invocation that failed is repeated.
pub async fn invoked(deps: &Deps, event: Value) -> Result<Value, InboundError> {
    if let Some(records) = direct::records(&event) {
        return direct::handle(deps, records).await.map(|()| Value::Null);
    }
    Ok(handle(deps, event).await)
}

/// Answers an event whose sender reads the answer: a batch of the queue, or one request.
pub async fn handle(deps: &Deps, event: Value) -> Value {
    match event.get("Records").and_then(Value::as_array) {
        Some(records) => json!({"batchItemFailures": queue::handle(deps, records).await}),
        None => https::handle(deps, &event).await,
    }
}

/// Stores what came and says so.
async fn store(deps: &Deps, notified: Vec<Notified>) -> Result<Ingested, InboundError> {
    let ingested = aws::notified(&deps.database, &deps.mailroom, notified).await?;
    deps.media.announce(&ingested.media).await;
    tracing::info!(
        messages = ingested.messages,
        statuses = ingested.statuses,
        quarantined = ingested.quarantined,
        "notifications"
    );
    Ok(ingested)
}
