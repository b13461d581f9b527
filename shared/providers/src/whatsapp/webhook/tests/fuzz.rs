//! The parser against whatever may come: it never panics, and it never loses an item.

use super::samples::{read_again, samples};
use super::{parse_bytes, parse_json, payload, text_from_ana};
use proptest::prelude::*;
use serde_json::{Value, json};

const NAMES: &str = "entry id time changes field value metadata phone_number_id contacts messages message_echoes statuses \
    errors user_preferences type text body status timestamp from from_user_id to context wa_id user_id parent_user_id \
    profile name code image caption interactive nfm_reply response_json button_reply title reaction message_id emoji edit \
    original_message_id message revoke system previous_user_id recipient_id pricing category event decision waba_info \
    waba_id message_template_name message_template_language";

const WORDS: &str = "messages standby smb_message_echoes user_preferences account_update security \
    message_template_status_update flows text image interactive system reaction edit revoke unsupported request_welcome \
    user_changed_number sent failed 34600111222 ES.1 PARTNER_REMOVED marketing_messages stop 1763900000";

/// Any JSON, made of the names that the parser looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(NAMES.split_whitespace().collect::<Vec<_>>());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(WORDS.split_whitespace().collect::<Vec<_>>()).prop_map(Value::from),
        Just(Value::from("")),
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

fn any_field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(WORDS.split_whitespace().take(8).collect::<Vec<_>>())
}

/// The pointers to everything in it, itself included.
fn places(value: &Value, here: String) -> Vec<String> {
    let below: Vec<(String, &Value)> = match value {
        Value::Array(items) => (0..)
            .zip(items)
            .map(|(at, item): (usize, _)| (at.to_string(), item))
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), member))
            .collect(),
        _ => Vec::new(),
    };
    let below: Vec<String> = below
        .into_iter()
        .flat_map(|(step, value)| places(value, format!("{here}/{step}")))
        .collect();
    [vec![here], below].concat()
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
    fn whatever_it_reads_it_reads_again(change in any_json(), field in any_field(), value in any_json(), items in prop::collection::vec(any_json(), 0..4)) {
        read_again(&parse_json(&json!({ "entry": [{ "id": "w", "changes": [change, { "field": field, "value": value }] }] })));
        let lists = json!({ "messages": items.clone(), "statuses": items.clone(), "message_echoes": items.clone(), "user_preferences": items });
        read_again(&parse_json(&payload(lists)));
    }

    #[test]
    fn whatever_replaces_a_part_of_a_sample_it_reads_again(sample in 0_usize..1000, at in any::<prop::sample::Index>(), part in any_json()) {
        let samples = samples();
        let mut body = samples[sample % samples.len()].1.clone();
        let places = places(&body, String::new());
        *body.pointer_mut(&places[at.index(places.len())]).expect("a place of it") = part;
        if let Ok(events) = parse_bytes(body.to_string().as_bytes()) {
            read_again(&events);
        }
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
