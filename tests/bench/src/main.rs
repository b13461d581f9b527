//! `comms-bench`: the dispatch worker and Meta's webhook under load, and the same statements without them; the inbox; automation.
//!
//! Started by `cargo xtask bench dispatch`, `webhook`, `inbox` or `automation`, which builds the function and makes the database. docs/benchmarks.md says what
//! is measured and why it is comparable.

mod anchor;
mod automation;
mod bare;
mod copies;
mod explain;
mod figures;
mod floor;
mod http;
mod inbox;
mod plot;
mod proc;
mod recorder;
mod report;
mod rounds;
mod seed;
mod settings;
mod stubs;
mod webhook;
mod wire;
mod worker;

use std::fs;

use anyhow::{Context, Result, bail};
use recorder::Recording;
use report::{Claim, Row};
use rounds::Bench;
use settings::Settings;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seal"] => seal(),
        // Started by the webhook's benchmark, as Lambda starts a function.
        [] => bare::run(),
        ["inbox", settings] => inbox::run(&settings::parse(settings)?),
        ["automation", settings] => automation::run(&settings::parse(settings)?),
        ["webhook", settings] => webhook::run(settings::parse(settings)?),
        [settings] => run(settings::parse(settings)?),
        _ => bail!("start this by: cargo xtask bench dispatch, webhook, inbox or automation"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn seal() -> Result<()> {
    println!("{}", serde_json::to_string(&seed::sealed_configs().await?)?);
    Ok(())
}

fn run(settings: Settings) -> Result<()> {
    step(&format!(
        "Seeding {} tenants and {} queued messages",
        seed::TENANTS,
        settings.messages
    ));
    let bench = Bench::prepare(settings, stubs::start()?)?;
    step("Recording what one worker says to Postgres (not measured)");
    let recording = bench.record()?;
    let script = floor::Script::of(&recording)?;
    let mut rows = Vec::new();
    for sandboxes in bench.settings.sandboxes.clone() {
        rows.push(row(&bench, &script, sandboxes)?);
    }
    let claim = claim(&bench, &recording)?;
    let document = report::document(&bench, &recording, &rows, claim.as_ref())?;
    report::print(&document);
    let out = &bench.settings.out;
    for (name, text) in [
        ("dispatch.json", format!("{document:#}\n")),
        ("dispatch.svg", plot::svg(&document)),
    ] {
        let file = out.join(name);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// The worker and its floor take turns, so that a change of the machine's mood meets both.
fn row(bench: &Bench, script: &floor::Script, sandboxes: usize) -> Result<Row> {
    let (mut measured, mut floor) = (Vec::new(), Vec::new());
    for round in 1..=bench.settings.rounds {
        step(&format!(
            "Round {round} of {} with sandboxes: {sandboxes}",
            bench.settings.rounds
        ));
        measured.push(bench.measure(sandboxes)?);
        floor.push(bench.floor(script, sandboxes)?);
    }
    Ok(Row {
        sandboxes,
        measured,
        floor,
        anchor: bench.anchor(sandboxes)?,
    })
}

/// Explains the claim on two databases that differ in what lies finished beside the queued messages.
fn claim(bench: &Bench, recording: &Recording) -> Result<Option<Claim>> {
    let history = bench.settings.history;
    if history == 0 {
        return Ok(None);
    }
    let explained = |file: &str| {
        let mut database = bench.server.connect(&bench.round_database())?;
        let (cost, plans) = explain::claim(&mut database, recording)?;
        let file = bench.settings.out.join(file);
        fs::write(&file, plans).with_context(|| format!("write {}", file.display()))?;
        anyhow::Ok(cost)
    };
    step("Explaining the claim beside nothing");
    bench.fresh_database()?;
    let empty = explained("claim-empty.txt")?;
    step(&format!(
        "Explaining the claim beside {history} finished messages (writing them takes minutes)"
    ));
    bench.fresh_database()?;
    seed::write_history(&mut bench.server.connect(&bench.round_database())?, history)?;
    let beside_history = explained("claim-history.txt")?;
    Ok(Some(Claim {
        history,
        empty,
        beside_history,
    }))
}

/// Progress goes to stderr: stdout is for the table.
pub fn step(text: &str) {
    eprintln!("→ {text}");
}
