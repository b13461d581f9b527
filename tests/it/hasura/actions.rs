//! `actions.graphql` and `actions.yaml` against the function that answers: names, and the arguments of each.

use super::metadata::{items, strings, yaml};
use super::schema_of_role::{action_arguments, roles_of_action};
use comms_core::model::UserId;
use comms_tests::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

fn answered() -> BTreeSet<String> {
    let names = inbox_actions::ACTIONS.iter();
    let names = names.chain(channel_actions::ACTIONS);
    names.map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_actions_declared_are_the_actions_answered() {
    let declared: Vec<Value> = items(&yaml("metadata/actions.yaml")["actions"])
        .map(|action| action["name"].clone())
        .collect();
    let declared: BTreeSet<String> = strings(&json!(declared)).into_iter().collect();
    let described = action_arguments().into_iter().map(|one| one.0).collect();
    assert_eq!(declared, answered(), "actions.yaml");
    assert_eq!(declared, described, "actions.graphql");
}

/// What the function says to one call, as a role that may make it.
async fn says(world: &World, name: &str, input: &Value) -> String {
    let role = roles_of_action(name).pop().unwrap();
    let user = UserId::generate();
    let (_, answer) = world
        .asks(&role, world.iberia.tenant, user, name, input)
        .await;
    answer.to_string()
}

/// Every argument that the function knows, by what it says about one that it does not.
async fn known(world: &World, name: &str) -> Option<BTreeSet<String>> {
    let answer = says(world, name, &json!({"no_such_argument": 1})).await;
    let (_, expected) = answer.split_once("unknown field `no_such_argument`, expected ")?;
    let words = expected.split('`').skip(1).step_by(2);
    Some(words.map(ToOwned::to_owned).collect())
}

/// An argument that one side knows and the other does not would be lost without a word, or refuse every call.
#[tokio::test]
async fn every_action_takes_exactly_the_arguments_that_it_declares() {
    let world = World::new().await;
    for (name, arguments) in action_arguments() {
        let declared: BTreeSet<String> = arguments.iter().map(|one| one.0.clone()).collect();
        assert_eq!(known(&world, &name).await, Some(declared), "{name}");
    }
}

/// A value of the type; an object of ours has none of its fields.
fn value(kind: &str) -> Value {
    match kind.trim_end_matches('!') {
        "uuid" => json!(Uuid::now_v7()),
        "timestamptz" => json!("2040-01-01T00:00:00Z"),
        "Boolean" => json!(true),
        "Int" => json!(1),
        "String" => json!("x"),
        _ => json!({}),
    }
}

/// The same, where only some words are right.
fn written(argument: &str, kind: &str) -> Value {
    match argument {
        "read_receipts" => json!("NEVER"),
        _ => value(kind),
    }
}

/// Whatever is required is missed, and what is not is not.
#[tokio::test]
async fn every_action_misses_exactly_what_is_required() {
    let world = World::new().await;
    for (name, arguments) in action_arguments() {
        let plain = arguments
            .iter()
            .filter(|(_, kind)| value(kind) != json!({}));
        for (left_out, kind) in plain {
            let input: Value = arguments
                .iter()
                .filter(|(argument, _)| argument != left_out)
                .map(|(argument, kind)| (argument.clone(), written(argument, kind)))
                .collect();
            let answer = says(&world, &name, &input).await;
            let missed = answer.contains(&format!("missing field `{left_out}`"));
            // An object of ours may be what it stumbles over first.
            let object = arguments.iter().any(|(_, kind)| value(kind) == json!({}));
            assert!(
                missed == kind.ends_with('!') || object,
                "{name} without {left_out}: {answer}"
            );
        }
    }
}
