//! The first words are the agent's.

use crate::desk::{Desk, writes};
use crate::intake::trip;
use crate::matrix::{T, messages, text};
use crate::merges::two;
use crate::parted::commits_when_awaited;
use comms_core::contacts::merge;
use comms_core::model::ContactId;
use comms_core::platform::clock;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

fn hello(id: &str, whom: &Value) -> Value {
    let mut input = json!({"channel": "WHATSAPP", "client_message_id": id,
        "content": {"template": {"name": "hola", "language": "es"}}});
    for (name, value) in whom.as_object().unwrap() {
        input[name] = value.clone();
    }
    input
}

async fn starts(world: &World, input: &Value) -> (u16, Value) {
    world
        .asks(
            "dispatcher",
            world.iberia.tenant,
            world.iberia.agent,
            "startConversation",
            input,
        )
        .await
}

#[tokio::test]
async fn a_new_number_becomes_a_contact_with_a_thread_of_the_agents() {
    let world = World::new().await;
    let input = hello("1", &json!({"address": "+34600111222"}));
    let (status, started) = starts(&world, &input).await;
    assert_eq!(
        (status, started["status"].as_str()),
        (200, Some("QUEUED")),
        "{started}"
    );
    assert_eq!(
        starts(&world, &input).await.1["message_id"],
        started["message_id"]
    );
    let mine = "conversations where status = 'OPEN' and assigned_to = '0192f000-0000-7000-8000-0000000000e1'";
    assert_eq!(
        (
            world.count(mine).await,
            world.count("contacts").await,
            world.outbound().await.len()
        ),
        (1, 1, 1)
    );
    // Who answers is the same person in the same thread.
    writes(&world, "¿quién es?").await;
    assert_eq!(
        (
            world.count("conversations").await,
            world.count("contacts").await
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let number = json!({"address": "+34600111222"});
    let mut text = hello("1", &number);
    text["content"] = json!({"text": "hola"});
    let (status, refused) = starts(&world, &text).await;
    assert_eq!(
        (status, refused["extensions"]["code"].as_str()),
        (409, Some("window-closed"))
    );
    for (channel, address) in [
        ("WHATSAPP", "600111222"),
        ("SMS", "+0600111222"),
        ("EMAIL", "ana@@example.org"),
        ("EMAIL", "ana@example"),
        ("WEBCHAT", "x"),
    ] {
        let mut input = text.clone();
        input["channel"] = json!(channel);
        input["address"] = json!(address);
        let (_, refused) = starts(&world, &input).await;
        assert!(
            refused["message"]
                .as_str()
                .unwrap()
                .starts_with("address must"),
            "{refused}"
        );
    }
    for whom in [
        json!({}),
        json!({"address": "+34600111222", "contact_id": world.iberia.agent}),
    ] {
        assert_eq!(
            starts(&world, &hello("1", &whom)).await.1["message"],
            "exactly one of contact_id and address must be given"
        );
    }
    let mut email = hello("1", &json!({"address": "Ana@Example.org"}));
    email["channel"] = json!("EMAIL");
    email["content"] = json!({"text": "hola"});
    assert_eq!(
        starts(&world, &email).await.1["message"],
        "content.subject must be given for the first email to a contact"
    );
    assert_eq!(
        (
            world.count("contacts").await,
            world.count("conversations").await,
            world.count("messages").await
        ),
        (0, 0, 0)
    );
    email["content"] = json!({"text": "hola", "subject": "Su viaje"});
    assert_eq!(starts(&world, &email).await.0, 200);
    let address: String = world
        .scalar("select value from communications.contact_identities")
        .await;
    assert_eq!(address, "ana@example.org");
}

/// Nothing but answers to what they write: not even a template.
#[tokio::test]
async fn whoever_said_stop_is_not_written_to_before_they_write() {
    let world = World::new().await;
    messages(&world, &[text("m1", T, "hola"), text("m2", T + 1, "STOP")]).await;
    let begins = |id: &str| hello(id, &json!({"address": "+34600111222"}));
    let (status, refused) = starts(&world, &begins("1")).await;
    assert_eq!(
        (status, &refused["extensions"]["code"]),
        (409, &json!("opted-out"))
    );
    assert_eq!(world.outbound().await.len(), 0);
    messages(&world, &[text("m3", T + 2, "¿a qué hora sale?")]).await;
    assert_eq!(starts(&world, &begins("2")).await.0, 200);
    // An answer within a day, if it be to the word itself.
    let now = clock::now().unix_timestamp();
    messages(&world, &[text("m4", now, "STOP")]).await;
    assert_eq!(starts(&world, &begins("3")).await.0, 200);
}

#[tokio::test]
async fn the_live_thread_goes_on_and_stays_with_its_holder() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    let contact: String = world
        .scalar("select id::text from communications.contacts")
        .await;
    let input = hello("1", &json!({"contact_id": contact}));
    desk.colleague().does("claimConversation", json!({})).await;
    let (_, refused) = starts(&world, &input).await;
    assert_eq!(
        refused["extensions"]["assigned_to"],
        json!(world.iberia.colleague)
    );
    desk.colleague()
        .does("resolveConversation", json!({}))
        .await;
    let (status, started) = starts(&world, &input).await;
    assert_eq!(
        (status, started["conversation_id"].clone()),
        (200, json!(desk.conversation)),
        "{started}"
    );
    let events = desk.events().await;
    assert_eq!(events[3], "REOPENED RESOLVED>OPEN");
    assert_eq!(
        events[4],
        format!("REASSIGNED {}>{}", world.iberia.colleague, desk.user)
    );
    assert_eq!(world.count("conversations").await, 1);
}

#[tokio::test]
async fn another_tenants_contact_is_not_found() {
    let world = World::new().await;
    writes(&world, "hola").await;
    let contact: String = world
        .scalar("select id::text from communications.contacts")
        .await;
    let input = hello("1", &json!({"contact_id": contact}));
    let refused = world
        .agent_acts(
            world.albion.tenant,
            world.albion.agent,
            "startConversation",
            &input,
        )
        .await;
    assert_eq!(refused.unwrap_err(), "not-found");
    // The same number is another person at another operator's.
    let input = hello("1", &json!({"address": "+34600111222"}));
    world
        .agent_acts(
            world.albion.tenant,
            world.albion.agent,
            "startConversation",
            &input,
        )
        .await
        .unwrap();
    assert_eq!(
        (
            world.count("contacts").await,
            world.count("conversations").await
        ),
        (2, 2)
    );
}

/// Agents begin while the customer writes: one contact, one thread, each message once.
#[tokio::test]
async fn everybody_at_once_is_one_thread() {
    let world = World::new().await;
    let inputs: Vec<Value> = (0..12)
        .map(|n| hello(&(n / 2).to_string(), &json!({"address": "+34600111222"})))
        .collect();
    let agents = join_all(inputs.iter().map(|input| starts(&world, input)));
    let come = join_all((0..6).map(|_| writes(&world, "hola")));
    let (begun, _) = tokio::join!(agents, come);
    let ids: HashSet<String> = begun
        .iter()
        .map(|(status, answer)| {
            assert_eq!(*status, 200, "{answer}");
            answer["message_id"].to_string()
        })
        .collect();
    assert_eq!((ids.len(), world.outbound().await.len()), (6, 6));
    assert_eq!(
        (
            world.count("contacts").await,
            world.count("conversations").await
        ),
        (1, 1)
    );
}

/// As where the passenger writes first: the thread is about the trip, and shows what was sent.
#[tokio::test]
async fn a_thread_that_an_agent_opens_is_about_the_trip_and_shows_the_notice() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    world.trip_is_delayed(&trip).await;
    let (contact, address): (Uuid, String) = sqlx::query_as(
        "select contact_id, address from communications.messages order by id limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let (status, answer) = starts(&world, &hello("1", &json!({"address": address}))).await;
    assert_eq!(status, 200, "{answer}");
    let thread: (Uuid, Option<Uuid>, i64) = sqlx::query_as(
        "select v.contact_id, v.trip_id, (select count(*) from communications.messages m where m.conversation_id = v.id)
           from communications.conversations v",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(thread, (contact, Some(trip.id.0), 2));
}

/// By the id of a contact that is being merged.
#[tokio::test]
async fn whoever_is_merged_meanwhile_is_written_to_in_the_kept_ones_thread() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let mut merging = world.database().begin().await.unwrap();
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    merge(&mut merging, tenant, kept, taken, agent)
        .await
        .unwrap();
    let input = hello("1", &json!({"contact_id": taken}));
    let ((status, answer), ()) = futures_util::join!(
        starts(&world, &input),
        commits_when_awaited(&world, merging)
    );
    assert_eq!(status, 200, "{answer}");
    let whose: ContactId = world
        .scalar("select contact_id from communications.messages where direction = 'OUTBOUND'")
        .await;
    assert_eq!(whose, kept);
}

/// A wrong number is corrected in the same form: the right one is not told that it was written to.
#[tokio::test]
async fn the_same_words_to_somebody_else_are_another_message() {
    let world = World::new().await;
    starts(&world, &hello("1", &json!({"address": "+34600111222"}))).await;
    let (_, refused) = starts(&world, &hello("1", &json!({"address": "+34600333444"}))).await;
    assert_eq!(refused["extensions"]["code"], "conflict");
    assert_eq!(
        (world.count("contacts").await, world.outbound().await.len()),
        (1, 1)
    );
    let (status, _) = starts(&world, &hello("2", &json!({"address": "+34600333444"}))).await;
    assert_eq!(status, 200);
}

/// The window is open where they wrote, and nowhere else.
#[tokio::test]
async fn free_form_to_another_number_of_theirs_finds_the_window_closed() {
    let world = World::new().await;
    writes(&world, "hola").await;
    world
        .execute(
            "insert into communications.contact_identities (tenant_id, kind, value, contact_id)
             select tenant_id, 'phone', '+34600333444', id from communications.contacts",
        )
        .await;
    for (n, (address, status)) in [("+34600111222", 200), ("+34600333444", 409)]
        .into_iter()
        .enumerate()
    {
        let mut input = hello(&n.to_string(), &json!({"address": address}));
        input["content"] = json!({"text": "hola"});
        let (answered, answer) = starts(&world, &input).await;
        assert_eq!(answered, status, "{answer}");
    }
}
