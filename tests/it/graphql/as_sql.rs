//! A permission's filter as SQL, written a second time: what the stand-in answers must be these rows.

use super::plant::Session;
use crate::hasura::metadata::{Permission, Table, items, tables};
use comms_tests::world::World;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

/// Every row of the table that the session may see, with every column and computed field that it may see.
pub async fn rows(
    world: &World,
    session: &Session,
    table: &Table,
    permission: &Permission,
) -> Vec<Value> {
    let columns = permission
        .columns
        .iter()
        .map(|column| format!("t.{column}"));
    let computed = table
        .computed_fields()
        .into_iter()
        .filter_map(|(field, definition)| {
            let function = definition["function"]["name"].as_str().unwrap();
            let argument = if definition["session_argument"].is_null() {
                String::new()
            } else {
                format!(", {}::json", literal(&session_json(session)))
            };
            let granted = permission.computed_fields.contains(&field);
            granted.then(|| format!("communications.{function}(t{argument}) as {field}"))
        });
    let fields: Vec<String> = columns.chain(computed).collect();
    let sql = format!(
        "select to_jsonb(x) from (select {} from communications.{} t where {}) x",
        fields.join(", "),
        table.name,
        permitted(session, table, permission)
    );
    all(world, sql).await
}

/// The permission's filter, for the table as `t`.
fn permitted(session: &Session, table: &Table, permission: &Permission) -> String {
    let variable = |name: &str| literal(session.variable(name).unwrap());
    condition(&variable, &table.name, "t", &permission.filter)
}

async fn all(world: &World, sql: String) -> Vec<Value> {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

fn session_json(session: &Session) -> String {
    let all: serde_json::Map<String, Value> = session
        .variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    Value::Object(all).to_string()
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The SQL of a session variable's value, as text.
pub type Variable<'a> = &'a dyn Fn(&str) -> String;

/// The expression over rows of `table`, which the query calls `alias`.
pub fn condition(variable: Variable<'_>, table: &str, alias: &str, expression: &Value) -> String {
    let inner = format!("{alias}_");
    let parts: Vec<String> = expression
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| {
            let all = |word: &str| {
                let terms: Vec<String> = items(value)
                    .map(|one| condition(variable, table, alias, one))
                    .collect();
                terms.join(word)
            };
            match key.as_str() {
                "_and" => all(" and "),
                "_or" => all(" or "),
                "_not" => format!("not {}", condition(variable, table, alias, value)),
                "_exists" => {
                    let other = value["_table"]["name"].as_str().unwrap();
                    let within = condition(variable, other, &inner, &value["_where"]);
                    format!("exists (select from communications.{other} {inner} where {within})")
                }
                _ => through(variable, table, alias, key, value)
                    .unwrap_or_else(|| comparison(variable, alias, key, value)),
            }
        })
        .map(|part| format!("({part})"))
        .collect();
    if parts.is_empty() {
        return "true".to_owned();
    }
    format!("({})", parts.join(" and "))
}

/// A relationship of that name, followed.
fn through(
    variable: Variable<'_>,
    table: &str,
    alias: &str,
    name: &str,
    expression: &Value,
) -> Option<String> {
    let table = tables().into_iter().find(|one| one.name == table)?;
    let mut all = table.relationships().into_iter();
    let found = all.find(|one| one.name == name)?;
    let inner = format!("{alias}_");
    let join: Vec<String> = found
        .columns
        .iter()
        .map(|(here, there)| format!("{alias}.{here} = {inner}.{there}"))
        .collect();
    Some(format!(
        "exists (select from communications.{} {inner} where {} and {})",
        found.remote,
        join.join(" and "),
        condition(variable, &found.remote, &inner, expression)
    ))
}

fn comparison(variable: Variable<'_>, alias: &str, column: &str, operators: &Value) -> String {
    let terms: Vec<String> = operators
        .as_object()
        .unwrap()
        .iter()
        .map(|(operator, value)| match (operator.as_str(), value) {
            ("_is_null", Value::Bool(true)) => format!("{alias}.{column} is null"),
            ("_eq", Value::String(text)) => {
                let session = text.to_lowercase().starts_with("x-hasura-");
                let value = if session {
                    variable(text)
                } else {
                    literal(text)
                };
                format!("{alias}.{column}::text = {value}")
            }
            _ => panic!("{column}: no SQL for {operator} {value}"),
        })
        .collect();
    terms.join(" and ")
}
