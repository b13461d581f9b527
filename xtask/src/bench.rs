//! `bench cold` and `bench dispatch`: figures that anybody can measure again (docs/benchmarks.md).

mod cold;
mod dispatch;

use std::{path::PathBuf, process::Command};

use anyhow::Result;

pub use cold::cold;
pub use dispatch::{Plan, dispatch};

use crate::{
    project::{Project, cargo},
    run,
};

/// The function that is measured.
const FUNCTION: &str = "dispatch-worker";

/// Builds a package's release binary as it is deployed: alone, so that no other crate's features get into it.
fn release_binary(project: &Project, package: &str) -> Result<PathBuf> {
    let mut build = Command::new(cargo());
    build
        .args(["build", "--release", "--locked", "--package", package])
        .current_dir(&project.root);
    run::visible(&mut build, "cargo build --release")?;
    Ok(project.target().join("release").join(package))
}
