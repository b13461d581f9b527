//! The control API under `/_sim/`: what [`crate::Simulator`] does, for programs outside this process.
//!
//! A wrong body is answered with 400 and `{"error": …}` that names the field.

mod onboarding;

use crate::poster::{self, Posting};
use crate::state::{Shared, State as Known};
use crate::webhook::Inbound;
use crate::{
    Call, Delivery, Media, MediaCall, MediaScript, Number, Receipt, Refused, Script, StatusStep,
};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The largest inbound file, in base64.
const UPLOAD_LIMIT: usize = 140 * 1024 * 1024;

type Answer = Result<Json<Value>, BadRequest>;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/_sim/health",
            get(async || Json(json!({ "status": "ok" }))),
        )
        .route("/_sim/numbers", post(register))
        .route("/_sim/script", post(script))
        .route("/_sim/calls", get(calls))
        .route("/_sim/receipts", get(receipts))
        .route("/_sim/webhooks", get(webhooks))
        .route("/_sim/inbound", post(inbound))
        .route("/_sim/statuses", post(statuses))
        .route(
            "/_sim/media",
            post(upload)
                .get(media_calls)
                .layer(DefaultBodyLimit::max(UPLOAD_LIMIT)),
        )
        .route("/_sim/media/script", post(script_media))
        .route("/_sim/media/expire", post(expire_media))
        .merge(onboarding::routes())
        .route("/_sim/reset", post(reset))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusesRequest {
    wamid: String,
    statuses: Vec<StatusStep>,
}

/// What has ended for a file: its URLs alone, or the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpireRequest {
    media_id: String,
    #[serde(default)]
    urls_only: bool,
}

/// For a question that may have to wait for its answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patience {
    /// Wait for so many calls.
    #[serde(default)]
    at_least: usize,
    /// Wait until no webhook is pending.
    #[serde(default)]
    settled: bool,
    /// Answer with what there is after this.
    #[serde(default = "ten_seconds")]
    within_ms: u64,
}

fn ten_seconds() -> u64 {
    10_000
}

async fn register(State(shared): State<Arc<Shared>>, Body(number): Body<Number>) -> Answer {
    number.check()?;
    let id = number.phone_number_id.clone();
    shared.update(|known| known.register(number));
    Ok(Json(json!({ "phone_number_id": id })))
}

async fn script(State(shared): State<Arc<Shared>>, Body(script): Body<Script>) -> Answer {
    let queued = shared.update(|known| {
        known.scripts.push(script);
        known.scripts.len()
    });
    Ok(Json(json!({ "queued": queued })))
}

async fn calls(
    State(shared): State<Arc<Shared>>,
    Params(patience): Params<Patience>,
) -> Json<Vec<Call>> {
    let enough = |known: &Known| (known.calls.len() >= patience.at_least).then_some(());
    patience.wait(shared.wait_for(enough)).await;
    Json(shared.read(|known| known.calls.clone()))
}

async fn webhooks(
    State(shared): State<Arc<Shared>>,
    Params(patience): Params<Patience>,
) -> Json<Vec<Delivery>> {
    if patience.settled {
        patience.wait(shared.wait_for(Known::settled)).await;
    }
    Json(shared.read(|known| known.deliveries.clone()))
}

/// The members of [`Inbound`] with `phone_number_id` among them.
async fn inbound(
    State(shared): State<Arc<Shared>>,
    Body(mut request): Body<Map<String, Value>>,
) -> Answer {
    let Some(Value::String(number)) = request.remove("phone_number_id") else {
        return Err(BadRequest(
            "phone_number_id: a string is required".to_owned(),
        ));
    };
    let inbound: Inbound = serde_json::from_value(request.into())
        .map_err(|error| BadRequest(format!("inbound: {error}")))?;
    let posting = shared.update(|known| known.inbound(&number, &inbound))?;
    Ok(posted(&shared, posting, json!({ "id": inbound.id })))
}

async fn statuses(
    State(shared): State<Arc<Shared>>,
    Body(request): Body<StatusesRequest>,
) -> Answer {
    let posting = shared.update(|known| known.report(&request.wamid, &request.statuses))?;
    Ok(posted(&shared, posting, json!({ "wamid": request.wamid })))
}

/// The answer is the webhook's media object, to be put into a message for `/_sim/inbound`.
async fn upload(State(shared): State<Arc<Shared>>, Body(media): Body<Media>) -> Answer {
    let object = shared.update(|known| {
        let id = known.upload(media)?;
        known.media_object(&id)
    });
    Ok(Json(object?))
}

async fn receipts(State(shared): State<Arc<Shared>>) -> Json<Vec<Receipt>> {
    Json(shared.read(|known| known.receipts.clone()))
}

async fn media_calls(State(shared): State<Arc<Shared>>) -> Json<Vec<MediaCall>> {
    Json(shared.read(|known| known.media.calls.clone()))
}

async fn script_media(
    State(shared): State<Arc<Shared>>,
    Body(script): Body<MediaScript>,
) -> Answer {
    let queued = shared.update(|known| {
        known.media_object(&script.media_id)?;
        known.media.scripts.push(script);
        Ok::<_, Refused>(known.media.scripts.len())
    });
    Ok(Json(json!({ "queued": queued? })))
}

async fn expire_media(
    State(shared): State<Arc<Shared>>,
    Body(request): Body<ExpireRequest>,
) -> Answer {
    let id = &request.media_id;
    shared.update(|known| {
        known.media_object(id)?;
        if request.urls_only {
            known.expire_urls(id);
            Ok(())
        } else {
            known.forget(id)
        }
    })?;
    Ok(Json(json!({ "media_id": id })))
}

async fn reset(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.update(Known::reset);
    Json(json!({ "status": "ok" }))
}

/// Starts the posting and answers at once, with the ids to look for in `/_sim/webhooks`.
fn posted(shared: &Arc<Shared>, posting: Posting, mut answer: Value) -> Json<Value> {
    answer["deliveries"] = posting.deliveries.iter().map(|(id, _)| json!(id)).collect();
    tokio::spawn(poster::post_in_order(Arc::clone(shared), posting));
    Json(answer)
}

impl Patience {
    /// Too late is no error: the caller sees what there is.
    async fn wait<T>(&self, fact: impl Future<Output = T>) {
        drop(tokio::time::timeout(Duration::from_millis(self.within_ms), fact).await);
    }
}

/// A JSON body.
struct Body<T>(T);

/// Query parameters.
struct Params<T>(T);

struct BadRequest(String);

impl<T, S> FromRequest<S> for Body<T>
where
    Json<T>: FromRequest<S, Rejection = JsonRejection>,
    S: Send + Sync,
{
    type Rejection = BadRequest;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, BadRequest> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(BadRequest(rejection.body_text())),
        }
    }
}

impl<T, S> FromRequestParts<S> for Params<T>
where
    Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
    S: Send + Sync,
{
    type Rejection = BadRequest;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, BadRequest> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(BadRequest(rejection.body_text())),
        }
    }
}

impl From<Refused> for BadRequest {
    fn from(Refused(reason): Refused) -> Self {
        Self(reason)
    }
}

impl IntoResponse for BadRequest {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": self.0 }))).into_response()
    }
}
