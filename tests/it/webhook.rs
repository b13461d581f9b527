//! Meta's webhook becomes rows: the whole payload, once, each tenant its own.

use crate::intake::trip;
use comms_simulator::{Inbound, SignedWebhook, StatusReport, sign};
use comms_tests::world::{APP_SECRET, World};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

pub fn ana(text: &str) -> Inbound {
    Inbound {
        profile_name: Some("Ana".to_owned()),
        ..Inbound::text("34600111222", text)
    }
}

#[tokio::test]
async fn the_same_payload_fifty_times_at_once_is_one_message() {
    let world = World::new().await;
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("hola"))
        .unwrap();
    let responses = world
        .meta_posts_to_sandboxes(world.iberia.tenant, &vec![webhook; 50])
        .await;
    assert!(responses.iter().all(|response| response.status() == 200));
    let counted = (
        world.count("messages").await,
        world.count("conversations").await,
        world.count("contacts").await,
    );
    assert_eq!(counted, (1, 1, 1));
    assert_eq!(
        world
            .scalar::<i64>("select inbound_count from communications.conversations")
            .await,
        1
    );
}

#[tokio::test]
async fn two_tenants_numbers_in_one_payload_land_in_their_own_tenants() {
    let world = World::new().await;
    let (a, b) = (world.iberia.number(), world.albion.number());
    let payload = world
        .simulator
        .builder()
        .message(&a, &ana("para Iberia"))
        .message(&b, &ana("for Albion"))
        .build();
    for door in [world.iberia.tenant, world.albion.tenant] {
        assert_eq!(world.meta_posts(door, &payload).await.status(), 200);
    }
    let stored: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("select tenant_id, body from communications.messages order by tenant_id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let expected = [
        (world.iberia.tenant.0, "para Iberia".to_owned()),
        (world.albion.tenant.0, "for Albion".to_owned()),
    ];
    assert_eq!(stored, expected);
    assert_eq!(
        (
            world.count("contacts").await,
            world.count("quarantine").await
        ),
        (2, 0)
    );
}

#[tokio::test]
async fn a_door_whose_tenant_owns_none_of_the_numbers_lets_nothing_in() {
    let world = World::new().await;
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("hola"))
        .unwrap();
    for door in [world.albion.tenant, comms_core::model::TenantId::generate()] {
        let response = world.meta_posts(door, &webhook).await;
        assert_eq!(
            response.body().as_str(),
            r#"{"messages":0,"quarantined":1,"statuses":0}"#
        );
    }
    let (reason, times): (String, i32) =
        sqlx::query_as("select reason, times_seen from communications.quarantine")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(
        (reason.as_str(), times, world.count("messages").await),
        ("UNKNOWN_ACCOUNT", 2, 0)
    );
    assert_eq!(
        world
            .meta_posts(world.iberia.tenant, &webhook)
            .await
            .status(),
        200
    );
    assert_eq!(world.count("messages").await, 1);
}

#[tokio::test]
async fn the_whole_payload_counts_and_a_broken_part_does_not_take_the_rest_with_it() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    world.step_dispatch().await;
    let calls = world.simulator.calls();
    let number = world.iberia.number();
    let report = |index: usize, status: &str| {
        StatusReport::new(
            calls[index].wamid.as_deref().unwrap(),
            status,
            "34600111222",
        )
    };
    let payload = world
        .simulator
        .builder()
        .status(&number, &report(0, "delivered"))
        .message(&number, &ana("uno"))
        .raw_message(
            &number,
            json!({"type": "text", "text": {"body": "no id, no sender"}}),
        )
        .split_change()
        .status(&number, &report(1, "read"))
        .split_entry()
        .message(&number, &ana("dos"))
        .change(
            world.iberia.waba_id,
            "account_update",
            &json!({"event": "SOMETHING_NEW"}),
        )
        .build();
    let response = world.meta_posts(world.iberia.tenant, &payload).await;
    assert_eq!(
        response.body().as_str(),
        r#"{"messages":2,"quarantined":1,"statuses":2}"#
    );
    let mut states = world.outbound().await;
    states.sort();
    assert_eq!(states, ["DELIVERED", "READ"]);
    world.meta_posts(world.iberia.tenant, &payload).await;
    assert_eq!(
        (
            world.count("messages").await,
            world.count("quarantine").await,
            world.count("message_status_events").await
        ),
        (4, 1, 2)
    );
    assert_eq!(
        world
            .scalar::<i64>("select sum(times_seen) from communications.quarantine")
            .await,
        2
    );
    assert_eq!(world.count("channel_account_events").await, 1);
}

