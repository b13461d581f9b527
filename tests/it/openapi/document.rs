//! The document, put together: the function's routes, the types that it reads and writes, and what neither of them can say.

use comms_core::automation::RunAnswer;
use comms_core::automation::batches::{
    BatchRecipients, BatchState, MOST_A_PAGE, MoreRecipients, NewBatch,
};
use comms_core::automation::request::{
    CancelledRun, NotificationRequest, PreviewRequest, Previewed, RunState,
};
use notifications::{Call, OfBatch, ROUTES, Route, WorkflowError};
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Statuses of refusals and failures, with their code and what it means.
pub const ERRORS: [(u16, &str, &str); 8] = [
    (
        400,
        "validation-failed",
        "What is asked for is wrong; the message begins with the field.",
    ),
    (401, "unauthorized", "The token is missing, or nobody's."),
    (
        403,
        "forbidden",
        "The token lacks the scope, or is another tenant's.",
    ),
    (
        404,
        "not-found",
        "What the path or the request names is not there.",
    ),
    (
        409,
        "conflict",
        "The key was used for another request, or the state does not allow it.",
    ),
    (413, "too-large", "The body is longer than four megabytes."),
    (500, "internal", "A fault of the service's."),
    (
        503,
        "unavailable",
        "The database is away: the same call may succeed later.",
    ),
];

/// Every call may end in these.
const ALWAYS: [u16; 5] = [400, 401, 403, 500, 503];

/// What a call takes and answers.
struct Operation {
    id: &'static str,
    summary: &'static str,
    body: Option<Value>,
    answer: Value,
    /// Beside those that every call may end in.
    errors: &'static [u16],
}

/// Schemas by name, of what is read and of what is written.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into());
        Self {
            read: settings.clone().for_deserialize().into_generator(),
            written: settings.for_serialize().into_generator(),
        }
    }

    fn read<T: JsonSchema>(&mut self) -> Value {
        self.read.subschema_for::<T>().to_value()
    }

    fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// What is read and written has one form.
    fn all(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        for (name, schema) in self.written.take_definitions(true) {
            let known = all.insert(name.clone(), schema.clone());
            assert!(
                known.is_none_or(|known| known == schema),
                "two forms of {name}"
            );
        }
        all
    }
}

pub fn document(goldens: &[(String, Value)]) -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = format!("/api/{}", route.path);
        let operation = operation(&mut schemas, (route.call)(Uuid::nil()));
        let written = written(route, operation, goldens);
        let calls = paths.entry(path).or_insert_with(|| json!({}));
        let known = calls
            .as_object_mut()
            .unwrap()
            .insert(route.method.to_lowercase(), written);
        assert!(known.is_none(), "{} {} twice", route.method, route.path);
    }
    let mut schemas = schemas.all();
    schemas.insert("Error".to_owned(), error());
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Communications",
            "version": "1",
            "description": "Notifications and batches for programs. A schema says what can be said of one member; \
                            what compares members or looks something up is said by a 400 that names the field.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{
            "url": "https://{api}",
            "description": "The output ApiUrl of the stack.",
            "variables": {"api": {"default": "api1234567.execute-api.eu-central-1.amazonaws.com"}}
        }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {"tenant_id": {
                "name": "tenant_id",
                "in": "query",
                "description": "The token says it; only a client of the platform's must.",
                "schema": {"type": "string", "format": "uuid"}
            }},
            "responses": responses(),
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "What createApiClient answers once, `comms_…`. Its scopes: `notifications:read` for previews and what became \
                                of runs and batches, `notifications:write` for requests, `batches:write` for batches. \
                                Each call names the one that it takes."
            }}
        }
    })
}

fn operation(schemas: &mut Schemas, call: Call) -> Operation {
    match call {
        Call::Create => Operation {
            id: "createNotification",
            summary: "Takes a request in, once, and says what became of each recipient.",
            body: Some(schemas.read::<NotificationRequest>()),
            answer: schemas.written::<RunAnswer>(),
            errors: &[404, 409, 413],
        },
        Call::Preview => Operation {
            id: "previewNotification",
            summary: "Renders a trigger's templates and names missing variables; stores nothing.",
            body: Some(schemas.read::<PreviewRequest>()),
            answer: schemas.written::<Previewed>(),
            errors: &[404, 413],
        },
        Call::State(_) => Operation {
            id: "getRun",
            summary: "The run, with the status of each recipient's message as it is now.",
            body: None,
            answer: schemas.written::<RunState>(),
            errors: &[404],
        },
        Call::Cancel(_) => Operation {
            id: "cancelRun",
            summary: "Nothing more of the run leaves. The same call again answers the same.",
            body: None,
            answer: schemas.written::<CancelledRun>(),
            errors: &[404, 409],
        },
        Call::OrchestratorError => Operation {
            id: "reportOrchestratorError",
            summary: "Says that a workflow failed, and raises an alarm.",
            body: Some(schemas.read::<WorkflowError>()),
            answer: json!({
                "type": "object",
                "properties": {"outcome": {"const": "noted"}},
                "required": ["outcome"]
            }),
            errors: &[413],
        },
        Call::CreateBatch => Operation {
            id: "createBatch",
            summary: "Makes a batch, once. The same again answers it as it stands.",
            body: Some(schemas.read::<NewBatch>()),
            answer: schemas.written::<BatchState>(),
            errors: &[404, 409, 413],
        },
        Call::Outcomes(_) => Operation {
            id: "getBatchRecipients",
            summary: "What became of its recipients, page by page, in their order.",
            body: None,
            answer: schemas.written::<BatchRecipients>(),
            errors: &[404],
        },
        Call::Batch(_, what) => of_batch(schemas, what),
    }
}

