//! `cargo xtask test`: every check and every test, in order, with a table at the end.
//!
//! A failed stage does not hide the next one; only what stands on it is skipped. The stack is started for the stages
//! that need it and ended again if it was not running before, also when they fail.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    bench, checks,
    env_file::EnvFile,
    fuzz,
    prepare::{self, Mode},
    project::{Project, cargo},
    run, say,
    stack::{self, Data},
    standin,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fmt,
    Clippy,
    Deny,
    Template,
    Unit,
    Up,
    Sqlx,
    Tests,
    Bench,
    StandIn,
    Fuzz,
}

/// In the order of `cargo xtask test`; `unit` is part of `tests` and only stands alone with `--quick`.
const ALL: [Stage; 10] = [
    Stage::Fmt,
    Stage::Clippy,
    Stage::Deny,
    Stage::Template,
    Stage::Up,
    Stage::Sqlx,
    Stage::Tests,
    Stage::Bench,
    Stage::StandIn,
    Stage::Fuzz,
];
const QUICK: [Stage; 5] = [
    Stage::Fmt,
    Stage::Clippy,
    Stage::Deny,
    Stage::Template,
    Stage::Unit,
];
const CHECK: [Stage; 3] = [Stage::Fmt, Stage::Clippy, Stage::Template];

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Deny => "deny",
            Self::Template => "template",
            Self::Unit => "unit",
            Self::Up => "up",
            Self::Sqlx => "sqlx",
            Self::Tests => "tests",
            Self::Bench => "bench",
            Self::StandIn => "standin",
            Self::Fuzz => "fuzz",
        }
    }

    /// What must not be forgotten when it has passed.
    fn remark(self) -> &'static str {
        match self {
            Self::StandIn => standin::NAME,
            _ => "",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter()
            .chain([Self::Unit])
            .find(|stage| stage.name() == name)
    }

    fn needs_stack(self) -> bool {
        matches!(self, Self::Tests | Self::StandIn)
    }
}

/// Which stages, and what `cargo test` is told besides.
pub struct Plan {
    stages: Vec<Stage>,
    test_arguments: Vec<String>,
}

impl Plan {
    pub fn check() -> Self {
        Self {
            stages: CHECK.to_vec(),
            test_arguments: Vec::new(),
        }
    }

    pub fn parse(words: &[&str]) -> Result<Self> {
        let end = words
            .iter()
            .position(|word| *word == "--")
            .unwrap_or(words.len());
        let mut stages = Vec::new();
        for word in &words[..end] {
            match Stage::from_name(word) {
                Some(stage) => stages.push(stage),
                None if *word == "--quick" => stages.extend(QUICK),
                None => bail!(
                    "no stage is called {word}; there are: {} unit",
                    ALL.map(Stage::name).join(" ")
                ),
            }
        }
        if stages.is_empty() {
            stages.extend(ALL);
        }
        if stages.iter().any(|stage| stage.needs_stack()) && !stages.contains(&Stage::Up) {
            stages.insert(0, Stage::Up);
        }
        let test_arguments = words
            .iter()
            .skip(end + 1)
            .map(|word| (*word).to_owned())
            .collect();
        Ok(Self {
            stages,
            test_arguments,
        })
    }
}

enum Outcome {
    Passed,
    Failed,
    Skipped,
}

struct Report {
    stage: Stage,
    outcome: Outcome,
    took: Duration,
}

/// Runs the plan; an error if any stage failed.
pub fn run(project: &Project, plan: &Plan) -> Result<()> {
    let start = Instant::now();
    let ran_before = stack::runs(project);
    let mut results: Vec<Report> = Vec::new();
    for stage in &plan.stages {
        results.push(run_stage(project, plan, *stage, &results));
    }
    if !ran_before && stack::runs(project) {
        stack::down(project, Data::Keep)?;
    }
    print_table(&results);
    let failed: Vec<&str> = results
        .iter()
        .filter(|one| one.failed())
        .map(|one| one.stage.name())
        .collect();
    if failed.is_empty() {
        say::done(&format!(
            "All {} stages passed in {}",
            results.len(),
            say::since(start)
        ));
        return Ok(());
    }
    bail!(
        "{} of {} stages failed: {}",
        failed.len(),
        results.len(),
        failed.join(", ")
    )
}

impl Report {
    fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed)
    }
}

