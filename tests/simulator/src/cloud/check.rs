//! The provider's rules for a send, in the order in which they are applied.
//!
//! Stricter than Meta in one point, on purpose: a `to` without `+` is refused (131009), where Meta would silently
//! put the sender's country code in front.

mod kinds;
mod template;

use super::errors::ApiError;
use crate::number::Number;
use crate::record::Receipt;
use crate::state::State;
use serde_json::Value;

const TEXT_LIMIT: usize = 4096;
const CALLBACK_DATA_LIMIT: usize = 512;

const TYPES: [&str; 11] = [
    "text",
    "template",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
];

/// Whether the token is good for the number. The number is looked up by the path.
pub(super) fn authorised<'a>(
    state: &'a State,
    id: &str,
    token: Option<&str>,
) -> Result<&'a Number, ApiError> {
    let token = token.ok_or_else(|| ApiError::new(190, "An access token is required."))?;
    if let Some(error) = state.businesses.refusal(token) {
        return Err(error);
    }
    let Ok(number) = state.number(id) else {
        let mut error = ApiError::new(100, "The object does not exist or the token cannot see it.");
        error.subcode = Some(33);
        return Err(error);
    };
    if number.access_token == token || state.businesses.grants(token, &number.waba_id) {
        Ok(number)
    } else {
        Err(ApiError::new(190, "The access token could not be read."))
    }
}

/// `status: "read"` and its `message_id`; typing is always `{"type": "text"}`.
pub(super) fn receipt(phone_number_id: &str, body: &Value) -> Result<Receipt, ApiError> {
    let whole = body["messaging_product"] == "whatsapp" && body["status"] == "read";
    let typing = match body.get("typing_indicator") {
        None => Some(false),
        Some(indicator) => (indicator["type"] == "text").then_some(true),
    };
    let (true, Some(typing)) = (whole, typing) else {
        return Err(ApiError::new(100, "Not a read receipt."));
    };
    match text(&body["message_id"]).filter(|id| id.starts_with("wamid.")) {
        Some(id) => Ok(Receipt {
            phone_number_id: phone_number_id.to_owned(),
            message_id: id.to_owned(),
            typing,
        }),
        None => Err(ApiError::new(131_009, "message_id is not a message's.")),
    }
}

/// Whether the body is a message that this number can send at all.
pub(super) fn shape(number: &Number, body: &Value) -> Result<(), ApiError> {
    if body["messaging_product"] != "whatsapp" {
        return Err(ApiError::new(
            100,
            "messaging_product must be \"whatsapp\".",
        ));
    }
    if !matches!(
        body.get("recipient_type").and_then(Value::as_str),
        None | Some("individual")
    ) {
        return Err(ApiError::new(100, "recipient_type must be \"individual\"."));
    }
    addressed(number, body)?;
    match &body["biz_opaque_callback_data"] {
        Value::Null => {}
        Value::String(data) if data.chars().count() <= CALLBACK_DATA_LIMIT => {}
        _ => {
            return Err(ApiError::new(
                100,
                "biz_opaque_callback_data must be a text of at most 512 characters.",
            ));
        }
    }
    if body
        .get("context")
        .is_some_and(|context| text(&context["message_id"]).is_none())
    {
        return Err(ApiError::new(
            100,
            "context.message_id must be a message id.",
        ));
    }
    let kind = body.get("type").map_or(Some("text"), Value::as_str);
    let Some(kind) = kind.filter(|kind| TYPES.contains(kind)) else {
        return Err(ApiError::new(100, "type must be one of the message types."));
    };
    if body.get(kind).is_none_or(Value::is_null) {
        return Err(ApiError::new(
            131_008,
            &format!("{kind} is required for this type."),
        ));
    }
    match kind {
        "text" => written(&body["text"]),
        "template" => template::templated(number, &body["template"]),
        "image" | "video" | "audio" | "document" | "sticker" => {
            kinds::file(kind, &body[kind], false)
        }
        "location" => kinds::place(&body["location"]),
        "reaction" => kinds::reaction(body),
        "interactive" => kinds::question(&body["interactive"]),
        _ => Ok(()),
    }
}

fn addressed(number: &Number, body: &Value) -> Result<(), ApiError> {
    if text(&body["to"]).is_none() && text(&body["recipient"]).is_none() {
        return Err(ApiError::new(100, "One of to and recipient is required."));
    }
    let Some(to) = text(&body["to"]) else {
        return Ok(());
    };
    let digits = to.strip_prefix('+').unwrap_or_default();
    if !(5..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::new(
            131_009,
            "to must be a phone number with + and country code.",
        ));
    }
    if digits == number.display_phone_number {
        Err(ApiError::new(131_021, "The recipient is the sender."))
    } else {
        Ok(())
    }
}

fn written(object: &Value) -> Result<(), ApiError> {
    match text(&object["body"]) {
        None => Err(ApiError::new(131_008, "text.body is required.")),
        Some(body) if body.chars().count() > TEXT_LIMIT => Err(ApiError::new(
            100,
            "text.body must be at most 4096 characters long.",
        )),
        Some(_) => Ok(()),
    }
}

/// What depends on the account and the clock rather than on the message.
pub(super) fn allowed(
    state: &State,
    number: &Number,
    body: &Value,
    now_ms: u64,
) -> Result<(), ApiError> {
    if !number.registered {
        return Err(ApiError::new(133_010, "The number is not registered."));
    }
    let recipient = recipient(body);
    let is_template = body["type"] == "template";
    if number.enforce_window
        && !is_template
        && !state.window_is_open(&number.phone_number_id, &recipient, now_ms)
    {
        return Err(ApiError::new(
            131_047,
            "More than 24 hours have passed since the customer last wrote.",
        ));
    }
    match number.pair_rate {
        Some(rate) if !state.pair_is_free(&number.phone_number_id, &recipient, rate, now_ms) => {
            Err(ApiError::new(
                131_056,
                "Too many messages to this recipient.",
            ))
        }
        _ => Ok(()),
    }
}

/// Digits of the phone number, or the user id. `to` wins where both are present.
pub(super) fn recipient(body: &Value) -> String {
    let either = text(&body["to"])
        .or_else(|| text(&body["recipient"]))
        .unwrap_or_default();
    either.trim_start_matches('+').to_owned()
}

pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}
