//! Who sees which conversations: the tenant's choice for its dispatchers, and a visitor of the webchat.

use super::plant::{Session, plant};
use super::server::StandIn;
use comms_tests::world::World;
use serde_json::Value;

fn texts(rows: &[Value], field: &str) -> Vec<String> {
    let mut texts: Vec<String> = rows
        .iter()
        .map(|row| row[field].as_str().unwrap().to_owned())
        .collect();
    texts.sort();
    texts
}

async fn previews(standin: &StandIn, session: &Session) -> Vec<String> {
    let query = "query { conversations { preview } }";
    texts(
        &standin.rows(session, "conversations", query).await,
        "preview",
    )
}

async fn bodies(standin: &StandIn, session: &Session) -> Vec<String> {
    let query = "query { messages { body } }";
    texts(&standin.rows(session, "messages", query).await, "body")
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_dispatchers_what_the_tenant_lets_them_see() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    let dispatcher = Session::of("dispatcher", &world.iberia);
    let admin = Session::of("tenant_admin", &world.iberia);
    let albion = Session::of("dispatcher", &world.albion);
    let everything = ["ended", "mine", "nobodys", "theirs"];
    assert_eq!(previews(&standin, &dispatcher).await, everything);
    assert_eq!(bodies(&standin, &dispatcher).await.len(), 9);

    world
        .execute(
            "update communications.tenant_settings set inbox_visibility = 'MINE_AND_UNASSIGNED'
              where name = 'Líneas Iberia'",
        )
        .await;
    assert_eq!(previews(&standin, &dispatcher).await, ["mine", "nobodys"]);
    let own = ["hello", "late", "psst", "yes?"];
    assert_eq!(bodies(&standin, &dispatcher).await, own);
    assert_eq!(previews(&standin, &admin).await, everything);
    assert_eq!(bodies(&standin, &admin).await.len(), 9);
    assert_eq!(previews(&standin, &albion).await, everything);
    assert_eq!(bodies(&standin, &albion).await.len(), 9);
}

/// Nobody has chosen anything: the defaults hold for a tenant without a row.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_everything_where_the_tenant_has_no_settings() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    world
        .execute("delete from communications.tenant_settings")
        .await;
    let dispatcher = Session::of("dispatcher", &world.iberia);
    assert_eq!(previews(&standin, &dispatcher).await.len(), 4);
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_a_visitor_its_own_webchat_and_nothing_else() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    let visitor = Session::of("visitor", &world.iberia);
    let own = ["from the site", "to the site"];
    assert_eq!(bodies(&standin, &visitor).await, own);
    for table in [
        "conversations",
        "contacts",
        "channel_accounts",
        "trigger_runs",
    ] {
        let query = format!("query {{ {table} {{ id }} }}");
        assert_eq!(standin.refuses(&visitor, &query).await, "validation-failed");
    }
    let across = "query { messages { conversation { id } } }";
    assert_eq!(standin.refuses(&visitor, across).await, "validation-failed");
    let contact = visitor.without("x-hasura-contact-id");
    let query = "query { messages { body } }";
    assert_eq!(standin.refuses(&contact, query).await, "not-found");
}
