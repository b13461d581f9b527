//! `sam deploy` of the committed template into the emulator, and what goes before and after it.
//!
//! Before: the secrets (in AWS they exist beforehand too). After: the HTTP API's routes, which the emulator does not
//! take from the template by itself, and the migrations. A deployment of the same template and the same binaries
//! into the same emulator is not repeated.

use std::{fs, time::Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    emulator,
    env_file::EnvFile,
    functions,
    project::Project,
    run, say, simulator,
    venv::{self, Venv},
};

/// The stack's name and its bucket, as in samconfig.toml's environment `local`.
const STACK: &str = "communications";
const BUCKET: &str = "communications-artifacts";

/// The secrets of the local stack by name, and the template parameters that take their ARNs.
const SECRETS: &[(&str, &str)] = &[
    ("DatabaseSecretArn", "communications/database"),
    (
        "MigrationDatabaseSecretArn",
        "communications/migration-database",
    ),
    ("HasuraSecretArn", "communications/hasura"),
    ("MetaSecretArn", "communications/meta"),
    ("MetaVerifyTokenSecretArn", "communications/meta-verify"),
    ("ReplyTokenSecretArn", "communications/reply-token"),
];

/// What the emulator's stack outputs are called in `.local/env`.
const OUTPUTS: [(&str, &str); 8] = [
    ("InteractiveQueueUrl", "INTERACTIVE_QUEUE_URL"),
    ("TransactionalQueueUrl", "TRANSACTIONAL_QUEUE_URL"),
    ("BulkQueueUrl", "BULK_QUEUE_URL"),
    ("MediaQueueUrl", "MEDIA_QUEUE_URL"),
    ("BatchQueueUrl", "BATCH_QUEUE_URL"),
    ("MediaBucketName", "MEDIA_BUCKET"),
    ("MailBucketName", "MAIL_BUCKET"),
    ("CredentialsKeyId", "KMS_KEY_ID"),
];

/// Deploys if anything has changed since the last time. The outputs go into `env`.
pub fn deploy(project: &Project, env: &mut EnvFile) -> Result<()> {
    let marker = project.state.join("run/deployed");
    let fingerprint = fingerprint(project, env)?;
    if fs::read_to_string(&marker).is_ok_and(|last| last == fingerprint) {
        return Ok(());
    }
    let start = Instant::now();
    say::step("Deploying template.yaml with SAM into the emulator");
    let stack = venv::stack(project)?;
    let arns = put_secrets(project, &stack, env)?;
    sam_deploy(project, &arns)?;
    let deployed = after_deploy(project, &stack)?;
    record_outputs(project, env, &deployed["outputs"])?;
    fs::write(&marker, fingerprint).with_context(|| format!("write {}", marker.display()))?;
    say::done(&format!(
        "Deployed in {}; migrate answered {}",
        say::since(start),
        brief(&deployed["migrate"])
    ));
    Ok(())
}

/// An answer as one readable line: lists by their length.
fn brief(answer: &Value) -> String {
    let Some(fields) = answer.as_object() else {
        return answer.to_string();
    };
    let parts: Vec<String> = fields
        .iter()
        .map(|(name, value)| match value {
            Value::Array(items) => format!("{name}: {} entries", items.len()),
            other => format!("{name}: {other}"),
        })
        .collect();
    parts.join(", ")
}

/// Everything a deployment depends on: template, binaries, this very emulator process, and the settings.
fn fingerprint(project: &Project, env: &EnvFile) -> Result<String> {
    let emulator = emulator::service(project)
        .pid()
        .context("the emulator does not run")?;
    let settings = [
        "DATABASE_URL",
        "HASURA_SECRET",
        "META_APP_SECRET",
        "META_VERIFY_TOKEN",
        "REPLY_TOKEN_SECRET",
    ]
    .map(|key| env.get(key).unwrap_or_default());
    Ok(format!(
        "{}\nemulator {emulator}\n{settings:?}\n",
        functions::fingerprint(project)?
    ))
}

