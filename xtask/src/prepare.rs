//! `.sqlx`: what the compiler knows about every query, prepared and checked without sqlx-cli; and [`schema`], beside it.
//!
//! A scratch database gets the migrations; every crate that uses sqlx is type-checked against it with
//! `SQLX_OFFLINE_DIR` set, and the macros write one JSON per query there. A folder made from nothing holds no
//! stale query, so comparing it with `.sqlx` finds what is missing, what changed and what is no longer used.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    postgres::{self, Postgres},
    project::{Project, cargo},
    run, say, schema,
};

/// A host's part of the domain contract, as the tests have it: the queries name its views.
const HOST_VIEWS: &str = "tests/fixtures/domain.sql";

/// Whether to replace `.sqlx` or only to compare with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Write,
    Check,
}

pub fn prepare(project: &Project, mode: Mode) -> Result<()> {
    let server = postgres::start(project)?;
    let scratch = format!("communications_prepare_{}", std::process::id());
    let maintenance = server.url.clone();
    server.query(&maintenance, &format!("create database {scratch}"))?;
    let result = made_and_described(project, &server, &server.url_of(&scratch)?);
    server.query(
        &maintenance,
        &format!("drop database {scratch} with (force)"),
    )?;
    let (schema, fresh) = result?;
    if let Some(schema) = schema {
        schema::keep(project, mode, &schema)?;
    }
    match mode {
        Mode::Write => replace(project, &fresh),
        Mode::Check => compare(project, &fresh),
    }
}

/// What the migrations make of an empty database, and the folder with one file per query.
fn made_and_described(
    project: &Project,
    server: &Postgres,
    database: &str,
) -> Result<(Option<String>, PathBuf)> {
    apply_migrations(project, server, database)?;
    let made = schema::read(project, server, database)?;
    apply_host_views(project, server, database)?;
    Ok((made, describe(project, database)?))
}

/// Has the compiler describe every query.
fn describe(project: &Project, database: &str) -> Result<PathBuf> {
    let crates = crates_with_queries(project)?;
    if crates.is_empty() {
        bail!("no workspace crate depends on sqlx");
    }
    let fresh = project.target().join("sqlx-prepare");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("remove {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("create {}", fresh.display()))?;
    let touched = Touched::now(crates.iter().flat_map(|one| &one.roots))?;
    let mut check = Command::new(cargo());
    check.args(["check", "--locked", "--all-targets"]);
    for one in &crates {
        check.args(["--package", &one.name]);
    }
    check
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &fresh)
        .env("DATABASE_URL", database);
    let result = run::visible(
        check.current_dir(&project.root),
        "checking the queries against the migrations",
    );
    touched.restore()?;
    result.map(|()| fresh)
}

/// A database as the service finds it: the migrations, and what its host defines.
pub fn apply_all(project: &Project, server: &Postgres, database: &str) -> Result<()> {
    apply_migrations(project, server, database)?;
    apply_host_views(project, server, database)
}

