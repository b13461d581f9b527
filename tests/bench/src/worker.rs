//! One sandbox: a function's release binary and the Runtime API that feeds it.
//!
//! The binary cannot tell this from Lambda: it asks its own endpoint for the next invocation, answers it, asks again.
//! A sandbox handles one batch at a time, or as many as it asks for at once, and which one it gets depends on who asks first, as with SQS.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    http::{Answer, Request, serve},
    proc,
};

/// A start or a batch that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// The batches of one round and what became of them, shared by its sandboxes. A batch is one invocation's event.
#[derive(Clone)]
pub struct Round(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to hand out.
    opened: Condvar,
    /// What whoever runs the round waits for may be so: not with every answer, because waking costs more than taking it.
    moved: Condvar,
    /// Why an answer is none that an event without trouble gets.
    problem: Problem,
    /// The time from one event to the next; none: as fast as they are taken.
    pace: Option<Duration>,
}

pub type Problem = fn(&Request) -> Option<String>;

#[derive(Default)]
struct State {
    /// Nothing is handed out before everybody is ready.
    open: bool,
    waiting: VecDeque<Arc<str>>,
    handed_out: usize,
    answered: usize,
    /// Sandboxes that have asked for their first invocation, and when.
    ready: Vec<(usize, Instant)>,
    first: Option<Instant>,
    last: Option<Instant>,
    /// By invocation: since when its event waits for an answer. In a paced round that is when the event was due.
    since: HashMap<String, Instant>,
    /// From then to the answer.
    latencies: Vec<Duration>,
    /// The first answer that was not a clean one.
    failure: Option<String>,
}

impl State {
    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.answered == self.handed_out
    }
}

