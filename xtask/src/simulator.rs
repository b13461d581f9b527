//! The provider simulator (tests/simulator): the stand-in for Meta's Graph API, for SES and for End User Messaging.

use std::{
    fs,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};

use crate::{
    env_file::EnvFile,
    http, port,
    process::Service,
    project::{Project, SIMULATOR_PORT},
};

const BINARY: &str = "comms-simulator";
/// The Meta app that the local operators connect to.
pub const APP_ID: &str = "4815162342";

/// Starts the simulator, again if its binary has been rebuilt since.
pub fn start(project: &Project, env: &EnvFile) -> Result<()> {
    let service = service(project);
    let binary = project.debug_binary(BINARY);
    let built = fs::metadata(&binary).and_then(|m| m.modified());
    let built = built.with_context(|| format!("{} has not been built", binary.display()))?;
    let port = project.ports.simulator;
    let secret = env.require("META_APP_SECRET")?;
    let version = format!("{port} {}", built.duration_since(UNIX_EPOCH)?.as_nanos());
    if service.runs_as(&version) {
        return Ok(());
    }
    service.stop()?;
    port::require_free(port, "the provider simulator", SIMULATOR_PORT)?;
    let mut command = Command::new(binary);
    command
        .args(["--port", &port.to_string(), "--app-id", APP_ID])
        .env("META_APP_SECRET", secret);
    service.start(command, &version)?;
    service.wait_until(Duration::from_secs(20), || {
        http::get(port, "/_sim/health").is_some()
    })
}

pub fn service(project: &Project) -> Service {
    Service::new(project, "simulator")
}

pub fn url(project: &Project) -> String {
    format!("http://127.0.0.1:{}", project.ports.simulator)
}
