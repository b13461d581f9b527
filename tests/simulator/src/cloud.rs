//! The face of the Cloud API: `POST /{version}/{phone_number_id}/messages`, in `files` what is fetched, and in
//! `graph` what connects an account.

mod check;
mod decide;
pub(crate) mod errors;
mod files;
mod graph;

use crate::line::Line;
use crate::poster;
use crate::state::Shared;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use decide::{Incoming, Reply};
use errors::ApiError;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/{version}/{phone_number_id}/messages", post(send))
        .merge(files::routes())
        .merge(graph::routes())
}

async fn send(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    Path((version, phone_number_id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if !is_version(&version) {
        let error = ApiError::new(2500, "Unknown path components.");
        return answer(
            error.http_status,
            "application/json",
            error.body().to_string(),
            None,
        );
    }
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let incoming = Incoming {
        phone_number_id: &phone_number_id,
        token,
        body,
    };
    let plan = shared.update(|state| decide::decide(state, &incoming));
    if let Some(posting) = plan.posting {
        let posted = poster::post_in_order(Arc::clone(&shared), posting);
        if plan.statuses_first {
            posted.await;
        } else {
            tokio::spawn(posted);
        }
    }
    hold_back(&shared, plan.delay).await;
    match plan.reply {
        Reply::Json {
            http_status,
            body,
            retry_after,
        } => answer(
            http_status,
            "application/json",
            body.to_string(),
            retry_after,
        ),
        Reply::Bare {
            http_status,
            body,
            retry_after,
        } => answer(http_status, "text/html", body, retry_after),
        Reply::HangUp => line.cut().await,
    }
}

/// Such as `v26.0`.
fn is_version(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    parts.is_some_and(|(major, minor)| number(major) && number(minor))
}

/// A scripted delay; stopping the simulator ends it.
async fn hold_back(shared: &Shared, delay: Duration) {
    if delay.is_zero() {
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = shared.stopped() => {}
    }
}

fn answer(
    http_status: u16,
    content_type: &str,
    body: String,
    retry_after: Option<u32>,
) -> Response<Body> {
    answer_with(http_status, content_type, body, retry_after, &[])
}

fn answer_with(
    http_status: u16,
    content_type: &str,
    body: String,
    retry_after: Option<u32>,
    headers: &[(&'static str, String)],
) -> Response<Body> {
    let mut response = Response::builder()
        .status(http_status)
        .header(CONTENT_TYPE, content_type);
    if let Some(seconds) = retry_after {
        response = response.header(RETRY_AFTER, seconds);
    }
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    // Only a scripted status outside 100..=999 is no response; it shows as a plain 500.
    response.body(Body::from(body)).unwrap_or_else(|error| {
        let mut response = Response::new(Body::from(error.to_string()));
        *response.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
