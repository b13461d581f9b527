//! Every role against every tracked table.

use super::as_sql;
use super::plant::{NOBODY, Session, plant};
use super::server::StandIn;
use crate::hasura::catalogue::Catalogue;
use crate::hasura::metadata::{Permission, ROLES, Table, tables};
use comms_tests::world::World;
use serde_json::{Value, json};
use uuid::Uuid;

/// All that the permission shows.
pub fn select(table: &Table, permission: &Permission) -> String {
    let fields: Vec<&str> = permission
        .columns
        .iter()
        .chain(&permission.computed_fields)
        .map(String::as_str)
        .collect();
    format!("query {{ {} {{ {} }} }}", table.name, fields.join(" "))
}

/// (role, table, permission) wherever there is one.
fn granted() -> Vec<(&'static str, Table, Permission)> {
    let tables = tables();
    ROLES
        .into_iter()
        .flat_map(|role| {
            tables.iter().filter_map(move |table| {
                let permission = table.permission(role)?;
                Some((role, table.clone(), permission))
            })
        })
        .collect()
}

/// Numbers and times as text, rows in one order: how a value is written is not what is compared.
fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| plain(row).to_string()).collect();
    rows.sort();
    rows
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.to_string()),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        other => other.clone(),
    }
}

/// The same rows and the same values as the filter read as SQL: the own tenant's, all of them, and nobody else's.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_each_role_exactly_the_rows_of_its_filter() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    for (role, table, permission) in granted() {
        let mut seen = Vec::new();
        for operator in [&world.iberia, &world.albion] {
            let session = Session::of(role, operator);
            let query = select(&table, &permission);
            let rows = standin.rows(&session, &table.name, &query).await;
            let expected = as_sql::rows(&world, &session, &table, &permission).await;
            assert!(!rows.is_empty(), "{role} sees nothing of {}", table.name);
            assert_eq!(sorted(&rows), sorted(&expected), "{role} {}", table.name);
            seen.push(rows);
        }
        let session = Session::new(role, NOBODY, Uuid::now_v7(), Uuid::now_v7());
        let rows = standin
            .rows(&session, &table.name, &select(&table, &permission))
            .await;
        assert!(rows.is_empty(), "{role} {}: {rows:?}", table.name);
    }
}

/// Asking for another tenant's row by its id is asking for nothing.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_finds_no_row_of_another_tenant_by_its_id() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    let with_ids = granted()
        .into_iter()
        .filter(|(_, _, permission)| permission.columns.contains(&"id".to_owned()));
    for (role, table, permission) in with_ids {
        let theirs = Session::of(role, &world.albion);
        let rows = as_sql::rows(&world, &theirs, &table, &permission).await;
        let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        let query = format!(
            "query {{ {} (where: {{id: {{_in: {ids:?}}}}}) {{ id }} }}",
            table.name
        );
        assert_eq!(
            standin.rows(&theirs, &table.name, &query).await.len(),
            ids.len()
        );
        let ours = Session::of(role, &world.iberia);
        let found = standin.rows(&ours, &table.name, &query).await;
        assert!(found.is_empty(), "{role} {}: {found:?}", table.name);
    }
}

/// What is not granted is not there: columns, tables, aggregates, writing.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_refuses_what_is_not_granted() {
    let world = World::new().await;
    let standin = StandIn::start(&world).await;
    let catalogue = Catalogue::read(&world).await;
    let mut refused = 0;
    for role in ROLES {
        let session = Session::of(role, &world.iberia);
        for (table, columns) in &catalogue.columns {
            let tracked = tables().into_iter().find(|one| one.name == *table);
            let permission = tracked.and_then(|table| table.permission(role));
            let granted = permission.map(|one| one.columns).unwrap_or_default();
            let mut queries: Vec<String> = columns
                .keys()
                .filter(|column| !granted.contains(column))
                .map(|column| format!("query {{ {table} {{ {column} }} }}"))
                .collect();
            queries.push(format!(
                "query {{ {table}_aggregate {{ aggregate {{ count }} }} }}"
            ));
            queries.push(format!(
                "mutation {{ delete_{table}(where: {{}}) {{ affected_rows }} }}"
            ));
            queries.push(format!(
                "mutation {{ insert_{table}(objects: []) {{ affected_rows }} }}"
            ));
            for query in queries {
                let code = standin.refuses(&session, &query).await;
                assert_eq!(code, "validation-failed", "{role}: {query}");
                refused += 1;
            }
        }
    }
    println!("{refused} requests refused by the stand-in");
}

/// A session without a variable of the filter is refused and never sees more.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_refuses_a_session_that_lacks_a_variable() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    for (role, table, permission) in granted() {
        let session = Session::of(role, &world.iberia);
        let filter = permission.filter.to_string().to_lowercase();
        let named = session.variables.iter().map(|(name, _)| *name);
        for variable in named.filter(|name| filter.contains(name)) {
            let query = select(&table, &permission);
            let code = standin.refuses(&session.without(variable), &query).await;
            assert_eq!(code, "not-found", "{role} {} {variable}", table.name);
        }
    }
}
