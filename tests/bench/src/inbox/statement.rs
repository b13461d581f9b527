//! A subscription's statement on one connection, prepared once and asked again, as the engine does.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use comms_live_queries::{BATCH, Question, inlined, parameters};

use crate::wire::{Connection, Message, Row, Server, row};

/// Postgres plans a prepared statement anew five times before it may keep a plan for all parameters.
const WARM_UP: usize = 7;

pub struct Statement {
    connection: Connection,
    backend: u32,
}

/// What some subscribers cost together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub took: Duration,
    /// Of the backend, on a processor: what other programs do meanwhile is in `took` alone.
    pub cpu: Duration,
}

impl Statement {
    pub fn prepare(server: &Server, database: &str, question: Question) -> Result<Self> {
        let mut connection = server.connect(database)?;
        let backend = connection.value("select pg_backend_pid()")?.parse()?;
        let sql = question.sql();
        let parse = Message::new(b'P', &[b"q\0", sql.as_bytes(), b"\0\0\0"].concat())?;
        connection.send(&[parse.bytes, Message::new(b'S', &[])?.bytes].concat())?;
        connection
            .answers()
            .with_context(|| format!("prepare {}", question.name()))?;
        Ok(Self {
            connection,
            backend,
        })
    }

    pub fn warm_up(&mut self, variables: &[String]) -> Result<()> {
        for _ in 0..WARM_UP {
            self.ask(variables)?;
        }
        Ok(())
    }

    /// Asks for all of them, a hundred at a time.
    pub fn measure(&mut self, variables: &[String], batch: usize) -> Result<Cost> {
        let cpu = on_cpu(self.backend)?;
        let begin = Instant::now();
        for some in variables.chunks(batch.min(BATCH)) {
            self.ask(some)?;
        }
        Ok(Cost {
            took: begin.elapsed(),
            cpu: on_cpu(self.backend)?.saturating_sub(cpu),
        })
    }

    /// One statement; a row for each subscriber.
    pub fn ask(&mut self, variables: &[String]) -> Result<Vec<Row>> {
        let [ids, vars] = parameters(variables);
        let mut bind = b"\0q\0\0\0\0\x02".to_vec();
        for parameter in [&ids, &vars] {
            bind.extend(u32::try_from(parameter.len())?.to_be_bytes());
            bind.extend(parameter.as_bytes());
        }
        bind.extend(b"\0\0");
        let messages = [
            Message::new(b'B', &bind)?.bytes,
            Message::new(b'E', &[0; 5])?.bytes,
            Message::new(b'S', &[])?.bytes,
        ];
        self.connection.send(&messages.concat())?;
        let answers = self.connection.answers()?;
        answers
            .iter()
            .filter(|one| one.tag == b'D')
            .map(row)
            .collect()
    }
}

/// The plan, with what each step of it took.
pub fn explain(
    server: &Server,
    database: &str,
    question: Question,
    variables: &[String],
) -> Result<String> {
    let explained = format!(
        "explain (analyze, buffers, costs off) {}",
        inlined(question, variables)
    );
    let mut connection = server.connect(database)?;
    // The first time pages come from elsewhere.
    connection.query(&explained)?;
    let lines = connection.query(&explained)?.into_iter().flatten();
    Ok(lines.flatten().collect::<Vec<String>>().join("\n"))
}

/// The nanoseconds that a process has run.
pub fn on_cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("read {path} (processor time is measured on Linux only)"))?;
    let first = text
        .split_whitespace()
        .next()
        .context("an empty schedstat")?;
    Ok(Duration::from_nanos(first.parse()?))
}
