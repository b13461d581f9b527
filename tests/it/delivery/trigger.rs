//! An event trigger as the host's metadata says it, and the database trigger that the engine makes of it.

use serde_norway::Value;
use std::fmt::Write;

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../hasura/host-example/operations_trips.yaml"
);

/// On updates of one table.
#[derive(Debug, Clone)]
pub struct Trigger {
    pub name: String,
    table: String,
    /// It fires when one of these changes.
    columns: Vec<String>,
    /// What the event carries of the row.
    payload: Vec<String>,
    pub enable_manual: bool,
    pub retries: i64,
    pub interval: i64,
}

impl Trigger {
    pub fn of_the_example() -> Self {
        let file: Value =
            serde_norway::from_str(&std::fs::read_to_string(EXAMPLE).unwrap()).unwrap();
        let trigger = &file["event_triggers"][0];
        let definition = &trigger["definition"];
        let retry = &trigger["retry_conf"];
        Self {
            name: trigger["name"].as_str().unwrap().to_owned(),
            table: format!(
                "{}.{}",
                file["table"]["schema"].as_str().unwrap(),
                file["table"]["name"].as_str().unwrap()
            ),
            columns: words(&definition["update"]["columns"]),
            payload: words(&definition["update"]["payload"]),
            enable_manual: definition["enable_manual"].as_bool().unwrap(),
            retries: retry["num_retries"].as_i64().unwrap(),
            interval: retry["interval_sec"].as_i64().unwrap(),
        }
    }

    /// After each row's update, in the writer's transaction.
    pub fn sql(&self) -> String {
        let name = format!("notify_hasura_{}_UPDATE", self.name);
        let of = |row: &str, columns: &[String]| {
            let all: Vec<String> = columns.iter().map(|c| format!("{row}.{c}")).collect();
            all.join(", ")
        };
        let picked = |row: &str| {
            let members: Vec<String> = self
                .payload
                .iter()
                .map(|column| format!("'{column}', {row}.{column}"))
                .collect();
            format!("json_build_object({})", members.join(", "))
        };
        let mut sql = String::new();
        writeln!(
            sql,
            r#"create function hdb_catalog."{name}"() returns trigger language plpgsql as $$
               begin
                   if row({old}) is distinct from row({new}) then
                       perform hdb_catalog.insert_event_log(tg_table_schema, tg_table_name, '{trigger}', tg_op,
                           json_build_object('old', {before}, 'new', {after}));
                   end if;
                   return null;
               end $$;
               create trigger "{name}" after update on {table}
                   for each row execute function hdb_catalog."{name}"();"#,
            old = of("old", &self.columns),
            new = of("new", &self.columns),
            trigger = self.name,
            before = picked("old"),
            after = picked("new"),
            table = self.table,
        )
        .unwrap();
        sql
    }
}

fn words(value: &Value) -> Vec<String> {
    let items = value.as_sequence().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}
