//! Hasura's clock at our door: ticks that come late, twice, at once, or never, and the one thing that each of them does.

pub mod engine;
mod sleepers;

use crate::delivery::engine::cut_off;
use comms_tests::calls;
use comms_tests::world::{HASURA_SECRET, World};
use engine::{CronTrigger, metadata};
use http::Response;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub fn tick(name: &str, payload: &Value) -> Value {
    json!({"id": "4e8e0c1a-0001-4000-8000-000000000001", "name": name, "scheduled_time": "2026-11-23T10:00:00Z",
           "payload": payload})
}

/// Hasura calls. Answers the status and the body.
pub async fn called(world: &World, body: &Value) -> (u16, Value) {
    let call = calls::from_hasura("/api/hasura/cron", HASURA_SECRET, body);
    read(&hasura_events::handle(&world.events, call).await)
}

fn read(response: &Response<String>) -> (u16, Value) {
    (
        response.status().as_u16(),
        serde_json::from_str(response.body()).unwrap(),
    )
}

/// What the metadata declares is what is answered, and a tick never outlives the next one's planned time.
#[test]
fn the_cron_triggers_declared_are_the_ones_answered() {
    let all = metadata();
    let declared: BTreeSet<&str> = all
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        declared,
        hasura_events::CRON_TRIGGERS.iter().copied().collect()
    );
    for entry in &all {
        let trigger = CronTrigger::of(entry);
        assert!(trigger.tolerance < trigger.period, "{trigger:?}");
        assert!(
            trigger.retries * trigger.interval <= trigger.tolerance,
            "{trigger:?}"
        );
        assert_eq!(entry["webhook"], "{{COMMS_API_BASE_URL}}/api/hasura/cron");
        assert_eq!(entry["include_in_metadata"], true);
        assert_eq!(
            entry["headers"],
            json!([{"name": "nhost-webhook-secret", "value_from_env": "COMMS_HASURA_SECRET"}])
        );
    }
}

#[tokio::test]
async fn only_hasura_may_call_and_only_by_a_name_that_exists() {
    let world = World::new().await;
    let good = tick("conversation_snooze_wakeup", &json!({}));
    assert_eq!(
        called(&world, &good).await,
        (200, json!({"outcome": "done", "woken": 0}))
    );
    let call = calls::from_hasura("/api/hasura/cron", "wrong", &good);
    assert_eq!(
        hasura_events::handle(&world.events, call).await.status(),
        401
    );
    // Twice, as Hasura would: refused the same, and nothing happened.
    for _ in 0..2 {
        let (status, body) = called(&world, &tick("no_such_thing", &json!({}))).await;
        assert_eq!(
            (status, &body["message"]),
            (404, &json!(r#"cron trigger "no_such_thing" not found"#))
        );
    }
    let (status, body) = called(&world, &json!({"name": "clean_event_log"})).await;
    assert_eq!(
        (status, body["message"].as_str().unwrap()),
        (
            400,
            "not a cron trigger call: missing field `id` at line 1 column 26"
        )
    );
    let call = calls::from_hasura("/api/hasura/cron", HASURA_SECRET, &good);
    assert_eq!(
        hasura_events::handle(&cut_off(&world), call).await.status(),
        503
    );
    assert_eq!(world.count("quarantine").await, 0);
}

/// A stage's name may stand before the path, and what a version of Hasura adds or leaves out does not matter.
#[tokio::test]
async fn every_spelling_of_the_envelope_is_read() {
    let world = World::new().await;
    let mut whole = tick("conversation_snooze_wakeup", &json!({"anything": 1}));
    whole["created_at"] = json!("2026-11-23T10:00:00Z");
    whole["comment"] = json!("wakes");
    let mut bare = tick("conversation_snooze_wakeup", &Value::Null);
    bare.as_object_mut().unwrap().remove("payload");
    for body in [whole, bare] {
        assert_eq!(called(&world, &body).await.0, 200);
        let call = calls::from_hasura("/prod/api/hasura/cron", HASURA_SECRET, &body);
        let answer = read(&hasura_events::handle(&world.events, call).await);
        assert_eq!(answer, (200, json!({"outcome": "done", "woken": 0})));
    }
}
