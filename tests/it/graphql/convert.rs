//! Our metadata directory as the stand-in's one document.
//!
//! Lost on the way, because the stand-in has no such thing: which root fields a role has, and streams.

use crate::hasura::metadata::{Permission, Relationship, Table, tables};
use serde_json::{Map, Value, json};

pub fn document() -> Value {
    let tables = tables();
    let entries: Map<String, Value> = tables
        .iter()
        .map(|table| (format!("communications.{}", table.name), entry(table)))
        .collect();
    json!({"tables": entries})
}

/// The same without permissions.
pub fn names() -> Value {
    let mut document = document();
    for table in document["tables"].as_object_mut().unwrap().values_mut() {
        table.as_object_mut().unwrap().remove("permissions");
    }
    document
}

fn entry(table: &Table) -> Value {
    let computed: Map<String, Value> = table
        .computed_fields()
        .into_iter()
        .map(|(field, definition)| {
            let function = definition["function"]["name"].as_str().unwrap().to_owned();
            (function, json!(field))
        })
        .collect();
    let relationships: Vec<Value> = table.relationships().iter().map(relationship).collect();
    let permissions: Map<String, Value> = table
        .permissions()
        .iter()
        .map(|one| (one.role.clone(), json!({"select": permission(table, one)})))
        .collect();
    let configuration = &table.json["configuration"];
    let roots = &configuration["custom_root_fields"];
    json!({
        "name": configuration["custom_name"],
        "roots": {
            "select": roots["select"],
            "select_by_pk": roots["select_by_pk"],
            "select_aggregate": roots["select_aggregate"],
        },
        "declared_relationships": relationships,
        "computed_fields": computed,
        "permissions": permissions,
    })
}

fn relationship(one: &Relationship) -> Value {
    let columns: Map<String, Value> = one
        .columns
        .iter()
        .map(|(here, there)| (here.clone(), json!(there)))
        .collect();
    json!({
        "name": one.name,
        "table": format!("communications.{}", one.remote),
        "columns": columns,
        "to_one": one.to_one,
    })
}

fn permission(table: &Table, one: &Permission) -> Value {
    let all = table.json["select_permissions"].as_array().unwrap();
    let written = all.iter().find(|entry| entry["role"] == one.role.as_str());
    let written = &written.unwrap()["permission"];
    json!({
        "columns": one.columns,
        "computed_fields": one.computed_fields,
        "filter": one.filter,
        "limit": written["limit"],
        "allow_aggregations": written["allow_aggregations"],
    })
}
