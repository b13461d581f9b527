//! The Hasura-compatible stand-in (not Hasura): installed once, and the tests that need it.
//!
//! Hasura itself can be had from no package registry. `postrust-server` speaks its GraphQL, its permissions and its session
//! variables on the same Postgres, so that permissions and documents are asked of a real server; docs/hasura.md says what that
//! proves and what it does not.

use std::{fs, path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{
    project::{Project, cargo},
    run, say,
};

const CRATE: &str = "postrust-server";
const VERSION: &str = "3.1.0";

/// Tells the tests where it is.
pub const VARIABLE: &str = "COMMS_STANDIN";

/// The words that every table of results shows.
pub const NAME: &str = "Hasura-compatible stand-in, not Hasura";

/// Where the program is; builds it if it is not there.
pub fn installed(project: &Project) -> Result<PathBuf> {
    let program = program(project);
    if program.exists() {
        return Ok(program);
    }
    let _lock = run::lock(&project.tools.join("standin.lock"), "builds the stand-in")?;
    if !program.exists() {
        build(project)?;
    }
    if !program.exists() {
        bail!(
            "{CRATE} {VERSION} was built and is not at {}",
            program.display()
        );
    }
    Ok(program)
}

fn root(project: &Project) -> PathBuf {
    project.tools.join(format!("standin-{VERSION}"))
}

fn program(project: &Project) -> PathBuf {
    root(project).join("bin/postrust")
}

/// Ten minutes on two cores, and then never again. Without its lock file, which names versions that were withdrawn; fast to
/// build and not fast to run, because nothing is measured on it.
fn build(project: &Project) -> Result<()> {
    let start = Instant::now();
    let root = root(project);
    let target = project.tools.join("standin-target");
    say::step(&format!(
        "Building {CRATE} {VERSION} into {} (once; about ten minutes)",
        root.display()
    ));
    let mut command = Command::new(cargo());
    command
        .args(["install", CRATE, "--version", &format!("={VERSION}")])
        .args(["--features", "graphql", "--quiet", "--root"])
        .arg(&root)
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&project.tools)
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_PROFILE_RELEASE_LTO", "false")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    run::visible(&mut command, "cargo install").context("is crates.io reachable?")?;
    fs::remove_dir_all(&target).with_context(|| format!("delete {}", target.display()))?;
    say::done(&format!("Built in {}", say::since(start)));
    Ok(())
}
