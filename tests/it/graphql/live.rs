//! The inbox's subscriptions as they are, over a WebSocket. The stand-in has them for roles of the database alone, so the
//! dispatcher is one here and the metadata's filters are its policies, written by `as_sql`.

use super::as_sql::condition;
use super::documents::{id, runs};
use super::plant::{Session, plant};
use super::server::{StandIn, create_role};
use super::socket::Socket;
use crate::hasura::documents::operation;
use crate::hasura::metadata::tables;
use comms_tests::world::World;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::fmt::Write;

const ROLE: &str = "standin_dispatcher";

/// The value that the token of the request has.
fn claim(name: &str) -> String {
    let name = name.to_lowercase();
    format!(
        "(current_setting('request.jwt.claims', true)::json #>> '{{https://hasura.io/jwt/claims,{name}}}')"
    )
}

/// The role is the server's and may be there already; the rest is this world's.
async fn policies(world: &World) {
    let mut sql = format!(
        "{}
         grant usage on schema communications to {ROLE};
         grant select on all tables in schema communications to {ROLE};
         grant execute on all functions in schema communications to {ROLE};",
        create_role(ROLE)
    );
    for table in tables()
        .iter()
        .filter(|one| !one.name.starts_with("domain_"))
    {
        let Some(permission) = table.permission("dispatcher") else {
            continue;
        };
        let name = &table.name;
        let rows = condition(&claim, name, name, &permission.filter);
        write!(
            sql,
            "alter table communications.{name} enable row level security;
             create policy standin on communications.{name} for select to {ROLE} using ({rows});"
        )
        .unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&world.pool)
        .await
        .unwrap();
}

async fn subscribe(live: &StandIn, session: &Session, name: &str, variables: &Value) -> Socket {
    let text = operation(name).text;
    Socket::subscribe(live.port, session, ROLE, &text, variables).await
}

/// Every subscription but the stream begins with what the same text answers as a query.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_begins_each_subscription_with_the_answer_of_its_query() {
    let world = World::new().await;
    plant(&world).await;
    let session = Session::of("dispatcher", &world.iberia);
    let open = json!({"where": {"status": {"_eq": "OPEN"}}});
    let mine = json!({"conversation_id": id(&world, "mine").await});
    let asked = [
        ("ConversationList", open),
        ("ConversationThread", mine.clone()),
        ("ConversationContext", mine),
        ("UnreadBadge", json!({})),
    ];
    let plain = StandIn::start(&world).await;
    let mut answers = Vec::new();
    for (name, variables) in &asked {
        answers.push(runs(&plain, &session, name, variables.clone()).await);
    }
    policies(&world).await;
    let live = StandIn::start_live(&world, ROLE).await;
    for ((name, variables), expected) in asked.iter().zip(answers) {
        let mut socket = subscribe(&live, &session, name, variables).await;
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(socket.rows().await, expected, "{name}");
    }
}

/// What is committed comes by itself, and to its tenant alone.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_tells_of_a_change_to_the_tenant_that_it_happened_to() {
    let world = World::new().await;
    plant(&world).await;
    policies(&world).await;
    let live = StandIn::start_live(&world, ROLE).await;
    let open = json!({"where": {"status": {"_eq": "OPEN"}}});
    let iberia = Session::of("dispatcher", &world.iberia);
    let albion = Session::of("dispatcher", &world.albion);
    let mut ours = subscribe(&live, &iberia, "ConversationList", &open).await;
    let mut theirs = subscribe(&live, &albion, "ConversationList", &open).await;
    assert_eq!(ours.rows().await.len(), 3);
    assert_eq!(theirs.rows().await.len(), 3);
    world
        .execute(
            "update communications.conversations set status = 'RESOLVED'
              where preview = 'mine' and tenant_id = (select tenant_id from communications.tenant_settings
                                                       where name = 'Líneas Iberia')",
        )
        .await;
    assert_eq!(ours.rows().await.len(), 2);
    assert!(theirs.is_quiet().await);
}
