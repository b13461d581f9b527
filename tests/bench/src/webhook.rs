//! `bench webhook`: Meta's webhook under load. Two kinds of requests, by one process that serves many at once and by some that serve one
//! at a time, each beside a replay of its own statements.

mod bodies;
mod report;

use std::{env, fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    anchor::{Anchor, Anchored, Deed},
    copies,
    floor::Script,
    http::Request,
    proc,
    recorder::{By, Recorder},
    rounds::Measured,
    settings::WebhookSettings,
    step,
    wire::Server,
    worker::{Round, Sandbox},
};
use bodies::Kind;

/// Updates of the one large body, and how many such bodies are timed.
const LARGE: usize = 1000;
const LARGE_BODIES: usize = 20;

/// How long a process and its connections are new: every session plans what it has not been asked before.
const START: Duration = Duration::from_secs(1);

/// How long pgbench runs.
const ANCHOR_TIME: Duration = Duration::from_secs(5);

/// How the function runs.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    pub function: &'a Path,
    pub sandboxes: usize,
    /// Requests that each of them serves at once.
    pub at_once: usize,
}

/// What a kind came to.
pub struct Row {
    pub kind: Kind,
    pub sandboxes: usize,
    pub at_once: usize,
    pub measured: Vec<Measured>,
    pub at_half_the_rate: Latencies,
    pub floor: Floor,
}

/// A kind on its way through the rounds.
struct Course<'a> {
    setup: Setup<'a>,
    script: Script,
    floor: Floor,
    measured: Vec<Measured>,
}

/// From the event's due time to its answer, the shortest first.
pub struct Latencies {
    pub all: Vec<Duration>,
    /// Without those of the start.
    pub settled: Vec<Duration>,
}

/// The statements alone.
#[derive(Default)]
pub struct Floor {
    pub connections: usize,
    pub took: Vec<Duration>,
    pub postgres_cpu: Vec<f64>,
    /// Of a request.
    pub network_round_trips: f64,
}

/// What the machine makes of less, in the same run.
pub struct Beside {
    /// What does nothing but ask for invocations and answer them, without a runtime.
    pub bare: Measured,
    /// The function when it refuses what it is asked, without the database.
    pub refused: Measured,
    /// One prepared update of a row by its key, committed, over as many connections.
    pub update: Anchored,
}

/// One request at a time, on one sandbox: the median.
pub struct Large {
    pub one: Duration,
    pub thousand: Duration,
}

/// All that is measured.
pub struct Results {
    /// Of each kind: many at once, and a request at a time.
    pub rows: Vec<[Row; 2]>,
    pub large: Large,
    pub beside: Beside,
}

struct Bench {
    settings: WebhookSettings,
    server: Server,
    postmaster: u32,
}

pub fn run(settings: WebhookSettings) -> Result<()> {
    let load_at_start = proc::load();
    let bench = Bench::prepare(settings)?;
    let results = Results {
        rows: [Kind::Status, Kind::Inbound]
            .into_iter()
            .map(|kind| bench.rows(kind))
            .collect::<Result<_>>()?,
        large: bench.large()?,
        beside: bench.beside()?,
    };
    let document = report::document(&bench.settings, &results, &load_at_start);
    report::print(&document);
    let file = bench.settings.out.join("webhook.json");
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("write {}", file.display()))
}

impl Bench {
    fn prepare(settings: WebhookSettings) -> Result<Self> {
        let server = Server {
            port: settings.postgres_port,
        };
        let mut database = server.connect(&settings.database)?;
        for setting in ["fsync", "synchronous_commit"] {
            if database.value(&format!("show {setting}"))? != "on" {
                bail!("{setting} is not on: what is not durable is not worth measuring");
            }
        }
        let backend = database.value("select pg_backend_pid()")?.parse()?;
        bodies::seed(&mut database, settings.requests)?;
        Ok(Self {
            settings,
            server,
            postmaster: proc::parent(backend)?,
        })
    }

    fn round_database(&self) -> String {
        format!("{}_round", self.settings.database)
    }

    fn fresh(&self) -> Result<()> {
        copies::fresh(
            &self.server,
            &self.settings.database,
            &self.round_database(),
        )
    }

