//! A figure to compare machines by: pgbench with one select and one update a message, two durable commits.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::rounds::Bench;

const SCRIPT: &str = "\\set id random(1, 20000)
select content from bench_anchor where id = :id;
update bench_anchor set status = 'SENT' where id = :id;
";

/// Messages per second with so many connections.
pub fn messages_per_second(bench: &Bench, connections: usize, seconds: usize) -> Result<f64> {
    bench.fresh_database()?;
    let database = bench.round_database();
    bench.server.connect(&database)?.query(
        "create table bench_anchor (id integer primary key, status text not null, content text not null);
         insert into bench_anchor select n, 'QUEUED', repeat('x', 300) from generate_series(1, 20000) n",
    )?;
    let script = bench.settings.out.join("anchor.sql");
    fs::write(&script, SCRIPT).with_context(|| format!("write {}", script.display()))?;
    let mut pgbench = Command::new(&bench.settings.pgbench);
    pgbench
        .args([
            "--no-vacuum",
            "--protocol=extended",
            "--host=127.0.0.1",
            "--username=postgres",
        ])
        .arg(format!("--port={}", bench.server.port))
        .arg(format!("--client={connections}"))
        .arg(format!("--time={seconds}"))
        .arg("--file")
        .arg(&script)
        .arg(&database);
    let output = pgbench.output().context("start pgbench")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "pgbench failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    said.lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
        .with_context(|| format!("pgbench says no tps: {said}"))
}
