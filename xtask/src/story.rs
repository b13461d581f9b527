//! `comms-story`, the program that fills the stack with two tenants and tells the demo's story on it.
//!
//! It lives in tests/, because it drives the stack like any outside client: everything it needs is in `.local/env`.

use std::process::Command;

use anyhow::Result;

use crate::{env_file::EnvFile, project::Project, run, say, secrets};

const BINARY: &str = "comms-story";

/// Seeds the tenants; what the program prints as `KEY=value` becomes part of `env`. Safe to repeat.
pub fn seed(project: &Project, env: &mut EnvFile) -> Result<()> {
    say::step("Seeding two tenants");
    let output = run::quiet(command(project, env).arg("seed"), "comms-story seed")?;
    env.merge(&output)
}

/// Fires the event and prints the story.
pub fn tell(project: &Project, env: &EnvFile) -> Result<()> {
    run::visible(command(project, env).arg("tell"), "comms-story tell")
}

/// Three hundred people hear of an incident.
pub fn incident(project: &Project, env: &EnvFile) -> Result<()> {
    run::visible(
        command(project, env).arg("incident"),
        "comms-story incident",
    )
}

/// An operator connects its channels; then no log of the stack may hold a secret.
pub fn onboarding(project: &Project, env: &EnvFile) -> Result<()> {
    run::visible(
        command(project, env).arg("onboarding"),
        "comms-story onboarding",
    )?;
    secrets::scan(project, env)
}

fn command(project: &Project, env: &EnvFile) -> Command {
    let mut command = Command::new(project.debug_binary(BINARY));
    env.apply(&mut command);
    command.current_dir(&project.root);
    command
}
