//! `bench automation`: from an event to rows, a batch of very many to rows, and how fairly and steadily those leave.
//!
//! The functions' release builds run behind a Runtime API of ours. Between them stand queues of ours that keep SQS's
//! promises of delay and nothing else; providers answer at once.

mod data;
mod queue;
mod report;

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use comms_core::model::Lane;
use serde_json::{Value, json};

use crate::{
    http::{Request, serve},
    proc, rounds, seed,
    settings::AutomationSettings,
    step, stubs,
    wire::{Connection, Server},
    worker::{Round, Sandbox, feed, gives_back, wait_until},
};
use queue::Queues;

/// What Hasura says to be believed.
const SECRET: &str = "secret-of-the-benchmark";
/// Trips before those that count.
const WARM_UP: usize = 5;
/// Where the batch worker is killed, in hundredths of the recipients.
const KILLS: [usize; 3] = [20, 45, 70];
/// Sandboxes of the dispatch worker that read each queue: for the bulk lane as many as the template allows, for the urgent one a few.
const READERS: [(Lane, usize); 2] = [(Lane::Transactional, 2), (Lane::Bulk, 5)];
/// From one of the quiet operator's messages to the next, its two lanes taking turns. The flood leaves once a second, because queues delay by
/// whole ones: at a part of a second either a quarter of these messages would always meet it or none.
const QUIET_PACE: Duration = Duration::from_millis(270);
/// The scan's schedule.
const SCAN_EVERY: Duration = Duration::from_secs(60);
/// Until the release has got going; what leaves before does not count.
const SETTLES_IN: Duration = Duration::from_secs(5);

struct Bench<'a> {
    settings: &'a AutomationSettings,
    server: Server,
    queues: Queues,
    aws: String,
    graph: String,
}

/// What was seen of the fan-out.
struct FanOut {
    took: Duration,
    /// How many recipients were decided about when the worker died.
    killed_at: Vec<usize>,
    worker_cpu: f64,
    postgres_cpu: f64,
    peak_mb: f64,
}

/// What was seen while messages left.
struct Watched {
    /// `[count, p50, p95]` of the quiet operator's two lanes, in milliseconds.
    transactional: [f64; 3],
    bulk: [f64; 3],
    /// What a sender's pace leaves to everything but agents' answers, in a second.
    share_per_second: f64,
    /// Of the flood, in a second.
    sent_per_second: f64,
}

pub fn run(settings: &AutomationSettings) -> Result<()> {
    let load = proc::load();
    let queues = Queues::default();
    let sqs = queues.clone();
    let aws = serve(move |request| Some(sqs.aws(request)))?;
    let bench = Bench {
        settings,
        server: Server {
            port: settings.postgres_port,
        },
        queues,
        aws: format!("http://{aws}"),
        graph: format!("http://{}/v26.0", stubs::graph()?),
    };
    let mut database = bench.server.connect(&settings.database)?;
    step(&format!(
        "Seeding {} trips and a batch of {}",
        settings.trips, settings.recipients
    ));
    let configs = rounds::sealed_configs(bench.environment())?;
    let trips = settings.trips + WARM_UP;
    data::write(&mut database, &configs, trips, settings.recipients)?;
    step("Trips that are late, one after the other");
    let latencies = bench.events(trips)?;
    data::check_trips(&mut database, trips)?;
    data::withdraw_trips(&mut database)?;
    bench.queues.clear();
    step(&format!(
        "A quiet operator alone, for {} s",
        settings.seconds
    ));
    let alone = bench.watch(&mut database)?;
    step("The batch, its worker killed three times");
    let fan_out = bench.fan_out(&mut database)?;
    data::check_batch(&mut database, settings.recipients)?;
    step(&format!(
        "The quiet operator beside the flood, for {} s",
        settings.seconds
    ));
    let flooded = bench.watch(&mut database)?;
    let document = report::document(settings, &latencies, &fan_out, [&alone, &flooded], &load);
    report::print(&document);
    let file = settings.out.join("automation.json");
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("write {}", file.display()))
}

