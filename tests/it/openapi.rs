//! docs/openapi.json says what programs may call: made of the routes and the types, and held against what serde takes and against
//! every call that the tests make.

mod document;

use crate::event_files::files;
use comms_core::automation::batches::{MoreRecipients, NewBatch};
use comms_core::automation::request::{
    NotificationRequest, PreviewRequest, RequestedRecipient, parse,
};
use comms_core::automation::{
    RecipientAnswer, RecipientOutcome, RunAnswer, RunContext, RunStatus, SkipReason, Skipped, Who,
};
use comms_core::model::{Channel, MessageId, RunId};
use comms_core::platform::hasura::ActionError;
use document::{ERRORS, document};
use jsonschema::Validator;
use notifications::{ROUTES, WorkflowError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use time::OffsetDateTime;
use time::macros::datetime;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
const NOW: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);
const SOMEBODY: &str = "0192f000-0000-7000-8000-0000000000c1";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(&goldens()));

fn goldens() -> Vec<(String, Value)> {
    let files = files("notifications").into_iter();
    files
        .map(|(case, text)| (case, serde_json::from_str(&text).unwrap()))
        .collect()
}

fn text() -> String {
    format!("{:#}\n", *DOCUMENT)
}

#[test]
fn the_document_is_what_the_routes_and_types_say() {
    assert!(
        std::fs::read_to_string(FILE).unwrap() == text(),
        "docs/openapi.json is not what the routes and types say: \
         cargo test --workspace --locked --test it -- --ignored write_the_openapi_document"
    );
}

#[test]
#[ignore = "writes docs/openapi.json; for whoever changed a route or a type"]
fn write_the_openapi_document() {
    std::fs::write(FILE, text()).unwrap();
}

/// Validates what `schema` says, which may refer to the document's components.
fn validator(schema: &Value) -> Validator {
    let root = json!({"components": DOCUMENT["components"], "allOf": [schema]});
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&root)
        .unwrap()
}

fn named(name: &str) -> Validator {
    validator(&json!({"$ref": format!("#/components/schemas/{name}")}))
}

fn complaints(schema: &Value, value: &Value) -> Vec<String> {
    validator(schema)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// What the document says of a call; `None` for what is not served.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let same = |own: &str| {
        let (own, path): (Vec<&str>, Vec<&str>) =
            (own.split('/').collect(), path.split('/').collect());
        let part = |(own, part): (&&str, &&str)| own == part || own.starts_with('{');
        own.len() == path.len() && own.iter().zip(&path).all(part)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    let mut calls = paths.filter(|(own, _)| same(own));
    calls.find_map(|(_, calls)| calls.get(method.to_lowercase()))
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

/// Holds a call against the document: its answer, and where it was served also its body.
pub fn keeps(method: &str, path: &str, body: &str, (status, answer): (u16, &Value)) {
    let Some(operation) = operation(method, path) else {
        assert_eq!(status, 404, "{method} {path} is not in the document");
        return;
    };
    let response = resolved(&operation["responses"][status.to_string()]);
    assert!(response.is_object(), "{method} {path} answers {status}");
    let schema = &response["content"]["application/json"]["schema"];
    let wrong = complaints(schema, answer);
    assert_eq!(wrong, [""; 0], "{method} {path} answers {status}: {answer}");
    let taken = &operation["requestBody"]["content"]["application/json"]["schema"];
    if status == 200 && taken.is_object() {
        let wrong = complaints(taken, &serde_json::from_str(body).unwrap());
        assert_eq!(wrong, [""; 0], "{method} {path} takes {body}");
    }
}

#[test]
fn every_route_is_in_the_document_and_every_reference_leads_somewhere() {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let calls = paths.values().flat_map(|calls| calls.as_object().unwrap());
    let ids: BTreeSet<&str> = calls
        .map(|(_, operation)| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), ROUTES.len());
    for route in ROUTES {
        let path = format!("/api/{}", route.path);
        let said = &operation(route.method, &path).unwrap()["security"];
        assert_eq!(*said, json!([{"token": [route.scope.as_str()]}]), "{path}");
    }
    let mut left = vec![&*DOCUMENT];
    let mut references = 0;
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    assert!(DOCUMENT.pointer(&reference[1..]).is_some(), "{reference}");
                    references += 1;
                }
                left.extend(members.values());
            }
            _ => {}
        }
    }
    assert!(references > 50, "{references}");
}

fn golden(case: &str) -> Value {
    let goldens = goldens();
    let (_, event) = goldens.iter().find(|(name, _)| name == case).unwrap();
    serde_json::from_str(event["body"].as_str().unwrap()).unwrap()
}

fn reads<T: for<'de> Deserialize<'de>>(value: &Value) -> bool {
    parse::<T>(value.to_string().as_bytes()).is_ok()
}

