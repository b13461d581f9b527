//! Programs that outlive the command that started them: the emulator and the simulator.
//!
//! Each leads a process group of its own, so that Ctrl-C in the terminal does not reach it and so that `down`
//! reaches whatever it has started (the emulator runs every Lambda function as a child). A pid alone is not proof:
//! the record also holds when the process started, and a pid that was reused in the meantime is not ours to stop.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{project::Project, run};

/// How long a service may take to end on its own before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A background program of this stack, by name.
pub struct Service {
    name: &'static str,
    state: PathBuf,
    record: PathBuf,
    log: PathBuf,
}

impl Service {
    pub fn new(project: &Project, name: &'static str) -> Self {
        Self {
            name,
            state: project.state.clone(),
            record: project.state.join("run").join(format!("{name}.pid")),
            log: project.log_file(name),
        }
    }

    /// The process id, if the recorded process still is the one we started.
    pub fn pid(&self) -> Option<u32> {
        let record = Record::read(&self.record)?;
        (started(record.pid).as_ref() == Some(&record.started)).then_some(record.pid)
    }

    /// Whether it runs, and was started from the same thing (`version` says what: a command line, a build).
    pub fn runs_as(&self, version: &str) -> bool {
        self.pid().is_some()
            && Record::read(&self.record).is_some_and(|record| record.version == version)
    }

    /// Starts the program in the background, with its output in its log.
    pub fn start(&self, mut command: Command, version: &str) -> Result<()> {
        for file in [&self.record, &self.log] {
            let dir = file.parent().context("a file has a folder")?;
            fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("open {}", self.log.display()))?;
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        let pid = child.id();
        let started = started(pid).with_context(|| self.died())?;
        Record {
            pid,
            started,
            version: version.to_owned(),
        }
        .write(&self.record)
    }

    /// Waits until the service answers, and fails at once when it has died.
    pub fn wait_until(&self, limit: Duration, answers: impl Fn() -> bool) -> Result<()> {
        let start = Instant::now();
        while !answers() {
            if self.pid().is_none() {
                bail!("{}", self.died());
            }
            if start.elapsed() > limit {
                bail!(
                    "{} does not answer after {} s; see {}",
                    self.name,
                    limit.as_secs(),
                    self.log.display()
                );
            }
            pause();
        }
        Ok(())
    }

    /// Ends the service and everything it started. True if there was something to end.
    pub fn stop(&self) -> Result<bool> {
        let Some(pid) = self.pid() else {
            let orphans = self.end_orphans();
            self.forget();
            return Ok(orphans);
        };
        signal(&format!("-{pid}"), "TERM");
        let start = Instant::now();
        while group_lives(pid) {
            if start.elapsed() > GRACE {
                signal(&format!("-{pid}"), "KILL");
                while group_lives(pid) && start.elapsed() < 2 * GRACE {
                    pause();
                }
                break;
            }
            pause();
        }
        if group_lives(pid) {
            bail!("{} (process group {pid}) does not end", self.name);
        }
        self.forget();
        Ok(true)
    }

    /// A service that was killed leaves its children behind. Who still belongs to its group and works in our
    /// state directory is one of them.
    fn end_orphans(&self) -> bool {
        let Some(record) = Record::read(&self.record) else {
            return false;
        };
        let ours = |pid: &u32| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&self.state))
        };
        let orphans: Vec<u32> = group_members(record.pid).into_iter().filter(ours).collect();
        for pid in &orphans {
            signal(&pid.to_string(), "KILL");
        }
        !orphans.is_empty()
    }

    fn forget(&self) {
        // No record is what we want; that there was none is no error.
        let _absent = fs::remove_file(&self.record);
    }

    fn died(&self) -> String {
        format!(
            "{} has ended; the end of {}:\n{}",
            self.name,
            self.log.display(),
            run::tail(&self.log, 30)
        )
    }
}

/// What the pid file says: pid, start time, version, one per line.
struct Record {
    pid: u32,
    started: String,
    version: String,
}

impl Record {
    fn read(path: &PathBuf) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        Some(Self {
            pid: lines.next()?.parse().ok()?,
            started: lines.next()?.to_owned(),
            version: lines.next()?.to_owned(),
        })
    }

    fn write(&self, path: &PathBuf) -> Result<()> {
        let text = format!("{}\n{}\n{}\n", self.pid, self.started, self.version);
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}

/// When a process started, in words that never repeat for the same pid. None: no such process, or a dead one.
fn started(pid: u32) -> Option<String> {
    if let Some(fields) = stat(&pid.to_string()) {
        return (fields[0] != "Z").then(|| format!("tick {}", fields[19]));
    }
    if PathBuf::from("/proc/self/stat").exists() {
        return None;
    }
    let mut ps = Command::new("ps");
    let text = run::quiet(ps.args(["-o", "lstart=", "-p", &pid.to_string()]), "ps").ok()?;
    Some(text.trim().to_owned())
}

/// Whether any living process belongs to the group.
fn group_lives(group: u32) -> bool {
    if fs::exists("/proc/self/stat").is_ok_and(|exists| exists) {
        return !group_members(group).is_empty();
    }
    signal(&format!("-{group}"), "0")
}

/// The living processes of a group, where /proc tells.
fn group_members(group: u32) -> Vec<u32> {
    let group = group.to_string();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            stat(&pid.to_string()).is_some_and(|fields| fields[2] == group && fields[0] != "Z")
        })
        .collect()
}

/// /proc/<pid>/stat from the third field on (state, parent, group, …); the second may contain anything.
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<String> = text
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    (fields.len() > 19).then_some(fields)
}

/// The shell's own `kill`: the separate program is not everywhere. A negative target is a group.
fn signal(target: &str, signal: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("kill -s {signal} -- {target}")]);
    run::quiet(&mut shell, "kill").is_ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command that waits for another program has nothing else to do"
)]
fn pause() {
    sleep(Duration::from_millis(50));
}
