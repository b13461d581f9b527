//! `comms-story seed` fills a running stack with two operators; `comms-story tell` plays one journey on it and prints
//! what happened. `cargo xtask up` and `cargo xtask demo` run them with the environment of `.local/env`.

#![recursion_limit = "256"]

mod plant;
mod tell;

use anyhow::{Result, bail};

const USAGE: &str =
    "usage: comms-story seed | tell   (environment: .local/env, written by `cargo xtask up`)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the program's arguments")]
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("seed") => plant::seed().await,
        Some("tell") => tell::tell().await,
        Some("--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!(USAGE),
    }
}
