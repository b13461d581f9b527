//! `cargo xtask fuzz`: what reads bytes from outside, against inputs that nobody thought of.
//!
//! The targets are the binaries of fuzz/, a workspace of its own that is compiled with coverage counters. Those come from
//! a pass of LLVM's that the stable compiler has; they go into everything below the target, and into nothing that runs
//! while compiling, for which the platform has to be named. fuzz/README.md tells how to add a target.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    project::{Project, cargo},
    run, say,
};

const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];

/// Bytes of the longest input; what is longer only takes longer.
const MAX_LENGTH: u32 = 4096;
/// Seconds for one input, and megabytes: more is a finding.
const INPUT_SECONDS: u32 = 10;
const MEMORY: u32 = 1024;

/// Which targets, and for how long each.
pub struct Plan {
    targets: Vec<String>,
    seconds: u32,
    /// How many inputs each is given, from one seed; none: from another seed each time, until the time is over.
    runs: Option<u32>,
}

impl Plan {
    /// As a stage of `cargo xtask test`: every target, long enough to see that it works. From one seed the stage says nearly
    /// the same of the same sources each time; finding what is new is for the longer runs.
    pub fn short() -> Self {
        Self {
            targets: Vec::new(),
            seconds: 60,
            runs: Some(5_000),
        }
    }

    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut plan = Self {
            targets: Vec::new(),
            seconds: 20,
            runs: None,
        };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--seconds" => {
                    let seconds = rest.next().context("--seconds needs a number")?;
                    plan.seconds = seconds.parse().context("SECONDS is a number")?;
                }
                flag if flag.starts_with('-') => bail!("cargo xtask fuzz [TARGET…] [--seconds N]"),
                target => plan.targets.push(target.to_owned()),
            }
        }
        Ok(plan)
    }
}

pub fn run(project: &Project, plan: &Plan) -> Result<()> {
    let all = targets(project)?;
    if let Some(unknown) = plan.targets.iter().find(|target| !all.contains(target)) {
        bail!(
            "no target is called {unknown}; there are: {}",
            all.join(" ")
        );
    }
    let chosen = if plan.targets.is_empty() {
        &all
    } else {
        &plan.targets
    };
    let binaries = build(project, chosen)?;
    chosen
        .iter()
        .try_for_each(|target| fuzz(project, &binaries, target, plan))
}

/// The names of the files in fuzz/src/bin.
fn targets(project: &Project) -> Result<Vec<String>> {
    let dir = project.root.join("fuzz/src/bin");
    let mut names: Vec<String> = fs::read_dir(&dir)
        .with_context(|| format!("read {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Compiles the targets into a directory of their own and returns where they lie.
fn build(project: &Project, targets: &[String]) -> Result<PathBuf> {
    say::step("Building the fuzz targets (the first time takes minutes)");
    let dir = dir(project);
    let platform = platform()?;
    let mut command = Command::new(cargo());
    command.args(["build", "--locked", "--target", &platform]);
    for target in targets {
        command.args(["--bin", target]);
    }
    command
        .env("RUSTFLAGS", FLAGS.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", &dir)
        .current_dir(project.root.join("fuzz"));
    run::visible(&mut command, "cargo build of the fuzz targets")?;
    Ok(dir.join(platform).join("debug"))
}

/// The checkout's own, whatever cargo's target directory is: cargo takes the binaries of one checkout for another's, whose sources it
/// does not look at.
fn dir(project: &Project) -> PathBuf {
    project.root.join("target/fuzz")
}

/// The compiler's own platform.
fn platform() -> Result<String> {
    let version = run::quiet(Command::new("rustc").arg("-vV"), "rustc -vV")?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc -vV names its host")
}

fn fuzz(project: &Project, binaries: &Path, target: &str, plan: &Plan) -> Result<()> {
    let start = Instant::now();
    let seeds = project.root.join("fuzz/seeds").join(target);
    let folder = |name: &str| {
        let folder = dir(project).join(name).join(target);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        anyhow::Ok(folder)
    };
    let (corpus, artifacts) = (folder("corpus")?, folder("artifacts")?);
    let log = dir(project).join(format!("{target}.log"));
    let kept_before = files(&corpus)?;
    fs::write(&log, "").with_context(|| format!("write {}", log.display()))?;
    let binary = binaries.join(target);
    let mut command = Command::new(&binary);
    command
        .arg(format!("-max_total_time={}", plan.seconds))
        .arg(format!("-max_len={MAX_LENGTH}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .args(plan.runs.iter().map(|runs| format!("-runs={runs}")))
        .args(plan.runs.map(|_| "-seed=1"))
        // A folder, with the separator that makes it one.
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(&corpus)
        .arg(&seeds);
    run::logged(&mut command, &log, target).with_context(|| {
        format!(
            "the input is the newest file in {}; again: {} FILE",
            artifacts.display(),
            binary.display()
        )
    })?;
    let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    let seen = Seen::read(&text)
        .with_context(|| format!("{target} counts no coverage; see {}", log.display()))?;
    say::done(&format!(
        "{target}: {} inputs in {}, coverage {} after the seeds, {} at the end, {} inputs new in the corpus",
        seen.runs,
        say::since(start),
        seen.coverage_at_first,
        seen.coverage,
        files(&corpus)?.saturating_sub(kept_before),
    ));
    Ok(())
}

fn files(dir: &Path) -> Result<usize> {
    Ok(fs::read_dir(dir)
        .with_context(|| format!("read {}", dir.display()))?
        .count())
}

/// What libFuzzer's log says of a run.
struct Seen {
    runs: u64,
    coverage_at_first: u64,
    coverage: u64,
}

impl Seen {
    /// `None` where nothing was counted: then every input would look like every other.
    fn read(log: &str) -> Option<Self> {
        let line = |word: &str| {
            log.lines()
                .find(|line| line.starts_with('#') && line.contains(word))
        };
        let after = |line: &str, name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let (first, last) = (line("INITED")?, line("DONE")?);
        Some(Self {
            runs: after(last, "#")?,
            coverage_at_first: after(first, "cov: ")?,
            coverage: after(last, "cov: ")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_run_came_to() {
        let log = "INFO: Loaded 1 modules   (9 inline 8-bit counters)\n\
            #159\tINITED cov: 2044 ft: 3901 corp: 130/101Kb exec/s: 0 rss: 41Mb\n\
            #4921\tDONE   cov: 2302 ft: 5180 corp: 346/228Kb lim: 1410 exec/s: 447 rss: 30Mb\n";
        let seen = Seen::read(log).unwrap();
        assert_eq!(
            (seen.runs, seen.coverage_at_first, seen.coverage),
            (4921, 2044, 2302)
        );
        let blind = "#2\tINITED exec/s: 0 rss: 27Mb\n#99\tDONE   corp: 1/1b exec/s: 9\n";
        assert!(Seen::read(blind).is_none());
    }

    #[test]
    fn takes_targets_and_seconds() {
        let plan = Plan::parse(&["meta_webhook", "--seconds", "3"]).unwrap();
        assert_eq!(
            (plan.targets, plan.seconds),
            (vec!["meta_webhook".to_owned()], 3)
        );
        assert!(Plan::parse(&["--seconds"]).is_err());
        assert!(Plan::parse(&["--fast"]).is_err());
    }
}
