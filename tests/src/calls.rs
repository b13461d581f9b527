//! The calls that reach the functions, as API Gateway and SQS hand them over.

use aws_lambda_events::sqs::SqsEvent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use comms_core::model::{DispatchMessageJob, FetchMediaJob, TenantId, UserId};
use comms_core::platform::hasura::SECRET_HEADER;
use comms_simulator::SignedWebhook;
use lambda_http::Request;
use serde_json::{Value, json};
use std::io::Write;
use uuid::Uuid;

/// An API Gateway HTTP API event (payload 2.0) as the function's request.
#[must_use]
pub fn http(
    method: &str,
    path: &str,
    parameters: &Value,
    query: &[(&str, &str)],
    headers: &Value,
    body: &str,
) -> Request {
    let query_string = reqwest::Url::parse_with_params("http://x", query).unwrap();
    let query: serde_json::Map<String, Value> = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let event = json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": query_string.query().unwrap_or_default(),
        "queryStringParameters": query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "localhost", "domainPrefix": "api",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"},
            "requestId": "request", "routeKey": format!("{method} {path}"), "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_428_000_000_i64
        },
        "pathParameters": parameters,
        "body": body,
        "isBase64Encoded": false
    });
    lambda_http::request::from_str(&event.to_string()).unwrap()
}

/// An event trigger call's body, member for member as Hasura sends it.
#[must_use]
pub fn event_trigger(id: Uuid, trigger: &str, old: &Value, new: &Value) -> Value {
    json!({
        "id": id,
        "created_at": "2026-11-23T10:00:00.000000",
        "trigger": {"name": trigger},
        "table": {"schema": "operations", "name": "trips"},
        "event": {
            "op": "UPDATE",
            "session_variables": {"x-hasura-role": "operations"},
            "data": {"old": old, "new": new},
            "trace_context": null
        },
        "delivery_info": {"current_retry": 0, "max_retries": 10}
    })
}

/// An action call's body.
#[must_use]
pub fn action(name: &str, tenant: TenantId, user: UserId, role: &str, input: &Value) -> Value {
    json!({
        "action": {"name": name},
        "input": input,
        "session_variables": {
            "x-hasura-role": role, "x-hasura-tenant-id": tenant.to_string(), "x-hasura-user-id": user.to_string()
        },
        "request_query": "mutation { … }"
    })
}

#[must_use]
pub fn from_hasura(path: &str, secret: &str, body: &Value) -> Request {
    let headers = json!({"content-type": "application/json", "user-agent": "hasura-graphql-engine/v2.48.0", SECRET_HEADER: secret});
    http("POST", path, &json!({}), &[], &headers, &body.to_string())
}

#[must_use]
pub fn from_meta(tenant: TenantId, webhook: &SignedWebhook) -> Request {
    let path = format!("/api/webhooks/meta/{tenant}");
    posted_by_meta(&path, &json!({"tenant_id": tenant}), webhook)
}

/// Meta's call of the app's own callback.
#[must_use]
pub fn from_meta_to_app(webhook: &SignedWebhook) -> Request {
    posted_by_meta("/api/webhooks/meta", &json!({}), webhook)
}

fn posted_by_meta(path: &str, parameters: &Value, webhook: &SignedWebhook) -> Request {
    let headers =
        json!({"content-type": "application/json", "x-hub-signature-256": webhook.signature});
    let body = String::from_utf8(webhook.body.clone()).unwrap();
    http("POST", path, parameters, &[], &headers, &body)
}

/// A body as Meta would sign it.
#[must_use]
pub fn signed_by_meta(app_secret: &str, body: &Value) -> SignedWebhook {
    let body = body.to_string().into_bytes();
    SignedWebhook {
        signature: comms_simulator::sign(app_secret, &body),
        body,
    }
}

/// An SQS batch with these bodies; record `n` has the id `record-n`.
#[must_use]
pub fn sqs(bodies: &[String]) -> SqsEvent {
    let records: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| json!({"messageId": format!("record-{index}"), "receiptHandle": "r", "body": body, "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs"}))
        .collect();
    serde_json::from_value(json!({"Records": records})).unwrap()
}

#[must_use]
pub fn batch(jobs: &[DispatchMessageJob]) -> SqsEvent {
    sqs(&jobs
        .iter()
        .map(DispatchMessageJob::body)
        .collect::<Vec<_>>())
}

/// An event of CloudWatch Logs with these lines.
#[must_use]
pub fn sms_log(lines: &[Value]) -> Value {
    let events: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(place, line)| json!({"id": place.to_string(), "timestamp": 1_795_428_005_000_i64, "message": line.to_string()}))
        .collect();
    let log = json!({
        "messageType": "DATA_MESSAGE", "owner": "000000000000", "logStream": "s", "subscriptionFilters": ["receipts"],
        "logGroup": "sns/us-east-1/000000000000/DirectPublishToPhoneNumber", "logEvents": events
    });
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(log.to_string().as_bytes()).unwrap();
    json!({"awslogs": {"data": STANDARD.encode(packed.finish().unwrap())}})
}

#[must_use]
pub fn media_batch(jobs: &[FetchMediaJob]) -> SqsEvent {
    sqs(&jobs.iter().map(FetchMediaJob::body).collect::<Vec<_>>())
}
