//! The stand-in on a world's database.

use super::convert;
use super::plant::Session;
use crate::hasura::metadata::text;
use comms_tests::stack::setting;
use comms_tests::world::World;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Stands for `hasura_engine`.
const ENGINE: &str = "standin_engine";
const SECRET: &str = "local-admin-secret";
pub const JWT_SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running stand-in; it ends with its test.
#[derive(Debug)]
pub struct StandIn {
    child: Child,
    pub port: u16,
    http: reqwest::Client,
}

/// Where it is installed.
fn program() -> String {
    let program = setting("COMMS_STANDIN").unwrap_or_else(|_| {
        panic!("COMMS_STANDIN is not set: run these tests by `cargo xtask test standin`")
    });
    assert!(
        std::path::Path::new(&program).is_file(),
        "no Hasura-compatible stand-in at {program}: `cargo xtask standin` installs it"
    );
    program
}

/// A port that is free now and that no other test here was given: it would be answered from another world.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// A role of the server, which may be there already.
pub fn create_role(role: &str) -> String {
    format!(
        "do $$ begin create role {role} nologin; exception when duplicate_object or unique_violation then null; end $$;"
    )
}

/// What `docs/hasura.md` tells to grant to the engine's role, and nothing else.
fn grants() -> Vec<String> {
    let docs = text("../docs/hasura.md");
    let (_, block) = docs.split_once("create role hasura_engine").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let lines = block.lines().filter_map(|line| line.split("--").next());
    let statements: String = lines.collect::<Vec<_>>().join("\n");
    statements
        .split(';')
        .map(|one| one.trim().replace("hasura_engine", ENGINE))
        .filter(|one| one.starts_with("grant") && !one.contains(" on database "))
        .collect()
}

async fn grant(world: &World) {
    let sql = format!("{} {}", create_role(ENGINE), grants().join(";"));
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&world.pool)
        .await
        .unwrap();
}

impl StandIn {
    /// As it stands for Hasura: roles and their permissions from our metadata, as the database's role of the engine.
    pub async fn start(world: &World) -> Self {
        grant(world).await;
        let settings = [
            ("PGRST_DB_ANON_ROLE", ENGINE.to_owned()),
            ("HASURA_GRAPHQL_ADMIN_SECRET", SECRET.to_owned()),
            ("PGRST_GRAPHQL_METADATA", convert::document().to_string()),
        ];
        Self::start_with(world, settings).await
    }

    /// With subscriptions, which it has for database roles alone: the filters are policies of the database (`live`).
    pub async fn start_live(world: &World, anonymous: &str) -> Self {
        let settings = [
            ("PGRST_DB_ANON_ROLE", anonymous.to_owned()),
            ("PGRST_SUBSCRIPTION_REFRESH", "1".to_owned()),
            ("PGRST_GRAPHQL_METADATA", convert::names().to_string()),
        ];
        Self::start_with(world, settings).await
    }

    async fn start_with(world: &World, settings: [(&str, String); 3]) -> Self {
        let port = free_port();
        let child = Command::new(program())
            .env_clear()
            .env("PGRST_DB_URI", world.url())
            .env("PGRST_DB_SCHEMAS", "communications")
            .env("PGRST_DB_POOL_SIZE", "3")
            .env("PGRST_SERVER_HOST", "127.0.0.1")
            .env("PGRST_SERVER_PORT", port.to_string())
            .env("PGRST_JWT_SECRET", JWT_SECRET)
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "an outside client, not the service"
        )]
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        let mut standin = Self { child, port, http };
        standin.wait().await;
        standin
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn wait(&mut self) {
        let started = Instant::now();
        while self.http.get(self.url("/healthz")).send().await.is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the stand-in ended: {ended:?}");
            assert!(started.elapsed() < PATIENCE, "the stand-in does not answer");
            #[expect(clippy::disallowed_methods, reason = "another process is starting")]
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The answer to one request as that session.
    pub async fn asks(&self, session: &Session, query: &str, variables: &Value) -> Value {
        let mut request = self
            .http
            .post(self.url("/v1/graphql"))
            .header("content-type", "application/json")
            .header("x-hasura-admin-secret", SECRET)
            .header("x-hasura-role", session.role);
        for (name, value) in &session.variables {
            request = request.header(*name, value);
        }
        let body = json!({"query": query, "variables": variables}).to_string();
        let text = request
            .body(body)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{query}: {text}"))
    }

    /// The data of one root field.
    pub async fn rows(&self, session: &Session, root: &str, query: &str) -> Vec<Value> {
        let answer = self.asks(session, query, &json!({})).await;
        answer["data"][root]
            .as_array()
            .unwrap_or_else(|| panic!("{session:?} {query}: {answer}"))
            .clone()
    }

    /// The code of the refusal.
    pub async fn refuses(&self, session: &Session, query: &str) -> String {
        let answer = self.asks(session, query, &json!({})).await;
        answer["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{session:?} is answered {query}: {answer}"))
            .to_owned()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
