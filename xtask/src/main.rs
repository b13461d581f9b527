//! `cargo xtask`: the local stack and every repeated chore, with nothing to install beforehand but Rust and Python.
//!
//! This file only sorts commands to their rooms: [`stack`] (up, down, status), [`test`] (the checks and tests, stage
//! by stage), [`prepare`] (the compiler's knowledge of the queries), [`bench`], [`release`]. Only the standard library
//! and two small crates: what talks to AWS is Python, from the environments that [`venv`] makes.

mod bench;
mod checks;
mod cli;
mod deploy;
mod emulator;
mod env_file;
mod functions;
mod fuzz;
mod http;
mod logs;
mod n8n;
mod port;
mod postgres;
mod prepare;
mod process;
mod project;
mod release;
mod run;
mod say;
mod schema;
mod secrets;
mod simulator;
mod stack;
mod standin;
mod story;
mod test;
mod venv;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{cli::Command, env_file::EnvFile, project::Project};

fn main() -> ExitCode {
    match cli::parse(std::env::args().skip(1)).and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failed(&error);
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> Result<()> {
    let project = Project::from_environment()?;
    match command {
        Command::Help => print!("{}", cli::USAGE),
        Command::Up => drop(stack::up(&project)?),
        Command::Down(data) => stack::down(&project, data)?,
        Command::Status => stack::status(&project),
        Command::Demo => demo(&project, story::tell)?,
        Command::DemoIncident => demo(&project, story::incident)?,
        Command::DemoOnboarding => demo(&project, story::onboarding)?,
        Command::Logs { name, follow } => logs::show(&project, name.as_deref(), follow)?,
        Command::Psql(arguments) => psql(&project, &arguments)?,
        Command::Env => print_env(&project)?,
        Command::Postgres => drop(stack::database(&project)?),
        Command::StandIn => println!("{}", standin::installed(&project)?.display()),
        Command::N8nTest => n8n::test(&project)?,
        Command::Test(plan) => test::run(&project, &plan)?,
        Command::Check => test::run(&project, &test::Plan::check())?,
        Command::Deny { advisories: false } => checks::deny(&project)?,
        Command::Deny { advisories: true } => checks::advisories(&project)?,
        Command::Fuzz(plan) => fuzz::run(&project, &plan)?,
        Command::Sqlx(mode) => prepare::prepare(&project, mode)?,
        Command::BenchCold { runs } => bench::cold(&project, runs)?,
        Command::BenchTry => bench::try_all(&project)?,
        Command::BenchWebhookHelp => print!("{}", bench::WebhookPlan::USAGE),
        Command::BenchWebhook(plan) => bench::webhook(&project, &plan)?,
        Command::BenchAutomationHelp => print!("{}", bench::AutomationPlan::USAGE),
        Command::BenchAutomation(plan) => bench::automation(&project, &plan)?,
        Command::BenchInboxHelp => print!("{}", bench::InboxPlan::USAGE),
        Command::BenchInbox(plan) => bench::inbox(&project, &plan)?,
        Command::BenchDispatchHelp => print!("{}", bench::Plan::USAGE),
        Command::BenchDispatch(plan) => bench::dispatch(&project, &plan)?,
        Command::Release(processor) => release::build(&project, processor)?,
    }
    Ok(())
}

fn demo(project: &Project, story: fn(&Project, &EnvFile) -> Result<()>) -> Result<()> {
    let env = stack::up(project)?;
    story(project, &env)?;
    say::done(
        "The stack stays up. Look around with cargo xtask status | logs | psql; end it with cargo xtask down",
    );
    Ok(())
}

fn psql(project: &Project, arguments: &[String]) -> Result<()> {
    let server = postgres::running(project)?;
    run::visible(server.psql().args(arguments).arg(&server.url), "psql")
}

/// For `eval "$(cargo xtask env)"`.
fn print_env(project: &Project) -> Result<()> {
    let file = project.env_file();
    if !file.exists() {
        bail!("there are no settings yet: cargo xtask up makes them");
    }
    for (key, value) in EnvFile::read(&file).iter() {
        println!("export {key}='{}'", value.replace('\'', r"'\''"));
    }
    Ok(())
}
