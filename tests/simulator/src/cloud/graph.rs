//! The face of onboarding: tokens, numbers, subscriptions and templates of business accounts.
//!
//! A script comes first, then the rules: version, proof, token, account, the hourly limit, and the edge's own.

use super::errors::ApiError;
use super::{answer, answer_with, files, hold_back, is_version};
use crate::business::GraphCall;
use crate::business::edges::{Cut, Override};
use crate::line::Line;
use crate::number::is_on_this_machine;
use crate::script::Answer;
use crate::state::{Shared, State as Known, new_wamid};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Response, Uri};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Items of a page where nothing is said.
const ITEMS: usize = 25;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/{version}/oauth/access_token", get(edge))
        .route("/{version}/debug_token", get(edge))
        .route("/{version}/{node}", get(node))
        .route("/{version}/{node}/phone_numbers", get(edge))
        .route("/{version}/{node}/register", post(edge))
        .route("/{version}/{node}/deregister", post(edge))
        .route(
            "/{version}/{node}/subscribed_apps",
            post(edge).get(edge).delete(edge),
        )
        .route(
            "/{version}/{node}/message_templates",
            post(edge).get(edge).delete(edge),
        )
}

/// A call as it came in.
struct Incoming {
    edge: String,
    method: Method,
    /// Empty for the calls about tokens.
    id: String,
    token: Option<String>,
    query: HashMap<String, String>,
    /// `null` where there was no JSON.
    body: Value,
}

type Asked = Query<HashMap<String, String>>;

