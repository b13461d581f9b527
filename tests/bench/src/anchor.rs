//! A figure to compare machines by: what pgbench makes of one small table on the same Postgres.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{proc, wire::Server};

const ROWS: usize = 20_000;

/// What a client does, over and over; every statement is a transaction of its own, durable.
pub enum Deed {
    /// One select and one update of a row by its key, unnamed as the service's statements are.
    SelectAndUpdate,
    /// One update of a row by its key, prepared once.
    Update,
}

impl Deed {
    fn script(&self) -> String {
        let select = match self {
            Self::SelectAndUpdate => "select content from bench_anchor where id = :id;\n",
            Self::Update => "",
        };
        format!(
            "\\set id random(1, {ROWS})\n{select}update bench_anchor set status = 'SENT' where id = :id;\n"
        )
    }

    fn protocol(&self) -> &'static str {
        match self {
            Self::SelectAndUpdate => "extended",
            Self::Update => "prepared",
        }
    }
}

/// Where pgbench runs.
pub struct Anchor<'a> {
    pub pgbench: &'a Path,
    pub server: &'a Server,
    pub postmaster: u32,
    /// A table is added to it.
    pub database: &'a str,
    pub out: &'a Path,
}

/// What came of it.
pub struct Anchored {
    pub per_second: f64,
    /// Processor seconds of Postgres for a thousand of them.
    pub postgres_cpu_per_1000: f64,
}

impl Anchor<'_> {
    pub fn measure(&self, deed: &Deed, connections: usize, time: Duration) -> Result<Anchored> {
        self.server.connect(self.database)?.query(&format!(
            "create table bench_anchor (id integer primary key, status text not null, content text not null);
             insert into bench_anchor select n, 'QUEUED', repeat('x', 300) from generate_series(1, {ROWS}) n"
        ))?;
        let script = self.out.join("anchor.sql");
        fs::write(&script, deed.script()).with_context(|| format!("write {}", script.display()))?;
        let mut pgbench = Command::new(self.pgbench);
        pgbench
            .args(["--no-vacuum", "--host=127.0.0.1", "--username=postgres"])
            .arg(format!("--protocol={}", deed.protocol()))
            .arg(format!("--port={}", self.server.port))
            .arg(format!("--client={connections}"))
            .arg(format!("--time={}", time.as_secs()))
            .arg("--file")
            .arg(&script)
            .arg(self.database);
        let before = proc::tree_cpu_seconds(self.postmaster)?;
        let output = pgbench.output().context("start pgbench")?;
        let cpu = proc::tree_cpu_seconds(self.postmaster)? - before;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "pgbench failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let per_second: f64 = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
            .with_context(|| format!("pgbench says no tps: {said}"))?;
        Ok(Anchored {
            per_second,
            postgres_cpu_per_1000: cpu / per_second / time.as_secs_f64() * 1000.0,
        })
    }
}
