//! What comes out: a table for people and one JSON document with the same numbers.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    explain::Cost,
    recorder::Recording,
    rounds::{Bench, Floor, Measured},
};

/// One number of sandboxes: the worker, its floor and the anchor.
pub struct Row {
    pub sandboxes: usize,
    /// One for each round.
    pub measured: Vec<Measured>,
    pub floor: Vec<Floor>,
    pub anchor: f64,
}

/// What the claim costs beside nothing and beside a history.
pub struct Claim {
    pub history: usize,
    pub empty: Cost,
    pub beside_history: Cost,
}

/// Everything, with the row of two sandboxes (or else the last) at the top.
pub fn document(
    bench: &Bench,
    recording: &Recording,
    rows: &[Row],
    claim: Option<&Claim>,
) -> Result<Value> {
    let batches = count(recording.batches.len());
    let per_batch =
        |number: u64| rounded(count(usize::try_from(number).unwrap_or(usize::MAX)) / batches);
    let counts = recording.counts;
    let chosen = rows
        .iter()
        .find(|row| row.sandboxes == 2)
        .or(rows.last())
        .context("no row was measured")?;
    let mut document = row_json(bench, chosen);
    let rows: Vec<Value> = rows.iter().map(|row| row_json(bench, row)).collect();
    for (key, value) in [
        (
            "round_trips_per_batch",
            json!(per_batch(counts.transactions)),
        ),
        ("statements_per_batch", json!(per_batch(counts.statements))),
        (
            "network_round_trips_per_batch",
            json!(per_batch(counts.network_round_trips)),
        ),
        ("messages", json!(bench.settings.messages)),
        ("rounds", json!(bench.settings.rounds)),
        ("batch_size", json!(crate::seed::BATCH)),
        ("rows", json!(rows)),
        ("claim", claim.map_or(Value::Null, claim_json)),
        ("machine", machine(bench)?),
        ("commit", json!(bench.settings.commit)),
    ] {
        document[key] = value;
    }
    Ok(document)
}

fn row_json(bench: &Bench, row: &Row) -> Value {
    let messages = count(bench.settings.messages);
    let per_1000 = |seconds: f64| seconds / messages * 1000.0;
    let of_worker = |value: &dyn Fn(&Measured) -> f64| median(row.measured.iter().map(value));
    let of_floor = |value: &dyn Fn(&Floor) -> f64| median(row.floor.iter().map(value));
    let worker = of_worker(&|one| messages / one.took.as_secs_f64());
    let floor = of_floor(&|one| messages / one.took.as_secs_f64());
    let every = |took: Vec<Duration>| -> Vec<f64> {
        took.iter()
            .map(|took| rounded(messages / took.as_secs_f64()))
            .collect()
    };
    json!({
        "sandboxes": row.sandboxes,
        "msg_per_s": rounded(worker),
        "msg_per_s_of_each_round": every(row.measured.iter().map(|one| one.took).collect()),
        "floor_msg_per_s": rounded(floor),
        "floor_msg_per_s_of_each_round": every(row.floor.iter().map(|one| one.took).collect()),
        "ratio_to_floor": rounded(worker / floor),
        "anchor_msg_per_s": rounded(row.anchor),
        "worker_cpu_s_per_1000": rounded(of_worker(&|one| per_1000(one.worker_cpu))),
        "postgres_cpu_s_per_1000": rounded(of_worker(&|one| per_1000(one.postgres_cpu))),
        "floor_postgres_cpu_s_per_1000": rounded(of_floor(&|one| per_1000(one.postgres_cpu))),
        "bench_cpu_s_per_1000": rounded(of_worker(&|one| per_1000(one.bench_cpu))),
        "peak_rss_mb": rounded(row.measured.iter().map(|one| one.peak_mb).fold(0.0, f64::max)),
        "init_ms": rounded(median(row.measured.iter().flat_map(|one| one.init_ms.iter().copied()))),
    })
}

fn claim_json(claim: &Claim) -> Value {
    let cost = |cost: Cost| {
        json!({
            "planning_ms": cost.planning_ms, "execution_ms": cost.execution_ms,
            "total_ms": rounded(cost.planning_ms + cost.execution_ms), "buffers": cost.buffers,
        })
    };
    json!({
        "history": claim.history,
        "empty": cost(claim.empty),
        "beside_history": cost(claim.beside_history),
    })
}

fn machine(bench: &Bench) -> Result<Value> {
    let mut database = bench.server.connect("postgres")?;
    let fact = |path: &str, label: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_default()
            .trim_matches([' ', '\t', ':'])
            .to_owned()
    };
    Ok(json!({
        "date": database.value("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")?,
        "processor": fact("/proc/cpuinfo", "model name"),
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "memory": fact("/proc/meminfo", "MemTotal"),
        "kernel": fact("/proc/sys/kernel/osrelease", ""),
        "load_at_start": bench.load_at_start,
        "postgres": database.value("show server_version")?,
        "shared_buffers": database.value("show shared_buffers")?,
        "fsync": database.value("show fsync")?,
        "synchronous_commit": database.value("show synchronous_commit")?,
    }))
}

/// The table. Every number in it stands in the document too.
pub fn print(document: &Value) {
    let machine = &document["machine"];
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    println!(
        "{} messages a round in batches of {}, median of {} round(s); {} cores ({}), load {} at the start; Postgres {}, fsync {}, \
         synchronous_commit {}; commit {}\n",
        document["messages"],
        document["batch_size"],
        document["rounds"],
        machine["cores"],
        text(&machine["processor"]),
        text(&machine["load_at_start"]),
        text(&machine["postgres"]),
        text(&machine["fsync"]),
        text(&machine["synchronous_commit"]),
        text(&document["commit"]),
    );
    let rows = document["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let line = |title: &str, key: &str| {
        let cells: Vec<String> = rows
            .iter()
            .map(|row| format!("{:>12}", row[key].to_string()))
            .collect();
        println!("{title:<48}{}", cells.concat());
    };
    line("sandboxes", "sandboxes");
    line("messages per second", "msg_per_s");
    line("  floor: the same statements alone", "floor_msg_per_s");
    line("  ratio to the floor", "ratio_to_floor");
    line(
        "  anchor: pgbench, select + update a message",
        "anchor_msg_per_s",
    );
    line(
        "CPU seconds per 1,000 messages: workers",
        "worker_cpu_s_per_1000",
    );
    line("  Postgres", "postgres_cpu_s_per_1000");
    line("  Postgres at the floor", "floor_postgres_cpu_s_per_1000");
    line("  stubs and driver (nobody's)", "bench_cpu_s_per_1000");
    line("peak memory of a worker (MB)", "peak_rss_mb");
    line("start to ready (ms)", "init_ms");
    println!(
        "\nper batch: {} transactions, {} statements, {} round trips on the wire",
        document["round_trips_per_batch"],
        document["statements_per_batch"],
        document["network_round_trips_per_batch"],
    );
    let claim = &document["claim"];
    for (title, key) in [
        ("beside nothing", "empty"),
        ("beside the history", "beside_history"),
    ] {
        if let Some(cost) = claim.get(key) {
            println!(
                "claim {title}: planning {} ms, execution {} ms, {} buffers",
                cost["planning_ms"], cost["execution_ms"], cost["buffers"]
            );
        }
    }
}

/// The middle one; the upper of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub fn count(number: usize) -> f64 {
    number as f64
}

/// To what anybody reads: whole numbers when large, three decimals when small.
fn rounded(value: f64) -> f64 {
    let factor = if value.abs() >= 100.0 { 1.0 } else { 1000.0 };
    (value * factor).round() / factor
}
