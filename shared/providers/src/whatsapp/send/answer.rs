//! What Meta's answer to a send means.
//!
//! A body that is Meta's own decides, whatever the HTTP status: a message id is an acceptance, an error envelope
//! is classified by its code. Without such a body the status is all there is. A 4xx (or a redirect) was turned
//! away by something in front of the API, so the message is known not accepted and may be tried again; a 2xx or
//! a 5xx leaves open whether the API behind it did its work.

use crate::whatsapp::codes::{self, Hints};
use crate::{Accepted, OutcomeClass, Refusal, SendOutcome, http};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;
use std::time::Duration;

/// Meta's answers are below 2 kB; whatever is longer is not one.
const BODY_LIMIT: usize = 64 * 1024;

/// Says how far the limits of a business are used up.
const USAGE: &str = "x-business-use-case-usage";

/// An answer that has been received whole.
pub(in crate::whatsapp) struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// What Meta says of a fault.
pub(in crate::whatsapp) struct GraphError {
    pub code: i64,
    pub subcode: Option<i64>,
    pub is_transient: bool,
    /// Its texts, one after the other; they may quote what was sent.
    pub text: String,
}

impl Answer {
    /// Makes the call and reads the body, up to a limit.
    pub(in crate::whatsapp) async fn receive(
        request: reqwest::RequestBuilder,
    ) -> Result<Self, reqwest::Error> {
        Self::receive_up_to(BODY_LIMIT, request).await
    }

    /// As [`Self::receive`], for answers that may be longer than a send's.
    pub(in crate::whatsapp) async fn receive_up_to(
        limit: usize,
        request: reqwest::RequestBuilder,
    ) -> Result<Self, reqwest::Error> {
        let mut response = request.send().await?;
        let mut body = Vec::new();
        while body.len() <= limit {
            match response.chunk().await? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => break,
            }
        }
        Ok(Self {
            status: response.status(),
            retry_after: retry_after(response.headers()),
            body,
        })
    }

    pub(super) fn outcome(&self) -> SendOutcome {
        match self.read(acceptance) {
            Ok(accepted) => SendOutcome::Accepted(accepted),
            Err(refusal) => SendOutcome::Refused(refusal),
        }
    }

    /// What `wanted` finds in the body of a success; everything else is a refusal.
    pub(in crate::whatsapp) fn read<T>(
        &self,
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, Refusal> {
        let body = self.json();
        let error = body.as_ref().and_then(|body| body.get("error"));
        if let Some(refusal) = error.and_then(|error| self.provider_refusal(error)) {
            return Err(refusal);
        }
        match body.as_ref().and_then(wanted) {
            Some(found) if self.status.is_success() => Ok(found),
            _ => Err(self.bodiless_refusal()),
        }
    }

    /// HTTP status, and the provider's wish to wait.
    pub(in crate::whatsapp) fn head(&self) -> (StatusCode, Option<Duration>) {
        (self.status, self.retry_after)
    }

    /// The body, if it is JSON.
    pub(in crate::whatsapp) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn provider_refusal(&self, error: &Value) -> Option<Refusal> {
        let GraphError {
            code,
            subcode,
            is_transient,
            ..
        } = GraphError::read(error)?;
        let hints = Hints {
            subcode,
            is_transient,
        };
        let verdict = codes::classify(code, hints);
        let reason = format!("{} (Meta {code})", verdict.meaning);
        Some(Refusal {
            retry_after: self.retry_after.max(verdict.wait),
            max_attempts: verdict.max_attempts,
            opt_out: verdict.opt_out,
            ..Refusal::new(verdict.class, code.to_string(), reason)
        })
    }

    fn bodiless_refusal(&self) -> Refusal {
        let status = self.status.as_u16();
        let refusal = if self.status.is_client_error() || self.status.is_redirection() {
            let reason = format!("turned away with HTTP {status} before the provider's API");
            Refusal::new(OutcomeClass::Retryable, format!("http-{status}"), reason)
        } else {
            let reason = format!("HTTP {status} without an answer of the provider's API");
            Refusal::new(OutcomeClass::Ambiguous, "no-provider-body", reason)
        };
        Refusal {
            retry_after: self.retry_after,
            ..refusal
        }
    }
}

impl GraphError {
    /// Reads the `error` of `{"error": {code, error_subcode?, is_transient?, …}}`; every other member may have any
    /// shape.
    pub(in crate::whatsapp) fn read(error: &Value) -> Option<Self> {
        let texts = [
            error.get("message"),
            error.get("error_user_msg"),
            error.pointer("/error_data/details"),
            error.get("error_data"),
        ];
        let texts: Vec<&str> = texts
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        Some(Self {
            code: integer(error.get("code")?)?,
            subcode: error.get("error_subcode").and_then(integer),
            is_transient: error
                .get("is_transient")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
            text: texts.join(": "),
        })
    }
}

