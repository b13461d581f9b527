//! No log of the stack may hold a secret: not of a function, not of a service.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{emulator, env_file::EnvFile, http, logs, project::Project, run, say, venv};

/// The stack's own secrets, by their names in `.local/env`.
const OURS: [&str; 4] = [
    "HASURA_SECRET",
    "META_APP_SECRET",
    "META_VERIFY_TOKEN",
    "REPLY_TOKEN_SECRET",
];

/// Looks for every secret of the stack, and every code and token that the simulator has given, in every log.
pub fn scan(project: &Project, env: &EnvFile) -> Result<()> {
    let port = project.ports.simulator;
    let given =
        http::get(port, "/_sim/secrets").context("the simulator does not say what it gave")?;
    let mut secrets: Vec<String> =
        serde_json::from_str(&given).context("the simulator's list of secrets")?;
    for name in OURS {
        secrets.push(env.require(name)?.to_owned());
    }
    for service in logs::SERVICES {
        let path = project.log_file(service);
        let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if text.is_ok_and(|text| secrets.iter().any(|secret| text.contains(secret))) {
            bail!("{} holds a secret", path.display());
        }
    }
    let mut command = venv::stack(project)?.python();
    command
        .arg(project.script("scan_logs.py"))
        .envs(emulator::client_settings(project));
    let input = json!({"prefix": "/aws/lambda/communications-", "secrets": secrets}).to_string();
    let lines = run::with_input(&mut command, &input, "looking for secrets in the logs")?;
    say::done(&format!(
        "None of {} secrets stands in the logs: {}, and {} of functions",
        secrets.len(),
        logs::SERVICES.join(", "),
        lines.trim()
    ));
    Ok(())
}
