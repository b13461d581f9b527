//! `comms-bench`: the dispatch worker under load, and the same statements without it.
//!
//! Started by `cargo xtask bench dispatch`, which builds the worker and makes the database. docs/benchmarks.md says what
//! is measured and why it is comparable.

mod floor;
mod http;
mod proc;
mod recorder;
mod rounds;
mod seed;
mod settings;
mod stubs;
mod wire;
mod worker;

use anyhow::{Result, bail};
use rounds::Bench;
use settings::Settings;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seal"] => seal(),
        [settings] => run(Settings::parse(settings)?),
        _ => bail!("start this by: cargo xtask bench dispatch"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn seal() -> Result<()> {
    println!("{}", serde_json::to_string(&seed::sealed_configs().await?)?);
    Ok(())
}

fn run(settings: Settings) -> Result<()> {
    let bench = Bench::prepare(settings, stubs::start()?)?;
    let recording = bench.record()?;
    eprintln!("{:?} {}", recording.counts, recording.batches.len());
    let script = floor::Script::of(&recording)?;
    for sandboxes in bench.settings.sandboxes.clone() {
        eprintln!("{:?}", bench.measure(sandboxes)?);
        eprintln!("{:?}", bench.floor(&script, sandboxes)?);
    }
    Ok(())
}
