//! Running other programs in the foreground, with errors that say which one and what to do.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::say;

/// Runs `command` with this terminal; a failure names `what`.
pub fn visible(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| missing(command))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Runs `command` silently and returns its stdout; a failure shows everything it said.
pub fn quiet(command: &mut Command, what: &str) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| missing(command))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{what} failed ({}):\n{}{}", output.status, stdout, stderr);
    }
    Ok(stdout)
}

/// Runs `command` with its output in `log`; a failure shows the end of it and where the rest is.
pub fn logged(command: &mut Command, log: &Path, what: &str) -> Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| missing(command))?;
    if !status.success() {
        bail!(
            "{what} failed ({status}); the end of {}:\n{}",
            log.display(),
            tail(log, 40)
        );
    }
    Ok(())
}

/// The last `lines` lines of a log, for an error text.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn missing(command: &Command) -> String {
    format!("start {}", command.get_program().to_string_lossy())
}

/// Like [`quiet`], for a program that leaves a daemon behind: the daemon must not hold our pipes open.
pub fn detached_quiet(command: &mut Command, what: &str) -> Result<()> {
    let log = std::env::temp_dir().join(format!("comms-xtask-{}.log", std::process::id()));
    let file = File::create(&log).with_context(|| format!("write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status();
    let text = fs::read_to_string(&log).unwrap_or_default();
    fs::remove_file(&log)?;
    let status = status.with_context(|| missing(command))?;
    if !status.success() {
        bail!("{what} failed ({status}):\n{text}");
    }
    Ok(())
}

/// Like [`quiet`], with something to read on stdin.
pub fn with_input(command: &mut Command, input: &str, what: &str) -> Result<String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| missing(command))?;
    // Small inputs only: they fit into the pipe, so that nobody waits for the other.
    child
        .stdin
        .take()
        .context("stdin is a pipe")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{what} failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Holds a lock file until it is dropped; waits, and says so, while another command holds it.
pub fn lock(path: &Path, does: &str) -> Result<File> {
    let dir = path.parent().context("a file has a folder")?;
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let file = File::create(path).with_context(|| format!("open {}", path.display()))?;
    if file.try_lock().is_err() {
        say::step(&format!("Waiting for another cargo xtask that {does}"));
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}
