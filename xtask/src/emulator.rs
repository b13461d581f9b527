//! The AWS emulator (ministack): one loopback process that runs the deployed functions as its children.
//!
//! It starts with an environment of its own: functions inherit it, and must get their settings from the template
//! and from nowhere else, exactly as in AWS. `AWS_ENDPOINT_URL` is the one exception; it is how the SDK inside
//! the functions finds the emulator.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{
    http, port,
    process::Service,
    project::{EMULATOR_PORT, Project, path_with},
    say,
    venv::{self, Venv},
};

/// The region of the local stack; the emulator serves any.
pub const REGION: &str = "us-east-1";

pub fn start(project: &Project) -> Result<()> {
    let service = service(project);
    let version = format!("{} {}", env!("CARGO_PKG_VERSION"), project.ports.emulator);
    if service.runs_as(&version) {
        return Ok(());
    }
    say::step("Starting the AWS emulator");
    service.stop()?;
    let venv = venv::stack(project)?;
    port::require_free(project.ports.emulator, "the AWS emulator", EMULATOR_PORT)?;
    let mut command = venv.command("ministack");
    environment(project, &venv, &mut command)?;
    service.start(command, &version)?;
    service.wait_until(Duration::from_mins(1), || {
        http::get(project.ports.emulator, "/_ministack/health").is_some()
    })
}

pub fn service(project: &Project) -> Service {
    Service::new(project, "emulator")
}

pub fn url(project: &Project) -> String {
    format!("http://127.0.0.1:{}", project.ports.emulator)
}

/// The settings that point any AWS SDK or tool at the emulator.
pub fn client_settings(project: &Project) -> [(&'static str, String); 6] {
    [
        ("AWS_ENDPOINT_URL", url(project)),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

fn environment(project: &Project, venv: &Venv, command: &mut Command) -> Result<()> {
    let home = project.state.join("emulator");
    let temporary = home.join("tmp");
    fs::create_dir_all(&temporary).with_context(|| format!("create {}", temporary.display()))?;
    command
        .env_clear()
        .env("PATH", path_with(&venv.bin())?)
        .env("LANG", "C.UTF-8")
        .env("HOME", &home)
        .env("TMPDIR", &temporary)
        .env("STATE_DIR", home.join("state"))
        .env("S3_DATA_DIR", home.join("s3"))
        .env("GATEWAY_PORT", project.ports.emulator.to_string())
        .env("BIND_HOST", "127.0.0.1")
        // IAM is evaluated: a function may do here what its role in template.yaml says, and nothing else.
        .env("AUTH", "true")
        .env("PYTHONUNBUFFERED", "1")
        .envs(client_settings(project))
        .current_dir(&home);
    Ok(())
}
