//! The checks that need no running stack: formatting, lints, dependencies, template.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    emulator::REGION,
    project::{Project, cargo},
    run, say, venv,
};

/// The version that `cargo install` fetches; its minimum Rust is below ours.
const CARGO_DENY: &str = "0.20.2";

pub fn format(project: &Project) -> Result<()> {
    in_workspace(project, &["fmt", "--all", "--check"])?;
    let fuzz = "--manifest-path=fuzz/Cargo.toml";
    in_workspace(project, &["fmt", fuzz, "--check"])
}

pub fn clippy(project: &Project) -> Result<()> {
    in_workspace(
        project,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ],
    )
}

/// Two linters: cfn-lint knows CloudFormation's resources, SAM what its transform makes of them.
pub fn template(project: &Project) -> Result<()> {
    let tools = venv::tools(project)?;
    let mut lint = tools.command("cfn-lint");
    lint.args(["--non-zero-exit-code", "informational", "template.yaml"]);
    run::visible(lint.current_dir(&project.root), "cfn-lint")?;
    let mut validate = tools.command("sam");
    validate.args([
        "validate",
        "--lint",
        "--template",
        "template.yaml",
        "--region",
        REGION,
    ]);
    validate
        .env("SAM_CLI_TELEMETRY", "0")
        .current_dir(&project.root);
    run::quiet(&mut validate, "sam validate --lint").map(drop)
}

/// Licences, bans and sources: answered from Cargo.lock and deny.toml, for all platforms, of which a build has fetched its own alone.
pub fn deny(project: &Project) -> Result<()> {
    let mut fetch = Command::new(cargo());
    fetch
        .args(["fetch", "--locked", "--quiet"])
        .current_dir(&project.root);
    run::visible(&mut fetch, "cargo fetch")?;
    let mut command = Command::new(cargo_deny(project)?);
    command.args([
        "--locked",
        "--offline",
        "--log-level",
        "warn",
        "check",
        "--hide-inclusion-graph",
    ]);
    command
        .args(["bans", "licenses", "sources"])
        .current_dir(&project.root);
    run::visible(&mut command, "cargo deny")
}

/// Known vulnerabilities. Fetches the RustSec database, so it is nobody's precondition.
pub fn advisories(project: &Project) -> Result<()> {
    let mut command = Command::new(cargo_deny(project)?);
    command
        .args(["--locked", "check", "advisories"])
        .current_dir(&project.root);
    run::visible(&mut command, "cargo deny check advisories").context(
        "it needs the RustSec database from GitHub; where that is out of reach, run it elsewhere",
    )
}

/// The project's own cargo-deny, compiled once.
fn cargo_deny(project: &Project) -> Result<PathBuf> {
    let root = project.tools.join("cargo");
    let binary = root.join("bin/cargo-deny");
    let marker = root.join("cargo-deny.version");
    let _lock = run::lock(&project.tools.join("tools.lock"), "installs tools")?;
    if binary.exists() && fs::read_to_string(&marker).is_ok_and(|version| version == CARGO_DENY) {
        return Ok(binary);
    }
    say::step(&format!(
        "Compiling cargo-deny {CARGO_DENY} (once, some minutes)"
    ));
    let mut install = Command::new(cargo());
    install
        .args([
            "install",
            "cargo-deny",
            "--version",
            CARGO_DENY,
            "--locked",
            "--force",
            "--root",
        ])
        .arg(&root);
    // Its build must not displace the workspace's artifacts.
    install
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .current_dir(&project.tools);
    run::visible(&mut install, "cargo install cargo-deny")?;
    fs::write(&marker, CARGO_DENY).with_context(|| format!("write {}", marker.display()))?;
    Ok(binary)
}

fn in_workspace(project: &Project, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(cargo());
    run::visible(
        command.args(arguments).current_dir(&project.root),
        &format!("cargo {}", arguments[0]),
    )
}
