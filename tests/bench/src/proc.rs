//! What /proc says about other processes: processor time, peak memory, who is whose child.

use std::fs;

use anyhow::{Context, Result};

/// Linux counts the times in /proc/<pid>/stat in hundredths of a second on every architecture of ours.
const TICKS_PER_SECOND: f64 = 100.0;

struct Stat {
    parent: u32,
    /// User and system time of the process itself.
    own: u64,
    /// The same of its children that have ended and were waited for.
    ended_children: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("read {path} (processor time is measured on Linux only)"))?;
    // The second field is the program's name and may contain anything.
    let (_, rest) = text
        .rsplit_once(')')
        .context("no name in /proc/<pid>/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| -> Result<u64> {
        Ok(fields
            .get(index)
            .context("a short line in /proc/<pid>/stat")?
            .parse()?)
    };
    Ok(Stat {
        parent: u32::try_from(number(1)?)?,
        own: number(11)? + number(12)?,
        ended_children: number(13)? + number(14)?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a run takes minutes, not ages")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// Seconds of processor time that a process has used, without its children.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    Ok(seconds(stat(pid)?.own))
}

/// Seconds that a server and all its children have used, those that have ended included: what a backend used moves
/// to its parent's account when it ends. One that ends while we add up would be missed, so the sum is taken again.
pub fn tree_cpu_seconds(root: u32) -> Result<f64> {
    loop {
        let before = stat(root)?;
        let mut ticks = before.ended_children;
        for entry in fs::read_dir("/proc").context("list /proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Ok(process) = stat(pid)
                && (pid == root || process.parent == root)
            {
                ticks += process.own;
            }
        }
        if stat(root)?.ended_children == before.ended_children {
            return Ok(seconds(ticks));
        }
    }
}

/// The load averages of one, five and fifteen minutes.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The process that started this one.
pub fn parent(pid: u32) -> Result<u32> {
    Ok(stat(pid)?.parent)
}

/// The most memory that a process has held at once, in MB.
pub fn peak_mb(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .context("no VmHWM in /proc/<pid>/status")?
        .parse()?;
    Ok(kib / 1024.0)
}
