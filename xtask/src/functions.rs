//! Building the functions for the local stack and laying them where template.yaml expects them.
//!
//! Plain cargo, dev profile, host target, in the target directory that the tests use: one compile serves all.
//! Production builds with `cargo lambda build --release --arm64 --locked`, which fills the same folders.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result, bail};

use crate::{
    project::{Project, cargo},
    run, say,
};

/// The folder names under functions/, which are package, binary and `CodeUri` names too.
pub fn names(project: &Project) -> Result<Vec<String>> {
    let dir = project.root.join("functions");
    let mut names: Vec<String> = fs::read_dir(&dir)
        .with_context(|| format!("read {}", dir.display()))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Compiles everything the stack runs, in one cargo call whose progress is visible.
pub fn build(project: &Project) -> Result<()> {
    let names = names(project)?;
    say::step("Building the functions, the simulator and the story");
    let mut command = Command::new(cargo());
    command.arg("build").current_dir(&project.root);
    for package in names
        .iter()
        .map(String::as_str)
        .chain(["comms-simulator", "comms-tests"])
    {
        command.args(["--package", package]);
    }
    run::visible(&mut command, "cargo build")?;
    names.iter().try_for_each(|name| lay_out(project, name))
}

/// target/lambda/<name>/bootstrap, whatever cargo's target directory is.
fn bootstrap(project: &Project, name: &str) -> PathBuf {
    project
        .root
        .join("target/lambda")
        .join(name)
        .join("bootstrap")
}

/// Copies a binary unless that has been done. The copy bears the binary's time of change, so that neither a release
/// build nor another target directory is taken for it.
fn lay_out(project: &Project, name: &str) -> Result<()> {
    let built = project.debug_binary(name);
    let bootstrap = bootstrap(project, name);
    let when = modified(&built)?;
    if modified(&bootstrap).is_ok_and(|laid_out| laid_out == when) {
        return Ok(());
    }
    let dir = bootstrap.parent().context("a file has a folder")?;
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let new = dir.join("bootstrap.new");
    fs::copy(&built, &new).with_context(|| format!("copy {}", built.display()))?;
    strip(&new)?;
    File::options()
        .append(true)
        .open(&new)
        .and_then(|file| file.set_modified(when))
        .with_context(|| format!("date {}", new.display()))?;
    fs::rename(&new, &bootstrap).with_context(|| format!("write {}", bootstrap.display()))
}

fn modified(path: &Path) -> Result<SystemTime> {
    fs::metadata(path)
        .and_then(|data| data.modified())
        .with_context(|| format!("read {}", path.display()))
}

/// Debug information makes the zips several times larger, and nothing reads it there.
fn strip(binary: &Path) -> Result<()> {
    match Command::new("strip").arg(binary).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("strip {} failed ({status})", binary.display()),
        // Without binutils the deploy is slower, not wrong.
        Err(_absent) => Ok(()),
    }
}

/// What a deployment depends on: the template's text, and every bootstrap by size and time of change.
pub fn fingerprint(project: &Project) -> Result<String> {
    let template = project.root.join("template.yaml");
    let text = fs::read(&template).with_context(|| format!("read {}", template.display()))?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut lines = vec![format!("template {:016x}", hasher.finish())];
    for name in names(project)? {
        let file = bootstrap(project, &name);
        let data = fs::metadata(&file).with_context(|| format!("read {}", file.display()))?;
        lines.push(format!("{name} {} {:?}", data.len(), data.modified()?));
    }
    Ok(lines.join("\n"))
}
