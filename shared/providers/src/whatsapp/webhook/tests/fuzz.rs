//! The parser against whatever may come: it never panics, and it never loses an item.

use super::{parse_bytes, parse_json, payload, text_from_ana};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON, made of the names that the parser looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "entry",
        "id",
        "changes",
        "field",
        "value",
        "metadata",
        "phone_number_id",
        "contacts",
        "messages",
        "statuses",
        "errors",
        "type",
        "text",
        "body",
        "status",
        "timestamp",
        "from",
        "context",
        "wa_id",
        "profile",
        "code",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec![
            "messages",
            "text",
            "image",
            "sent",
            "failed",
            "1763900000",
            "",
            "x"
        ])
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 128, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_bytes(&raw);
    }

    #[test]
    fn no_json_makes_it_panic(entry in any_json(), value in any_json()) {
        let _ = parse_bytes(entry.to_string().as_bytes());
        let _ = parse_bytes(json!({ "entry": entry }).to_string().as_bytes());
        let _ = parse_json(&json!({ "entry": [{ "changes": [{ "field": "messages", "value": value }] }] }));
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic(at in 0_usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let mut raw = payload(json!({ "messages": [text_from_ana("wamid.X")] })).to_string().into_bytes();
        let at = at % raw.len();
        if cut { raw.truncate(at) } else { raw[at] = byte }
        let _ = parse_bytes(&raw);
    }

    #[test]
    fn each_item_of_a_list_makes_one_event(items in prop::collection::vec(any_json(), 1..8)) {
        let body = payload(json!({ "statuses": items.clone(), "messages": items.clone() }));
        prop_assert_eq!(parse_json(&body).len(), items.len() * 2);
    }
}
