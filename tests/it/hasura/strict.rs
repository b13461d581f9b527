//! `hasura/metadata.schema.json` holds for every file, and refuses what the engine would silently take.

use super::metadata::{HASURA, files, strings, text, yaml};
use jsonschema::Validator;
use serde_json::{Value, json};

const TABLES: &str = "metadata/databases/default/tables";

fn validator(definition: &str) -> Validator {
    let mut schema: Value = serde_json::from_str(&text("metadata.schema.json")).unwrap();
    schema["$ref"] = json!(format!("#/$defs/{definition}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn complaints(definition: &str, file: &Value) -> Vec<String> {
    validator(definition)
        .iter_errors(file)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Which definition a file of the metadata folder is held against.
fn definition(file: &str) -> &'static str {
    match file {
        "version.yaml" => "version",
        "actions.yaml" => "actions",
        "cron_triggers.yaml" => "cron_triggers",
        "query_collections.yaml" => "query_collections",
        "allow_list.yaml" => "allow_list",
        "inherited_roles.yaml" | "remote_schemas.yaml" | "rest_endpoints.yaml" => "empty_list",
        "graphql_schema_introspection.yaml" => "introspection",
        _ => "empty_object",
    }
}

#[test]
fn every_file_keeps_the_strict_schema() {
    for file in files("metadata", ".yaml") {
        keeps(definition(&file), &format!("metadata/{file}"));
    }
    let databases = "metadata/databases";
    keeps("databases", &format!("{databases}/databases.yaml"));
    keeps(
        "empty_list",
        &format!("{databases}/default/functions/functions.yaml"),
    );
    for file in files(TABLES, ".yaml") {
        let name = if file == "tables.yaml" {
            "includes"
        } else {
            "table"
        };
        keeps(name, &format!("{TABLES}/{file}"));
    }
    for file in files("host-example", ".yaml") {
        keeps("host_table", &format!("host-example/{file}"));
    }
}

fn keeps(definition: &str, path: &str) {
    let found = complaints(definition, &yaml(path));
    assert_eq!(found, [""; 0], "{path} ({definition})");
}

#[test]
fn every_table_file_is_included() {
    let mut included = strings(&yaml(&format!("{TABLES}/tables.yaml")));
    included.push("!include tables.yaml".to_owned());
    included.sort();
    let mut there: Vec<String> = files(TABLES, ".yaml")
        .into_iter()
        .map(|file| format!("!include {file}"))
        .collect();
    there.sort();
    assert_eq!(included, there, "{HASURA}/{TABLES}");
}

/// A file that is right, and what is done to it.
type Mutant = (&'static str, &'static str, fn(&mut Value));

const MESSAGES: &str = "metadata/databases/default/tables/communications_messages.yaml";
const TRIPS: &str = "host-example/operations_trips.yaml";
const ACTIONS: &str = "metadata/actions.yaml";

fn first(file: &mut Value) -> &mut Value {
    &mut file["select_permissions"][0]["permission"]
}

/// The key is called something else.
fn rename(map: &mut Value, from: &str, to: &str) {
    let map = map.as_object_mut().unwrap();
    let value = map.remove(from).unwrap();
    map.insert(to.to_owned(), value);
}

fn remove(map: &mut Value, key: &str) {
    map.as_object_mut().unwrap().remove(key).unwrap();
}

const TABLE_MUTANTS: [Mutant; 18] = [
    ("a typo at the top", "table", |f| {
        rename(f, "select_permissions", "select_permission");
    }),
    ("no filter", "table", |f| remove(first(f), "filter")),
    ("a filter's typo beside it", "table", |f| {
        first(f)["fitler"] = json!({});
    }),
    ("an open filter", "table", |f| {
        first(f)["filter"] = json!({});
    }),
    ("a filter without the tenant", "table", |f| {
        first(f)["filter"] = json!({"channel": {"_eq": "EMAIL"}});
    }),
    ("the tenant as one of two ways in", "table", |f| {
        first(f)["filter"] = json!({"_or": [
            {"tenant_id": {"_eq": "X-Hasura-Tenant-Id"}}, {"channel": {"_eq": "EMAIL"}}]});
    }),
    ("another session variable", "table", |f| {
        first(f)["filter"] = json!({"tenant_id": {"_eq": "X-Hasura-User-Id"}});
    }),
    ("an operator that there is not", "table", |f| {
        first(f)["filter"] = json!({"_and": [
            {"tenant_id": {"_eq": "X-Hasura-Tenant-Id"}}, {"channel": {"_eqq": "EMAIL"}}]});
    }),
    ("another table without its tenant", "table", |f| {
        first(f)["filter"] = json!({"_and": [{"tenant_id": {"_eq": "X-Hasura-Tenant-Id"}},
            {"_exists": {"_table": {"schema": "communications", "name": "tenant_settings"},
                         "_where": {"inbox_visibility": {"_eq": "ALL"}}}}]});
    }),
    ("every column", "table", |f| {
        first(f)["columns"] = json!("*");
    }),
    ("aggregates", "table", |f| {
        first(f)["allow_aggregations"] = json!(true);
    }),
    ("no limit", "table", |f| remove(first(f), "limit")),
    ("a root field's typo", "table", |f| {
        first(f)["subscription_root_fields"] = json!(["select_streem"]);
    }),
    ("root fields left open", "table", |f| {
        remove(first(f), "query_root_fields");
    }),
    ("a permission of admin", "table", |f| {
        f["select_permissions"][0]["role"] = json!("admin");
    }),
    ("a permission to write", "table", |f| {
        f["update_permissions"] = json!([{"role": "dispatcher",
            "permission": {"columns": ["body"], "filter": {}, "check": {}}}]);
    }),
    ("a mapping's typo", "table", |f| {
        let manual = &mut f["object_relationships"][0]["using"]["manual_configuration"];
        rename(manual, "column_mapping", "column_mappings");
    }),
    ("a relationship across tenants", "table", |f| {
        let manual = &mut f["object_relationships"][0]["using"]["manual_configuration"];
        remove(&mut manual["column_mapping"], "tenant_id");
    }),
];

const TRIGGER_MUTANTS: [Mutant; 8] = [
    ("no retries", "host_table", |f| {
        remove(&mut f["event_triggers"][0], "retry_conf");
    }),
    ("a cron trigger's key", "host_table", |f| {
        rename(
            &mut f["event_triggers"][0]["retry_conf"],
            "timeout_sec",
            "timeout_seconds",
        );
    }),
    ("slower than the gateway", "host_table", |f| {
        f["event_triggers"][0]["retry_conf"]["timeout_sec"] = json!(60);
    }),
    ("a payload without the tenant", "host_table", |f| {
        f["event_triggers"][0]["definition"]["update"]["payload"] = json!(["id", "status"]);
    }),
    ("a fixed address", "host_table", |f| {
        f["event_triggers"][0]["webhook"] = json!("https://api.example.com/api/hasura/events");
    }),
    ("a secret in the file", "host_table", |f| {
        f["event_triggers"][0]["headers"][0]["value"] = json!("hunter2");
    }),
    ("no secret", "host_table", |f| {
        f["event_triggers"][0]["headers"] = json!([]);
    }),
    ("a name that Postgres would cut", "host_table", |f| {
        f["event_triggers"][0]["name"] =
            json!("trip_delayed_or_cancelled_or_moved_to_another_platform");
    }),
];

const ACTION_MUTANTS: [Mutant; 6] = [
    ("a slow action", "actions", |f| {
        f["actions"][0]["definition"]["timeout"] = json!(60);
    }),
    ("an asynchronous action", "actions", |f| {
        f["actions"][0]["definition"]["kind"] = json!("asynchronous");
    }),
    ("client headers let through", "actions", |f| {
        f["actions"][0]["definition"]["forward_client_headers"] = json!(true);
    }),
    ("a handler elsewhere", "actions", |f| {
        f["actions"][0]["definition"]["handler"] = json!("http://localhost/api/hasura/actions");
    }),
    ("an action of admin", "actions", |f| {
        f["actions"][0]["permissions"][0]["role"] = json!("admin");
    }),
    ("an action of nobody", "actions", |f| {
        f["actions"][0]["permissions"] = json!([]);
    }),
];

const CRON_MUTANTS: [Mutant; 5] = [
    ("not in the metadata", "cron_triggers", |f| {
        f[0]["include_in_metadata"] = json!(false);
    }),
    ("an event trigger's key", "cron_triggers", |f| {
        rename(
            &mut f[0]["retry_conf"],
            "retry_interval_seconds",
            "interval_sec",
        );
    }),
    ("no tolerance", "cron_triggers", |f| {
        remove(&mut f[0]["retry_conf"], "tolerance_seconds");
    }),
    ("seconds in the schedule", "cron_triggers", |f| {
        f[0]["schedule"] = json!("*/10 * * * * *");
    }),
    ("no secret", "cron_triggers", |f| {
        remove(&mut f[0], "headers");
    }),
];

fn a_cron_trigger() -> Value {
    json!([{
        "name": "every_minute", "schedule": "* * * * *", "include_in_metadata": true,
        "webhook": "{{COMMS_API_BASE_URL}}/api/hasura/cron",
        "headers": [{"name": "nhost-webhook-secret", "value_from_env": "COMMS_HASURA_SECRET"}],
        "retry_conf": {"num_retries": 1, "retry_interval_seconds": 10, "timeout_seconds": 25, "tolerance_seconds": 50}
    }])
}

#[test]
fn what_the_engine_would_take_in_silence_is_refused() {
    let originals = [
        (yaml(MESSAGES), &TABLE_MUTANTS[..]),
        (yaml(TRIPS), &TRIGGER_MUTANTS[..]),
        (yaml(ACTIONS), &ACTION_MUTANTS[..]),
        (a_cron_trigger(), &CRON_MUTANTS[..]),
    ];
    for (original, mutants) in originals {
        for (what, name, mutate) in mutants {
            assert_eq!(complaints(name, &original), [""; 0], "{name}");
            let mut mutant = original.clone();
            mutate(&mut mutant);
            assert_ne!(
                complaints(name, &mutant),
                [""; 0],
                "{name} takes in silence: {what}"
            );
        }
    }
}
