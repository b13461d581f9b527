//! What stands beside a message's content: what it answers, where it comes from.

use super::json;
use serde_json::{Map, Value};

/// The message that this one answers. Forwarded messages name none.
pub(super) fn reply_to(item: &Value) -> Option<String> {
    json::id(item, "/context/id")
}

/// `forwarded`, `frequently_forwarded`, `referred_product`, `referral`, `group_id`, `errors`: those that are there, as the provider
/// writes them.
pub(super) fn beside(item: &Value) -> Option<Value> {
    let flag = |name| {
        item.pointer(name)
            .filter(|value| **value == Value::Bool(true))
    };
    let object = |name| item.pointer(name).filter(|value| value.is_object());
    let errors = item.get("errors");
    let members = [
        ("forwarded", flag("/context/forwarded").cloned()),
        (
            "frequently_forwarded",
            flag("/context/frequently_forwarded").cloned(),
        ),
        (
            "referred_product",
            object("/context/referred_product").cloned(),
        ),
        ("referral", object("/referral").cloned()),
        (
            "errors",
            errors
                .filter(|errors| errors.as_array().is_some_and(|errors| !errors.is_empty()))
                .cloned(),
        ),
        ("group_id", json::id(item, "/group_id").map(Value::String)),
    ];
    let beside: Map<String, Value> = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    (!beside.is_empty()).then_some(Value::Object(beside))
}