fn run_stage(project: &Project, plan: &Plan, stage: Stage, before: &[Report]) -> Report {
    let start = Instant::now();
    if stage.needs_stack()
        && before
            .iter()
            .any(|one| one.stage == Stage::Up && one.failed())
    {
        return Report {
            stage,
            outcome: Outcome::Skipped,
            took: Duration::ZERO,
        };
    }
    say::step(&format!("Stage {}", stage.name()));
    let outcome = match perform(project, plan, stage) {
        Ok(()) => Outcome::Passed,
        Err(error) => {
            say::warn(&format!("Stage {} failed: {error:#}", stage.name()));
            Outcome::Failed
        }
    };
    Report {
        stage,
        outcome,
        took: start.elapsed(),
    }
}

fn perform(project: &Project, plan: &Plan, stage: Stage) -> Result<()> {
    match stage {
        Stage::Fmt => checks::format(project),
        Stage::Clippy => checks::clippy(project),
        Stage::Deny => checks::deny(project),
        Stage::Template => checks::template(project),
        Stage::Unit => cargo_test(
            project,
            plan,
            &["--lib", "--bins", "--exclude", "comms-tests"],
        ),
        Stage::Up => stack::up(project).map(drop),
        Stage::Sqlx => prepare::prepare(project, Mode::Check),
        Stage::Tests => cargo_test(project, plan, &[]),
        Stage::Bench => bench(project),
        Stage::StandIn => on_the_standin(project),
        Stage::Fuzz => fuzz::run(project, &fuzz::Plan::short()),
    }
}

/// Benchmarks measure the project's own Postgres: with somebody else's there is nothing to try.
fn bench(project: &Project) -> Result<()> {
    if project.own_database_url.is_some() {
        say::warn("not tried: DATABASE_URL names a Postgres of your own");
        return Ok(());
    }
    bench::try_all(project)
}

/// The tests that ask a running server for what each role may see; ignored everywhere else.
fn on_the_standin(project: &Project) -> Result<()> {
    let program = standin::installed(project)?;
    say::step(&format!("On {}: the {}", program.display(), standin::NAME));
    let mut command = Command::new(cargo());
    command
        .args(["test", "--workspace", "--locked", "--test", "it"])
        .args(["--", "--ignored", "standin_"])
        .env(standin::VARIABLE, program);
    EnvFile::read(&project.env_file()).apply(&mut command);
    run::visible(command.current_dir(&project.root), "cargo test")
}

/// `cargo test` over the workspace, with the settings of the running stack.
fn cargo_test(project: &Project, plan: &Plan, selection: &[&str]) -> Result<()> {
    let mut command = Command::new(cargo());
    command
        .args(["test", "--workspace", "--locked"])
        .args(selection)
        .args(&plan.test_arguments);
    EnvFile::read(&project.env_file()).apply(&mut command);
    run::visible(command.current_dir(&project.root), "cargo test")
}

fn print_table(results: &[Report]) {
    eprintln!();
    for one in results {
        let seconds = format!("{:.1} s", one.took.as_secs_f64());
        let name = one.stage.name();
        match &one.outcome {
            Outcome::Passed => {
                let passed = say::paint("1;32", "passed ");
                let line = format!(
                    "  {passed} {name:<10} {seconds:>9}   {}",
                    one.stage.remark()
                );
                eprintln!("{}", line.trim_end());
            }
            Outcome::Skipped => {
                eprintln!("  {} {name:<10} {:>9}", say::paint("1;33", "skipped"), "-");
            }
            Outcome::Failed => {
                let again = format!("again: cargo xtask test {name}");
                eprintln!(
                    "  {} {name:<10} {seconds:>9}   {again}",
                    say::paint("1;31", "FAILED ")
                );
            }
        }
    }
    eprintln!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let plan = Plan::parse(words).unwrap();
        plan.stages.into_iter().map(Stage::name).collect()
    }

    #[test]
    fn brings_the_stack_up_for_the_stages_that_need_it() {
        assert_eq!(names(&["tests"]), ["up", "tests"]);
        assert_eq!(names(&["standin"]), ["up", "standin"]);
        assert_eq!(names(&["sqlx"]), ["sqlx"]);
        assert_eq!(names(&[]), ALL.map(Stage::name));
    }

    #[test]
    fn passes_on_what_follows_the_dashes() {
        let plan = Plan::parse(&["tests", "--", "--test", "it"]).unwrap();
        assert_eq!(plan.test_arguments, ["--test", "it"]);
    }
}
