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

/// The function that is measured.
const FUNCTION: &str = "dispatch-worker";

/// What follows the option `word`.
fn value<'a>(word: &str, words: &mut slice::Iter<'_, &'a str>) -> Result<&'a str> {
    let next = words.next().copied();
    next.with_context(|| format!("{word} needs a value"))
}

fn number(text: &str) -> Result<usize> {
    text.parse()
        .with_context(|| format!("{text} is not a number"))
}

/// Builds a package's release binary as it is deployed: alone, so that no other crate's features get into it.
fn release_binary(project: &Project, package: &str) -> Result<PathBuf> {
    let mut build = Command::new(cargo());
    build
        .args(["build", "--release", "--locked", "--package", package])
        .current_dir(&project.root);
    run::visible(&mut build, "cargo build --release")?;
    Ok(project.target().join("release").join(package))
}
