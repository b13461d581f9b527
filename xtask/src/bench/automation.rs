//! `bench automation`: what is measured of automated messages.

use anyhow::{Result, bail};
use serde_json::json;

use super::{
    Build,
    frame::{commit, with_database},
    number, value,
};
use crate::project::Project;

#[derive(Debug, PartialEq, Eq)]
pub struct AutomationPlan {
    trips: usize,
    recipients: usize,
    seconds: usize,
    build: Build,
}

impl AutomationPlan {
    pub const USAGE: &'static str = "\
cargo xtask bench automation [OPTIONS]

Runs the release builds of hasura-events, batch-worker, dispatch-worker and stuck-scan against a local Lambda Runtime API, queues
that keep SQS's delays, and the project's own Postgres (durable): trips of sixty passengers that are late; a batch whose worker is
killed three times on the way; the batch leaving at its sender's pace while another operator sends now and then.
Prints a table and writes automation.json into .local/bench.

  --trips N       late trips (200)
  --recipients N  of the batch (100000)
  --seconds N     how long what leaves is watched, without the batch and with it (120)
  --quick         40 trips, 20,000 recipients, 30 seconds; what follows it still counts

The machine should have nothing else to do. docs/benchmarks.md says what the numbers mean.
";

    /// To see that it runs.
    pub(super) fn smallest() -> Self {
        Self {
            trips: 1,
            recipients: 10_000,
            seconds: 10,
            build: Build::Debug,
        }
    }

    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut plan = Self {
            trips: 200,
            recipients: 100_000,
            seconds: 120,
            build: Build::Release,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || value(word, &mut words);
            match *word {
                "--quick" => (plan.trips, plan.recipients, plan.seconds) = (40, 20_000, 30),
                "--trips" => plan.trips = number(next()?)?,
                "--recipients" => plan.recipients = number(next()?)?,
                "--seconds" => plan.seconds = number(next()?)?,
                _ => bail!("unknown: {word}\n\n{}", Self::USAGE),
            }
        }
        if plan.trips == 0 || !(10..=900).contains(&plan.seconds) {
            bail!("--trips is at least 1, --seconds from 10 to 900");
        }
        if !(10_000..=1_000_000).contains(&plan.recipients) {
            bail!(
                "--recipients is from 10,000, so that the worker can be killed in between, to 1,000,000"
            );
        }
        Ok(plan)
    }
}

pub fn automation(project: &Project, plan: &AutomationPlan) -> Result<()> {
    let functions = plan.build.binaries(project)?;
    with_database(project, plan.build, &["automation"], |database, out| {
        Ok(json!({
            "postgres_port": project.ports.postgres,
            "database": database,
            "functions": functions,
            "out": out,
            "commit": commit(&project.root)?,
            "trips": plan.trips,
            "recipients": plan.recipients,
            "seconds": plan.seconds,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_measured() {
        assert!(AutomationPlan::parse(&["--quick", "--recipients", "10000"]).is_ok());
        for line in [
            ["--recipients", "9000"],
            ["--trips", "0"],
            ["--seconds", "5"],
            ["--fast", "1"],
        ] {
            assert!(AutomationPlan::parse(&line).is_err(), "{line:?}");
        }
    }
}
