//! `bench inbox`: what is measured of the agents' inbox.
//!
//! A million conversations take minutes to write, so the inboxes are kept between runs: a database each, which says in its comment
//! from which migrations and which seed it was made. What differs is made anew.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    Build,
    frame::{self, commit},
    number, value,
};
use crate::{
    postgres::{self, Postgres},
    prepare,
    project::Project,
    say,
};

#[derive(Debug, PartialEq, Eq)]
pub struct InboxPlan {
    conversations: usize,
    rounds: usize,
    requests: usize,
    sandboxes: usize,
    actions: bool,
    again: bool,
    build: Build,
}

impl InboxPlan {
    pub const USAGE: &'static str = "\
cargo xtask bench inbox [OPTIONS]

Asks the project's own Postgres what Hasura asks it for the inbox's subscriptions, for 1, 100 and 1,000 subscribers, of an inbox of
a million conversations and ten million messages and, in turn, of one of a hundredth. Then the release build of inbox-actions claims
and answers on a copy of the large one. Prints a table and writes inbox.json, inbox.svg and inbox-plans.txt into .local/bench.

  --conversations N  of the large inbox, a multiple of 10,000 (1000000)
  --rounds N         how often each question is asked of either inbox; the medians count (7)
  --requests N       of each action (4000)
  --sandboxes N      processes of the function (2)
  --no-actions       only the subscriptions: no release build, no copy
  --again            write the inboxes anew; otherwise those of an earlier run are used if they still fit
  --quick            200,000 conversations, 3 rounds, no actions; what follows it still counts

The first run writes the inboxes into databases of their own, which takes minutes and some 12 GB for a million conversations. They
stay until a run with other migrations or another seed replaces them, or cargo xtask down --clean deletes everything. The machine
should have nothing else to do. docs/benchmarks.md says what the numbers mean.
";

    /// To see that it runs.
    pub(super) fn smallest() -> Self {
        Self {
            conversations: 10_000,
            rounds: 1,
            requests: 20,
            sandboxes: 1,
            actions: true,
            again: false,
            build: Build::Debug,
        }
    }

    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut plan = Self {
            conversations: 1_000_000,
            rounds: 7,
            requests: 4_000,
            sandboxes: 2,
            actions: true,
            again: false,
            build: Build::Release,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || value(word, &mut words);
            match *word {
                "--quick" => {
                    (plan.conversations, plan.rounds, plan.actions) = (200_000, 3, false);
                }
                "--conversations" => plan.conversations = number(next()?)?,
                "--rounds" => plan.rounds = number(next()?)?,
                "--requests" => plan.requests = number(next()?)?,
                "--sandboxes" => plan.sandboxes = number(next()?)?,
                "--no-actions" => plan.actions = false,
                "--again" => plan.again = true,
                _ => bail!("unknown: {word}\n\n{}", Self::USAGE),
            }
        }
        if plan.conversations == 0 || !plan.conversations.is_multiple_of(10_000) {
            bail!(
                "--conversations is a multiple of 10,000: a hundredth is divided among five tenants"
            );
        }
        if plan.rounds == 0 || plan.requests == 0 || !(1..=16).contains(&plan.sandboxes) {
            bail!("--rounds and --requests are at least 1, --sandboxes from 1 to 16");
        }
        Ok(plan)
    }
}

pub fn inbox(project: &Project, plan: &InboxPlan) -> Result<()> {
    if project.own_database_url.is_some() {
        bail!("this measures the project's own Postgres and its processes: unset DATABASE_URL");
    }
    let function = plan
        .actions
        .then(|| plan.build.binaries(project))
        .transpose()?
        .map(|folder| folder.join("inbox-actions"));
    let program = frame::bench_program(project)?;
    let server = postgres::start(project)?;
    frame::drop_left_behind(&server)?;
    let out = plan.build.out(project);
    fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let sizes = [plan.conversations, plan.conversations / 100];
    let mut missing = Vec::new();
    for conversations in sizes {
        missing.extend(missing_inbox(project, &server, conversations, plan.again)?);
    }
    let copy = frame::own_database();
    let settings = json!({
        "postgres_port": project.ports.postgres,
        "large": database(sizes[0]),
        "small": database(sizes[1]),
        "missing": missing,
        "copy": copy,
        "function": function,
        "out": out,
        "commit": commit(&project.root)?,
        "rounds": plan.rounds,
        "requests": plan.requests,
        "sandboxes": plan.sandboxes,
    });
    let measured = frame::measure_with(&program, &["inbox"], &settings);
    server.query(
        &server.url,
        &format!("drop database if exists {copy} with (force)"),
    )?;
    measured?;
    say::done(&format!("Written to {}", out.display()));
    Ok(())
}

fn database(conversations: usize) -> String {
    format!("communications_inbox_{conversations}")
}

/// Makes and migrates the database unless it is there and complete; what `comms-bench` needs to know to fill it.
fn missing_inbox(
    project: &Project,
    server: &Postgres,
    conversations: usize,
    again: bool,
) -> Result<Option<Value>> {
    let (database, fingerprint) = (database(conversations), fingerprint(project)?);
    let found = server.query(
        &server.url,
        &format!(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = '{database}'"
        ),
    )?;
    if found.trim() == fingerprint && !again {
        return Ok(None);
    }
    say::step(&format!("Making the database {database}"));
    for sql in [
        format!("drop database if exists {database} with (force)"),
        format!("create database {database}"),
    ] {
        server.query(&server.url, &sql)?;
    }
    prepare::apply_all(project, server, &server.url_of(&database)?)?;
    Ok(Some(json!({
        "database": database, "conversations": conversations, "fingerprint": fingerprint,
    })))
}

/// Of everything that an inbox is made from.
fn fingerprint(project: &Project) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for folder in ["migrations", "tests/fixtures", "tests/live-queries/src"] {
        for file in sql_files(&project.root.join(folder))? {
            fs::read(&file)
                .with_context(|| format!("read {}", file.display()))?
                .hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// In the order of their names, without the questions: they read.
fn sql_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let asks = [
            "conversation-list.sql",
            "conversation-thread.sql",
            "unread-badge.sql",
        ];
        if name.ends_with(".sql") && !asks.contains(&&*name) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_measured() {
        assert!(InboxPlan::parse(&["--quick", "--conversations", "20000"]).is_ok());
        for line in [
            ["--conversations", "15000"],
            ["--conversations", "0"],
            ["--rounds", "0"],
            ["--sandboxes", "17"],
            ["--fast", "1"],
        ] {
            assert!(InboxPlan::parse(&line).is_err(), "{line:?}");
        }
    }
}
