//! The face of files: `GET /{version}/{media_id}` and the download behind its answer.

use super::{answer, hold_back, is_version};
use crate::media::MediaReply;
use crate::state::{Shared, now_ms};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use axum::http::{HeaderMap, Response};
use axum::routing::get;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/_media/{segment}", get(download))
}

/// `GET /{version}/{media_id}`; the path is `graph`'s, for a number has the same.
pub(super) async fn resolve(
    shared: &Shared,
    version: &str,
    media_id: &str,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
) -> Response<Body> {
    if !is_version(version) {
        return answer(404, "text/html", String::new(), None);
    }
    let base = format!("http://{}", text(headers, HOST).unwrap_or_default());
    let number = query.get("phone_number_id").map(String::as_str);
    let (reply, delay) =
        shared.update(|state| state.resolve(media_id, number, bearer(headers), &base, now_ms()));
    hold_back(shared, Duration::from_millis(delay)).await;
    said(reply)
}

async fn download(
    State(shared): State<Arc<Shared>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let (reply, delay) =
        shared.update(|state| state.download(&segment, bearer(&headers), now_ms()));
    hold_back(&shared, Duration::from_millis(delay)).await;
    said(reply)
}

fn said(reply: MediaReply) -> Response<Body> {
    match reply {
        MediaReply::Json(status, body) => {
            answer(status, "application/json", body.to_string(), None)
        }
        MediaReply::Bare(status) => answer(status, "text/html", "not here".to_owned(), None),
        MediaReply::Redirect(location) => {
            let mut response = answer(302, "text/html", String::new(), None);
            if let Ok(location) = location.parse() {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
        MediaReply::Bytes { mime_type, bytes } => {
            let mut response = Response::new(Body::from(bytes));
            if let Ok(mime_type) = mime_type.parse() {
                response.headers_mut().insert(CONTENT_TYPE, mime_type);
            }
            response
        }
    }
}

fn text(headers: &HeaderMap, name: axum::http::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    text(headers, AUTHORIZATION)?.strip_prefix("Bearer ")
}
