//! What Hasura asks every second stays cheap: each statement of `tests/live-queries` by its index, within its budget of pages.
//!
//! On an inbox of 20,000 conversations, written set-based. `cargo xtask bench inbox` measures the same on a million.

use comms_live_queries::{Agent, BATCH, Question, inlined, long_threads, seed};
use comms_tests::world::World;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

const CONVERSATIONS: usize = 20_000;

/// The index that begins each answer, and the most pages that it may touch for each subscriber.
fn budget(question: Question) -> (&'static str, u64) {
    match question {
        Question::ListAll | Question::ListResolved => ("conversations_list", 100),
        Question::ListMine => ("conversations_assignee", 100),
        Question::ListUnassigned => ("conversations_unassigned", 100),
        Question::Thread => ("messages_thread", 100),
        // Its function's plan is its own: seen in the pages.
        Question::Badge | Question::BadgeOfReader => ("", 260),
    }
}

#[tokio::test]
async fn the_live_queries_keep_their_indexes_and_their_budgets() {
    let world = World::new().await;
    let mut session = world.pool.acquire().await.unwrap().detach();
    for (_, sql) in seed(CONVERSATIONS) {
        run(&mut session, &sql).await;
    }
    for question in Question::ALL {
        let subscribers = subscribers(&mut session, question).await;
        let plan = explain(&mut session, question, &subscribers).await;
        let (index, pages) = budget(question);
        assert!(
            index.is_empty() || uses(&plan, index),
            "{question:?}: {plan:#}"
        );
        for table in [
            "conversations",
            "messages",
            "contacts",
            "conversation_read_cursors",
        ] {
            assert!(
                !scans(&plan, table),
                "{question:?} reads all of {table}: {plan:#}"
            );
        }
        let touched = plan["Shared Hit Blocks"].as_u64().unwrap()
            + plan["Shared Read Blocks"].as_u64().unwrap();
        let each = touched / u64::try_from(BATCH).unwrap();
        assert!(
            each <= pages,
            "{question:?} touches {each} pages for each subscriber: {plan:#}"
        );
    }
}

async fn run(session: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(session)
        .await
        .unwrap();
}

async fn subscribers(session: &mut PgConnection, question: Question) -> Vec<String> {
    if question != Question::Thread {
        let agents = Agent::all()
            .filter(|agent| question.asked_by(*agent))
            .cycle();
        return agents
            .take(BATCH)
            .map(|agent| question.variables(agent, ""))
            .collect();
    }
    let rows = sqlx::query(AssertSqlSafe(long_threads(BATCH)))
        .fetch_all(session)
        .await
        .unwrap();
    let threads = rows.iter().map(|row| {
        let tenant = row.get::<Uuid, _>(0).to_string();
        let agent = Agent::all()
            .find(|agent| agent.tenant_id() == tenant)
            .unwrap();
        question.variables(agent, &row.get::<Uuid, _>(1).to_string())
    });
    threads.cycle().take(BATCH).collect()
}

/// The topmost node of the plan of a hundred subscribers' statement.
async fn explain(session: &mut PgConnection, question: Question, subscribers: &[String]) -> Value {
    let sql = format!(
        "explain (analyze, buffers, timing off, format json) {}",
        inlined(question, subscribers)
    );
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(session)
        .await
        .unwrap();
    plan[0]["Plan"].clone()
}

fn uses(plan: &Value, index: &str) -> bool {
    nodes(plan).iter().any(|node| node["Index Name"] == index)
}

fn scans(plan: &Value, table: &str) -> bool {
    nodes(plan)
        .iter()
        .any(|node| node["Node Type"] == "Seq Scan" && node["Relation Name"] == table)
}

fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten();
    std::iter::once(plan).chain(below.flat_map(nodes)).collect()
}
