//! Where things are: the checkout, the tools, the state of one local stack, and its ports.
//!
//! The only place that reads the caller's environment. Everything has a default, so that a fresh checkout needs
//! no setting at all; the variables exist so that several stacks (a developer's and the CI's) can live side by side.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// One checkout with one local stack.
pub struct Project {
    /// The workspace root.
    pub root: PathBuf,
    /// Virtual environments and other downloaded tools (`COMMS_TOOLS_DIR`), safe to share and to cache.
    pub tools: PathBuf,
    /// Data, pids, logs and settings of this stack (`COMMS_STATE_DIR`), never shared.
    pub state: PathBuf,
    pub ports: Ports,
    /// A Postgres server of the caller's (`DATABASE_URL`), instead of our own.
    pub own_database_url: Option<String>,
}

/// The loopback ports of one stack.
#[derive(Clone, Copy)]
pub struct Ports {
    pub postgres: u16,
    pub emulator: u16,
    pub simulator: u16,
}

impl Project {
    pub fn from_environment() -> Result<Self> {
        // Of the checkout that `cargo xtask` is called in: a target directory may be shared with others.
        let own =
            variable("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&own)
            .parent()
            .context("xtask lies directly under the workspace root")?
            .to_owned();
        Ok(Self {
            tools: directory(&root, "COMMS_TOOLS_DIR"),
            state: directory(&root, "COMMS_STATE_DIR"),
            ports: Ports {
                postgres: port(POSTGRES_PORT, 54320)?,
                emulator: port(EMULATOR_PORT, 4566)?,
                simulator: port(SIMULATOR_PORT, 4580)?,
            },
            own_database_url: None,
            root,
        }
        .with_database(variable("DATABASE_URL")))
    }

    /// A shell that has read our own `.local/env` names our own server, not another one.
    fn with_database(mut self, url: Option<String>) -> Self {
        self.own_database_url = url.filter(|url| *url != self.database_url(DATABASE));
        self
    }

    /// The URL of a database on the server that we start.
    pub fn database_url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{database}",
            self.ports.postgres
        )
    }

    /// The settings of the running stack, for any outside client.
    pub fn env_file(&self) -> PathBuf {
        self.state.join("env")
    }

    pub fn log_file(&self, service: &str) -> PathBuf {
        self.state.join("log").join(format!("{service}.log"))
    }

    /// Where cargo puts the binaries of the dev profile.
    pub fn debug_binary(&self, name: &str) -> PathBuf {
        self.target().join("debug").join(name)
    }

    /// Cargo's target directory, wherever the caller has moved it.
    pub fn target(&self) -> PathBuf {
        match variable("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.root.join("target"),
        }
    }

    /// Python helpers that talk to the emulator.
    pub fn script(&self, name: &str) -> PathBuf {
        self.root.join("xtask/py").join(name)
    }
}

/// The database that the local stack uses.
pub const DATABASE: &str = "communications";

pub const POSTGRES_PORT: &str = "COMMS_POSTGRES_PORT";
pub const EMULATOR_PORT: &str = "COMMS_EMULATOR_PORT";
pub const SIMULATOR_PORT: &str = "COMMS_SIMULATOR_PORT";

/// The caller's PATH with `dir` before it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn path_with(dir: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = [dir.to_owned()].into_iter().chain(env::split_paths(&path));
    env::join_paths(dirs).context("PATH cannot be extended")
}

/// The cargo that runs us.
pub fn cargo() -> String {
    variable("CARGO").unwrap_or_else(|| "cargo".to_owned())
}

/// A variable of the caller's environment; set to nothing counts as not set.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn variable(name: impl AsRef<OsStr>) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn directory(root: &Path, name: &str) -> PathBuf {
    match variable(name) {
        Some(dir) => root.join(dir),
        None => root.join(".local"),
    }
}

fn port(name: &str, default: u16) -> Result<u16> {
    let Some(value) = variable(name) else {
        return Ok(default);
    };
    match value.parse() {
        Ok(0) | Err(_) => bail!("{name}={value} is not a port (1 to 65535)"),
        Ok(port) => Ok(port),
    }
}
