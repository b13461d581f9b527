//! `bench dispatch`: what is measured of the dispatch worker.

use anyhow::{Result, bail};
use serde_json::json;

use super::{
    Build, FUNCTION,
    frame::{commit, with_database},
    number, value,
};
use crate::{postgres, project::Project};

/// What is measured, and how long it may take.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    messages: usize,
    sandboxes: Vec<usize>,
    rounds: usize,
    history: usize,
    build: Build,
}

impl Plan {
    pub const USAGE: &'static str = "\
cargo xtask bench dispatch [OPTIONS]

Runs the release build of the dispatch worker against a local Lambda Runtime API, a provider that answers at once, and
the project's own Postgres (durable), and replays the worker's own statements without it as the floor. Prints a table
and writes dispatch.json, dispatch.svg, claim-empty.txt and claim-history.txt into .local/bench.

  --messages N        queued messages of each round, a multiple of 200 (20000)
  --sandboxes 1,2,4   worker processes of each row (1,2,4)
  --rounds N          how often each row is measured, worker and floor in turn; the medians count (3)
  --history N         finished messages beside which the claim is explained, 0 for none (5000000)
  --quick             2,000 messages, 1 and 2 sandboxes, one round, no history; what follows it still counts

The machine should have nothing else to do. docs/benchmarks.md says what the numbers mean.
";

    fn full() -> Self {
        Self {
            messages: 20_000,
            sandboxes: vec![1, 2, 4],
            rounds: 3,
            history: 5_000_000,
            build: Build::Release,
        }
    }

    fn quick() -> Self {
        Self {
            messages: 2_000,
            sandboxes: vec![1, 2],
            rounds: 1,
            history: 0,
            build: Build::Release,
        }
    }

    /// To see that it runs.
    pub(super) fn smallest() -> Self {
        Self {
            messages: 200,
            sandboxes: vec![1],
            rounds: 1,
            history: 1_000,
            build: Build::Debug,
        }
    }

    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut plan = Self::full();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || value(word, &mut words);
            match *word {
                "--quick" => plan = Self::quick(),
                "--messages" => plan.messages = number(next()?)?,
                "--rounds" => plan.rounds = number(next()?)?,
                "--history" => plan.history = number(next()?)?,
                "--sandboxes" => {
                    plan.sandboxes = next()?.split(',').map(number).collect::<Result<_>>()?;
                }
                _ => bail!("unknown: {word}\n\n{}", Self::USAGE),
            }
        }
        if plan.messages == 0 || !plan.messages.is_multiple_of(200) {
            bail!("--messages is a multiple of 200: batches of ten for each of twenty tenants");
        }
        if plan.rounds == 0 {
            bail!("--rounds is at least 1");
        }
        if plan.sandboxes.iter().any(|count| !(1..=16).contains(count)) {
            bail!("--sandboxes are numbers from 1 to 16");
        }
        Ok(plan)
    }
}

/// Measures, prints, and leaves nothing behind but the results.
pub fn dispatch(project: &Project, plan: &Plan) -> Result<()> {
    let worker = plan.build.binaries(project)?.join(FUNCTION);
    with_database(project, plan.build, &[], |database, out| {
        Ok(json!({
            "postgres_port": project.ports.postgres,
            "database": database,
            "worker": worker,
            "pgbench": postgres::binaries(project)?.join("pgbench"),
            "out": out,
            "commit": commit(&project.root)?,
            "messages": plan.messages,
            "sandboxes": plan.sandboxes,
            "rounds": plan.rounds,
            "history": plan.history,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Plan> {
        Plan::parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn measures_everything_unless_told_otherwise() {
        assert_eq!(parsed("").unwrap(), Plan::full());
        assert_eq!(parsed("--quick").unwrap(), Plan::quick());
        let plan = parsed("--quick --sandboxes 3 --messages 400 --rounds 2 --history 10").unwrap();
        assert_eq!(
            plan,
            Plan {
                messages: 400,
                sandboxes: vec![3],
                rounds: 2,
                history: 10,
                build: Build::Release,
            }
        );
    }

    #[test]
    fn refuses_what_cannot_be_measured() {
        for line in [
            "--messages 150",
            "--messages 0",
            "--sandboxes 0",
            "--sandboxes",
            "--fast",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
