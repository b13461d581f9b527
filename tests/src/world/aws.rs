//! AWS tells the first operator's service something: by its topic, by its logs, by a mail in its bucket.

use super::{REPLY_TOKEN_SECRET, World, setting};
use crate::seed::Operator;
use aws_events::Deps;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use comms_core::dispatch::{Adapters, Worker};
use comms_core::inbound::Ingested;
use comms_core::inbound::mail::Mailroom;
use comms_core::inbound::replay::Replayed;
use comms_core::platform::clock;
use comms_core::platform::config::Secret;
use comms_core::platform::{Aws, Database, MediaQueue, Queues};
use comms_providers::http::{GraphUrl, client};
use comms_providers::ses::reply_token;
use comms_providers::sns::{Certificates, Hosts, Policy, Versions};
use comms_providers::whatsapp::WhatsAppClient;
use quarantine_replay::ReplayError;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

pub const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:communications-provider-events";

/// What `aws-events` stands on here.
pub(super) fn deps(database: Database, aws: &Aws, media: MediaQueue) -> Deps {
    let http = client().unwrap();
    Deps {
        database,
        mailroom: mailroom(aws),
        media,
        policy: Policy {
            topics: vec![TOPIC.to_owned()],
            versions: Versions::FirstAndSecond,
        },
        certificates: Certificates::new(http.clone(), Hosts::Amazon),
        hosts: Hosts::Amazon,
        http,
        clock: clock::now,
    }
}

pub(super) fn mailroom(aws: &Aws) -> Mailroom {
    Mailroom {
        aws: aws.clone(),
        bucket: setting("MAIL_BUCKET"),
        reply_secrets: Secret::of(
            "REPLY_TOKEN_SECRETS",
            format!("[\"{REPLY_TOKEN_SECRET}\"]").into(),
        ),
    }
}

/// A mail as it arrives: to whom, and the bytes.
#[derive(Debug, Clone)]
pub struct Letter {
    pub recipients: Vec<String>,
    pub raw: String,
    /// Where a bounce of it would go; `<>` is nobody.
    pub source: String,
    /// Over the verdicts of a mail that is as it should be.
    pub receipt: Value,
    /// SES's id; the same mail told again keeps it.
    pub id: String,
}

impl Letter {
    /// A plain one.
    #[must_use]
    pub fn new(from: &str, to: &str, subject: &str, text: &str) -> Self {
        let id = Uuid::now_v7().simple().to_string();
        Self {
            raw: format!(
                "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{id}@mail.example>\r\n\
                 Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
            ),
            recipients: vec![to.to_owned()],
            source: "somebody@example.org".to_owned(),
            receipt: json!({}),
            id,
        }
    }

    /// With another header line.
    #[must_use]
    pub fn with_header(self, line: &str) -> Self {
        Self {
            raw: format!("{line}\r\n{}", self.raw),
            ..self
        }
    }

    fn notice(&self, key: &str) -> Value {
        let passed = json!({"status": "PASS"});
        let mut receipt = json!({
            "timestamp": "2026-11-23T10:00:00.000Z", "processingTimeMillis": 200, "recipients": self.recipients,
            "spamVerdict": passed, "virusVerdict": passed, "spfVerdict": passed, "dkimVerdict": passed, "dmarcVerdict": passed,
            "action": {"type": "S3", "topicArn": TOPIC, "bucketName": setting("MAIL_BUCKET"), "objectKey": key}
        });
        for (name, value) in self.receipt.as_object().unwrap() {
            receipt[name] = value.clone();
        }
        json!({
            "notificationType": "Received", "receipt": receipt,
            "mail": {"timestamp": "2026-11-23T10:00:00.000Z", "source": self.source, "messageId": self.id,
                     "destination": self.recipients, "headersTruncated": false, "headers": [], "commonHeaders": {}}
        })
    }
}