impl Bench<'_> {
    fn sandbox(&self, function: &str, number: usize, api: std::net::SocketAddr) -> Result<Sandbox> {
        let log = self.settings.out.join(format!("{function}-{number}.log"));
        let binary = self.settings.functions.join(function);
        Sandbox::fed(&binary, &self.environment(), &log, api)
    }

    /// Of all functions: each reads what it needs.
    fn environment(&self) -> Vec<(String, String)> {
        let database = format!(
            "postgres://postgres@127.0.0.1:{}/{}?sslmode=disable",
            self.server.port, self.settings.database
        );
        let mut environment: Vec<(String, String)> = [
            ("AWS_LAMBDA_FUNCTION_NAME", "communications"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/communications"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_ENDPOINT_URL", &self.aws),
            ("DATABASE_URL", &database),
            ("HASURA_SECRETS", &format!("[\"{SECRET}\"]")),
            ("KMS_KEY_ID", "bench"),
            ("REPLY_TOKEN_SECRETS", "[\"bench\"]"),
            ("META_GRAPH_URL", &self.graph),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for queue in ["INTERACTIVE", "TRANSACTIONAL", "BULK", "MEDIA", "BATCH"] {
            let url = format!("{}/0/{}", self.aws, queue.to_lowercase());
            environment.push((
                format!("{queue}_DEAD_LETTER_QUEUE_URL"),
                format!("{url}-dead"),
            ));
            environment.push((format!("{queue}_QUEUE_URL"), url));
        }
        environment
    }

    /// From Hasura's call to the committed rows and the answer, the shortest first.
    fn events(&self, trips: usize) -> Result<Vec<Duration>> {
        let events = (1..=trips)
            .map(|number| data::trip_is_late(number).map(Arc::from))
            .collect::<Result<Vec<Arc<str>>>>()?;
        let (warm_up, counted) = events.split_at(WARM_UP);
        let mut latencies = Vec::new();
        for events in [warm_up, counted] {
            let round = Round::new(events.iter().cloned(), refused, None);
            let sandbox = Sandbox::start(
                &self.settings.functions.join("hasura-events"),
                &self.environment(),
                &self.settings.out.join("hasura-events-0.log"),
                &round,
                0,
                || {},
            )?;
            round.ready(1)?;
            round.run()?;
            drop(sandbox);
            latencies = round.latencies();
        }
        Ok(latencies)
    }

    /// The job is delivered again as soon as its worker has died.
    fn fan_out(&self, database: &mut Connection) -> Result<FanOut> {
        let backend = database.value("select pg_backend_pid()")?.parse()?;
        let postmaster = proc::parent(backend)?;
        let recipients = self.settings.recipients;
        let before = proc::tree_cpu_seconds(postmaster)?;
        let started = Instant::now();
        let mut seen = FanOut {
            took: Duration::ZERO,
            killed_at: Vec::new(),
            worker_cpu: 0.0,
            postgres_cpu: 0.0,
            peak_mb: 0.0,
        };
        let ends = KILLS.map(|percent| recipients * percent / 100);
        for (number, end) in ends.into_iter().chain([recipients]).enumerate() {
            let problem = Problem::default();
            self.queues
                .publish("batch", data::batch_job()?, Duration::ZERO);
            let jobs = self.queues.reader("batch", 1);
            let next = move || Some(seed::event(&jobs.next()?));
            let api = feed(next, problem.watch())?;
            let worker = self.sandbox("batch-worker", number, api)?;
            let mut decided = 0;
            while decided < end {
                problem.check()?;
                if started.elapsed() > Duration::from_secs(600) {
                    bail!("the batch stands at {decided}; see batch-worker-{number}.log");
                }
                wait_until(Instant::now() + Duration::from_millis(5));
                decided = database.value(data::DECIDED)?.parse()?;
            }
            seen.worker_cpu += worker.cpu_seconds()?;
            seen.peak_mb = seen.peak_mb.max(worker.peak_mb()?);
            if end < recipients {
                seen.killed_at.push(decided);
            }
            drop(worker);
            self.queues.dismiss_readers();
        }
        seen.took = started.elapsed();
        seen.postgres_cpu = proc::tree_cpu_seconds(postmaster)? - before;
        Ok(seen)
    }

    /// The dispatch workers and the scan at work, while the quiet operator writes now and then.
    fn watch(&self, database: &mut Connection) -> Result<Watched> {
        let problem = Problem::default();
        let mut running = Vec::new();
        for (lane, sandboxes) in READERS {
            let queue = lane.as_str().to_lowercase();
            for _ in 0..sandboxes {
                let hints = self.queues.reader(&queue, seed::BATCH);
                let next = move || Some(seed::event(&hints.next()?));
                let number = running.len();
                running.push(self.sandbox(
                    "dispatch-worker",
                    number,
                    feed(next, problem.watch())?,
                )?);
            }
        }
        let ticks = self.queues.reader("scan", 1);
        let api = feed(move || ticks.next()?.pop(), problem.watch())?;
        running.push(self.sandbox("stuck-scan", 0, api)?);
        let scan = json!({"version": "0", "source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}});

        let started = Instant::now();
        let (mut scanned, mut counts_from) = (None, None);
        let mut number = 0;
        let seconds = Duration::from_secs(self.settings.seconds);
        while started.elapsed() < SETTLES_IN + seconds {
            problem.check()?;
            if scanned.is_none_or(|at: Instant| at.elapsed() >= SCAN_EVERY) {
                scanned = Some(Instant::now());
                self.queues
                    .publish("scan", scan.to_string(), Duration::ZERO);
            }
            if counts_from.is_none() && started.elapsed() >= SETTLES_IN {
                counts_from = Some(data::now(database)?);
            }
            let lane = READERS[number % READERS.len()].0;
            let hint = data::quiet_message(database, number, lane)?;
            self.queues
                .publish(&lane.as_str().to_lowercase(), hint, Duration::ZERO);
            number += 1;
            wait_until(started + QUIET_PACE * u32::try_from(number)?);
        }
        let from = counts_from.context("nothing was watched")?;
        let until = data::now(database)?;
        // The last of them are still on their way.
        wait_until(Instant::now() + SETTLES_IN);
        problem.check()?;
        drop(running);
        self.queues.dismiss_readers();
        Ok(Watched {
            transactional: data::dwell(database, Lane::Transactional, &from, &until)?,
            bulk: data::dwell(database, Lane::Bulk, &from, &until)?,
            share_per_second: data::bulk_share(database)?,
            sent_per_second: data::sent_per_second(database, &from, &until)?,
        })
    }
}

/// The first answer that was none of an event without trouble.
#[derive(Clone, Default)]
struct Problem(Arc<Mutex<Option<String>>>);

impl Problem {
    fn watch(&self) -> impl Fn(&Request) + Send + Sync + 'static {
        let problem = self.clone();
        move |request| {
            // The scan answers a summary, which gives nothing back either.
            if let Some(found) = gives_back(request) {
                let mut first = problem.0.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(found);
            }
        }
    }

    fn check(&self) -> Result<()> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(problem) => bail!("{problem}"),
            None => Ok(()),
        }
    }
}

/// Every event is taken in.
fn refused(request: &Request) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body);
    let answer: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    (!request.line.contains("/response ") || answer["statusCode"] != 200)
        .then(|| format!("the event is not answered with 200: {body}"))
}
