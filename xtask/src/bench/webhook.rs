//! `bench webhook`: what is measured of Meta's webhook.

use anyhow::{Result, bail};
use serde_json::json;

use super::{
    Build,
    frame::{commit, with_database},
    number, value,
};
use crate::{postgres, project::Project};

#[derive(Debug, PartialEq, Eq)]
pub struct WebhookPlan {
    requests: usize,
    sandboxes: usize,
    at_once: usize,
    rounds: usize,
    build: Build,
}

impl WebhookPlan {
    pub const USAGE: &'static str = "\
cargo xtask bench webhook [OPTIONS]

Runs the release build of meta-webhook against a local Lambda Runtime API and the project's own Postgres (durable): signed
bodies with one status each, then with one new text each, by one process that serves many requests at once, which share
transactions, and by processes that serve one at a time; and a replay of the statements of either without it as its floor.
Prints a table and writes webhook.json into .local/bench.

  --requests N   requests of each kind and round, a multiple of 60 (18000)
  --at-once N    requests that the one process serves at once, as on Lambda Managed Instances (32)
  --sandboxes N  processes that serve one request at a time, as on Lambda otherwise (2)
  --rounds N     how often each kind is measured, function and floor in turn; the medians count (3)
  --quick        3,000 requests, one round; what follows it still counts

The machine should have nothing else to do. docs/benchmarks.md says what the numbers mean.
";

    /// To see that it runs.
    pub(super) fn smallest() -> Self {
        Self {
            requests: 60,
            sandboxes: 1,
            at_once: 8,
            rounds: 1,
            build: Build::Debug,
        }
    }

    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut plan = Self {
            requests: 18_000,
            sandboxes: 2,
            at_once: 32,
            rounds: 3,
            build: Build::Release,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || value(word, &mut words);
            match *word {
                "--quick" => (plan.requests, plan.rounds) = (3_000, 1),
                "--requests" => plan.requests = number(next()?)?,
                "--sandboxes" => plan.sandboxes = number(next()?)?,
                "--at-once" => plan.at_once = number(next()?)?,
                "--rounds" => plan.rounds = number(next()?)?,
                _ => bail!("unknown: {word}\n\n{}", Self::USAGE),
            }
        }
        if plan.requests == 0 || !plan.requests.is_multiple_of(60) {
            bail!(
                "--requests is a multiple of 60: three statuses a message, ten texts a customer, twenty tenants"
            );
        }
        if plan.rounds == 0 || !(1..=16).contains(&plan.sandboxes) {
            bail!("--rounds is at least 1, --sandboxes from 1 to 16");
        }
        if !(2..=64).contains(&plan.at_once) {
            bail!("--at-once is from 2 to 64");
        }
        Ok(plan)
    }
}

pub fn webhook(project: &Project, plan: &WebhookPlan) -> Result<()> {
    let function = plan.build.binaries(project)?.join("meta-webhook");
    with_database(project, plan.build, &["webhook"], |database, out| {
        Ok(json!({
            "postgres_port": project.ports.postgres,
            "database": database,
            "function": function,
            "pgbench": postgres::binaries(project)?.join("pgbench"),
            "out": out,
            "commit": commit(&project.root)?,
            "requests": plan.requests,
            "sandboxes": plan.sandboxes,
            "at_once": plan.at_once,
            "rounds": plan.rounds,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_measured() {
        assert!(WebhookPlan::parse(&["--quick", "--requests", "60"]).is_ok());
        for line in [
            ["--requests", "50"],
            ["--rounds", "0"],
            ["--sandboxes", "17"],
            ["--at-once", "1"],
            ["--fast", "1"],
        ] {
            assert!(WebhookPlan::parse(&line).is_err(), "{line:?}");
        }
    }
}