fn of_batch(schemas: &mut Schemas, what: OfBatch) -> Operation {
    let (id, summary, errors): (_, _, &[u16]) = match what {
        OfBatch::State => ("getBatch", "The batch as it stands.", &[404]),
        OfBatch::Add => (
            "addRecipients",
            "Puts more recipients at the end of a batch that is OPEN.",
            &[404, 409, 413],
        ),
        OfBatch::Start => ("startBatch", "No more recipients are coming.", &[404, 409]),
        OfBatch::Pause => (
            "pauseBatch",
            "Nothing of it leaves until it is resumed.",
            &[404, 409],
        ),
        OfBatch::Resume => ("resumeBatch", "It goes on where it stood.", &[404, 409]),
        OfBatch::Cancel => ("cancelBatch", "Nothing more of it leaves, ever.", &[404]),
    };
    Operation {
        id,
        summary,
        body: (what == OfBatch::Add).then(|| schemas.read::<MoreRecipients>()),
        answer: schemas.written::<BatchState>(),
        errors,
    }
}

fn written(route: &Route, operation: Operation, goldens: &[(String, Value)]) -> Value {
    let mut responses = json!({"200": {
        "description": "Done.",
        "content": {"application/json": {"schema": operation.answer}}
    }});
    for (status, code, _) in ERRORS {
        if ALWAYS.contains(&status) || operation.errors.contains(&status) {
            responses[status.to_string()] =
                json!({"$ref": format!("#/components/responses/{code}")});
        }
    }
    let ids = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = ids
        .map(|id| json!({"name": id, "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}}))
        .collect();
    if operation.body.is_none() {
        parameters.push(json!({"$ref": "#/components/parameters/tenant_id"}));
    }
    if operation.id == "getBatchRecipients" {
        parameters.extend(page());
    }
    let mut written = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "security": [{"token": [route.scope]}],
        "responses": responses
    });
    if !parameters.is_empty() {
        written["parameters"] = json!(parameters);
    }
    if let Some(schema) = operation.body {
        let content = json!({"schema": schema, "examples": examples(route, goldens)});
        written["requestBody"] =
            json!({"required": true, "content": {"application/json": content}});
    }
    written
}

/// Which of many.
fn page() -> [Value; 2] {
    let one = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    [
        one(
            "after",
            "The place of the first: `next` of the page before.",
            json!({"type": "integer", "minimum": 0, "default": 0}),
        ),
        one(
            "limit",
            "How many at most.",
            json!({"type": "integer", "minimum": 1, "maximum": MOST_A_PAGE, "default": MOST_A_PAGE}),
        ),
    ]
}

/// The bodies of events/notifications/ that are for this route and nothing is wrong with.
fn examples(route: &Route, goldens: &[(String, Value)]) -> Map<String, Value> {
    let key = format!("{} /api/{}", route.method, route.path);
    let own = goldens
        .iter()
        .filter(|(case, event)| event["routeKey"] == key && !case.contains("wrong"));
    own.map(|(case, event)| {
        let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        (case.clone(), json!({"value": body}))
    })
    .collect()
}

fn error() -> Value {
    let codes = ERRORS.map(|(_, code, _)| code);
    json!({
        "description": "Why there is nothing else.",
        "type": "object",
        "properties": {
            "message": {"type": "string", "description": "For people; where a field is wrong, it comes first."},
            "extensions": {
                "type": "object",
                "properties": {
                    "code": {"type": "string", "enum": codes},
                    "retryable": {"type": "boolean", "description": "May the same call succeed later without anybody changing anything?"},
                    "field": {"type": "string", "description": "The path of what is wrong, such as `recipients[1].phone`."},
                    "missing": {"type": "array", "items": {"type": "string"}, "description": "Of variables: all that templates use and nobody gives, such as `trip.code`."},
                    "recipients": {"type": "integer", "description": "Where `after` is wrong: how many the batch has by now."}
                },
                "required": ["code", "retryable"]
            }
        },
        "required": ["message", "extensions"]
    })
}

fn responses() -> Map<String, Value> {
    let one = |(_, code, meaning): (u16, &str, &str)| {
        let schema = json!({"$ref": "#/components/schemas/Error"});
        let content = json!({"application/json": {"schema": schema}});
        let response = json!({"description": meaning, "content": content});
        (code.to_owned(), response)
    };
    ERRORS.into_iter().map(one).collect()
}
