//! Nobody sees where a masked contact is reached.

use super::plant::{Session, plant};
use super::roles::select;
use super::server::StandIn;
use crate::hasura::metadata::{ROLES, tables};
use comms_tests::world::World;
use serde_json::json;

/// What stands in every place that knows the masked contact's addresses (`plant.sql`).
const TRACES: [&str; 3] = ["34699999", "hidden.example", "MzQ2OTk5OTk"];

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_the_address_of_a_masked_contact_to_nobody() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    for role in ROLES {
        let session = Session::of(role, &world.iberia);
        for table in tables() {
            let Some(permission) = table.permission(role) else {
                continue;
            };
            let answer = standin
                .asks(&session, &select(&table, &permission), &json!({}))
                .await
                .to_string();
            for trace in TRACES {
                assert!(!answer.contains(trace), "{role} {}: {answer}", table.name);
            }
        }
    }
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_a_masked_form_and_the_others_whole() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    let asked = "query { messages(where: {body: {_in: [\"hello\", \"psst\"]}}, order_by: [{body: asc}]) { shown_address } }";
    for role in ["dispatcher", "tenant_admin", "service"] {
        let session = Session::of(role, &world.iberia);
        let rows = standin.rows(&session, "messages", asked).await;
        let shown = [
            json!({"shown_address": "+34600000001"}),
            json!({"shown_address": "•••77"}),
        ];
        assert_eq!(rows, shown, "{role}");
    }
    let asked = "query { contacts(where: {kind: {_eq: \"CUSTOMER\"}}, order_by: [{display_name: asc}], limit: 1) { addresses } }";
    let session = Session::of("dispatcher", &world.iberia);
    let ana = standin.rows(&session, "contacts", asked).await;
    assert_eq!(ana, [json!({"addresses": {"phone": ["+34600000001"]}})]);
    let masked = "query { contacts(where: {masked: {_eq: true}}) { addresses } }";
    let rows = standin.rows(&session, "contacts", masked).await;
    assert_eq!(rows, [json!({"addresses": null})]);
}
