//! `comms-story seed` fills a running stack with two operators; `comms-story tell` plays one journey on it and prints
//! what happened, `comms-story incident` an incident of three hundred people, `comms-story onboarding` how an operator connects its
//! channels. `cargo xtask up` and `cargo xtask demo [incident | onboarding]` run them with the environment of `.local/env`.

#![recursion_limit = "256"]

mod incident;
mod onboarding;
mod plant;
mod tell;

use anyhow::anyhow;
use std::process::ExitCode;

const USAGE: &str = "usage: comms-story seed | tell | incident | onboarding   (environment: .local/env, written by `cargo xtask up`)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let told = match argument.as_deref() {
        Some("seed") => plant::seed().await,
        Some("tell") => tell::tell().await,
        Some("incident") => incident::broadcast().await,
        Some("onboarding") => onboarding::connect().await,
        Some("--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(anyhow!(USAGE)),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("✗ {error:#}");
            ExitCode::FAILURE
        }
    }
}