/// In the order of their names.
fn apply_migrations(project: &Project, server: &Postgres, database: &str) -> Result<()> {
    let dir = project.root.join("migrations");
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .with_context(|| format!("read {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_migration(path))
        .collect();
    files.sort();
    files
        .iter()
        .try_for_each(|file| server.apply(database, file))
}

fn apply_host_views(project: &Project, server: &Postgres, database: &str) -> Result<()> {
    server.apply(database, &project.root.join(HOST_VIEWS))
}

fn is_migration(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".sql") && !name.ends_with(".down.sql")
}

/// A workspace crate that uses sqlx, and the files its targets start from.
struct QueryCrate {
    name: String,
    roots: Vec<PathBuf>,
}

fn crates_with_queries(project: &Project) -> Result<Vec<QueryCrate>> {
    let mut command = Command::new(cargo());
    command
        .args(["metadata", "--no-deps", "--format-version=1", "--locked"])
        .current_dir(&project.root);
    let metadata: Value = serde_json::from_str(&run::quiet(&mut command, "cargo metadata")?)?;
    Ok(array(&metadata["packages"])
        .filter(|package| depends_on_sqlx(package))
        .map(query_crate)
        .collect())
}

fn depends_on_sqlx(package: &Value) -> bool {
    array(&package["dependencies"]).any(|dependency| dependency["name"] == "sqlx")
}

fn query_crate(package: &Value) -> QueryCrate {
    QueryCrate {
        name: package["name"].as_str().unwrap_or_default().to_owned(),
        roots: array(&package["targets"])
            .filter(|target| array(&target["kind"]).all(|kind| kind != "custom-build"))
            .filter_map(|target| target["src_path"].as_str().map(PathBuf::from))
            .collect(),
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Source files that look changed for a while, so that the macros run again; restored, so that nothing else
/// rebuilds afterwards.
struct Touched {
    now: SystemTime,
    before: Vec<(PathBuf, SystemTime)>,
}

impl Touched {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo compares file times with the machine's clock"
    )]
    fn now<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<Self> {
        let now = SystemTime::now();
        let mut before = Vec::new();
        for path in files {
            before.push((path.clone(), modified(path)?));
            set_modified(path, now)?;
        }
        Ok(Self { now, before })
    }

    /// A file that somebody has saved in the meantime keeps its new time.
    fn restore(self) -> Result<()> {
        for (path, before) in &self.before {
            if modified(path)? == self.now {
                set_modified(path, *before)?;
            }
        }
        Ok(())
    }
}

fn modified(path: &Path) -> Result<SystemTime> {
    fs::metadata(path)
        .and_then(|data| data.modified())
        .with_context(|| format!("read {}", path.display()))
}

fn set_modified(path: &Path, to: SystemTime) -> Result<()> {
    File::options()
        .append(true)
        .open(path)
        .and_then(|file| file.set_modified(to))
        .with_context(|| format!("touch {}", path.display()))
}

/// Brings `.sqlx` to the fresh state file by file, so that a build beside us never finds it empty.
fn replace(project: &Project, fresh: &Path) -> Result<()> {
    let committed = project.root.join(".sqlx");
    fs::create_dir_all(&committed).with_context(|| format!("create {}", committed.display()))?;
    let (old, new) = (queries(&committed)?, queries(fresh)?);
    for (name, _) in new
        .iter()
        .filter(|(name, data)| old.get(*name) != Some(data))
    {
        fs::copy(fresh.join(name), committed.join(name))
            .with_context(|| format!("write .sqlx/{name}"))?;
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        fs::remove_file(committed.join(name)).with_context(|| format!("remove .sqlx/{name}"))?;
    }
    say::done(&format!("{} queries described in .sqlx", new.len()));
    Ok(())
}

fn compare(project: &Project, fresh: &Path) -> Result<()> {
    let committed = queries(&project.root.join(".sqlx"))?;
    let fresh = queries(fresh)?;
    let mut problems = Vec::new();
    for (name, data) in &fresh {
        match committed.get(name) {
            None => problems.push(format!("missing    {name}: {}", first_line(data))),
            Some(old) if old != data => {
                problems.push(format!("different  {name}: {}", first_line(data)));
            }
            Some(_) => {}
        }
    }
    for (name, data) in committed
        .iter()
        .filter(|(name, _)| !fresh.contains_key(*name))
    {
        problems.push(format!("unused     {name}: {}", first_line(data)));
    }
    if !problems.is_empty() {
        bail!(
            ".sqlx does not match the queries and migrations:\n{}\nrun: cargo xtask sqlx",
            problems.join("\n")
        );
    }
    say::done(&format!("{} queries match .sqlx", fresh.len()));
    Ok(())
}

/// The described queries of a folder, by file name; a missing folder has none.
fn queries(dir: &Path) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(found);
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("query-") && path.extension() == Some("json".as_ref()) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            // What is no JSON (a merge conflict, say) counts as different and is written anew.
            let data = serde_json::from_str(&text).unwrap_or(Value::Null);
            found.insert(name, data);
        }
    }
    Ok(found)
}

fn first_line(data: &Value) -> String {
    let query = data["query"].as_str().unwrap_or_default();
    query
        .split_whitespace()
        .take(12)
        .collect::<Vec<_>>()
        .join(" ")
}
