//! The control API of business accounts, of SES and of SMS.

use super::{Answer, Body, posted};
use crate::state::{Shared, State as Known};
use crate::{
    AwsCall, AwsScript, DomainState, GraphCall, GraphScript, Refused, Review, SentEmail, SentText,
    Signup, SmsSender, Waba,
};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_sim/app", post(app))
        .route("/_sim/wabas", post(plant))
        .route("/_sim/signup", post(sign_up))
        .route("/_sim/tokens/revoke", post(revoke))
        .route("/_sim/secrets", get(secrets))
        .route("/_sim/time", post(pass))
        .route("/_sim/graph", get(graph_calls))
        .route("/_sim/graph/script", post(script_graph))
        .route("/_sim/templates/review", post(review))
        .route("/_sim/announce", post(announce))
        .route("/_sim/aws", get(aws_calls))
        .route("/_sim/aws/script", post(script_aws))
        .route("/_sim/aws/emails", get(emails))
        .route("/_sim/aws/domains", post(move_domain))
        .route("/_sim/aws/tenants", post(judge))
        .route("/_sim/aws/senders", post(lease))
        .route("/_sim/aws/texts", get(texts))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppRequest {
    #[serde(default)]
    callback_url: Option<String>,
    #[serde(default)]
    want_proof: bool,
}

/// One of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeRequest {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    waba_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeRequest {
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnounceRequest {
    waba_id: String,
    field: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgeRequest {
    tenant: String,
    status: String,
}

type Handle = State<Arc<Shared>>;

async fn app(State(shared): Handle, Body(request): Body<AppRequest>) -> Answer {
    shared.update(|known| {
        known.businesses.wants_proof = request.want_proof;
        match &request.callback_url {
            Some(url) => known.set_app_callback(url),
            None => Ok(()),
        }
    })?;
    Ok(ok())
}

async fn plant(State(shared): Handle, Body(waba): Body<Waba>) -> Answer {
    let id = waba.waba_id.clone();
    shared.update(|known| known.plant(waba))?;
    Ok(Json(json!({ "waba_id": id })))
}

async fn sign_up(State(shared): Handle, Body(signup): Body<Signup>) -> Answer {
    let code = shared.update(|known| known.businesses.sign_up(signup))?;
    Ok(Json(json!({ "code": code })))
}

async fn revoke(State(shared): Handle, Body(request): Body<RevokeRequest>) -> Answer {
    let revoked = shared.update(|known: &mut Known| match (request.token, request.waba_id) {
        (Some(token), None) => {
            known.revoke(&token);
            Ok(1)
        }
        (None, Some(waba_id)) => Ok(known.revoke_all(&waba_id)),
        _ => Err(Refused(
            "token: one of token and waba_id is required".to_owned(),
        )),
    })?;
    Ok(Json(json!({ "revoked": revoked })))
}

async fn secrets(State(shared): Handle) -> Json<Vec<String>> {
    Json(shared.read(|known| known.businesses.secrets()))
}

async fn pass(State(shared): Handle, Body(request): Body<TimeRequest>) -> Answer {
    shared.update(|known| known.businesses.pass(Duration::from_secs(request.seconds)));
    Ok(ok())
}

async fn graph_calls(State(shared): Handle) -> Json<Vec<GraphCall>> {
    Json(shared.read(|known| known.businesses.calls.clone()))
}

async fn script_graph(State(shared): Handle, Body(script): Body<GraphScript>) -> Answer {
    shared.update(|known| known.businesses.scripts.push(script));
    Ok(ok())
}

async fn review(State(shared): Handle, Body(review): Body<Review>) -> Answer {
    let posting = shared.update(|known| known.review(&review))?;
    Ok(posted(&shared, posting, json!({ "name": review.name })))
}

async fn announce(State(shared): Handle, Body(request): Body<AnnounceRequest>) -> Answer {
    let news = [(request.field.as_str(), request.value)];
    let posting = shared.update(|known| known.announce(&request.waba_id, &news));
    Ok(posted(
        &shared,
        posting,
        json!({ "waba_id": request.waba_id }),
    ))
}

async fn aws_calls(State(shared): Handle) -> Json<Vec<AwsCall>> {
    Json(shared.read(|known| known.ses.calls.clone()))
}

async fn script_aws(State(shared): Handle, Body(script): Body<AwsScript>) -> Answer {
    shared.update(|known| known.ses.scripts.push(script));
    Ok(ok())
}

async fn emails(State(shared): Handle) -> Json<Vec<SentEmail>> {
    Json(shared.read(|known| known.ses.emails.clone()))
}

async fn move_domain(State(shared): Handle, Body(state): Body<DomainState>) -> Answer {
    shared.update(|known| known.ses.move_domain(state))?;
    Ok(ok())
}

async fn judge(State(shared): Handle, Body(request): Body<JudgeRequest>) -> Answer {
    shared.update(|known| known.ses.judge(&request.tenant, &request.status))?;
    Ok(ok())
}

async fn texts(State(shared): Handle) -> Json<Vec<SentText>> {
    Json(shared.read(|known| known.sms.texts.clone()))
}

async fn lease(State(shared): Handle, Body(sender): Body<SmsSender>) -> Answer {
    shared.update(|known| known.sms.senders.push(sender));
    Ok(ok())
}

fn ok() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}
