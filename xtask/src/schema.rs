//! `docs/schema.sql`: what all migrations together make. Later ones change parts of earlier functions, so that no function need be read
//! together from many files, and a change of one is seen in this file as what it is.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    postgres::Postgres,
    prepare::Mode,
    project::{DATABASE, Project},
    run, say,
};

const FILE: &str = "docs/schema.sql";
const HEAD: &str =
    "-- The schema as all migrations make it, for reading. Written by: cargo xtask sqlx\n";

/// The schema of a database to which nothing but the migrations has been applied. `None` where it is on another server than the project's own,
/// which may write the same in other words.
pub fn read(project: &Project, server: &Postgres, database: &str) -> Result<Option<String>> {
    if project.own_database_url.is_some() {
        say::warn(&format!(
            "{FILE} is left alone: DATABASE_URL names a Postgres of your own"
        ));
        return Ok(None);
    }
    let mut command = server.program("pg_dump");
    command.args(["--schema-only", "--no-owner", "--no-privileges"]);
    command.arg(format!("--schema={DATABASE}")).arg(database);
    let dump = run::quiet(&mut command, "pg_dump")?;
    let mut text = HEAD.to_owned();
    for line in dump.lines().filter(|line| says_something(line)) {
        if !line.is_empty() || !text.ends_with("\n\n") {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(Some(format!("{}\n", text.trim_end())))
}

/// Neither the session's settings nor a heading, which repeats what follows it.
fn says_something(line: &str) -> bool {
    let noise = [
        "\\restrict ",
        "\\unrestrict ",
        "SET ",
        "SELECT pg_catalog.set_config(",
        "-- Name: ",
        "-- Dumped ",
        "-- PostgreSQL database dump",
    ];
    line != "--" && !noise.iter().any(|start| line.starts_with(start))
}

/// Replaces the file, or compares with it.
pub fn keep(project: &Project, mode: Mode, schema: &str) -> Result<()> {
    let file = project.root.join(FILE);
    match mode {
        Mode::Write => {
            fs::write(&file, schema).with_context(|| format!("write {FILE}"))?;
            say::done(&format!("{FILE} is what the migrations make"));
        }
        Mode::Check => {
            let kept = fs::read_to_string(&file).with_context(|| format!("read {FILE}"))?;
            if kept != schema {
                bail!("{FILE} is not what the migrations make\nrun: cargo xtask sqlx");
            }
        }
    }
    Ok(())
}
