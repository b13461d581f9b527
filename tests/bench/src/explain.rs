//! What the claim costs beside millions of finished messages, and beside none.
//!
//! The statements are those of the first transaction of a recorded batch, with their parameters, so that this keeps up
//! with the worker whatever it sends. Statements inside functions are shown too: Postgres reports them as notices when
//! `auto_explain` is asked to.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::{
    recorder::{Flight, Recording},
    wire::{Connection, Message, cstring, error_text, row},
};

/// How often each statement is explained. The first run finds nothing in memory; the median one counts.
const RUNS: usize = 15;

/// A statement with its parameters, as the worker sent it.
struct Statement<'a> {
    text: &'a str,
    /// What follows the text in `Parse`: the types of the parameters.
    types: &'a [u8],
    bind: &'a Message,
}

/// All statements of the transaction, added up.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cost {
    pub planning_ms: f64,
    pub execution_ms: f64,
    pub buffers: u64,
}

/// Explains the first transaction of `recording` on this database and changes nothing in it: the sum, and the plans.
pub fn claim(database: &mut Connection, recording: &Recording) -> Result<(Cost, String)> {
    let batch = recording.batches.first().context("no batch was recorded")?;
    let mut cost = Cost::default();
    let mut plans = String::new();
    for statement in first_transaction(batch)? {
        let mut runs = (0..RUNS)
            .map(|_| explain(database, &statement))
            .collect::<Result<Vec<Plan>>>()?;
        runs.sort_by(|a, b| a.total_ms().total_cmp(&b.total_ms()));
        let plan = runs.swap_remove(RUNS / 2);
        database.query(NESTED_ON)?;
        let nested = explain(database, &statement)?.notices;
        database.query("set auto_explain.log_min_duration = -1")?;
        cost.planning_ms += plan.ms("Planning Time: ");
        cost.execution_ms += plan.ms("Execution Time: ");
        cost.buffers += buffers(&plan.text);
        writeln!(plans, "{}\n\n{}", statement.text, plan.text)?;
        for notice in nested
            .iter()
            .filter(|text| !text.contains("Query Text: explain ("))
        {
            writeln!(plans, "{notice}\n")?;
        }
    }
    Ok((cost, plans))
}

const NESTED_ON: &str = "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on;
    set auto_explain.log_buffers = on; set auto_explain.log_nested_statements = on; set auto_explain.log_level = notice";

/// The statements up to the first commit; the first alone where no transaction was begun. What begins and ends
/// transactions comes as simple queries.
fn first_transaction(batch: &[Flight]) -> Result<Vec<Statement<'_>>> {
    let mut statements = Vec::new();
    let (mut parsed, mut begun) = (None, false);
    for message in batch.iter().flatten() {
        match message.tag {
            b'P' => parsed = Some(cstring(cstring(message.payload())?.1)?),
            b'B' => {
                let (text, types) = parsed.context("a Bind without a Parse")?;
                statements.push(Statement {
                    text,
                    types,
                    bind: message,
                });
                if !begun {
                    break;
                }
            }
            b'Q' if statements.is_empty() => begun = true,
            b'Q' => break,
            _ => {}
        }
    }
    Ok(statements)
}

#[derive(Default)]
struct Plan {
    text: String,
    notices: Vec<String>,
}

impl Plan {
    /// The number behind a label; none is printed where there was nothing to do.
    fn ms(&self, label: &str) -> f64 {
        let line = self
            .text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.and_then(|text| text.trim_end_matches(" ms").parse().ok())
            .unwrap_or_default()
    }

    fn total_ms(&self) -> f64 {
        self.ms("Planning Time: ") + self.ms("Execution Time: ")
    }
}

/// `explain (analyze)` in a transaction that is rolled back.
fn explain(database: &mut Connection, statement: &Statement<'_>) -> Result<Plan> {
    let explained = format!("explain (analyze, buffers, costs off) {}", statement.text);
    let parse = [b"\0", explained.as_bytes(), b"\0", statement.types].concat();
    database.query("begin")?;
    for message in [
        &Message::new(b'P', &parse)?,
        statement.bind,
        &Message::new(b'E', &[0; 5])?,
        &Message::new(b'S', &[])?,
    ] {
        database.send(&message.bytes)?;
    }
    let answers = database
        .answers()
        .context("explain the claim that was recorded")?;
    database.query("rollback")?;
    let mut plan = Plan::default();
    for answer in &answers {
        match answer.tag {
            b'D' => {
                let line = row(answer)?
                    .into_iter()
                    .next()
                    .flatten()
                    .unwrap_or_default();
                plan.text += &line;
                plan.text.push('\n');
            }
            b'N' => plan.notices.push(error_text(answer)),
            _ => {}
        }
    }
    Ok(plan)
}

/// Pages that the whole statement looked at, in memory or not: the first line of its kind is the topmost node's.
fn buffers(plan: &str) -> u64 {
    let top = plan
        .lines()
        .find(|line| line.trim().starts_with("Buffers: "));
    top.into_iter()
        .flat_map(str::split_whitespace)
        .filter_map(|word| {
            word.strip_prefix("hit=")
                .or_else(|| word.strip_prefix("read="))
        })
        .filter_map(|pages| pages.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_sums_of_a_plan() {
        let text = "Hash Join (actual time=0.7..0.7 rows=10 loops=1)\n  Buffers: shared hit=314 read=6 dirtied=1\n\
                    \x20 ->  Scan\n        Buffers: shared hit=80\nPlanning Time: 1.201 ms\nExecution Time: 0.887 ms\n";
        let plan = Plan {
            text: text.to_owned(),
            notices: Vec::new(),
        };
        assert_eq!(buffers(text), 320);
        assert!((plan.ms("Planning Time: ") - 1.201).abs() < 1e-9);
        assert!((plan.total_ms() - 2.088).abs() < 1e-9);
    }

    #[test]
    fn takes_the_statements_up_to_the_first_commit() {
        let simple = |text: &[u8]| vec![Message::new(b'Q', text).unwrap()];
        let parse = |text: &str| Message::new(b'P', format!("\0{text}\0\0\0").as_bytes()).unwrap();
        let bind = || Message::new(b'B', b"").unwrap();
        let batch = [
            simple(b"BEGIN\0"),
            vec![parse("claim")],
            vec![bind()],
            simple(b"COMMIT\0"),
            vec![parse("settle"), bind()],
        ];
        let texts: Vec<&str> = first_transaction(&batch)
            .unwrap()
            .iter()
            .map(|statement| statement.text)
            .collect();
        assert_eq!(texts, ["claim"]);
        assert_eq!(first_transaction(&batch[4..]).unwrap().len(), 1);
    }
}
