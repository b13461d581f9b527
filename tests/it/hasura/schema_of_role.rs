//! The GraphQL schema that the engine would serve to one role, as far as our documents use it: names and types follow from the
//! metadata and the catalogue by the engine's own rules, the actions stand in `actions.graphql`.

use super::catalogue::Catalogue;
use super::metadata::{Permission, Table, items, strings, tables, text, yaml};
use apollo_compiler::ast::{Definition, Document};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A type of the database as the engine calls it.
fn scalar(kind: &str) -> &str {
    match kind {
        "text" => "String",
        "boolean" => "Boolean",
        "integer" => "Int",
        "bigint" => "bigint",
        "timestamp with time zone" => "timestamptz",
        other => other,
    }
}

/// One table as a role sees it.
struct Seen<'a> {
    table: &'a Table,
    permission: Permission,
    /// Columns and computed fields with their scalars.
    fields: Vec<(String, String)>,
}

const HEAD: &str = "
schema { query: query_root subscription: subscription_root mutation: Mutation }
enum order_by { asc asc_nulls_first asc_nulls_last desc desc_nulls_first desc_nulls_last }
enum cursor_ordering { ASC DESC }
";

/// `answers` are the types of the computed fields' functions.
pub fn sdl(role: &str, catalogue: &Catalogue, answers: &dyn Fn(&str) -> String) -> String {
    let all = tables();
    let seen: Vec<Seen<'_>> = all
        .iter()
        .filter_map(|table| seen(table, role, catalogue, answers))
        .collect();
    let mut sdl = HEAD.to_owned();
    for one in &seen {
        one.describe(&seen, &mut sdl);
    }
    roots("query_root", &seen, &mut sdl);
    roots("subscription_root", &seen, &mut sdl);
    let actions = actions(role);
    comparisons(&seen, &actions, &mut sdl);
    sdl + &actions
}

fn seen<'a>(
    table: &'a Table,
    role: &str,
    catalogue: &Catalogue,
    answers: &dyn Fn(&str) -> String,
) -> Option<Seen<'a>> {
    let permission = table.permission(role)?;
    let columns = permission.columns.iter().map(|column| {
        (
            column.clone(),
            catalogue.column(&table.name, column).to_owned(),
        )
    });
    let computed = table
        .computed_fields()
        .into_iter()
        .filter_map(|(field, definition)| {
            let granted = permission.computed_fields.contains(&field);
            let function = definition["function"]["name"].as_str().unwrap();
            granted.then(|| (field, answers(function)))
        });
    let fields = columns
        .chain(computed)
        .map(|(name, kind)| (name, scalar(&kind).to_owned()))
        .collect();
    Some(Seen {
        table,
        permission,
        fields,
    })
}

fn arguments(table: &str) -> String {
    format!("where: {table}_bool_exp, order_by: [{table}_order_by!], limit: Int, offset: Int")
}

impl Seen<'_> {
    fn describe(&self, seen: &[Seen<'_>], sdl: &mut String) {
        let name = &self.table.name;
        let (mut object, mut filter, mut order, mut cursor) = Default::default();
        let write = |text: &mut String, line: String| writeln!(text, "  {line}").unwrap();
        for (field, kind) in &self.fields {
            write(&mut object, format!("{field}: {kind}"));
            write(&mut filter, format!("{field}: {kind}_comparison_exp"));
            write(&mut order, format!("{field}: order_by"));
            write(&mut cursor, format!("{field}: {kind}"));
        }
        for relationship in self.table.relationships() {
            let remote = &relationship.remote;
            if !seen.iter().any(|one| one.table.name == *remote) {
                continue;
            }
            let field = &relationship.name;
            write(&mut filter, format!("{field}: {remote}_bool_exp"));
            if relationship.to_one {
                write(&mut object, format!("{field}: {remote}"));
                write(&mut order, format!("{field}: {remote}_order_by"));
            } else {
                let arguments = arguments(remote);
                write(&mut object, format!("{field}({arguments}): [{remote}!]!"));
            }
        }
        write!(
            sdl,
            "type {name} {{\n{object}}}
input {name}_bool_exp {{ _and: [{name}_bool_exp!] _or: [{name}_bool_exp!] _not: {name}_bool_exp\n{filter}}}
input {name}_order_by {{\n{order}}}
input {name}_stream_cursor_value_input {{\n{cursor}}}
input {name}_stream_cursor_input {{ initial_value: {name}_stream_cursor_value_input! ordering: cursor_ordering }}
"
        )
        .unwrap();
    }

    fn roots(&self, kind: &str) -> Vec<String> {
        let name = &self.table.name;
        let roots = match kind {
            "query_root" => &self.permission.query_roots,
            _ => &self.permission.subscription_roots,
        };
        roots
            .iter()
            .map(|root| match root.as_str() {
                "select_stream" => format!(
                    "{name}_stream(batch_size: Int!, cursor: [{name}_stream_cursor_input]!, where: {name}_bool_exp): [{name}!]!"
                ),
                _ => format!("{name}({}): [{name}!]!", arguments(name)),
            })
            .collect()
    }
}