/// `/{version}/{node}/{edge}`, or without a node where it is about tokens.
async fn edge(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    Query(query): Asked,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let segments: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let edge = segments.last().copied().unwrap_or_default();
    let id = match edge {
        "access_token" | "debug_token" => "",
        _ => segments.get(1).copied().unwrap_or_default(),
    };
    let incoming = Incoming {
        edge: edge.to_owned(),
        method,
        id: id.to_owned(),
        token: bearer(&headers),
        query,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let version = segments.first().copied().unwrap_or_default();
    call(&shared, line, version, incoming).await
}

/// A number of an account, or a file.
async fn node(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    Path((version, id)): Path<(String, String)>,
    Query(query): Asked,
    headers: HeaderMap,
) -> Response<Body> {
    if !shared.read(|known| known.businesses.home(&id).is_ok()) {
        return files::resolve(&shared, &version, &id, &query, &headers).await;
    }
    let incoming = Incoming {
        edge: "number".to_owned(),
        method: Method::GET,
        id,
        token: bearer(&headers),
        query,
        body: Value::Null,
    };
    call(&shared, line, &version, incoming).await
}

async fn call(
    shared: &Arc<Shared>,
    line: Line,
    version: &str,
    incoming: Incoming,
) -> Response<Body> {
    if !is_version(version) {
        return said(Err(ApiError::new(2500, "Unknown path components.")));
    }
    let script = shared.update(|known| {
        let businesses = &mut known.businesses;
        businesses.take_script(&incoming.edge, incoming.method.as_str())
    });
    let script = script.unwrap_or_default();
    let outcome = match &script.answer {
        Answer::Accept
        | Answer::Bare { accepted: true, .. }
        | Answer::HangUp { accepted: true } => done(shared, &incoming).await,
        Answer::Fail {
            code,
            http_status,
            subcode,
            is_transient,
            retry_after,
        } => {
            let usual = ApiError::new(*code, "As scripted.");
            Err(ApiError {
                http_status: http_status.unwrap_or(usual.http_status),
                subcode: *subcode,
                is_transient: *is_transient,
                retry_after: *retry_after,
                ..usual
            })
        }
        Answer::Bare { .. } | Answer::HangUp { .. } => Ok(Value::Null),
    };
    let code = outcome.as_ref().err().map(|error| error.code);
    shared.update(|known| {
        let proven = known.proof(&incoming) == Some(true);
        known.businesses.calls.push(GraphCall {
            edge: incoming.edge,
            method: incoming.method.to_string(),
            id: incoming.id,
            proven,
            code,
        });
    });
    hold_back(shared, Duration::from_millis(script.delay_ms)).await;
    match script.answer {
        Answer::HangUp { .. } => line.cut().await,
        Answer::Bare {
            http_status,
            body,
            retry_after,
            ..
        } => answer(http_status, "text/html", body, retry_after),
        _ => said(outcome),
    }
}

/// Does what is asked. An override alone takes two steps, because nothing is locked while its callback is asked.
async fn done(shared: &Shared, incoming: &Incoming) -> Result<Value, ApiError> {
    let wanted = shared.update(|known| {
        known.allowed(incoming)?;
        match (incoming.edge.as_str(), &incoming.method) {
            ("subscribed_apps", &Method::POST) => {
                known.wanted_override(&incoming.id, &incoming.body)
            }
            _ => Ok(None),
        }
    })?;
    let uri = match wanted {
        Some(wanted) => Some(verified(shared, wanted).await?),
        None => None,
    };
    shared.update(|known| known.perform(incoming, uri))
}

/// The handshake: the callback must give a fresh challenge back. Nothing is asked beyond this machine.
async fn verified(shared: &Shared, wanted: Override) -> Result<String, ApiError> {
    let refused = |why: &str| ApiError::new(100, &format!("Callback verification failed: {why}"));
    if !is_on_this_machine(&wanted.uri) {
        return Err(refused("not a loopback host"));
    }
    let challenge = new_wamid();
    let mut url = reqwest::Url::parse(&wanted.uri).map_err(|_| refused("not a URL"))?;
    url.query_pairs_mut()
        .append_pair("hub.mode", "subscribe")
        .append_pair("hub.verify_token", &wanted.verify_token)
        .append_pair("hub.challenge", &challenge);
    let request = shared.http.get(url);
    let response = request.send().await.map_err(|_| refused("no answer"))?;
    let is_ok = response.status() == 200;
    let text = response.text().await.unwrap_or_default();
    if is_ok && text == challenge {
        Ok(wanted.uri)
    } else {
        Err(refused("the challenge did not come back"))
    }
}

impl Known {
    /// Whether the call carries the right proof; `None`: it carries none.
    fn proof(&self, incoming: &Incoming) -> Option<bool> {
        let proof = incoming.query.get("appsecret_proof")?;
        let token = incoming.token.as_deref().unwrap_or_default();
        let right = crate::webhook::sign(self.app_secret(), token.as_bytes());
        Some(right.strip_prefix("sha256=") == Some(proof.as_str()))
    }

    /// What comes before the edge's own rules.
    fn allowed(&mut self, incoming: &Incoming) -> Result<(), ApiError> {
        if incoming.id.is_empty() {
            return Ok(());
        }
        let Some(token) = incoming.token.as_deref() else {
            return Err(ApiError::new(190, "An access token is required."));
        };
        let unproven = self.businesses.wants_proof.then_some(false);
        if self.proof(incoming).or(unproven) == Some(false) {
            return Err(ApiError::new(
                104,
                "The proof of the app's secret is missing or wrong.",
            ));
        }
        let about_a_number = ["number", "register", "deregister"];
        if about_a_number.contains(&incoming.edge.as_str()) {
            let home = self.businesses.home(&incoming.id)?;
            return self.businesses.may_manage(token, &home);
        }
        self.businesses.may_manage(token, &incoming.id)?;
        self.businesses.count(&incoming.id)
    }

    fn perform(&mut self, incoming: &Incoming, uri: Option<String>) -> Result<Value, ApiError> {
        let (id, query) = (incoming.id.as_str(), &incoming.query);
        match (incoming.edge.as_str(), incoming.method.as_str()) {
            ("access_token", _) => self.exchange(query),
            ("debug_token", _) => self.inspect(query),
            ("phone_numbers", _) => self.list_numbers(id, &cut(query)),
            ("number", _) => self.read_number(id),
            ("register", _) => self.register_number(id, &incoming.body),
            ("deregister", _) => self.deregister_number(id),
            ("subscribed_apps", "POST") => self.subscribe(id, uri),
            ("subscribed_apps", "DELETE") => self.unsubscribe(id),
            ("subscribed_apps", _) => self.subscriptions(id),
            ("message_templates", "POST") => self.create_template(id, &incoming.body),
            ("message_templates", "DELETE") => {
                let name = query.get("name").map(String::as_str).unwrap_or_default();
                self.delete_template(id, name, query.get("hsm_id").map(String::as_str))
            }
            _ => self.list_templates(id, &cut(query)),
        }
    }

    fn exchange(&mut self, query: &HashMap<String, String>) -> Result<Value, ApiError> {
        let of = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let app_id = self.app_id().to_owned();
        if of("client_id") != app_id || of("client_secret") != self.app_secret() {
            let details = format!(
                "client_id or client_secret is wrong: {}",
                of("client_secret")
            );
            return Err(ApiError::new(100, &details));
        }
        self.businesses.exchange(&app_id, of("code"))
    }

    fn inspect(&self, query: &HashMap<String, String>) -> Result<Value, ApiError> {
        let of = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let ours = format!("{}|{}", self.app_id(), self.app_secret());
        if of("access_token") == ours {
            Ok(self.businesses.inspect(of("input_token")))
        } else {
            let details = format!("The access token is not the app's: {}", of("access_token"));
            Err(ApiError::new(190, &details))
        }
    }
}

fn cut(query: &HashMap<String, String>) -> Cut {
    let limit = query.get("limit").and_then(|limit| limit.parse().ok());
    Cut {
        limit: limit.unwrap_or(ITEMS).max(1),
        after: query.get("after").cloned(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

fn said(outcome: Result<Value, ApiError>) -> Response<Body> {
    let json = "application/json";
    match outcome {
        Ok(body) => answer(200, json, body.to_string(), None),
        Err(error) => {
            let usage = error.regained_after.as_ref().map(|(id, minutes)| {
                let kind = json!({ "type": "whatsapp_business_management", "call_count": 100,
                    "total_cputime": 1, "total_time": 1, "estimated_time_to_regain_access": minutes });
                json!({ id: [kind] }).to_string()
            });
            let headers: Vec<(&'static str, String)> = usage
                .map(|usage| ("x-business-use-case-usage", usage))
                .into_iter()
                .collect();
            answer_with(
                error.http_status,
                json,
                error.body().to_string(),
                error.retry_after,
                &headers,
            )
        }
    }
}
