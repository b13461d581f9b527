//! The metadata against the migrated catalogue: what the engine would call inconsistent, and what it would not notice.

use super::catalogue::{Catalogue, functions};
use super::metadata::{ROLES, items, strings, tables, yaml};
use comms_tests::world::World;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Never selectable: credentials, addresses and what may hold them, and other people's business.
const SECRET: [&str; 25] = [
    "address",
    "answer",
    "content",
    "email",
    "evidence",
    "external_account_id",
    "external_message_id",
    "external_template_id",
    "failed_reason",
    "identifiers",
    "inbound_seen",
    "moved",
    "phone",
    "provider_config",
    "read_by",
    "read_to",
    "reply_to",
    "seen_by",
    "source_ref",
    "source_url",
    "storage_key",
    "target_external_id",
    "tenant_id",
    "variables",
    "waba_id",
];

#[tokio::test]
async fn every_table_and_column_that_is_shown_exists() {
    let world = World::new().await;
    let catalogue = Catalogue::read(&world).await;
    for table in tables() {
        assert!(catalogue.columns.contains_key(&table.name), "{table:?}");
        for permission in table.permissions() {
            for column in &permission.columns {
                catalogue.column(&table.name, column);
                assert!(
                    !SECRET.contains(&column.as_str()),
                    "{} sees {}.{column}",
                    permission.role,
                    table.name
                );
            }
            let computed: Vec<String> = table
                .computed_fields()
                .into_iter()
                .map(|one| one.0)
                .collect();
            for field in &permission.computed_fields {
                assert!(computed.contains(field), "{}.{field}", table.name);
            }
        }
    }
}

/// Equal types, the tenant on both sides, one row where one is promised, and an index to find it by.
#[tokio::test]
async fn every_relationship_keeps_to_its_tenant_and_is_found_by_an_index() {
    let world = World::new().await;
    let catalogue = Catalogue::read(&world).await;
    let tracked: BTreeSet<String> = tables().into_iter().map(|table| table.name).collect();
    for table in tables() {
        for relationship in table.relationships() {
            let name = format!("{}.{}", table.name, relationship.name);
            let remote = relationship.remote.as_str();
            assert!(tracked.contains(remote), "{name}: {remote} is not tracked");
            for (here, there) in &relationship.columns {
                assert_eq!(
                    catalogue.column(&table.name, here),
                    catalogue.column(remote, there),
                    "{name}: {here} and {there}"
                );
            }
            let tenant = ("tenant_id".to_owned(), "tenant_id".to_owned());
            assert!(relationship.columns.contains(&tenant), "{name}");
            if catalogue.views.contains(remote) {
                continue;
            }
            let there: BTreeSet<&str> = relationship
                .columns
                .iter()
                .map(|(_, there)| there.as_str())
                .collect();
            assert!(catalogue.finds_by(remote, &there), "{name}: no index");
            assert!(
                !relationship.to_one || catalogue.at_most_one(remote, &there),
                "{name}: more than one row may match"
            );
        }
    }
}

#[tokio::test]
async fn every_computed_field_is_a_function_that_the_engine_takes() {
    let world = World::new().await;
    for table in tables() {
        for (field, definition) in table.computed_fields() {
            let found = functions(&world, definition["function"]["name"].as_str().unwrap()).await;
            let [function] = &found[..] else {
                panic!("{field}: one function and not {found:?}");
            };
            assert!(matches!(function.volatility.as_str(), "s" | "i"), "{field}");
            assert!(!function.set, "{field}");
            let mut names = vec![definition["table_argument"].clone()];
            let mut types = vec![format!("communications.{}", table.name)];
            if !definition["session_argument"].is_null() {
                names.push(definition["session_argument"].clone());
                types.push("json".to_owned());
            }
            assert_eq!(json!(function.argument_names), json!(names), "{field}");
            assert_eq!(function.argument_types, types, "{field}");
        }
    }
}