/// Creates the secrets in the emulator; their ARNs by name.
fn put_secrets(project: &Project, venv: &Venv, env: &EnvFile) -> Result<Value> {
    let database = env.require("DATABASE_URL")?;
    let secrets = json!({
        "communications/database": database,
        "communications/migration-database": database,
        "communications/hasura": json!([env.require("HASURA_SECRET")?]).to_string(),
        "communications/meta": json!([env.require("META_APP_SECRET")?]).to_string(),
        "communications/meta-verify": json!([env.require("META_VERIFY_TOKEN")?]).to_string(),
        "communications/reply-token": json!([env.require("REPLY_TOKEN_SECRET")?]).to_string(),
    });
    let mut command = venv.python();
    command
        .arg(project.script("before_deploy.py"))
        .envs(emulator::client_settings(project));
    let input = json!({"bucket": BUCKET, "secrets": secrets}).to_string();
    let output = run::with_input(&mut command, &input, "preparing the emulator")?;
    serde_json::from_str(&output).context("before_deploy.py prints JSON")
}

fn sam_deploy(project: &Project, arns: &Value) -> Result<()> {
    let log = project.log_file("deploy");
    let mut command = venv::tools(project)?.command("sam");
    command.current_dir(&project.root).args([
        "deploy",
        "--config-env",
        "local",
        "--template-file",
        "template.yaml",
    ]);
    command.arg("--parameter-overrides");
    for (parameter, secret) in SECRETS {
        let arn = arns[secret]
            .as_str()
            .with_context(|| format!("no ARN for {secret}"))?;
        command.arg(format!("{parameter}={arn}"));
    }
    command.arg(format!("MetaGraphUrl={}/v26.0", simulator::url(project)));
    for parameter in ["MediaHosts", "SesEndpoint", "EndUserMessagingEndpoint"] {
        command.arg(format!("{parameter}={}", simulator::url(project)));
    }
    command.arg(format!("MetaAppId={}", simulator::APP_ID));
    command.arg(format!("Architecture={}", architecture()?));
    command
        .envs(emulator::client_settings(project))
        .env("SAM_CLI_TELEMETRY", "0");
    run::logged(&mut command, &log, "sam deploy")
}

/// The host's processor, as Lambda calls it.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("x86_64"),
        "aarch64" => Ok("arm64"),
        other => bail!("Lambda knows no processor {other}"),
    }
}

/// Routes and migrations; the answer of `after_deploy.py`.
fn after_deploy(project: &Project, venv: &Venv) -> Result<Value> {
    let mut command = venv.python();
    command
        .arg(project.script("after_deploy.py"))
        .args([STACK, "template.yaml"])
        .current_dir(&project.root);
    let output = run::quiet(
        command.envs(emulator::client_settings(project)),
        "routes and migrations",
    )
    .context(
        "the deployment stands but is not complete. If a migration was edited after it had run here \
         (VersionMismatch), start over: cargo xtask down --clean",
    )?;
    serde_json::from_str(&output).context("after_deploy.py prints JSON")
}

fn record_outputs(project: &Project, env: &mut EnvFile, outputs: &Value) -> Result<()> {
    for (output, key) in OUTPUTS {
        let value = outputs[output]
            .as_str()
            .with_context(|| format!("the stack has no output {output}"))?;
        // Queue URLs name the emulator by its virtual host; a plain address resolves everywhere.
        env.set(
            key,
            &value.replace("http://localhost:", "http://127.0.0.1:"),
        )?;
    }
    let api = outputs["HttpApiId"]
        .as_str()
        .context("the stack has no output HttpApiId")?;
    // The path form: hosts like <id>.execute-api.localhost do not resolve with every client.
    env.set(
        "API_URL",
        &format!("{}/_aws/execute-api/{api}", emulator::url(project)),
    )
}