    /// The function with many requests at once and with one at a time, and the floor of each, take turns; then the function at half the rate
    /// of each, for the latencies.
    fn rows(&self, kind: Kind) -> Result<[Row; 2]> {
        let events = bodies::events(kind, self.settings.requests);
        let mut courses = [
            self.course(kind, &events, self.together(), By::Transaction)?,
            self.course(kind, &events, self.alone(), By::Batch)?,
        ];
        for number in 1..=self.settings.rounds {
            step(&format!(
                "{kind:?}: round {number} of {}",
                self.settings.rounds
            ));
            for course in &mut courses {
                let measured = self.measure(kind, &events, course.setup, None)?.0;
                course.measured.push(measured);
                self.replay(kind, course)?;
            }
        }
        let [together, alone] = courses;
        Ok([self.row(kind, together)?, self.row(kind, alone)?])
    }

    /// What one process says to Postgres about these events.
    fn course<'a>(
        &self,
        kind: Kind,
        events: &[Arc<str>],
        setup: Setup<'a>,
        by: By,
    ) -> Result<Course<'a>> {
        step(&format!(
            "{kind:?}: recording what one process says to Postgres, {} at once (not measured)",
            setup.at_once
        ));
        self.fresh()?;
        let (recorder, address) = Recorder::start(&self.server, by)?;
        let heard = recorder.clone();
        let round = Round::new(events.iter().cloned(), not_taken, None);
        let sandbox = self.sandbox(setup, &round, 0, address.port(), move || {
            heard.begin_batch();
        })?;
        round.ready(1)?;
        round.run()?;
        drop(sandbox);
        let recording = recorder.take();
        let script = Script::of(&recording)?;
        let connections = match by {
            By::Batch => setup.sandboxes,
            // As of its kind one at a time is under way.
            By::Transaction => 1,
        };
        let network_round_trips = recording.counts.network_round_trips;
        Ok(Course {
            setup,
            script,
            floor: Floor {
                connections,
                network_round_trips: bodies::ratio(network_round_trips, events.len()),
                ..Floor::default()
            },
            measured: Vec::new(),
        })
    }

    fn replay(&self, kind: Kind, course: &mut Course<'_>) -> Result<()> {
        self.fresh()?;
        let mut sessions = course
            .script
            .connect(&self.server, course.floor.connections)?;
        let before = proc::tree_cpu_seconds(self.postmaster)?;
        let floor = &mut course.floor;
        floor.took.push(course.script.replay(&mut sessions)?);
        floor
            .postgres_cpu
            .push(proc::tree_cpu_seconds(self.postmaster)? - before);
        self.verify(kind)
    }

    fn row(&self, kind: Kind, course: Course<'_>) -> Result<Row> {
        let Course {
            setup,
            floor,
            measured,
            ..
        } = course;
        Ok(Row {
            kind,
            sandboxes: setup.sandboxes,
            at_once: setup.at_once,
            at_half_the_rate: self.at_half_the_rate(kind, &measured, setup)?,
            measured,
            floor,
        })
    }

    /// One process serves many requests.
    fn together(&self) -> Setup<'_> {
        Setup {
            function: &self.settings.function,
            sandboxes: 1,
            at_once: self.settings.at_once,
        }
    }

    /// Each sandbox serves one request at a time.
    fn alone(&self) -> Setup<'_> {
        Setup {
            function: &self.settings.function,
            sandboxes: self.settings.sandboxes,
            at_once: 1,
        }
    }

    fn at_half_the_rate(
        &self,
        kind: Kind,
        measured: &[Measured],
        setup: Setup<'_>,
    ) -> Result<Latencies> {
        step(&format!("{kind:?}: at half the rate"));
        let took = measured.iter().map(|one| one.took).min();
        let events = bodies::as_they_come(kind, self.settings.requests);
        let pace = took.unwrap_or_default() * 2 / u32::try_from(events.len())?;
        let round = self.measure(kind, &events, setup, Some(pace))?.1;
        let of_the_start = START.as_nanos() / pace.as_nanos().max(1);
        Ok(Latencies {
            all: round.latencies(),
            settled: round.latencies_after(usize::try_from(of_the_start)?),
        })
    }

    fn measure(
        &self,
        kind: Kind,
        events: &[Arc<str>],
        setup: Setup<'_>,
        pace: Option<Duration>,
    ) -> Result<(Measured, Round)> {
        self.fresh()?;
        let round = Round::new(events.iter().cloned(), not_taken, pace);
        let measured = self.worked_off(&round, setup)?;
        self.verify(kind)?;
        Ok((measured, round))
    }

    /// By all sandboxes, which are gone afterwards.
    fn worked_off(&self, round: &Round, setup: Setup<'_>) -> Result<Measured> {
        let running = (0..setup.sandboxes)
            .map(|number| self.sandbox(setup, round, number, self.server.port, || {}))
            .collect::<Result<Vec<Sandbox>>>()?;
        Measured::of(round, &running, self.postmaster)
    }

    fn beside(&self) -> Result<Beside> {
        step("The function with nothing to do, the same without a runtime, and lone updates");
        self.fresh()?;
        let events = bodies::refused(self.settings.requests);
        let refuse = |setup| {
            let round = Round::new(events.iter().cloned(), not_refused, None);
            self.worked_off(&round, setup)
        };
        let refused = refuse(self.alone())?;
        let bare = refuse(Setup {
            function: &env::current_exe().context("the benchmark's own program")?,
            ..self.alone()
        })?;
        let anchor = Anchor {
            pgbench: &self.settings.pgbench,
            server: &self.server,
            postmaster: self.postmaster,
            database: &self.round_database(),
            out: &self.settings.out,
        };
        let update = anchor.measure(&Deed::Update, self.settings.sandboxes, ANCHOR_TIME)?;
        Ok(Beside {
            bare,
            refused,
            update,
        })
    }

    /// A body with one status against a body with a thousand, one after the other on one sandbox.
    fn large(&self) -> Result<Large> {
        step("One body with 1,000 statuses beside bodies with one");
        let median = |events: Vec<Arc<str>>| -> Result<Duration> {
            self.fresh()?;
            let round = Round::new(events.into_iter(), not_taken, None);
            let sandbox = self.sandbox(self.alone(), &round, 0, self.server.port, || {})?;
            round.ready(1)?;
            round.run()?;
            drop(sandbox);
            let latencies = round.latencies();
            latencies
                .get(latencies.len() / 2)
                .copied()
                .context("nothing was answered")
        };
        Ok(Large {
            one: median(bodies::status_bodies(1, LARGE))?,
            thousand: median(bodies::status_bodies(LARGE, LARGE_BODIES))?,
        })
    }

    fn sandbox(
        &self,
        setup: Setup<'_>,
        round: &Round,
        number: usize,
        postgres_port: u16,
        on_batch: impl Fn() + Send + Sync + 'static,
    ) -> Result<Sandbox> {
        let log = self.settings.out.join(format!("webhook-{number}.log"));
        let database = format!(
            "postgres://postgres@127.0.0.1:{postgres_port}/{}?sslmode=disable",
            self.round_database()
        );
        let at_once = setup.at_once.to_string();
        let environment = [
            ("AWS_LAMBDA_FUNCTION_NAME", "communications-meta-webhook"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            (
                "AWS_LAMBDA_LOG_GROUP_NAME",
                "/aws/lambda/communications-meta-webhook",
            ),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_LAMBDA_MAX_CONCURRENCY", &at_once),
            ("DATABASE_URL", &database),
            ("META_APP_SECRETS", bodies::APP_SECRETS),
            ("META_VERIFY_TOKENS", "[\"bench\"]"),
            ("MEDIA_QUEUE_URL", "http://127.0.0.1:9/0/media"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Sandbox::start(setup.function, &environment, &log, round, number, on_batch)
    }

    /// A round counts only if everything is there, once.
    fn verify(&self, kind: Kind) -> Result<()> {
        let mut database = self.server.connect(&self.round_database())?;
        let found = database.query(kind.check())?;
        let wanted = kind.wanted(self.settings.requests);
        if found != [wanted.clone()] {
            bail!(
                "{kind:?}: found {found:?} where {wanted:?} is due; see {}",
                self.settings.out.display()
            );
        }
        Ok(())
    }
}

/// Everything of a tenant is answered with 200 here.
fn not_taken(request: &Request) -> Option<String> {
    is_not(200, request)
}

/// What is nobody's is not found.
fn not_refused(request: &Request) -> Option<String> {
    is_not(404, request)
}

fn is_not(status: u16, request: &Request) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body);
    let answer: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    (!request.line.contains("/response ") || answer["statusCode"] != status)
        .then(|| format!("the webhook does not answer with {status}: {body}"))
}
