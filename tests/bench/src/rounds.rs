//! The rounds: the worker recorded, the worker measured, its statements alone.

use std::{
    env,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    anchor::{Anchor, Deed},
    copies,
    floor::Script,
    proc,
    recorder::{By, Recorder, Recording},
    seed,
    settings::Settings,
    stubs::Stubs,
    wire::Server,
    worker::{Round, Sandbox, gives_back},
};

/// How long pgbench runs for the anchor of each row.
const ANCHOR_TIME: Duration = Duration::from_secs(5);

/// Everything that the rounds share.
pub struct Bench {
    pub settings: Settings,
    pub server: Server,
    /// A busy machine explains strange numbers.
    pub load_at_start: String,
    stubs: Stubs,
    batches: Vec<Arc<str>>,
    postmaster: u32,
}

/// What a round of the worker came to. Processor seconds are of all messages together.
#[derive(Debug)]
pub struct Measured {
    pub took: Duration,
    pub worker_cpu: f64,
    pub postgres_cpu: f64,
    /// Of the stubs and the driver, which no row counts as the worker's.
    pub bench_cpu: f64,
    pub peak_mb: f64,
    pub init_ms: Vec<f64>,
}

impl Measured {
    /// Lets the sandboxes work the round off, and reads off what that cost.
    pub fn of(round: &Round, running: &[Sandbox], postmaster: u32) -> Result<Self> {
        let ready = round.ready(running.len())?;
        let cpu = || -> Result<[f64; 3]> {
            let mut worker = 0.0;
            for sandbox in running {
                worker += sandbox.cpu_seconds()?;
            }
            let postgres = proc::tree_cpu_seconds(postmaster)?;
            Ok([worker, postgres, proc::cpu_seconds(std::process::id())?])
        };
        let before = cpu()?;
        let took = round.run()?;
        let after = cpu()?;
        let mut peak_mb = 0.0_f64;
        for sandbox in running {
            peak_mb = peak_mb.max(sandbox.peak_mb()?);
        }
        let init_ms = running
            .iter()
            .zip(ready)
            .map(|(sandbox, ready): (&Sandbox, Instant)| {
                (ready - sandbox.spawned).as_secs_f64() * 1000.0
            })
            .collect();
        Ok(Self {
            took,
            worker_cpu: after[0] - before[0],
            postgres_cpu: after[1] - before[1],
            bench_cpu: after[2] - before[2],
            peak_mb,
            init_ms,
        })
    }
}

/// What the floor came to.
#[derive(Debug)]
pub struct Floor {
    pub took: Duration,
    pub postgres_cpu: f64,
}

impl Bench {
    /// Fills the database that every round copies.
    pub fn prepare(settings: Settings, stubs: Stubs) -> Result<Self> {
        let server = Server {
            port: settings.postgres_port,
        };
        let mut database = server.connect(&settings.database)?;
        for setting in ["fsync", "synchronous_commit"] {
            let value = database.value(&format!("show {setting}"))?;
            eprintln!("  {setting} = {value}");
            if value != "on" {
                bail!("{setting} is {value}: what is not durable is not worth measuring");
            }
        }
        let backend = database.value("select pg_backend_pid()")?.parse()?;
        let postmaster = proc::parent(backend)?;
        let mut bench = Self {
            settings,
            server,
            load_at_start: proc::load(),
            stubs,
            batches: Vec::new(),
            postmaster,
        };
        seed::write(
            &mut database,
            &sealed_configs(bench.worker_settings(0))?,
            bench.settings.messages,
        )?;
        bench.batches = seed::batches(&mut database)?;
        Ok(bench)
    }

    /// The database of the current round. Always of this name, so that a recorded login fits every round.
    pub fn round_database(&self) -> String {
        format!("{}_round", self.settings.database)
    }

    pub fn fresh_database(&self) -> Result<()> {
        copies::fresh(
            &self.server,
            &self.settings.database,
            &self.round_database(),
        )
    }