#[tokio::test]
async fn a_signature_that_is_not_metas_is_refused_before_anything_is_read() {
    let world = World::new().await;
    let good = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("señal/1"))
        .unwrap();
    let reserialised = SignedWebhook {
        body: serde_json::to_vec(&serde_json::from_slice::<serde_json::Value>(&good.body).unwrap())
            .unwrap(),
        ..good.clone()
    };
    let wrong = [
        SignedWebhook {
            signature: String::new(),
            ..good.clone()
        },
        SignedWebhook {
            signature: good.signature.replace("sha256=", "sha1="),
            ..good.clone()
        },
        SignedWebhook {
            signature: sign("another_secret", &good.body),
            ..good.clone()
        },
        SignedWebhook {
            body: [good.body.as_slice(), b" "].concat(),
            ..good.clone()
        },
        reserialised,
    ];
    for webhook in wrong {
        assert_eq!(
            world
                .meta_posts(world.iberia.tenant, &webhook)
                .await
                .status(),
            401,
            "{}",
            webhook.signature
        );
    }
    assert_eq!(
        (
            world.count("messages").await,
            world.count("quarantine").await
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn a_signed_body_that_does_not_read_is_kept_whole() {
    let world = World::new().await;
    let body = b"{\"object\": \"whatsapp_business_account\"".to_vec();
    let webhook = SignedWebhook {
        signature: sign(APP_SECRET, &body),
        body,
    };
    assert_eq!(
        world
            .meta_posts(world.iberia.tenant, &webhook)
            .await
            .status(),
        200
    );
    let kept: Vec<u8> = world
        .scalar("select payload from communications.quarantine where reason = 'UNREADABLE'")
        .await;
    assert_eq!(kept, webhook.body);
}

#[tokio::test]
async fn a_body_of_more_items_than_can_be_stored_is_kept_whole() {
    let world = World::new().await;
    let value = json!({
        "messaging_product": "whatsapp", "messages": vec![serde_json::Value::Null; 500_000],
        "metadata": {"display_phone_number": "1", "phone_number_id": world.iberia.phone_number_id},
    });
    let webhook = world
        .simulator
        .builder()
        .change(world.iberia.waba_id, "messages", &value)
        .build();
    for _ in 0..2 {
        let response = world.meta_posts(world.iberia.tenant, &webhook).await;
        assert_eq!(
            (response.status().as_u16(), response.body().as_str()),
            (200, r#"{"messages":0,"quarantined":1,"statuses":0}"#)
        );
    }
    let kept: Vec<u8> = world
        .scalar("select payload from communications.quarantine where reason = 'MALFORMED' and times_seen = 2")
        .await;
    assert_eq!(kept, webhook.body);
    let replayed = world.replays(&json!({"reason": "MALFORMED"})).await;
    assert_eq!(replayed.kept[0].reason, "MALFORMED");
}

#[tokio::test]
async fn a_database_that_is_away_makes_meta_send_it_again() {
    let world = World::new().await;
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("hola"))
        .unwrap();
    world
        .execute("alter table communications.messages rename to messages_gone")
        .await;
    assert_eq!(
        world
            .meta_posts(world.iberia.tenant, &webhook)
            .await
            .status(),
        503
    );
    world
        .execute("alter table communications.messages_gone rename to messages")
        .await;
    assert_eq!(world.count("contacts").await, 0, "half of it was stored");
    assert_eq!(
        world
            .meta_posts(world.iberia.tenant, &webhook)
            .await
            .status(),
        200
    );
    assert_eq!(
        (
            world.count("messages").await,
            world.count("conversations").await
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn accounts_in_trouble_still_ingest() {
    let world = World::new().await;
    for status in ["REAUTH_REQUIRED", "SUSPENDED", "DISABLED"] {
        sqlx::query("update communications.channel_accounts set status = $1")
            .bind(status)
            .execute(&world.pool)
            .await
            .unwrap();
        assert_eq!(world.customer_writes(&ana(status)).await.status(), 200);
    }
    assert_eq!(world.count("messages").await, 3);
}

#[tokio::test]
async fn a_type_that_is_not_text_is_one_row_with_a_placeholder() {
    let world = World::new().await;
    let image = Inbound {
        message: Some(
            json!({"type": "image", "image": {"id": "1", "mime_type": "image/jpeg", "sha256": "x"}}),
        ),
        ..ana("")
    };
    world.customer_writes(&image).await;
    let (body, kind): (String, String) =
        sqlx::query_as("select body, content ->> 'type' from communications.messages")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!((body.as_str(), kind.as_str()), ("[image]", "image"));
}

#[tokio::test]
async fn an_id_that_fits_into_no_key_is_quarantined_and_its_neighbours_are_stored() {
    let world = World::new().await;
    let number = world.iberia.number();
    let long: String = (0..1500)
        .map(|_| uuid::Uuid::now_v7().simple().to_string())
        .collect();
    let payload = world
        .simulator
        .builder()
        .message(
            &number,
            &Inbound {
                id: long.clone(),
                ..ana("id")
            },
        )
        .message(
            &number,
            &Inbound {
                from: Some("9".repeat(3000)),
                ..ana("from")
            },
        )
        .message(
            &number,
            &Inbound {
                from: None,
                user_id: Some(long.clone()),
                ..ana("user")
            },
        )
        .message(
            &number,
            &Inbound {
                from: Some("drop--".to_owned()),
                ..ana("letters")
            },
        )
        .status(&number, &StatusReport::new(&long, "sent", "34600111222"))
        .message(&number, &ana("fits"))
        .build();
    let response = world.meta_posts(world.iberia.tenant, &payload).await;
    assert_eq!(
        response.body().as_str(),
        r#"{"messages":1,"quarantined":5,"statuses":0}"#
    );
    assert_eq!(
        world
            .scalar::<String>("select body from communications.messages")
            .await,
        "fits"
    );
}

#[tokio::test]
async fn a_plus_before_the_number_is_the_same_person() {
    let world = World::new().await;
    for from in ["34600111222", "+34600111222"] {
        let inbound = Inbound {
            from: Some(from.to_owned()),
            ..ana(from)
        };
        assert_eq!(world.customer_writes(&inbound).await.status(), 200);
    }
    assert_eq!(
        (world.count("contacts").await, world.count("messages").await),
        (1, 2)
    );
}

#[tokio::test]
async fn what_the_database_never_takes_holds_back_nobody_else() {
    let world = World::new().await;
    // Stands for a bug of ours.
    world
        .execute(
            "alter table communications.messages add constraint no_such_word check (body <> 'poison')",
        )
        .await;
    let number = world.iberia.number();
    let payload = world
        .simulator
        .builder()
        .message(&number, &ana("uno"))
        .message(&number, &ana("poison"))
        .message(&world.albion.number(), &ana("dos"))
        .build();
    for _ in 0..2 {
        let response = world.meta_posts(world.iberia.tenant, &payload).await;
        assert_eq!(response.status(), 200);
    }
    assert_eq!(world.count("messages").await, 2);
    assert_eq!(world.count("quarantine where reason = 'REFUSED'").await, 1);
    world
        .execute("alter table communications.messages drop constraint no_such_word")
        .await;
    let replayed = world.replays(&json!({"reason": "REFUSED"})).await;
    assert_eq!((replayed.replayed, replayed.messages), (1, 1));
}

#[tokio::test]
async fn a_time_that_no_clock_shows_is_no_time() {
    let world = World::new().await;
    let number = world.iberia.number();
    for at in [-1, i64::MIN, 253_402_300_799, i64::MAX, -377_705_116_800] {
        let payload = world
            .simulator
            .builder()
            .message(
                &number,
                &Inbound {
                    timestamp: at,
                    ..ana("cuándo")
                },
            )
            .build();
        let response = world.meta_posts(world.iberia.tenant, &payload).await;
        assert_eq!(response.status(), 200, "{at}");
    }
    assert_eq!(
        (
            world.count("messages").await,
            world.count("quarantine").await
        ),
        (0, 5)
    );
}

/// Somebody's first text is decided about on what the first call found: the second writes it only where that still holds.
#[tokio::test]
async fn what_was_decided_on_old_knowledge_is_not_written() {
    let world = World::new().await;
    let text = json!({
        "channel": "WHATSAPP", "door": world.iberia.tenant, "number": world.iberia.phone_number_id, "waba_id": null,
        "aliases": [["wa_id", "", "34600111222"], ["phone", "", "+34600111222"]], "said": 2, "name": "Ana",
        "external_message_id": "wamid.1", "sent_at": "2026-11-30T08:00:00Z", "body": "x",
        "or_known": true,
    });
    let ask = async |function: &str, argument: &Value| -> Option<Value> {
        let sql = format!("select communications.{function}($1)");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(argument)
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    let known = ask("inbound_text", &text).await.unwrap()["known"].clone();
    assert_eq!(known["people"]["aliases"], json!([]), "{known}");
    let decided = json!({"text": text, "known": known, "document": {}});
    assert!(ask("inbound_decided_text", &decided).await.is_some());
    world.customer_writes(&ana("hola")).await;
    assert_eq!(ask("inbound_decided_text", &decided).await, None);
}
