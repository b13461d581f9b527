//! The documents against the schema of each role that runs them, by GraphQL's own rules; and the allow list, which is made of
//! them.

use super::catalogue::{Catalogue, functions};
use super::metadata::{ROLES, Table, files, tables, text, yaml};
use super::schema_of_role::{roles_of_action, sdl};
use apollo_compiler::ast::{Definition, Document};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use comms_tests::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// One operation with the fragments that it uses: what a client sends.
#[derive(Debug, Clone)]
pub struct Operation {
    pub file: String,
    pub name: String,
    pub kind: String,
    pub text: String,
}

/// Every operation of every document, in the order of the files.
pub fn operations() -> Vec<Operation> {
    let files = files("documents", ".graphql").into_iter();
    files.flat_map(|file| operations_of(&file)).collect()
}

pub fn operation(name: &str) -> Operation {
    let mut all = operations().into_iter();
    all.find(|one| one.name == name)
        .unwrap_or_else(|| panic!("no operation {name}"))
}

fn operations_of(file: &str) -> Vec<Operation> {
    let document = Document::parse(text(&format!("documents/{file}")), file).unwrap();
    let fragments: BTreeMap<String, String> = document
        .definitions
        .iter()
        .filter_map(Definition::as_fragment_definition)
        .map(|fragment| (fragment.name.to_string(), fragment.to_string()))
        .collect();
    let operations = document.definitions.iter();
    operations
        .filter_map(Definition::as_operation_definition)
        .map(|operation| {
            let mut text = operation.to_string();
            let mut used = BTreeSet::new();
            while let Some(next) = fragments
                .keys()
                .find(|name| !used.contains(*name) && text.contains(&format!("...{name}\n")))
            {
                used.insert(next.clone());
                write!(text, "\n{}", fragments[next]).unwrap();
            }
            Operation {
                file: file.to_owned(),
                name: operation.name.as_ref().unwrap().to_string(),
                kind: operation.operation_type.to_string(),
                text,
            }
        })
        .collect()
}

/// Who runs a document. An action's are those that its permissions name.
fn roles(operation: &Operation) -> Vec<String> {
    let roles: &[&str] = match operation.file.as_str() {
        "inbox-actions.graphql" | "automation-actions.graphql" | "channel-actions.graphql" => {
            return roles_of_action(&action(operation));
        }
        "message-runs.graphql" => &["service"],
        "channels.graphql" => &["tenant_admin"],
        "batch-progress.graphql" => &["tenant_admin", "service"],
        _ => &["dispatcher", "tenant_admin"],
    };
    roles.iter().map(|role| (*role).to_owned()).collect()
}

/// The one action that a mutation calls.
fn action(operation: &Operation) -> String {
    let line = operation.text.lines().nth(1).unwrap().trim();
    let end = line.find(['(', ' ']).unwrap();
    line[..end].to_owned()
}

type Schemas = BTreeMap<&'static str, Valid<Schema>>;

async fn schemas() -> Schemas {
    let world = World::new().await;
    let catalogue = Catalogue::read(&world).await;
    let mut answers = BTreeMap::new();
    for (_, definition) in tables().iter().flat_map(Table::computed_fields) {
        let name = definition["function"]["name"].as_str().unwrap().to_owned();
        let answer = functions(&world, &name).await.remove(0).answer;
        answers.insert(name, answer);
    }
    ROLES
        .iter()
        .map(|role| {
            let sdl = sdl(role, &catalogue, &|function| answers[function].clone());
            let schema = Schema::parse_and_validate(sdl, format!("{role}.graphql"));
            (
                *role,
                schema.unwrap_or_else(|wrong| panic!("{}", wrong.errors)),
            )
        })
        .collect()
}

fn complaints(schemas: &Schemas, role: &str, name: &str, text: &str) -> Option<String> {
    let checked = ExecutableDocument::parse_and_validate(&schemas[role], text, name);
    checked.err().map(|wrong| wrong.errors.to_string())
}

#[tokio::test]
async fn every_document_is_valid_for_the_roles_that_run_it() {
    let schemas = schemas().await;
    for operation in operations() {
        let roles = roles(&operation);
        assert!(!roles.is_empty(), "{}: nobody may run it", operation.name);
        for role in roles {
            let wrong = complaints(&schemas, &role, &operation.name, &operation.text);
            assert!(wrong.is_none(), "{role}: {}", wrong.unwrap());
        }
    }
}

/// The check is no formality: what another role may not, and what does not exist, is refused.
#[tokio::test]
async fn a_document_that_asks_for_too_much_is_refused() {
    let schemas = schemas().await;
    let refused = |role: &str, text: &str| {
        assert!(
            complaints(&schemas, role, "mutant", text).is_some(),
            "{role}: {text}"
        );
    };
    for operation in operations() {
        if !roles(&operation).contains(&"visitor".to_owned()) {
            refused("visitor", &operation.text);
        }
    }
    let thread = operation("ConversationThread").text;
    for secret in [
        "address",
        "external_message_id",
        "reply_to",
        "content",
        "failed_reason",
    ] {
        refused("tenant_admin", &thread.replace("body", secret));
    }
    refused("service", &thread);
    refused("dispatcher", "query { contact_reviews { id } }");
    refused("dispatcher", "query { contacts { id } }");
    refused(
        "dispatcher",
        "query { messages_aggregate { aggregate { count } } }",
    );
    refused("dispatcher", "subscription { conversations_stream { id } }");
    refused(
        "dispatcher",
        "query { tenant_settings { inbox_visibility } }",
    );
    let list = operation("ConversationList").text;
    refused(
        "dispatcher",
        &list.replace("$limit: Int!", "$limit: String!"),
    );
    refused("dispatcher", &list.replace("where: $where", "where: $wher"));
}

/// One root field each: two in one subscription is an error of the engine.
#[test]
fn every_subscription_has_one_root_field() {
    for operation in operations().iter().filter(|one| one.kind == "subscription") {
        let roots = operation.text.lines().filter(|line| {
            line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  }")
        });
        let end = operation.text.find("\n}").unwrap();
        let body = &operation.text[..end];
        let roots = roots.filter(|line| body.contains(*line)).count();
        assert_eq!(roots, 1, "{}", operation.text);
    }
}

fn collection() -> String {
    let mut yaml = "# Written from hasura/documents by `cargo test --workspace --locked --test it -- --ignored write_the_allow_list`.\n\
                    - name: inbox\n  definition:\n    queries:\n"
        .to_owned();
    let mut all = operations();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for operation in all {
        writeln!(yaml, "      - name: {}\n        query: |", operation.name).unwrap();
        for line in operation.text.trim_end().lines() {
            let indent = if line.is_empty() { "" } else { "          " };
            writeln!(yaml, "{indent}{line}").unwrap();
        }
    }
    yaml
}

const COLLECTION: &str = "metadata/query_collections.yaml";

#[test]
fn the_allow_list_is_the_documents() {
    assert!(
        text(COLLECTION) == collection(),
        "hasura/{COLLECTION} is not what the documents say: \
         cargo test --workspace --locked --test it -- --ignored write_the_allow_list"
    );
    assert_eq!(
        yaml("metadata/allow_list.yaml"),
        serde_json::json!([{"collection": "inbox", "scope": {"global": true}}])
    );
}

#[test]
#[ignore = "writes hasura/metadata/query_collections.yaml; for whoever changed a document"]
fn write_the_allow_list() {
    let path = format!("{}/{COLLECTION}", super::metadata::HASURA);
    std::fs::write(path, collection()).unwrap();
}