    fn worker_settings(&self, postgres_port: u16) -> Vec<(String, String)> {
        let aws = format!("http://{}", self.stubs.aws);
        let graph = format!("http://{}/v26.0", self.stubs.graph);
        let database = format!(
            "postgres://postgres@127.0.0.1:{postgres_port}/{}?sslmode=disable",
            self.round_database()
        );
        [
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
            ("AWS_ENDPOINT_URL", &aws),
            ("DATABASE_URL", &database),
            ("INTERACTIVE_QUEUE_URL", &format!("{aws}/0/interactive")),
            ("TRANSACTIONAL_QUEUE_URL", &format!("{aws}/0/transactional")),
            ("BULK_QUEUE_URL", &format!("{aws}/0/bulk")),
            ("KMS_KEY_ID", "bench"),
            ("REPLY_TOKEN_SECRETS", "[\"bench\"]"),
            ("META_GRAPH_URL", &graph),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }

    /// One worker behind the recorder, over all messages. Nothing of it is measured.
    pub fn record(&self) -> Result<Recording> {
        self.fresh_database()?;
        let (recorder, address) = Recorder::start(&self.server, By::Batch)?;
        let round = Round::new(self.batches.iter().cloned(), gives_back, None);
        let heard = recorder.clone();
        let _sandbox = self.sandbox(&round, 0, address.port(), move || heard.begin_batch())?;
        round.ready(1)?;
        round.run()?;
        self.verify()?;
        Ok(recorder.take())
    }

    /// The worker in `sandboxes` processes, from the first invocation to the last answer.
    pub fn measure(&self, sandboxes: usize) -> Result<Measured> {
        self.fresh_database()?;
        let round = Round::new(self.batches.iter().cloned(), gives_back, None);
        let running = (0..sandboxes)
            .map(|number| self.sandbox(&round, number, self.server.port, || {}))
            .collect::<Result<Vec<Sandbox>>>()?;
        let measured = Measured::of(&round, &running, self.postmaster)?;
        drop(running);
        self.verify()?;
        Ok(measured)
    }

    /// The recorded statements over as many connections as there were sandboxes.
    pub fn floor(&self, script: &Script, connections: usize) -> Result<Floor> {
        self.fresh_database()?;
        let mut sessions = script.connect(&self.server, connections)?;
        let before = proc::tree_cpu_seconds(self.postmaster)?;
        let took = script.replay(&mut sessions)?;
        let postgres_cpu = proc::tree_cpu_seconds(self.postmaster)? - before;
        self.verify().context("after the replay of the floor")?;
        Ok(Floor { took, postgres_cpu })
    }

    /// pgbench with one select and one update a message, two durable commits: messages per second.
    pub fn anchor(&self, connections: usize) -> Result<f64> {
        self.fresh_database()?;
        let anchor = Anchor {
            pgbench: &self.settings.pgbench,
            server: &self.server,
            postmaster: self.postmaster,
            database: &self.round_database(),
            out: &self.settings.out,
        };
        let anchored = anchor.measure(&Deed::SelectAndUpdate, connections, ANCHOR_TIME)?;
        Ok(anchored.per_second)
    }

    fn sandbox(
        &self,
        round: &Round,
        number: usize,
        postgres_port: u16,
        on_batch: impl Fn() + Send + Sync + 'static,
    ) -> Result<Sandbox> {
        let log = self.settings.out.join(format!("worker-{number}.log"));
        let environment = self.worker_settings(postgres_port);
        Sandbox::start(
            &self.settings.worker,
            &environment,
            &log,
            round,
            number,
            on_batch,
        )
    }

    /// A round counts only if every message was sent, once, and its attempt written.
    fn verify(&self) -> Result<()> {
        let mut database = self.server.connect(&self.round_database())?;
        let summary = database.query(
            "select m.status, m.attempts, a.class, count(*)
               from communications.messages m
               left join communications.message_attempts a on a.tenant_id = m.tenant_id and a.message_id = m.id
              group by 1, 2, 3",
        )?;
        let wanted = ["SENT", "1", "ACCEPTED", &self.settings.messages.to_string()]
            .map(|text| Some(text.to_owned()));
        if summary.len() != 1 || summary[0] != wanted {
            bail!(
                "not every message was sent once, as (status, attempts, class, count): {summary:?}; see {}",
                self.settings.out.display()
            );
        }
        Ok(())
    }
}

/// By this program in a process of its own, whose environment names our KMS.
pub fn sealed_configs(environment: Vec<(String, String)>) -> Result<Vec<Value>> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.arg("seal").env_clear().envs(environment);
    let output = command.output().context("start the sealing")?;
    if !output.status.success() {
        bail!(
            "sealing failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
