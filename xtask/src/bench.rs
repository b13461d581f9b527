//! `bench cold`, `dispatch`, `webhook`, `inbox` and `automation`: figures that anybody can measure again (docs/benchmarks.md).

mod automation;
mod cold;
mod dispatch;
mod frame;
mod inbox;
mod webhook;

use std::{path::PathBuf, process::Command, slice};

use anyhow::{Context, Result};

pub use automation::{AutomationPlan, automation};
pub use cold::cold;
pub use dispatch::{Plan, dispatch};
pub use inbox::{InboxPlan, inbox};
pub use webhook::{WebhookPlan, webhook};

use crate::{
    project::{Project, cargo},
    run,
};

/// The function that `cold` and `dispatch` measure.
const FUNCTION: &str = "dispatch-worker";
/// Everything that any of them measures. It is built together, as for AWS, so that all have the same features of the
/// same crates: one by one, each would have the core compiled again for itself.
const MEASURED: [&str; 6] = [
    "meta-webhook",
    "hasura-events",
    "inbox-actions",
    "batch-worker",
    FUNCTION,
    "stuck-scan",
];

/// What follows the option `word`.
fn value<'a>(word: &str, words: &mut slice::Iter<'_, &'a str>) -> Result<&'a str> {
    let next = words.next().copied();
    next.with_context(|| format!("{word} needs a value"))
}

fn number(text: &str) -> Result<usize> {
    text.parse()
        .with_context(|| format!("{text} is not a number"))
}

/// Builds the release binaries; the folder they are in.
fn release_binaries(project: &Project) -> Result<PathBuf> {
    let mut build = Command::new(cargo());
    build
        .args(["build", "--release", "--locked"])
        .current_dir(&project.root);
    for package in MEASURED {
        build.args(["--package", package]);
    }
    run::visible(&mut build, "cargo build --release")?;
    Ok(project.target().join("release"))
}
