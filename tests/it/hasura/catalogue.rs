//! What the migrated database says about the tables and functions that the metadata names.

use comms_tests::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// Columns by table, with their types; indexes by table.
#[derive(Debug)]
pub struct Catalogue {
    pub columns: BTreeMap<String, BTreeMap<String, String>>,
    /// Of each index its columns in order; whether it is unique for what is joined (null joins nothing).
    pub indexes: BTreeMap<String, Vec<(Vec<String>, bool)>>,
    pub views: BTreeSet<String>,
}

/// A function of one name.
#[derive(Debug, sqlx::FromRow)]
pub struct Function {
    pub volatility: String,
    pub argument_names: Vec<String>,
    pub argument_types: Vec<String>,
    pub answer: String,
    pub set: bool,
}

impl Catalogue {
    pub async fn read(world: &World) -> Self {
        Self::of_schema(world, "communications").await
    }

    pub async fn of_schema(world: &World, schema: &str) -> Self {
        let columns: Vec<(String, String, String, bool)> = sqlx::query_as(
            "select c.relname::text, a.attname::text, format_type(a.atttypid, null), c.relkind = 'v'
               from pg_class c
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              where c.relnamespace = to_regnamespace($1) and c.relkind in ('r', 'p', 'v')",
        )
        .bind(schema)
        .fetch_all(&world.pool)
        .await
        .unwrap();
        let indexes: Vec<(String, Vec<String>, bool)> = sqlx::query_as(
            "select c.relname::text,
                    i.indisunique and coalesce(pg_get_expr(i.indpred, c.oid) = any (
                        select format('(%I IS NOT NULL)', one) from unnest(k.columns) one), i.indpred is null),
                    k.columns
               from pg_index i
               join pg_class c on c.oid = i.indrelid
              cross join lateral (
                  select array(select a.attname::text from unnest(i.indkey) with ordinality k(attnum, at)
                                 join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum order by k.at)) k(columns)
              where c.relnamespace = to_regnamespace($1)",
        )
        .bind(schema)
        .fetch_all(&world.pool)
        .await
        .unwrap()
        .into_iter()
        .map(|(table, unique, columns): (String, bool, Vec<String>)| (table, columns, unique))
        .collect();
        let mut catalogue = Self {
            columns: BTreeMap::new(),
            indexes: BTreeMap::new(),
            views: BTreeSet::new(),
        };
        for (table, column, kind, view) in columns {
            if view {
                catalogue.views.insert(table.clone());
            }
            let known = catalogue.columns.entry(table).or_default();
            known.insert(column, kind);
        }
        for (table, columns, unique) in indexes {
            let known = catalogue.indexes.entry(table).or_default();
            known.push((columns, unique));
        }
        catalogue
    }

    /// The column's type.
    pub fn column(&self, table: &str, column: &str) -> &str {
        self.columns
            .get(table)
            .unwrap_or_else(|| panic!("no table {table}"))
            .get(column)
            .unwrap_or_else(|| panic!("no column {table}.{column}"))
    }

    /// Does some unique index hold at most these columns?
    pub fn at_most_one(&self, table: &str, columns: &BTreeSet<&str>) -> bool {
        self.indexes[table]
            .iter()
            .any(|(key, unique)| *unique && key.iter().all(|one| columns.contains(one.as_str())))
    }

    /// Does some index begin with exactly these columns, in whatever order?
    pub fn finds_by(&self, table: &str, columns: &BTreeSet<&str>) -> bool {
        self.indexes[table].iter().any(|(key, _)| {
            let start: BTreeSet<&str> =
                key.iter().take(columns.len()).map(String::as_str).collect();
            start == *columns
        })
    }
}

pub async fn functions(world: &World, name: &str) -> Vec<Function> {
    sqlx::query_as(
        "select p.provolatile::text as volatility, coalesce(p.proargnames, '{}')::text[] as argument_names,
                array(select format_type(t.oid, null) from unnest(p.proargtypes) with ordinality a(oid, at)
                        join pg_type t on t.oid = a.oid order by a.at) as argument_types,
                format_type(p.prorettype, null) as answer, p.proretset as set
           from pg_proc p
          where p.pronamespace = 'communications'::regnamespace and p.proname = $1",
    )
    .bind(name)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}
