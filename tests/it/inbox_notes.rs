//! Notes, links and masked contacts.

use crate::desk::Desk;
use comms_simulator::Inbound;
use comms_tests::seed::Traveller;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

#[tokio::test]
async fn a_note_is_kept_once_and_never_sent() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    let note = json!({"client_note_id": "1", "note": "llamar mañana"});
    let added = join_all((0..10).map(|_| desk.does("addNote", note.clone()))).await;
    let ids: HashSet<String> = added
        .iter()
        .map(|added| added["event_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        desk.code("addNote", json!({"client_note_id": "1", "note": "otra"}))
            .await,
        "conflict"
    );
    // Whoever holds it and however it stands.
    desk.colleague().does("claimConversation", json!({})).await;
    desk.colleague()
        .does("resolveConversation", json!({}))
        .await;
    desk.does("addNote", json!({"client_note_id": "2", "note": "tarde"}))
        .await;
    desk.colleague()
        .does("addNote", json!({"client_note_id": "1", "note": "mía"}))
        .await;
    assert_eq!(
        world
            .count("conversation_events where kind = 'NOTE_ADDED' and actor_kind = 'AGENT'")
            .await,
        3
    );
    for (note, message) in [
        ("  ", "note must not be empty"),
        (
            &*"x".repeat(4001),
            "note must not be longer than 4000 characters",
        ),
    ] {
        let (_, refused) = desk
            .asks("addNote", json!({"client_note_id": "3", "note": note}))
            .await;
        assert_eq!(refused["message"], message);
    }
    world.step_dispatch().await;
    assert!(world.outbound().await.is_empty() && world.simulator.calls().is_empty());
}

#[tokio::test]
async fn a_conversation_is_about_what_is_the_tenants() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    let travellers = || vec![Traveller::new("Ana", Some("+34600111222"), None)];
    let trip = world
        .iberia
        .schedule(&world.pool, "IB-1", travellers())
        .await
        .unwrap()
        .id
        .0;
    let foreign = world
        .albion
        .schedule(&world.pool, "AL-1", travellers())
        .await
        .unwrap()
        .id
        .0;
    let booking: Uuid = sqlx::query_scalar("select id from operations.bookings where trip_id = $1")
        .bind(trip)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let linked = desk
        .does(
            "linkConversation",
            json!({"trip_id": trip, "booking_id": booking}),
        )
        .await;
    assert_eq!(linked["trip_id"], json!(trip));
    let kept = desk
        .does("linkConversation", json!({"trip_id": null}))
        .await;
    assert_eq!(
        (kept["trip_id"].clone(), kept["booking_id"].clone()),
        (Value::Null, json!(booking))
    );
    for input in [
        json!({"trip_id": foreign}),
        json!({"booking_id": trip}),
        json!({"invoice_id": trip}),
    ] {
        assert_eq!(desk.code("linkConversation", input).await, "not-found");
    }
    assert_eq!(
        desk.code("linkConversation", json!({})).await,
        "validation-failed"
    );
    desk.does("linkConversation", json!({"booking_id": booking}))
        .await;
    assert_eq!(
        desk.events().await[1..],
        [
            format!("LINKED nothing>booking {booking} trip {trip}"),
            format!("LINKED booking {booking} trip {trip}>booking {booking}")
        ]
    );
}

/// What Hasura's computed fields show of the contact.
async fn shown(world: &World) -> (String, Option<Value>) {
    let address = world
        .scalar("select communications.message_address(m) from communications.messages m")
        .await;
    let addresses = world
        .scalar("select communications.contact_addresses(c) from communications.contacts c")
        .await;
    (address, addresses)
}

#[tokio::test]
async fn a_masked_contact_is_answered_unseen() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let contact: Uuid = world.scalar("select id from communications.contacts").await;
    let act = async |role: &str, action: &str| {
        world
            .acts_as(
                role,
                world.iberia.tenant,
                desk.user,
                action,
                &json!({"contact_id": contact}),
            )
            .await
    };
    assert_eq!(
        act("dispatcher", "maskContact").await.unwrap_err(),
        "forbidden"
    );
    assert_eq!(
        shown(&world).await,
        (
            "+34600111222".to_owned(),
            Some(json!({"phone": ["+34600111222"], "wa_id": ["34600111222"]}))
        )
    );
    for _ in 0..2 {
        assert_eq!(
            act("tenant_admin", "maskContact").await.unwrap()["masked"],
            true
        );
    }
    assert_eq!(shown(&world).await, ("•••22".to_owned(), None));
    desk.does(
        "sendAgentMessage",
        json!({"client_message_id": "1", "content": {"text": "hola"}}),
    )
    .await;
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["SENT"]);
    let foreign = world
        .acts_as(
            "tenant_admin",
            world.albion.tenant,
            world.albion.agent,
            "maskContact",
            &json!({"contact_id": contact}),
        )
        .await;
    assert_eq!(foreign.unwrap_err(), "not-found");
    act("tenant_admin", "unmaskContact").await.unwrap();
    assert_eq!(world.count("contacts where masked").await, 0);
}

/// Neither a merge nor its undoing shows what was hidden.
#[tokio::test]
async fn a_mask_follows_a_merge_both_ways() {
    let world = World::new().await;
    for number in ["34600111222", "34600333444"] {
        world.customer_writes(&Inbound::text(number, "hola")).await;
    }
    let contacts: Vec<Uuid> = sqlx::query_scalar(
        "select id from communications.contacts order by identifiers ->> 'phone'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let (driver, other) = (contacts[0], contacts[1]);
    let act = async |action: &str, input: Value| {
        let (tenant, user) = (world.iberia.tenant, world.iberia.agent);
        world
            .acts_as("tenant_admin", tenant, user, action, &input)
            .await
            .unwrap()
    };
    let in_clear = "messages m where communications.message_address(m) like '+%'";
    act("maskContact", json!({"contact_id": driver})).await;
    assert_eq!(world.count(in_clear).await, 1);
    let merge = act(
        "mergeContacts",
        json!({"kept_contact_id": other, "merged_contact_id": driver}),
    )
    .await;
    assert_eq!(world.count(in_clear).await, 0);
    act("unmergeContacts", json!({"merge_id": merge["merge_id"]})).await;
    assert_eq!(
        world.count(in_clear).await,
        0,
        "who was one with somebody masked stays so"
    );
    act("unmaskContact", json!({"contact_id": other})).await;
    let merge = act(
        "mergeContacts",
        json!({"kept_contact_id": driver, "merged_contact_id": other}),
    )
    .await;
    act("unmergeContacts", json!({"merge_id": merge["merge_id"]})).await;
    assert_eq!(world.count(in_clear).await, 0);
}
