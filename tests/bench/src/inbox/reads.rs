//! The three subscriptions on the large inbox and on the small one, in turn.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use comms_live_queries::{Agent, Question, long_threads};

use super::statement::{Cost, Statement, explain, on_cpu};
use crate::{step, wire::Server};

/// Subscribers that are asked for at once.
pub const COHORTS: [usize; 3] = [1, 100, 1000];
/// A single subscriber's statement is too short to be measured once.
const SINGLES: usize = 40;

/// One question for a number of subscribers, on both inboxes.
#[derive(Debug)]
pub struct Asked {
    pub question: Question,
    pub cohorts: usize,
    pub large: Side,
    pub small: Side,
}

/// Milliseconds for each subscriber, of each round.
#[derive(Debug, Default)]
pub struct Side {
    pub ms: Vec<f64>,
    pub cpu_ms: Vec<f64>,
    /// Entries of an answer on average, and its bytes.
    pub rows: f64,
    pub bytes: f64,
}

impl Side {
    fn add(&mut self, cost: Cost, subscribers: usize) {
        let of =
            |duration: std::time::Duration| duration.as_secs_f64() * 1000.0 / count(subscribers);
        self.ms.push(of(cost.took));
        self.cpu_ms.push(of(cost.cpu));
    }
}

/// Asks each question `rounds` times of either database, one after the other, so that the machine's moods meet both.
pub fn ask(server: &Server, databases: [&str; 2], rounds: usize) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    for question in Question::ALL {
        step(&format!("Asking {}", question.name()));
        let mut sides = Vec::new();
        for database in databases {
            let variables = variables(server, database, question)?;
            let statement = Statement::prepare(server, database, question)?;
            sides.push((statement, variables));
        }
        for cohorts in COHORTS {
            let mut sums = [Side::default(), Side::default()];
            for ((statement, variables), side) in sides.iter_mut().zip(&mut sums) {
                statement.warm_up(&variables[..cohorts.min(100)])?;
                (side.rows, side.bytes) = extent(statement, &variables[..100])?;
            }
            for _ in 0..rounds {
                for ((statement, variables), side) in sides.iter_mut().zip(&mut sums) {
                    let asked = if cohorts == 1 { SINGLES } else { cohorts };
                    side.add(statement.measure(&variables[..asked], cohorts)?, asked);
                }
            }
            let [large, small] = sums;
            all.push(Asked {
                question,
                cohorts,
                large,
                small,
            });
        }
    }
    Ok(all)
}

/// How fast the machine is just now, in milliseconds of processor time: a loop in Postgres that touches no table.
pub fn yardstick(server: &Server) -> Result<f64> {
    const LOOP: &str = "select sum(n) from generate_series(1, 1000000) n";
    let mut connection = server.connect("postgres")?;
    let backend = connection.value("select pg_backend_pid()")?.parse()?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let before = on_cpu(backend)?;
        connection.query(LOOP)?;
        best = best.min(on_cpu(backend)?.saturating_sub(before).as_secs_f64() * 1000.0);
    }
    Ok(best)
}

/// The plans of a hundred subscribers' statement, for people.
pub fn plans(server: &Server, databases: [&str; 2]) -> Result<String> {
    let mut text = String::new();
    for question in Question::ALL {
        for database in databases {
            let variables = variables(server, database, question)?;
            let plan = explain(server, database, question, &variables[..100])?;
            writeln!(
                text,
                "== {} in {database}, 100 subscribers\n\n{plan}\n",
                question.name()
            )?;
        }
    }
    Ok(text)
}

/// As many subscribers as are ever asked for. There are two hundred agents: they come again, each of them the same.
fn variables(server: &Server, database: &str, question: Question) -> Result<Vec<String>> {
    let most = COHORTS[COHORTS.len() - 1];
    if question == Question::Thread {
        let threads = server.connect(database)?.query(&long_threads(most))?;
        if threads.is_empty() {
            bail!("{database} has no thread that fills a page: take more conversations");
        }
        let subscribers = threads
            .iter()
            .map(|row| thread(row))
            .collect::<Result<Vec<String>>>()?;
        return Ok(subscribers.into_iter().cycle().take(most).collect());
    }
    let agents = Agent::all().filter(|agent| question.asked_by(*agent));
    Ok(agents
        .cycle()
        .take(most)
        .map(|agent| question.variables(agent, ""))
        .collect())
}

fn thread(row: &[Option<String>]) -> Result<String> {
    let [Some(tenant), Some(conversation)] = row else {
        bail!("a thread without an id");
    };
    let agent = Agent::all()
        .find(|agent| agent.tenant_id() == *tenant)
        .context("a tenant that is none of the seed's")?;
    Ok(Question::Thread.variables(agent, conversation))
}

/// Entries and bytes of an answer, on average.
fn extent(statement: &mut Statement, variables: &[String]) -> Result<(f64, f64)> {
    let (mut rows, mut bytes) = (0, 0);
    for answer in statement.ask(variables)? {
        let text = answer
            .into_iter()
            .nth(1)
            .flatten()
            .context("an answer without a result")?;
        let result: serde_json::Value = serde_json::from_str(&text)?;
        let fields = result.as_object().into_iter().flatten();
        rows += fields
            .map(|(_, list)| list.as_array().map_or(0, Vec::len))
            .sum::<usize>();
        bytes += text.len();
    }
    Ok((
        count(rows) / count(variables.len()),
        count(bytes) / count(variables.len()),
    ))
}

pub fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
