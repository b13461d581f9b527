//! Reading logs: files of the services, CloudWatch groups of the functions.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{emulator, functions, project::Project, run, venv};

pub const SERVICES: [&str; 4] = ["postgres", "emulator", "simulator", "deploy"];

/// Prints the end of the logs, and with `follow` goes on until interrupted.
pub fn show(project: &Project, name: Option<&str>, follow: bool) -> Result<()> {
    match name {
        None => files(&SERVICES.map(|service| project.log_file(service)), follow),
        Some(service) if SERVICES.contains(&service) => files(&[project.log_file(service)], follow),
        Some(function)
            if functions::names(project)?
                .iter()
                .any(|name| name == function) =>
        {
            of_function(project, function, follow)
        }
        Some(other) => bail!(
            "no log is called {other}; there are: {} {}",
            SERVICES.join(" "),
            functions::names(project)?.join(" ")
        ),
    }
}

fn files(paths: &[PathBuf], follow: bool) -> Result<()> {
    let present: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    if present.is_empty() {
        bail!("nothing has been logged yet; run: cargo xtask up");
    }
    let mut command = Command::new("tail");
    command.args(["-n", "40"]);
    if follow {
        command.arg("-f");
    }
    run::visible(command.args(present), "tail")
}

fn of_function(project: &Project, function: &str, follow: bool) -> Result<()> {
    let mut command = venv::stack(project)?.python();
    command
        .arg(project.script("logs.py"))
        .arg(format!("/aws/lambda/communications-{function}"));
    if follow {
        command.arg("--follow");
    }
    run::visible(
        command.envs(emulator::client_settings(project)),
        "reading the function's log",
    )
}
