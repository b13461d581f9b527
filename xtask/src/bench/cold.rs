//! `bench cold`: what a cold start of the dispatch worker costs on this machine.
//!
//! The release binary is started against a stand-in for Lambda's Runtime API, a bare listener. What counts is the
//! time from starting the process to its first `GET …/invocation/next`, which is what AWS bills as INIT without the
//! download of the code, and the memory at that moment. The request is never answered; the process is ended.

use std::{
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{FUNCTION, release_binaries};
use crate::{project::Project, say};

/// A start that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(20);

/// One start: milliseconds until ready, resident and peak memory in KiB.
struct Start {
    init_ms: f64,
    rss: u64,
    peak: u64,
}

/// Measures `runs` starts, prints them and writes bench/cold.json into the state directory.
pub fn cold(project: &Project, runs: usize) -> Result<()> {
    if runs == 0 {
        bail!("at least one run");
    }
    let binary = release_binaries(project)?.join(FUNCTION);
    // The first start reads the binary from disk, the others from memory, like Lambda's cached code.
    start_once(&binary)?;
    let starts = (0..runs)
        .map(|_| start_once(&binary))
        .collect::<Result<Vec<Start>>>()?;
    let report = report(&starts, fs::metadata(&binary)?.len());
    print_report(&report);
    let file = project.state.join("bench/cold.json");
    fs::create_dir_all(project.state.join("bench")).context("create the folder for the results")?;
    fs::write(&file, format!("{report:#}\n"))
        .with_context(|| format!("write {}", file.display()))?;
    say::done(&format!("Written to {}", file.display()));
    Ok(())
}

fn start_once(binary: &Path) -> Result<Start> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let api = listener.local_addr()?.to_string();
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(SETTINGS.iter().copied())
        .env("AWS_LAMBDA_RUNTIME_API", &api);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let begin = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("start {}", binary.display()))?;
    // The connection stays open until the child has ended: closing it would make the child log an error.
    let connection = wait_for_next(&listener, &mut child);
    let took = begin.elapsed();
    let measured = connection.and_then(|stream| Ok((stream, memory(&child, took)?)));
    child.kill().context("end the function")?;
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    child.wait()?;
    measured
        .map(|(_stream, start)| start)
        .with_context(|| format!("{FUNCTION} did not get ready; it said:\n{said}"))
}

/// Blocks until the function asks for its first event; the connection on which it waits.
fn wait_for_next(listener: &TcpListener, child: &mut Child) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let begin = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => return expect_next(stream),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended ({status})");
        }
        if begin.elapsed() > LIMIT {
            bail!("no request after {} s", LIMIT.as_secs());
        }
        // Busy but polite: sleeping would be coarser than what is measured.
        std::thread::yield_now();
    }
}

fn expect_next(mut stream: TcpStream) -> Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut head = [0_u8; 512];
    let length = stream.read(&mut head)?;
    let head = String::from_utf8_lossy(&head[..length]);
    if !head.starts_with("GET /2018-06-01/runtime/invocation/next") {
        bail!(
            "it asked for something else first: {}",
            head.lines().next().unwrap_or_default()
        );
    }
    Ok(stream)
}

fn memory(child: &Child, took: Duration) -> Result<Start> {
    let path = format!("/proc/{}/status", child.id());
    let status = fs::read_to_string(&path)
        .with_context(|| format!("read {path} (memory is measured on Linux only)"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context("a memory field is missing")?;
        Ok(line
            .trim_start_matches(':')
            .trim()
            .trim_end_matches(" kB")
            .parse()?)
    };
    Ok(Start {
        init_ms: took.as_secs_f64() * 1000.0,
        rss: field("VmRSS")?,
        peak: field("VmHWM")?,
    })
}

/// What the worker needs to start; nothing of it is reached before the first event.
const SETTINGS: &[(&str, &str)] = &[
    ("AWS_LAMBDA_FUNCTION_NAME", "communications-dispatch-worker"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    (
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "/aws/lambda/communications-dispatch-worker",
    ),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "bench"),
    ("AWS_SECRET_ACCESS_KEY", "bench"),
    ("DATABASE_URL", "postgres://bench@127.0.0.1:9/bench"),
    ("INTERACTIVE_QUEUE_URL", "http://127.0.0.1:9/0/interactive"),
    (
        "TRANSACTIONAL_QUEUE_URL",
        "http://127.0.0.1:9/0/transactional",
    ),
    ("BULK_QUEUE_URL", "http://127.0.0.1:9/0/bulk"),
    ("KMS_KEY_ID", "bench"),
    ("REPLY_TOKEN_SECRETS", "[\"bench\"]"),
    ("META_GRAPH_URL", "http://127.0.0.1:9/v26.0"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
];

fn report(starts: &[Start], binary_bytes: u64) -> Value {
    json!({
        "function": FUNCTION,
        "runs": starts.len(),
        "binary_mb": megabytes(binary_bytes / 1024),
        "init_ms": spread(starts.iter().map(|start| start.init_ms)),
        "rss_mb": spread(starts.iter().map(|start| megabytes(start.rss))),
        "peak_mb": spread(starts.iter().map(|start| megabytes(start.peak))),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of bytes that f64 cannot hold does not fit this machine"
)]
fn megabytes(kib: u64) -> f64 {
    rounded(kib as f64 / 1024.0)
}

/// Minimum, median and maximum, to one decimal.
fn spread(values: impl Iterator<Item = f64>) -> Value {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    json!({
        "min": rounded(sorted[0]),
        "median": rounded(sorted[sorted.len() / 2]),
        "max": rounded(sorted[sorted.len() - 1]),
    })
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn print_report(report: &Value) {
    println!(
        "{FUNCTION}, release build of {} MB, {} starts",
        report["binary_mb"], report["runs"]
    );
    println!("{:<28} {:>8} {:>8} {:>8}", "", "min", "median", "max");
    for (title, key) in [
        ("start to ready (ms)", "init_ms"),
        ("resident memory (MB)", "rss_mb"),
        ("peak memory (MB)", "peak_mb"),
    ] {
        let cell = |statistic: &str| report[key][statistic].to_string();
        println!(
            "{title:<28} {:>8} {:>8} {:>8}",
            cell("min"),
            cell("median"),
            cell("max")
        );
    }
}
