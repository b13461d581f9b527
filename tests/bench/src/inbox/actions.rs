//! The actions under load: the very binary that is deployed, on a copy of the large inbox.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    http::Request,
    proc,
    rounds::Measured,
    settings::InboxSettings,
    step, stubs,
    wire::{Row, Server},
    worker::{Round, Sandbox},
};

const SECRET: &str = "secret-of-the-benchmark";

/// An action, and which conversations it is tried on.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    Claim,
    Send,
    MarkRead,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Claim => "claimConversation",
            Self::Send => "sendAgentMessage",
            Self::MarkRead => "markConversationRead",
        }
    }

    /// `tenant_id, id, user_id` of conversations, each once.
    fn conversations(self, number: usize) -> String {
        let (holder, which) = match self {
            // Of nobody's, for agents in turn.
            Self::Claim => (
                "replace(tenant_id::text, '00000000a00', '000e0') || lpad((row_number() over (order by md5(id::text)) % 40)::text, 6, '0')",
                "assigned_to is null",
            ),
            Self::Send | Self::MarkRead => ("assigned_to::text", "assigned_to is not null"),
        };
        format!(
            "select tenant_id, id, {holder} from communications.conversations
              where status = 'OPEN' and {which} order by md5(id::text) limit {number}"
        )
    }

    fn input(self, conversation: &str, number: usize) -> Value {
        match self {
            Self::Claim | Self::MarkRead => json!({"conversation_id": conversation}),
            Self::Send => json!({
                "conversation_id": conversation, "client_message_id": format!("bench-{number}"),
                "content": {"text": "Su autobús sale a las 08:45 desde el andén 12."},
            }),
        }
    }
}

pub struct Acted {
    pub action: Action,
    pub requests: usize,
    pub measured: Measured,
    /// The shortest first.
    pub latencies: Vec<Duration>,
}

/// Each action on conversations of its own; all on one copy, which is gone afterwards.
pub fn act(settings: &InboxSettings, server: &Server) -> Result<Vec<Acted>> {
    step("Copying the large inbox for the actions");
    let copy = &settings.copy;
    let mut maintenance = server.connect("postgres")?;
    maintenance.query(&format!("drop database if exists {copy} with (force)"))?;
    maintenance.query(&format!(
        "create database {copy} template {} strategy file_copy",
        settings.large
    ))?;
    let backend = maintenance.value("select pg_backend_pid()")?.parse()?;
    let postmaster = proc::parent(backend)?;
    let aws = format!("http://{}", stubs::start()?.aws);
    let mut all = Vec::new();
    for action in [Action::Claim, Action::Send, Action::MarkRead] {
        step(&format!("{} under load", action.name()));
        let events = events(server, copy, action, settings.requests)?;
        let requests = events.len();
        let round = Round::new(events.into_iter(), refused, None);
        let running = (0..settings.sandboxes)
            .map(|number| sandbox(settings, &round, number, &aws))
            .collect::<Result<Vec<Sandbox>>>()?;
        let measured = Measured::of(&round, &running, postmaster)?;
        drop(running);
        all.push(Acted {
            action,
            requests,
            measured,
            latencies: round.latencies(),
        });
    }
    maintenance.query(&format!("drop database {copy} with (force)"))?;
    Ok(all)
}

fn events(
    server: &Server,
    database: &str,
    action: Action,
    requests: usize,
) -> Result<Vec<Arc<str>>> {
    let rows = server
        .connect(database)?
        .query(&action.conversations(requests))?;
    if rows.is_empty() {
        bail!("no conversation for {}", action.name());
    }
    rows.iter()
        .enumerate()
        .map(|(number, row)| event(action, row, number))
        .collect()
}

/// As API Gateway's HTTP API hands Hasura's call to Lambda.
fn event(action: Action, row: &Row, number: usize) -> Result<Arc<str>> {
    let [Some(tenant), Some(conversation), Some(user)] = row.as_slice() else {
        bail!("a conversation without an id");
    };
    let body = json!({
        "action": {"name": action.name()}, "input": action.input(conversation, number), "request_query": "mutation { … }",
        "session_variables": {"x-hasura-role": "dispatcher", "x-hasura-tenant-id": tenant, "x-hasura-user-id": user},
    })
    .to_string();
    let event = json!({
        "version": "2.0", "routeKey": "POST /api/hasura/actions", "rawPath": "/api/hasura/actions", "rawQueryString": "",
        "headers": {
            "accept": "*/*", "content-type": "application/json", "content-length": body.len().to_string(),
            "host": "api.example", "user-agent": "hasura-graphql-engine/v2.48.10-ce", "nhost-webhook-secret": SECRET,
            "x-forwarded-for": "203.0.113.9", "x-forwarded-port": "443", "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api.example", "domainPrefix": "api",
            "http": {"method": "POST", "path": "/api/hasura/actions", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9",
                     "userAgent": "hasura-graphql-engine"},
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "POST /api/hasura/actions", "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_428_000_000_i64,
        },
        "body": body, "isBase64Encoded": false,
    });
    Ok(event.to_string().into())
}

fn sandbox(settings: &InboxSettings, round: &Round, number: usize, aws: &str) -> Result<Sandbox> {
    let log = settings.out.join(format!("inbox-{number}.log"));
    let database = format!(
        "postgres://postgres@127.0.0.1:{}/{}?sslmode=disable",
        settings.postgres_port, settings.copy
    );
    let secrets = json!([SECRET]).to_string();
    let queue = |lane: &str| format!("{aws}/0/{lane}");
    let environment = [
        (
            "AWS_LAMBDA_FUNCTION_NAME",
            "communications-inbox-actions".to_owned(),
        ),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        (
            "AWS_LAMBDA_LOG_GROUP_NAME",
            "/aws/lambda/communications-inbox-actions".to_owned(),
        ),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
        ("AWS_ENDPOINT_URL", aws.to_owned()),
        ("DATABASE_URL", database),
        ("HASURA_SECRETS", secrets),
        ("INTERACTIVE_QUEUE_URL", queue("interactive")),
        ("TRANSACTIONAL_QUEUE_URL", queue("transactional")),
        ("BULK_QUEUE_URL", queue("bulk")),
        ("MEDIA_BUCKET", "bench".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    let function = settings.function.as_ref().context("no function to run")?;
    Sandbox::start(function, &environment, &log, round, number, || {})
}

/// Everything is answered with 200 here.
fn refused(request: &Request) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body);
    let answer: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    (!request.line.contains("/response ") || answer["statusCode"] != 200)
        .then(|| format!("the action is not answered with 200: {body}"))
}
