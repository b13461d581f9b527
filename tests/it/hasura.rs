//! The Hasura metadata against the migrated catalogue and the actions that exist. No engine runs here.

use comms_tests::world::World;
use serde_norway::Value;
use std::collections::{BTreeMap, BTreeSet};

const METADATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hasura/metadata");

fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_norway::from_str(&text).unwrap()
}

/// One file a table; the `!include` strings of tables.yaml name exactly those.
fn tables() -> Vec<Value> {
    let folder = format!("{METADATA}/databases/default/tables");
    let listed = yaml(&format!("{folder}/tables.yaml"));
    let files = listed.as_sequence().unwrap().iter();
    files
        .map(|file| {
            file.as_str()
                .unwrap()
                .trim_start_matches("!include ")
                .to_owned()
        })
        .map(|file| yaml(&format!("{folder}/{file}")))
        .collect()
}

fn name(table: &Value) -> String {
    table["table"]["name"].as_str().unwrap().to_owned()
}

async fn catalogue(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text from information_schema.columns where table_schema = 'communications'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let mut catalogue: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (table, column) in columns {
        catalogue.entry(table).or_default().insert(column);
    }
    catalogue
}

fn permissions(table: &Value) -> Vec<Value> {
    let select = table["select_permissions"]
        .as_sequence()
        .cloned()
        .unwrap_or_default();
    select
        .into_iter()
        .map(|permission| permission["permission"].clone())
        .collect()
}

#[tokio::test]
async fn every_table_and_column_that_is_shown_exists() {
    let world = World::new().await;
    let catalogue = catalogue(&world).await;
    for table in tables() {
        let columns = catalogue
            .get(&name(&table))
            .unwrap_or_else(|| panic!("no table {}", name(&table)));
        for permission in permissions(&table) {
            for column in permission["columns"].as_sequence().unwrap() {
                assert!(
                    columns.contains(column.as_str().unwrap()),
                    "{}.{column:?}",
                    name(&table)
                );
            }
        }
    }
}

/// Never another tenant's row, never credentials, and nothing is written past the actions.
#[test]
fn every_permission_names_the_tenant_and_only_reads() {
    for table in tables() {
        for kind in [
            "insert_permissions",
            "update_permissions",
            "delete_permissions",
        ] {
            assert!(table[kind].is_null(), "{}: {kind}", name(&table));
        }
        for permission in permissions(&table) {
            let filter = serde_json::to_value(&permission["filter"])
                .unwrap()
                .to_string()
                .to_lowercase();
            assert!(
                filter.contains(r#""tenant_id":{"_eq":"x-hasura-tenant-id"}"#),
                "{}: {filter}",
                name(&table)
            );
            let columns: Vec<&str> = permission["columns"]
                .as_sequence()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            for secret in ["provider_config", "identifiers", "*"] {
                assert!(!columns.contains(&secret), "{}.{secret}", name(&table));
            }
        }
    }
}

#[test]
fn every_relationship_carries_the_tenant() {
    for table in tables() {
        for kind in ["object_relationships", "array_relationships"] {
            for relationship in table[kind].as_sequence().into_iter().flatten() {
                let mapping = &relationship["using"]["manual_configuration"]["column_mapping"];
                let keys = &relationship["using"]["foreign_key_constraint_on"];
                let text = serde_json::to_string(&(mapping, keys)).unwrap();
                assert!(
                    text.contains("tenant_id"),
                    "{}: {relationship:?}",
                    name(&table)
                );
            }
        }
    }
}

#[test]
fn the_actions_declared_are_the_actions_answered() {
    let declared: BTreeSet<String> = yaml(&format!("{METADATA}/actions.yaml"))["actions"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|action| action["name"].as_str().unwrap().to_owned())
        .collect();
    let answered: BTreeSet<String> = inbox_actions::ACTIONS
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(declared, answered);
}