/// The record of a queue with a message of our topic.
#[must_use]
pub fn record(id: usize, message: &str) -> Value {
    let envelope = json!({
        "Type": "Notification", "MessageId": Uuid::now_v7(), "TopicArn": TOPIC, "Message": message,
        "Timestamp": "2026-11-23T10:00:00.000Z", "SignatureVersion": "2", "Signature": "", "SigningCertURL": ""
    });
    json!({"messageId": format!("record-{id}"), "eventSource": "aws:sqs", "body": envelope.to_string(), "attributes": {}})
}

impl World {
    /// A worker whose texts and mails the simulator takes, which knows what was provisioned there; the emulator has no End User Messaging.
    pub async fn simulated_worker(&self) -> Worker {
        let aws = Aws::from(super::simulated(&self.aws, &self.simulator.url()).await);
        let graph = GraphUrl::parse(&format!("{}/v26.0", self.simulator.url())).unwrap();
        Worker {
            database: self.database(),
            queues: Queues::single(&self.aws, &self.queue_url),
            adapters: Adapters::new(
                &aws,
                self.vault(),
                super::reply_secrets(),
                WhatsAppClient::new(client().unwrap(), graph),
            ),
        }
    }

    /// AWS tells these by the topic, in one batch. Answers the records that must come again.
    pub async fn aws_tells(&self, messages: &[Value]) -> Vec<Value> {
        let records: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(place, message)| record(place, &message.to_string()))
            .collect();
        let answer = aws_events::handle(&self.aws_events, json!({"Records": records})).await;
        answer["batchItemFailures"].as_array().unwrap().clone()
    }

    /// Mails arrive: SES stores them and tells.
    pub async fn mails_arrive(&self, letters: &[Letter]) -> Vec<Value> {
        let mut notices = Vec::new();
        for letter in letters {
            let key = format!("in/{}", letter.id);
            let put = self
                .aws
                .s3()
                .await
                .put_object()
                .bucket(setting("MAIL_BUCKET"))
                .key(&key);
            put.body(letter.raw.clone().into_bytes().into())
                .send()
                .await
                .unwrap();
            notices.push(letter.notice(&key));
        }
        self.aws_tells(&notices).await
    }

    pub async fn mail_arrives(&self, letter: &Letter) {
        assert_eq!(
            self.mails_arrive(std::slice::from_ref(letter)).await,
            Vec::<Value>::new()
        );
    }

    /// A mail arrives inside its notice: SES's SNS action.
    pub async fn mail_arrives_in_its_notice(&self, letter: &Letter) {
        let mut notice = letter.notice("");
        notice["receipt"]["action"] =
            json!({"type": "SNS", "topicArn": TOPIC, "encoding": "BASE64"});
        notice["content"] = json!(STANDARD.encode(&letter.raw));
        assert_eq!(self.aws_tells(&[notice]).await, Vec::<Value>::new());
    }

    /// SNS writes these lines into its log. Answers how many reports were new.
    pub async fn sms_log_says(&self, lines: &[Value]) -> usize {
        self.sms_log(&crate::calls::sms_log(lines)).await.statuses
    }

    /// CloudWatch Logs hands over an event.
    pub async fn sms_log(&self, event: &Value) -> Ingested {
        let deps = sms_receipts::Deps {
            database: self.database(),
        };
        sms_receipts::handle(&deps, event).await.unwrap()
    }

    /// An operator replays quarantine.
    pub async fn replays(&self, selection: &Value) -> Replayed {
        self.tries_to_replay(selection).await.unwrap()
    }

    pub async fn tries_to_replay(&self, selection: &Value) -> Result<Replayed, ReplayError> {
        let deps = quarantine_replay::Deps {
            database: self.database(),
            mailroom: mailroom(&self.aws),
            media: MediaQueue::at(&self.aws, &self.media_queue_url),
        };
        quarantine_replay::handle(&deps, selection).await
    }
}

/// Where an answer to a message of the operator goes.
#[must_use]
pub fn reply_address(operator: &Operator, message: Uuid) -> String {
    let local = reply_token::sign(
        &SecretString::from(REPLY_TOKEN_SECRET),
        operator.tenant.0,
        message,
    );
    format!("{local}@{}", operator.mail_domain())
}
