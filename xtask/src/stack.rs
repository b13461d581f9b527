//! The local stack as a whole: up, down, status.
//!
//! `up` is safe to repeat and does only what is missing: services that run stay, an unchanged deployment is not
//! repeated. What can fail without us (a port, a prerequisite) is checked before the minutes of compiling.

use std::{
    fs::{self, File},
    io::Read,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{
    deploy, emulator, env_file::EnvFile, functions, http, postgres, project::Project, run, say,
    simulator, story, venv,
};

/// The header in which Hasura sends its shared secret.
const HASURA_SECRET_HEADER: &str = "nhost-webhook-secret";

/// Builds, starts, deploys and seeds whatever is not there yet.
pub fn up(project: &Project) -> Result<EnvFile> {
    let start = Instant::now();
    let _lock = lock(project)?;
    let mut env = database(project)?;
    venv::tools(project)?;
    emulator::start(project)?;
    // Stacks of one checkout share target/lambda; from laying out to deploying it must not change.
    let laid_out = run::lock(
        &project.root.join("target/lambda.lock"),
        "deploys from this checkout",
    )?;
    functions::build(project)?;
    simulator::start(project, &env)?;
    deploy::deploy(project, &mut env)?;
    drop(laid_out);
    env.write()?;
    // Every time: a new emulator has a new key, and what the old one sealed must be sealed again.
    story::seed(project, &mut env)?;
    env.write()?;
    say::done(&format!(
        "The stack is up ({}). Its settings: {}",
        say::since(start),
        project.env_file().display()
    ));
    Ok(env)
}

/// Starts Postgres alone and records its URL and the stack's secrets.
pub fn database(project: &Project) -> Result<EnvFile> {
    fs::create_dir_all(project.state.join("run"))
        .with_context(|| format!("create {}", project.state.display()))?;
    let server = postgres::start(project)?;
    let mut env = EnvFile::read(&project.env_file());
    settings(project, &server.url, &mut env)?;
    env.write()?;
    say::done(&format!("Postgres: {}", server.url));
    Ok(env)
}

/// Everything in `.local/env` that is known before the deployment.
fn settings(project: &Project, database: &str, env: &mut EnvFile) -> Result<()> {
    env.set("DATABASE_URL", database)?;
    for (key, value) in emulator::client_settings(project) {
        env.set(key, &value)?;
    }
    env.set("SIMULATOR_URL", &simulator::url(project))?;
    env.set(
        "META_GRAPH_URL",
        &format!("{}/v26.0", simulator::url(project)),
    )?;
    env.set("HASURA_SECRET_HEADER", HASURA_SECRET_HEADER)?;
    for key in [
        "HASURA_SECRET",
        "META_APP_SECRET",
        "META_VERIFY_TOKEN",
        "REPLY_TOKEN_SECRET",
    ] {
        env.set_once(key, random_secret)?;
    }
    Ok(())
}

/// 128 random bits of the kernel, in hexadecimal.
fn random_secret() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Whether `down` also deletes what the stack has stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Keep,
    Delete,
}

/// Ends every process of the stack. The emulator keeps nothing anyway; Postgres keeps its data unless told otherwise.
pub fn down(project: &Project, data: Data) -> Result<()> {
    let _lock = lock(project)?;
    // Every part is tried even when one resists, so that a second `down` has less to do.
    let stopped = [
        ("the simulator", simulator::service(project).stop()),
        (
            "the AWS emulator and its functions",
            emulator::service(project).stop(),
        ),
        ("Postgres", postgres::stop(project)),
    ];
    let mut failure = None;
    for (what, result) in stopped {
        match result {
            Ok(true) => say::done(&format!("Stopped {what}")),
            Ok(false) => {}
            Err(error) => failure = Some(error),
        }
    }
    remove(project, "run/deployed")?;
    remove(project, "emulator")?;
    if let Some(error) = failure {
        return Err(error);
    }
    if data == Data::Delete {
        postgres::delete(project)?;
        for part in ["env", "log", "run"] {
            remove(project, part)?;
        }
        say::done(&format!("Deleted the data in {}", project.state.display()));
    }
    Ok(())
}

fn remove(project: &Project, part: &str) -> Result<()> {
    let path = project.state.join(part);
    let result = if path.is_dir() {
        fs::remove_dir_all(&path)
    } else {
        fs::remove_file(&path)
    };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether anything of this stack runs.
pub fn runs(project: &Project) -> bool {
    emulator::service(project).pid().is_some()
        || simulator::service(project).pid().is_some()
        || postgres::runs(project)
}

/// Prints what runs, where, and whether it answers.
pub fn status(project: &Project) {
    let ports = project.ports;
    let (postgres, where_it_is) = match &project.own_database_url {
        Some(_) => ("yours", "DATABASE_URL".to_owned()),
        None => (
            word(postgres::runs(project)),
            format!("127.0.0.1:{}", ports.postgres),
        ),
    };
    let emulator = emulator::service(project).pid().is_some();
    let healthy = emulator && http::get(ports.emulator, "/_ministack/health").is_some();
    let simulator = simulator::service(project).pid().is_some();
    let simulated = simulator && http::get(ports.simulator, "/_sim/health").is_some();
    println!("{:<12} {postgres:<22} {where_it_is}", "postgres");
    println!(
        "{:<12} {:<22} {}",
        "emulator",
        condition(emulator, healthy),
        emulator::url(project)
    );
    println!(
        "{:<12} {:<22} {}",
        "simulator",
        condition(simulator, simulated),
        simulator::url(project)
    );
    if let Some(api) = EnvFile::read(&project.env_file())
        .get("API_URL")
        .filter(|_| healthy)
    {
        println!("{:<12} {:<22} {api}", "api", "deployed");
    }
}

fn word(runs: bool) -> &'static str {
    if runs { "running" } else { "stopped" }
}

fn condition(runs: bool, answers: bool) -> &'static str {
    if runs && !answers {
        "running, NO ANSWER"
    } else {
        word(runs)
    }
}

/// Two commands at once would each do half of it; the second waits.
fn lock(project: &Project) -> Result<File> {
    run::lock(&project.state.join("lock"), "works on this stack")
}