/// The engine puts a field into a root that would be empty.
fn roots(kind: &str, seen: &[Seen<'_>], sdl: &mut String) {
    let fields: Vec<String> = seen.iter().flat_map(|one| one.roots(kind)).collect();
    let fields = fields.join("\n  ");
    writeln!(
        sdl,
        "type {kind} {{\n  no_queries_available: String\n  {fields}\n}}"
    )
    .unwrap();
}

/// `actions.graphql` with the actions of the role.
fn actions(role: &str) -> String {
    let permitted: BTreeSet<String> = items(&yaml("metadata/actions.yaml")["actions"])
        .filter(|action| items(&action["permissions"]).any(|one| one["role"] == role))
        .map(|action| action["name"].as_str().unwrap().to_owned())
        .collect();
    let mut document =
        Document::parse(text("metadata/actions.graphql"), "actions.graphql").unwrap();
    for definition in &mut document.definitions {
        if let Definition::ObjectTypeDefinition(object) = definition
            && object.name == "Mutation"
        {
            let fields = &mut object.make_mut().fields;
            fields.retain(|field| permitted.contains(field.name.as_str()));
        }
    }
    let text = document.to_string();
    if permitted.is_empty() {
        return text.replace(
            "type Mutation",
            "type Mutation { no_mutations_available: String }",
        );
    }
    text
}

/// The scalars, and how each is compared.
fn comparisons(seen: &[Seen<'_>], actions: &str, sdl: &mut String) {
    let kinds: BTreeSet<&str> = seen
        .iter()
        .flat_map(|one| one.fields.iter().map(|(_, kind)| kind.as_str()))
        .chain(["uuid", "timestamptz", "jsonb"])
        .collect();
    for kind in kinds {
        let declared = actions.contains(&format!("scalar {kind}\n"));
        if !matches!(kind, "String" | "Boolean" | "Int") && !declared {
            writeln!(sdl, "scalar {kind}").unwrap();
        }
        writeln!(
            sdl,
            "input {kind}_comparison_exp {{ _eq: {kind} _neq: {kind} _gt: {kind} _gte: {kind} _lt: {kind} _lte: {kind}
              _in: [{kind}!] _nin: [{kind}!] _is_null: Boolean }}"
        )
        .unwrap();
    }
}

/// The names that a role's schema has for each action's arguments: (action, argument, is it required?).
pub fn action_arguments() -> Vec<(String, Vec<(String, String)>)> {
    let document = Document::parse(text("metadata/actions.graphql"), "actions.graphql").unwrap();
    document
        .definitions
        .iter()
        .filter_map(Definition::as_object_type_definition)
        .filter(|object| object.name == "Mutation" || object.name == "Query")
        .flat_map(|object| &object.fields)
        .map(|field| {
            let arguments = field.arguments.iter();
            (
                field.name.to_string(),
                arguments
                    .map(|one| (one.name.to_string(), one.ty.to_string()))
                    .collect(),
            )
        })
        .collect()
}

/// The roles that an action's permissions name.
pub fn roles_of_action(name: &str) -> Vec<String> {
    items(&yaml("metadata/actions.yaml")["actions"])
        .filter(|action| action["name"] == name)
        .flat_map(|action| items(&action["permissions"]).cloned().collect::<Vec<_>>())
        .flat_map(|one| strings(&serde_json::json!([one["role"]])))
        .collect()
}
