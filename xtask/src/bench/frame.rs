//! The frame around `comms-bench` (tests/bench), which measures: the project's own Postgres, and a migrated database that is
//! gone afterwards whatever happens.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Build;
use crate::{
    postgres::{self, Postgres},
    prepare,
    project::{Project, cargo},
    run, say,
};

/// Measures, prints, and leaves nothing behind but the results. `settings` makes those of comms-bench from the database's name
/// and the folder for the results; `mode` goes before them.
pub fn with_database(
    project: &Project,
    build: Build,
    mode: &[&str],
    settings: impl FnOnce(&str, &Path) -> Result<Value>,
) -> Result<()> {
    if project.own_database_url.is_some() {
        bail!("this measures the project's own Postgres and its processes: unset DATABASE_URL");
    }
    let program = bench_program(project)?;
    let server = postgres::start(project)?;
    let out = build.out(project);
    fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    drop_left_behind(&server)?;
    let database = own_database();
    let settings = settings(&database, &out)?;
    let measured =
        create(project, &server, &database).and_then(|()| measure_with(&program, mode, &settings));
    for name in [format!("{database}_round"), database] {
        let sql = format!("drop database if exists {name} with (force)");
        server.query(&server.url, &sql)?;
    }
    measured?;
    say::done(&format!("Written to {}", out.display()));
    Ok(())
}

/// In the dev profile, whose dependencies are there already; its own code is optimised (Cargo.toml).
pub fn bench_program(project: &Project) -> Result<PathBuf> {
    const NAME: &str = "comms-bench";
    let mut build = Command::new(cargo());
    build
        .args(["build", "--locked", "--package", NAME])
        .current_dir(&project.root);
    run::visible(&mut build, "cargo build")?;
    Ok(project.debug_binary(NAME))
}

fn create(project: &Project, server: &Postgres, database: &str) -> Result<()> {
    server.query(&server.url, &format!("create database {database}"))?;
    prepare::apply_all(project, server, &server.url_of(database)?)
}

/// Runs `comms-bench` with its settings.
pub fn measure_with(program: &Path, mode: &[&str], settings: &Value) -> Result<()> {
    let mut command = Command::new(program);
    command.args(mode).arg(settings.to_string());
    // Its children are killed by itself; should it be killed, they lose their Runtime API and end.
    run::visible(&mut command, "comms-bench")
}

/// A name for a database that is gone after the run.
pub fn own_database() -> String {
    format!("{PREFIX}{}", std::process::id())
}

/// With the process that made it in its name.
const PREFIX: &str = "communications_bench_";

/// Databases of runs that were interrupted.
pub fn drop_left_behind(server: &Postgres) -> Result<()> {
    let sql = format!("select datname from pg_database where starts_with(datname, '{PREFIX}')");
    for name in server.query(&server.url, &sql)?.lines() {
        let pid = name.trim_start_matches(PREFIX).trim_end_matches("_round");
        if !Path::new("/proc").join(pid).exists() {
            let sql = format!("drop database if exists {name} with (force)");
            server.query(&server.url, &sql)?;
        }
    }
    Ok(())
}

/// The commit that is measured, marked where the files differ from it.
pub fn commit(root: &Path) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=12"])
        .current_dir(root);
    Ok(run::quiet(&mut git, "git describe")?.trim().to_owned())
}
