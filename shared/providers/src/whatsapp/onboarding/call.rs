//! One call of the Graph API on an operator's behalf, and what is kept of its answer.

use super::faults::{self, Step};
use super::{Answered, OnboardingClient};
use crate::ProvisionError;
use crate::provision::{self, NO_ANSWER};
use crate::whatsapp::send::answer::{Answer, GraphError};
use crate::whatsapp::send::{bearer, checked_id};
use aws_lc_rs::hmac;
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// A page of fifty templates, each with all its texts.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

impl OnboardingClient {
    /// The URL of a node or of an edge of one. Ids of another shape could name another node.
    pub(super) fn url(&self, step: Step, segments: &[&str]) -> Answered<Url> {
        for segment in segments {
            checked_id(segment).map_err(|_| faults::ours(step, "invalid-id"))?;
        }
        Ok(self.base.below(segments))
    }

    /// A request with the operator's token, and with the proof that it was given to our app.
    pub(super) fn authorised(
        &self,
        step: Step,
        method: Method,
        mut url: Url,
        token: &SecretString,
    ) -> Answered<RequestBuilder> {
        let authorization = bearer(token).map_err(|_| faults::ours(step, "invalid-token"))?;
        url.query_pairs_mut()
            .append_pair("appsecret_proof", &self.proof(token));
        Ok(self
            .http
            .request(method, url)
            .header(AUTHORIZATION, authorization))
    }

    /// HMAC-SHA256 of the token with the app's secret, in hex.
    fn proof(&self, token: &SecretString) -> String {
        let secret = self.app.app_secret.expose_secret().as_bytes();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hex::encode(hmac::sign(&key, token.expose_secret().as_bytes()))
    }

    /// Makes the call and reads what `wanted` finds in the body of a success. `secrets` are what the request held
    /// beside the app's secret; none of them is in an error.
    pub(super) async fn call<T>(
        &self,
        step: Step,
        request: RequestBuilder,
        secrets: &[&SecretString],
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> Answered<T> {
        let outcome = match Answer::receive_up_to(BODY_LIMIT, request).await {
            Ok(answer) => self.read(step, &answer, secrets, wanted),
            // Which phase it broke in makes no difference: the step may be made again.
            Err(fault) if fault.is_timeout() => Err(NO_ANSWER.error(step.as_str(), "timeout")),
            Err(_) => Err(NO_ANSWER.error(step.as_str(), "transport")),
        };
        if let Err(error) = &outcome {
            tracing::info!(
                step = step.as_str(),
                class = error.class.as_str(),
                code = error.code,
                subcode = error.subcode,
                "Meta refused a step of onboarding",
            );
        }
        outcome
    }

    fn read<T>(
        &self,
        step: Step,
        answer: &Answer,
        secrets: &[&SecretString],
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> Answered<T> {
        let (status, wish) = answer.head();
        let body = answer.json();
        let error = body.as_ref().and_then(|body| body.get("error"));
        if let Some(error) = error.and_then(GraphError::read) {
            let fault = faults::classify(step, &error);
            let secrets: Vec<&str> = std::iter::once(&self.app.app_secret)
                .chain(secrets.iter().copied())
                .map(ExposeSecret::expose_secret)
                .collect();
            return Err(ProvisionError {
                subcode: error.subcode.and_then(|code| u32::try_from(code).ok()),
                message: provision::without_secrets(&error.text, &secrets),
                wait: fault.wait.max(wish),
                ..fault.error(step.as_str(), error.code.to_string())
            });
        }
        match body.as_ref().and_then(wanted) {
            Some(found) if status.is_success() => Ok(found),
            _ => Err(ProvisionError {
                wait: wish,
                ..NO_ANSWER.error(step.as_str(), format!("http-{}", status.as_u16()))
            }),
        }
    }
}

/// `{"success": true}`.
pub(super) fn success(body: &Value) -> Option<()> {
    body["success"].as_bool().filter(|done| *done).map(drop)
}

/// A text that is not empty.
pub(super) fn text(body: &Value, pointer: &str) -> Option<String> {
    crate::json::text(body, pointer).map(str::to_owned)
}
