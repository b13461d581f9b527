//! The files under `hasura/`, as JSON.

use serde_json::Value;

pub const HASURA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hasura");

/// The roles that people and services have; the engine's own `admin` is none of them.
pub const ROLES: [&str; 4] = ["dispatcher", "tenant_admin", "service", "visitor"];

pub fn text(path: &str) -> String {
    let path = format!("{HASURA}/{path}");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn yaml(path: &str) -> Value {
    serde_norway::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of a folder's files, in order.
pub fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(format!("{HASURA}/{folder}"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(extension))
        .collect();
    names.sort();
    names
}

/// A tracked table or view.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub json: Value,
}

/// What one role may select of a table.
#[derive(Debug, Clone)]
pub struct Permission {
    pub role: String,
    pub columns: Vec<String>,
    pub computed_fields: Vec<String>,
    pub filter: Value,
    pub query_roots: Vec<String>,
    pub subscription_roots: Vec<String>,
}

/// A manual relationship.
#[derive(Debug, Clone)]
pub struct Relationship {
    pub name: String,
    pub to_one: bool,
    pub remote: String,
    pub columns: Vec<(String, String)>,
}

/// Those that `tables.yaml` includes.
pub fn tables() -> Vec<Table> {
    let folder = "metadata/databases/default/tables";
    strings(&yaml(&format!("{folder}/tables.yaml")))
        .iter()
        .map(|include| {
            yaml(&format!(
                "{folder}/{}",
                include.trim_start_matches("!include ")
            ))
        })
        .map(|json| Table {
            name: json["table"]["name"].as_str().unwrap().to_owned(),
            json,
        })
        .collect()
}

impl Table {
    pub fn permissions(&self) -> Vec<Permission> {
        items(&self.json["select_permissions"])
            .map(|one| {
                let permission = &one["permission"];
                Permission {
                    role: one["role"].as_str().unwrap().to_owned(),
                    columns: strings(&permission["columns"]),
                    computed_fields: strings(&permission["computed_fields"]),
                    filter: permission["filter"].clone(),
                    query_roots: strings(&permission["query_root_fields"]),
                    subscription_roots: strings(&permission["subscription_root_fields"]),
                }
            })
            .collect()
    }

    pub fn permission(&self, role: &str) -> Option<Permission> {
        self.permissions().into_iter().find(|one| one.role == role)
    }

    pub fn relationships(&self) -> Vec<Relationship> {
        let kinds = [
            ("object_relationships", true),
            ("array_relationships", false),
        ];
        kinds
            .into_iter()
            .flat_map(|(kind, to_one)| items(&self.json[kind]).map(move |one| (one, to_one)))
            .map(|(one, to_one)| {
                let manual = &one["using"]["manual_configuration"];
                let mapping = manual["column_mapping"].as_object().unwrap();
                Relationship {
                    name: one["name"].as_str().unwrap().to_owned(),
                    to_one,
                    remote: manual["remote_table"]["name"].as_str().unwrap().to_owned(),
                    columns: mapping
                        .iter()
                        .map(|(local, remote)| (local.clone(), remote.as_str().unwrap().to_owned()))
                        .collect(),
                }
            })
            .collect()
    }

    /// (field, definition)
    pub fn computed_fields(&self) -> Vec<(String, Value)> {
        items(&self.json["computed_fields"])
            .map(|one| {
                (
                    one["name"].as_str().unwrap().to_owned(),
                    one["definition"].clone(),
                )
            })
            .collect()
    }
}

pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub fn strings(list: &Value) -> Vec<String> {
    items(list)
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}