/// Does the service take it, as far as it says so without looking anything up?
fn takes(request: &Value) -> bool {
    let read = parse::<NotificationRequest>(request.to_string().as_bytes());
    read.and_then(|request| request.check(NOW)).is_ok()
}

#[test]
fn golden_requests_keep_the_document_unless_something_is_wrong_with_them() {
    let goldens = goldens();
    assert!(!goldens.is_empty());
    for (case, event) in goldens {
        let (method, path) = event["routeKey"].as_str().unwrap().split_once(' ').unwrap();
        let operation = operation(method, path).unwrap();
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        let right = case != "create-wrong-phone";
        assert_eq!(complaints(schema, &body).is_empty(), right, "{case}");
    }
}

/// A request with every member that can stand beside the others.
fn whole() -> Value {
    let mut whole = golden("create");
    let more = json!({
        "tenant_id": SOMEBODY, "run_id": SOMEBODY, "locale": "es-MX", "category": "OTP", "channels": ["WHATSAPP", "SMS"],
        "send_at": "2026-12-01T09:00:00+01:00", "expires_at": "2026-12-01T12:00:00.5Z", "context": {"trip_id": SOMEBODY}
    });
    let members = whole.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    whole
}

/// What is done to a request, by JSON pointer.
type Mutant = (&'static str, Value);

fn mutated((pointer, value): &Mutant) -> Value {
    let mut request = whole();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[name] = value.clone();
    request
}

#[test]
fn the_document_takes_what_the_service_takes() {
    let validator = named("NotificationRequest");
    let right: [Mutant; 11] = [
        ("/idempotency_key", json!("~".repeat(128))),
        ("/trigger_event", json!("A_1")),
        ("/locale", json!("deu")),
        ("/category", Value::Null),
        ("/channels", Value::Null),
        (
            "/recipients",
            json!([{"driver_id": SOMEBODY, "locale": null}]),
        ),
        (
            "/recipients",
            json!([{"contact_id": SOMEBODY, "timezone": "Europe/Madrid"}]),
        ),
        (
            "/recipients",
            json!([{"phone": "+34 (600) 11-12.22"}, {"email": "ana@example.org"}]),
        ),
        (
            "/recipients",
            json!(vec![json!({"phone": "+4930123456"}); 1_000]),
        ),
        ("/send_at", json!("2026-01-01T00:00:00Z")),
        ("/context", json!({})),
    ];
    for mutant in right {
        let request = mutated(&mutant);
        let verdicts = (validator.is_valid(&request), takes(&request));
        assert_eq!(verdicts, (true, true), "{mutant:?}");
    }
}

#[test]
fn the_document_refuses_nothing_but_what_the_service_refuses() {
    let validator = named("NotificationRequest");
    let wrong: [Mutant; 30] = [
        ("/idempotency_key", json!("")),
        ("/idempotency_key", json!("a b")),
        ("/idempotency_key", json!("ñ")),
        ("/idempotency_key", json!("k".repeat(129))),
        ("/trigger_event", json!("AB")),
        ("/trigger_event", json!("Trip")),
        ("/trigger_event", json!("_TRIP")),
        ("/trigger_event", json!("T".repeat(65))),
        ("/tenant_id", json!("a")),
        ("/run_id", json!(7)),
        ("/audience", json!("EVERYBODY")),
        ("/channels", json!([])),
        ("/channels", json!(["FAX"])),
        ("/channels", json!(["SMS", "SMS"])),
        ("/category", json!("SPAM")),
        ("/locale", json!("spanish")),
        ("/locale", json!("es-419")),
        ("/send_at", json!("tomorrow")),
        ("/send_at", json!("2026-12-01T09:00:00")),
        ("/variables", json!([])),
        ("/context/bus_id", json!(SOMEBODY)),
        ("/context/trip_id", json!("a")),
        ("/fax", json!(null)),
        ("/recipients", json!([])),
        (
            "/recipients",
            json!(vec![json!({"phone": "+4930123456"}); 1_001]),
        ),
        ("/recipients", json!([{"phone": "600111222"}])),
        ("/recipients", json!([{"phone": "+0600111222"}])),
        ("/recipients", json!([{"email": "ana"}])),
        (
            "/recipients",
            json!([{"phone": "+34600111222", "fax": "1"}]),
        ),
        (
            "/recipients",
            json!([{"phone": "+34600111222", "name": "n".repeat(201)}]),
        ),
    ];
    for mutant in wrong {
        let request = mutated(&mutant);
        let verdicts = (validator.is_valid(&request), takes(&request));
        assert_eq!(verdicts, (false, false), "{mutant:?}");
    }
}

/// Every member taken away, null, of another type; and one too many.
fn agree(name: &str, sample: &Value, takes: impl Fn(&Value) -> bool) {
    let validator = named(name);
    let agreed = |value: &Value| {
        let allowed = validator.is_valid(value);
        assert_eq!(allowed, takes(value), "{name}: {value}");
        allowed
    };
    assert!(agreed(sample), "{name}: {sample}");
    let mut more = sample.clone();
    more["one_too_many"] = json!(1);
    assert!(!agreed(&more), "{name}");
    let schema = &DOCUMENT["components"]["schemas"][name];
    for member in schema["properties"].as_object().unwrap().keys() {
        let mut less = sample.clone();
        less.as_object_mut().unwrap().remove(member);
        agreed(&less);
        // Looked at by itself, when the batch is made.
        if member != "message" {
            for value in [Value::Null, json!(1.5)] {
                let mut other = sample.clone();
                other[member] = value;
                agreed(&other);
            }
        }
    }
}

#[test]
fn the_document_and_serde_agree_on_every_member() {
    let request = whole();
    agree("NotificationRequest", &request, takes);
    agree(
        "RequestedRecipient",
        &request["recipients"][0],
        reads::<RequestedRecipient>,
    );
    agree("RunContext", &request["context"], reads::<RunContext>);
    agree(
        "PreviewRequest",
        &golden("preview"),
        reads::<PreviewRequest>,
    );
    agree("NewBatch", &golden("create-batch"), reads::<NewBatch>);
    let more = json!({"after": 2, "recipients": [{"contact_id": SOMEBODY}]});
    agree("MoreRecipients", &more, reads::<MoreRecipients>);
    let failed = json!({"workflow": "reminders", "execution_id": "7"});
    agree("WorkflowError", &failed, reads::<WorkflowError>);
}

#[test]
fn a_batch_says_nothing_twice_and_its_audience_is_one() {
    let validator = named("NewBatch");
    let batch = golden("create-batch");
    let with = |pointer: &str, value: Value| {
        let mut batch = batch.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        batch.pointer_mut(parent).unwrap()[name] = value;
        validator.is_valid(&batch)
    };
    for own in [
        "tenant_id",
        "idempotency_key",
        "run_id",
        "audience",
        "recipients",
    ] {
        assert!(!with(&format!("/message/{own}"), Value::Null), "{own}");
    }
    assert!(with("/message/locale", json!("es")));
    assert!(with("/audience", json!({"contacts": {"kind": "CUSTOMER"}})));
    let from = "2026-12-01T00:00:00Z";
    let trips = json!({"trips": {"departing_from": from, "departing_until": from}});
    assert!(with("/audience", trips));
    let half = json!({"trips": {"departing_from": from}});
    for audience in [
        half,
        json!({"contacts": {"age": 1}}),
        json!({"everybody": {}}),
        json!({}),
    ] {
        assert!(!with("/audience", audience.clone()), "{audience}");
        let mut batch = batch.clone();
        batch["audience"] = audience;
        assert!(!reads::<NewBatch>(&batch), "{batch}");
    }
}

#[test]
fn answers_and_errors_have_their_form_and_no_other() {
    let answer = json!(RunAnswer {
        run_id: RunId::generate(),
        status: RunStatus::HandedOver,
        recipients: vec![RecipientAnswer {
            who: Who::Listed(0),
            outcome: RecipientOutcome::Queued,
            send_at: Some(NOW),
            message_id: Some(MessageId::generate()),
            reason: None,
            skipped: vec![Skipped {
                channel: Channel::WhatsApp,
                reason: SkipReason::NoTemplate,
                detail: None,
            }],
        }],
    });
    let validator = named("RunAnswer");
    assert!(validator.is_valid(&answer), "{answer}");
    let wrong: [Mutant; 6] = [
        ("/run_id", json!("a")),
        ("/status", json!("DONE")),
        ("/recipients/0/outcome", Value::Null),
        ("/recipients/0/send_at", json!("now")),
        ("/recipients/0/driver_id", json!(SOMEBODY)),
        ("/recipients/0/skipped/0/reason", json!("NO_TIME")),
    ];
    for (pointer, value) in wrong {
        let mut answer = answer.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = answer.pointer_mut(parent).unwrap();
        parent[name] = value;
        assert!(!validator.is_valid(&answer), "{answer}");
    }
    let validator = named("Error");
    for error in [
        ActionError::invalid("locale: must be a language"),
        ActionError::unavailable(),
        ActionError::internal(),
        ActionError::conflict("after: the batch has 2 recipients by now")
            .with_details(json!({"field": "after", "recipients": 2})),
    ] {
        let body: Value = serde_json::from_str(error.response().body()).unwrap();
        assert!(validator.is_valid(&body), "{body}");
        assert!(ERRORS.iter().any(|(_, code, _)| *code == error.code));
    }
    let odd = json!({"message": "no", "extensions": {"code": "odd", "retryable": false}});
    assert!(!validator.is_valid(&odd));
}