/// Every column of an expression exists; relationships lead to their tables.
fn check_columns(catalogue: &Catalogue, table: &str, expression: &Value) {
    let all = tables();
    let relationships = all
        .iter()
        .find(|one| one.name == table)
        .map(super::metadata::Table::relationships)
        .unwrap_or_default();
    for (key, value) in expression.as_object().unwrap() {
        match key.as_str() {
            "_and" | "_or" => items(value).for_each(|one| check_columns(catalogue, table, one)),
            "_not" => check_columns(catalogue, table, value),
            "_exists" => {
                let other = value["_table"]["name"].as_str().unwrap();
                assert!(
                    all.iter().any(|one| one.name == other),
                    "{other} is not tracked"
                );
                check_columns(catalogue, other, &value["_where"]);
            }
            _ => match relationships.iter().find(|one| one.name == *key) {
                Some(relationship) => check_columns(catalogue, &relationship.remote, value),
                None => drop(catalogue.column(table, key).to_owned()),
            },
        }
    }
}

/// Never another tenant's row, nothing is written past the actions, and no role stands above the tenants.
#[tokio::test]
async fn every_permission_names_the_tenant_and_only_reads() {
    let world = World::new().await;
    let catalogue = Catalogue::read(&world).await;
    let tenant = json!({"tenant_id": {"_eq": "X-Hasura-Tenant-Id"}});
    for table in tables() {
        for kind in ["insert", "update", "delete"] {
            let key = format!("{kind}_permissions");
            assert!(table.json[&key].is_null(), "{}: {key}", table.name);
        }
        for permission in table.permissions() {
            let filter = &permission.filter;
            let confined = *filter == tenant || items(&filter["_and"]).any(|term| *term == tenant);
            assert!(confined, "{} {}: {filter}", permission.role, table.name);
            assert!(ROLES.contains(&permission.role.as_str()));
            check_columns(&catalogue, &table.name, filter);
        }
    }
}

/// Who begins where. A table that is not here is reached through one that is.
#[test]
fn each_role_begins_at_its_own_tables() {
    let mut roots: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for table in tables() {
        for permission in table.permissions() {
            *reached.entry(permission.role.clone()).or_default() += 1;
            let begun = roots.entry(permission.role.clone()).or_default();
            let words = permission.query_roots.iter().map(|_| "query".to_owned());
            let live = permission.subscription_roots.iter().cloned();
            let all: Vec<String> = words.chain(live).collect();
            if !all.is_empty() {
                begun.push(format!("{}: {}", table.name, all.join(" ")));
            }
        }
    }
    let inbox = [
        "channel_accounts: query",
        "conversations: query select",
        "messages: query select select_stream",
        "tenant_settings: query select",
    ];
    let people = [
        "batches: query select",
        "channel_account_history: query",
        "channel_accounts: query",
        "contact_merges: query select",
        "contact_reviews: query select",
        "conversations: query select",
        "messages: query select select_stream",
        "notification_template_approvals: query",
        "operator_integrations: query select",
        "tenant_settings: query select",
        "usage_daily: query",
    ];
    assert_eq!(roots["dispatcher"], inbox);
    assert_eq!(roots["tenant_admin"], people);
    assert_eq!(
        roots["service"],
        [
            "batches: query select",
            "messages: query",
            "trigger_runs: query"
        ]
    );
    assert_eq!(roots["visitor"], ["messages: query select"]);
    assert_eq!(reached["service"], 3);
    assert_eq!(reached["visitor"], 1);
}

/// What no role may read does not need to be tracked.
#[test]
fn every_table_is_read_by_somebody() {
    let closed: Vec<String> = tables()
        .into_iter()
        .filter(|table| table.permissions().is_empty())
        .map(|table| table.name)
        .collect();
    assert!(closed.is_empty(), "{closed:?}");
}

#[tokio::test]
async fn every_event_trigger_carries_the_tenant_and_columns_that_exist() {
    let world = World::new().await;
    let mut checked = 0;
    for file in super::metadata::files("host-example", ".yaml") {
        let table = yaml(&format!("host-example/{file}"));
        let schema = table["table"]["schema"].as_str().unwrap();
        let name = table["table"]["name"].as_str().unwrap();
        let catalogue = Catalogue::of_schema(&world, schema).await;
        for trigger in items(&table["event_triggers"]) {
            for operation in ["insert", "update", "delete"] {
                let definition = &trigger["definition"][operation];
                if definition.is_null() {
                    continue;
                }
                checked += 1;
                let payload = strings(&definition["payload"]);
                assert!(payload.contains(&"tenant_id".to_owned()), "{file}");
                let listened = strings(&definition["columns"]);
                for column in payload.iter().chain(&listened) {
                    catalogue.column(name, column);
                }
            }
        }
    }
    assert!(checked > 0);
}