/// Only the id matters; a strange `contacts` must not turn an acceptance into a doubt.
fn acceptance(body: &Value) -> Option<Accepted> {
    let text = |path| {
        body.pointer(path)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    Some(Accepted {
        external_message_id: text("/messages/0/id")?.to_owned(),
        recipient_wa_id: text("/contacts/0/wa_id").map(str::to_owned),
        recipient_user_id: text("/contacts/0/user_id").map(str::to_owned),
    })
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Meta does not document `Retry-After` for this API; it is honoured where it appears. What Meta documents are the
/// minutes that a management call has to wait for.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let wish = text(RETRY_AFTER.as_str()).and_then(http::retry_after);
    wish.max(text(USAGE).and_then(regained_after))
}

/// Reads `{"<business id>": [{"estimated_time_to_regain_access": 12, …}]}`; the longest of the times counts.
fn regained_after(usage: &str) -> Option<Duration> {
    let usage: Value = serde_json::from_str(usage).ok()?;
    let kinds = usage.as_object()?.values().filter_map(Value::as_array);
    let minutes = kinds
        .flatten()
        .filter_map(|kind| kind.get("estimated_time_to_regain_access")?.as_u64())
        .max()
        .filter(|minutes| *minutes > 0)?;
    http::retry_after(&minutes.saturating_mul(60).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;
    use proptest::prelude::*;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    fn refused(status: u16, body: &str) -> Refusal {
        match answer(status, body).outcome() {
            SendOutcome::Refused(refusal) => refusal,
            SendOutcome::Accepted(accepted) => panic!("accepted as {accepted:?}"),
        }
    }

    #[test]
    fn a_message_id_is_an_acceptance() {
        let body = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+1","wa_id":"34600","user_id":"ES.1"}],
            "messages":[{"id":"wamid.X","message_status":"accepted"}],"new":{}}"#;
        let accepted = Accepted {
            external_message_id: "wamid.X".to_owned(),
            recipient_wa_id: Some("34600".to_owned()),
            recipient_user_id: Some("ES.1".to_owned()),
        };
        assert_eq!(answer(200, body).outcome(), SendOutcome::Accepted(accepted));
        let bare = Accepted {
            external_message_id: "wamid.X".to_owned(),
            recipient_wa_id: None,
            recipient_user_id: None,
        };
        let body = r#"{"messages":[{"id":"wamid.X"}]}"#;
        assert_eq!(answer(200, body).outcome(), SendOutcome::Accepted(bare));
    }

    #[test]
    fn the_code_decides_and_not_the_status() {
        let pair = r#"{"error":{"message":"(#131056) to +34600111222","type":"OAuthException","code":131056,
            "error_data":{"messaging_product":"whatsapp","details":"d"},"fbtrace_id":"A"}}"#;
        for status in [200, 400, 500] {
            let refusal = refused(status, pair);
            assert_eq!(refusal.class, OutcomeClass::RateLimited(Scope::Pair));
            assert_eq!(refusal.code, "131056");
            assert_eq!(
                refusal.reason,
                "too many messages to the same recipient (Meta 131056)"
            );
        }
        for error_data in [r#""plain""#, "null", "[1]", "7"] {
            let body = format!(r#"{{"error":{{"code":"190","error_data":{error_data}}}}}"#);
            assert_eq!(refused(401, &body).class, OutcomeClass::Auth);
        }
        let subcode = r#"{"error":{"code":100,"error_subcode":33}}"#;
        assert_eq!(refused(400, subcode).class, OutcomeClass::AccountConfig);
        let transient = r#"{"error":{"code":424242,"is_transient":true}}"#;
        assert_eq!(refused(400, transient).class, OutcomeClass::Retryable);
        assert_eq!(
            refused(400, r#"{"error":{"code":424242}}"#).class,
            OutcomeClass::Unknown
        );
    }

    #[test]
    fn an_answer_that_is_not_metas_leaves_the_outcome_open() {
        for (status, body) in [
            (200, ""),
            (200, "<html>"),
            (200, "{}"),
            (200, r#"{"messages":[]}"#),
            (200, r#"{"messages":[{"id":""}]}"#),
            (200, r#"{"error":"x"}"#),
            (500, "Internal Server Error"),
            (502, r#"{"error":{"message":"no code"}}"#),
            (503, r#"{"messages":[{"id":"wamid.X"}]}"#),
        ] {
            let refusal = refused(status, body);
            assert_eq!(
                (refusal.class, refusal.code.as_str()),
                (OutcomeClass::Ambiguous, "no-provider-body")
            );
        }
    }

    #[test]
    fn what_was_turned_away_in_front_of_the_api_was_not_accepted() {
        for status in [302, 400, 403, 413, 429] {
            let refusal = refused(status, "<html>");
            assert_eq!(refusal.class, OutcomeClass::Retryable);
            assert_eq!(refusal.code, format!("http-{status}"));
        }
    }

    #[test]
    fn the_longer_of_the_wishes_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "30".parse().expect("a header value"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));

        let usage = r#"{"1":[{"type":"whatsapp","estimated_time_to_regain_access":0},
            {"type":"whatsapp_business_management","estimated_time_to_regain_access":7}],"2":"x"}"#;
        headers.insert(
            USAGE,
            usage.replace('\n', "").parse().expect("a header value"),
        );
        assert_eq!(retry_after(&headers), Some(Duration::from_mins(7)));
        assert_eq!(
            regained_after(r#"{"1":[{"estimated_time_to_regain_access":0}]}"#),
            None
        );

        let mut syncing = answer(400, r#"{"error":{"code":134101}}"#);
        syncing.retry_after = Some(Duration::from_secs(30));
        let SendOutcome::Refused(refusal) = syncing.outcome() else {
            panic!("accepted")
        };
        assert_eq!(refusal.retry_after, Some(Duration::from_mins(10)));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(status in 100_u16..1000, body in ".{0,200}") {
            let _ = answer(status, &body).outcome();
        }
    }
}