impl Round {
    pub fn new(
        batches: impl Iterator<Item = Arc<str>>,
        problem: Problem,
        pace: Option<Duration>,
    ) -> Self {
        let state = State {
            waiting: batches.collect(),
            ..State::default()
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            opened: Condvar::new(),
            moved: Condvar::new(),
            problem,
            pace,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the event to its answer, of all events, the shortest first.
    pub fn latencies(&self) -> Vec<Duration> {
        self.latencies_after(0)
    }

    /// Without those that were answered first.
    pub fn latencies_after(&self, answered: usize) -> Vec<Duration> {
        let mut latencies = self
            .lock()
            .latencies
            .get(answered..)
            .unwrap_or_default()
            .to_vec();
        latencies.sort_unstable();
        latencies
    }

    /// Waits until `done`, and fails when nothing has moved for a while.
    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        let mut moved = (Instant::now(), 0);
        while !done(&state) {
            if let Some(failure) = &state.failure {
                bail!("{failure}");
            }
            if state.answered != moved.1 {
                moved = (Instant::now(), state.answered);
            }
            if moved.0.elapsed() > PATIENCE {
                bail!(
                    "{what}: nothing has moved for {} s; see the workers' logs beside the results",
                    PATIENCE.as_secs()
                );
            }
            state = self
                .0
                .moved
                .wait_timeout(state, Duration::from_secs(1))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        // The last answer may be the one.
        if let Some(failure) = &state.failure {
            bail!("{failure}");
        }
        Ok(state)
    }

    /// When each sandbox asked for its first invocation.
    pub fn ready(&self, sandboxes: usize) -> Result<Vec<Instant>> {
        let state = self.wait("the workers' start", |state| state.ready.len() == sandboxes)?;
        let mut ready = state.ready.clone();
        ready.sort_by_key(|(sandbox, _)| *sandbox);
        Ok(ready.into_iter().map(|(_, at)| at).collect())
    }

    /// Hands out everything and waits for the last answer; the time from the first invocation to it.
    pub fn run(&self) -> Result<Duration> {
        self.lock().open = true;
        self.0.opened.notify_all();
        let state = self.wait("the batches", State::is_over)?;
        match (state.first, state.last) {
            (Some(first), Some(last)) => Ok(last - first),
            _ => bail!("no batch was handed out"),
        }
    }

    /// Lambda's Runtime API for one sandbox.
    fn answer(&self, sandbox: usize, request: &Request, on_batch: &dyn Fn()) -> Option<Answer> {
        if request.line.starts_with("GET ") {
            return self.next(sandbox, on_batch);
        }
        let mut state = self.lock();
        let now = Instant::now();
        state.answered += 1;
        state.last = Some(now);
        let invocation = request.line.split('/').rev().nth(2).unwrap_or_default();
        if let Some(since) = state.since.remove(invocation) {
            state.latencies.push(now - since);
        }
        if let Some(problem) = (self.0.problem)(request) {
            state.failure.get_or_insert(problem);
        }
        if state.is_over() || state.failure.is_some() {
            self.0.moved.notify_all();
        }
        Some(Answer {
            status: 202,
            ..Answer::json(&"{}")
        })
    }

    /// The next batch, once there is one. When all are done the worker waits here until it is ended.
    fn next(&self, sandbox: usize, on_batch: &dyn Fn()) -> Option<Answer> {
        let mut state = self.lock();
        if !state.ready.iter().any(|(who, _)| *who == sandbox) {
            state.ready.push((sandbox, Instant::now()));
            self.0.moved.notify_all();
        }
        while !state.open || state.waiting.is_empty() {
            state = self
                .0
                .opened
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let body = state.waiting.pop_front()?.to_string();
        state.handed_out += 1;
        let number = state.handed_out;
        on_batch();
        let first = *state.first.get_or_insert_with(Instant::now);
        let due = match self.0.pace {
            Some(pace) => first + pace * u32::try_from(number - 1).unwrap_or(u32::MAX),
            None => Instant::now(),
        };
        state.since.insert(invocation(number), due);
        drop(state);
        wait_until(due);
        Some(Answer {
            status: 200,
            headers: headers(number),
            body,
        })
    }
}

/// Lambda's Runtime API for one sandbox whose events come from somewhere else. Without an event the connection ends.
pub fn feed(
    next: impl Fn() -> Option<String> + Send + Sync + 'static,
    answered: impl Fn(&Request) + Send + Sync + 'static,
) -> Result<SocketAddr> {
    let number = AtomicUsize::new(1);
    serve(move |request| {
        if request.line.starts_with("GET ") {
            return Some(Answer {
                status: 200,
                body: next()?,
                headers: headers(number.fetch_add(1, Ordering::Relaxed)),
            });
        }
        answered(request);
        Some(Answer {
            status: 202,
            ..Answer::json(&"{}")
        })
    })
}

/// An event that is taken late has waited since it was due.
#[expect(
    clippy::disallowed_methods,
    reason = "an even pace is the point of a paced round"
)]
pub fn wait_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// The id of an invocation.
fn invocation(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn headers(number: usize) -> Vec<(&'static str, String)> {
    vec![
        ("Lambda-Runtime-Aws-Request-Id", invocation(number)),
        // Far ahead: what is measured here is not the worker's sense of time.
        ("Lambda-Runtime-Deadline-Ms", "4102444800000".to_owned()),
        (
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:us-east-1:000000000000:function:communications-dispatch-worker"
                .to_owned(),
        ),
        (
            "Lambda-Runtime-Trace-Id",
            "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0".to_owned(),
        ),
    ]
}

/// Why an answer is none that a batch of jobs without trouble gets.
pub fn gives_back(request: &Request) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body);
    if !request.line.contains("/response ") {
        return Some(format!("the function reports an error: {body}"));
    }
    let answer: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let failures = answer["batchItemFailures"].as_array().map_or(0, Vec::len);
    if answer.is_object() && failures == 0 {
        return None;
    }
    Some(format!("the worker gives records back: {body}"))
}

/// A running worker. It ends when this is dropped.
pub struct Sandbox {
    child: Child,
    pub spawned: Instant,
}

impl Sandbox {
    /// Starts sandbox number `number` of a round. `on_batch` is called whenever it is given a batch.
    pub fn start(
        binary: &Path,
        settings: &[(String, String)],
        log: &Path,
        round: &Round,
        number: usize,
        on_batch: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let round = round.clone();
        let api = serve(move |request| round.answer(number, request, &on_batch))?;
        Self::fed(binary, settings, log, api)
    }

    /// Starts one that gets its events from this Runtime API.
    pub fn fed(
        binary: &Path,
        settings: &[(String, String)],
        log: &Path,
        api: SocketAddr,
    ) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("write {}", log.display()))?;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .env("AWS_LAMBDA_RUNTIME_API", api.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let spawned = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        Ok(Self { child, spawned })
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        proc::cpu_seconds(self.child.id())
    }

    pub fn peak_mb(&self) -> Result<f64> {
        proc::peak_mb(self.child.id())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It has no state of its own; that it has already ended is no error.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
