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
    functions,
    project::{Project, cargo},
    run, say,
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

/// Which binaries run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    /// As they are deployed.
    Release,
    /// As the tests have them: it shows that a benchmark runs, and its figures say nothing.
    Debug,
}

impl Build {
    /// Builds them; the folder they are in.
    fn binaries(self, project: &Project) -> Result<PathBuf> {
        match self {
            Self::Release => release_binaries(project),
            Self::Debug => {
                functions::build(project)?;
                Ok(project.target().join("debug"))
            }
        }
    }

    /// Where results go; those of one that is only tried do not replace figures.
    fn out(self, project: &Project) -> PathBuf {
        project.state.join(match self {
            Self::Release => "bench",
            Self::Debug => "bench/tried",
        })
    }
}

/// Runs each benchmark once, as small as it can be and with the binaries of the tests: the seeds, the requests and the counting at
/// the end must fit what the service has become.
pub fn try_all(project: &Project) -> Result<()> {
    say::step("Trying bench dispatch");
    dispatch(project, &Plan::smallest())?;
    say::step("Trying bench webhook");
    webhook(project, &WebhookPlan::smallest())?;
    say::step("Trying bench automation");
    automation(project, &AutomationPlan::smallest())?;
    say::step("Trying bench inbox");
    inbox(project, &InboxPlan::smallest())
}

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
