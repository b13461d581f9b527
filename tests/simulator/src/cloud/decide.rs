//! What becomes of a send: rules first, then the script, then acceptance. All of it under one lock.

use super::check;
use super::errors::ApiError;
use crate::poster::Posting;
use crate::record::Call;
use crate::script::{Answer, Script};
use crate::state::{State, new_wamid, now_ms};
use serde_json::{Value, json};
use std::time::Duration;

/// A call as it came in.
pub(super) struct Incoming<'a> {
    pub(super) phone_number_id: &'a str,
    pub(super) token: Option<&'a str>,
    /// `null` where the body was not JSON.
    pub(super) body: Value,
}

/// What is to be done for the caller, once the lock is gone.
pub(super) struct Plan {
    pub(super) reply: Reply,
    pub(super) delay: Duration,
    /// The statuses that follow the acceptance.
    pub(super) posting: Option<Posting>,
    pub(super) statuses_first: bool,
}

pub(super) enum Reply {
    Json {
        http_status: u16,
        body: Value,
        retry_after: Option<u32>,
    },
    Bare {
        http_status: u16,
        body: String,
        retry_after: Option<u32>,
    },
    HangUp,
}

/// Decides, records the call, and reserves the webhooks that follow.
pub(super) fn decide(state: &mut State, incoming: &Incoming<'_>) -> Plan {
    if incoming.body.get("status").is_some() {
        return Plan::answering(read(state, incoming));
    }
    let now = now_ms();
    let mut call = call(incoming, now);
    let plan = if let Err(error) = rules(state, incoming, now) {
        Plan::answering(fail(&mut call, &error))
    } else {
        let recipient = check::recipient(&call.body);
        let script = state.take_script(incoming.phone_number_id, &recipient, &call);
        scripted(state, &mut call, script)
    };
    if call.accepted {
        state.count_pair(incoming.phone_number_id, &check::recipient(&call.body), now);
    }
    state.calls.push(call);
    plan
}

/// "The customer's message was read", which no script changes.
fn read(state: &mut State, incoming: &Incoming<'_>) -> Reply {
    let told = check::authorised(state, incoming.phone_number_id, incoming.token)
        .and_then(|_| check::receipt(incoming.phone_number_id, &incoming.body));
    match told {
        Ok(receipt) => {
            state.receipts.push(receipt);
            Reply::Json {
                http_status: 200,
                body: json!({ "success": true }),
                retry_after: None,
            }
        }
        Err(error) => Reply::Json {
            http_status: error.http_status,
            body: error.body(),
            retry_after: error.retry_after,
        },
    }
}

fn rules(state: &State, incoming: &Incoming<'_>, now: u64) -> Result<(), ApiError> {
    let number = check::authorised(state, incoming.phone_number_id, incoming.token)?;
    check::shape(number, &incoming.body)?;
    check::allowed(state, number, &incoming.body, now)
}

fn scripted(state: &mut State, call: &mut Call, script: Script) -> Plan {
    let reply = match script.answer {
        Answer::Accept => accept(call),
        Answer::Fail {
            code,
            http_status,
            subcode,
            is_transient,
            retry_after,
        } => {
            let usual = ApiError::new(code, "As scripted.");
            let http_status = http_status.unwrap_or(usual.http_status);
            let error = ApiError {
                http_status,
                subcode,
                is_transient,
                retry_after,
                ..usual
            };
            fail(call, &error)
        }
        Answer::Bare {
            http_status,
            body,
            accepted,
            retry_after,
        } => {
            if accepted {
                accept(call);
            }
            call.http_status = Some(http_status);
            Reply::Bare {
                http_status,
                body,
                retry_after,
            }
        }
        Answer::HangUp { accepted } => {
            if accepted {
                accept(call);
            }
            call.http_status = None;
            Reply::HangUp
        }
    };
    let posting = call
        .accepted
        .then(|| state.after_acceptance(call, script.statuses));
    let delay = Duration::from_millis(script.delay_ms);
    Plan {
        reply,
        delay,
        posting,
        statuses_first: script.statuses_first,
    }
}

fn accept(call: &mut Call) -> Reply {
    let wamid = new_wamid();
    let mut message = json!({ "id": wamid });
    if call.kind == "template" {
        message["message_status"] = json!("accepted");
    }
    let contact = match (&call.to, &call.recipient) {
        (Some(to), _) => json!({ "input": to, "wa_id": to.trim_start_matches('+') }),
        (None, user) => json!({ "input": user, "user_id": user }),
    };
    call.accepted = true;
    call.wamid = Some(wamid);
    call.http_status = Some(200);
    let body =
        json!({ "messaging_product": "whatsapp", "contacts": [contact], "messages": [message] });
    Reply::Json {
        http_status: 200,
        body,
        retry_after: None,
    }
}

fn fail(call: &mut Call, error: &ApiError) -> Reply {
    call.code = Some(error.code);
    call.http_status = Some(error.http_status);
    Reply::Json {
        http_status: error.http_status,
        body: error.body(),
        retry_after: error.retry_after,
    }
}

fn call(incoming: &Incoming<'_>, at_ms: u64) -> Call {
    let member = |name: &str| check::text(&incoming.body[name]).map(str::to_owned);
    Call {
        phone_number_id: incoming.phone_number_id.to_owned(),
        to: member("to"),
        recipient: member("recipient"),
        kind: member("type").unwrap_or_default(),
        body: incoming.body.clone(),
        correlation: member("biz_opaque_callback_data"),
        accepted: false,
        wamid: None,
        code: None,
        http_status: None,
        at_ms,
    }
}

impl Plan {
    fn answering(reply: Reply) -> Self {
        Self {
            reply,
            delay: Duration::ZERO,
            posting: None,
            statuses_first: false,
        }
    }
}
