//! Meta's webhook becomes rows: the whole payload, once, each tenant its own.

use crate::intake::trip;
use comms_simulator::{Inbound, SignedWebhook, StatusReport, StatusStep, sign};
use comms_tests::world::{APP_SECRET, World};
use futures_util::future::join_all;
use proptest::prelude::{ProptestConfig, Strategy};
use serde_json::json;

fn ana(text: &str) -> Inbound {
    Inbound {
        profile_name: Some("Ana".to_owned()),
        ..Inbound::text("34600111222", text)
    }
}

#[tokio::test]
async fn a_first_message_opens_a_conversation() {
    let world = World::new().await;
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("¿A qué hora sale?"))
        .unwrap();
    let response = world.meta_posts(world.iberia.tenant, &webhook).await;
    assert_eq!(
        (response.status().as_u16(), response.body().as_str()),
        (200, r#"{"messages":1,"quarantined":0,"statuses":0}"#)
    );
    let row: (String, String, String, i64, String) = sqlx::query_as(
        "select m.status, m.body, c.status, c.inbound_count, c.preview from communications.messages m
           join communications.conversations c on c.tenant_id = m.tenant_id and c.id = m.conversation_id",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        row,
        (
            "DELIVERED".to_owned(),
            "¿A qué hora sale?".to_owned(),
            "OPEN".to_owned(),
            1,
            "¿A qué hora sale?".to_owned()
        )
    );
    let identifiers: serde_json::Value = world
        .scalar("select identifiers from communications.contacts")
        .await;
    assert_eq!(
        identifiers,
        json!({"phone": ["+34600111222"], "wa_id": ["34600111222"]})
    );
    let open: bool = world
        .scalar(
            "select open_until > now() + interval '23 hours' from communications.whatsapp_windows",
        )
        .await;
    assert!(open);
}

#[tokio::test]
async fn the_same_payload_fifty_times_at_once_is_one_message() {
    let world = World::new().await;
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("hola"))
        .unwrap();
    let responses =
        join_all((0..50).map(|_| world.meta_posts(world.iberia.tenant, &webhook))).await;
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
async fn ten_first_messages_at_once_are_one_contact_and_one_conversation() {
    let world = World::new().await;
    let webhooks: Vec<SignedWebhook> = (0..10)
        .map(|index| {
            world
                .simulator
                .signed_inbound(world.iberia.phone_number_id, &ana(&format!("{index}")))
                .unwrap()
        })
        .collect();
    let responses = join_all(
        webhooks
            .iter()
            .map(|webhook| world.meta_posts(world.iberia.tenant, webhook)),
    )
    .await;
    assert!(responses.iter().all(|response| response.status() == 200));
    let counted = (
        world.count("messages").await,
        world.count("conversations").await,
        world.count("contacts").await,
    );
    assert_eq!(counted, (10, 1, 1));
    assert_eq!(
        world
            .scalar::<i64>("select inbound_count from communications.conversations")
            .await,
        10
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
        r#"{"messages":2,"quarantined":2,"statuses":2}"#
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
        (4, 2, 2)
    );
    assert_eq!(
        world
            .scalar::<i64>("select sum(times_seen) from communications.quarantine")
            .await,
        4
    );
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
async fn the_answer_to_an_automated_message_lands_in_one_thread_with_it() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    world.trip_is_delayed(&trip).await;
    world.step_dispatch().await;
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("¿Cuánto?"))
        .unwrap();
    world.meta_posts(world.iberia.tenant, &webhook).await;
    let thread: Vec<String> = sqlx::query_scalar(
        "select m.direction from communications.messages m join communications.conversations c
            on c.tenant_id = m.tenant_id and c.id = m.conversation_id order by m.thread_at",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(thread.len(), 2);
    assert_eq!(
        world
            .scalar::<uuid::Uuid>("select trip_id from communications.conversations")
            .await,
        trip.id.0
    );
    assert_eq!(
        world.count("contacts").await,
        2,
        "the passenger and the sender are one contact"
    );
}

#[tokio::test]
async fn an_inbound_message_reopens_and_a_redelivery_does_not() {
    let world = World::new().await;
    let first = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("uno"))
        .unwrap();
    world.meta_posts(world.iberia.tenant, &first).await;
    world.execute("update communications.conversations set status = 'RESOLVED', assigned_to = '0192f000-0000-7000-8000-0000000000e1'").await;
    world.meta_posts(world.iberia.tenant, &first).await;
    assert_eq!(
        world
            .scalar::<String>("select status from communications.conversations")
            .await,
        "RESOLVED"
    );

    let second = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("dos"))
        .unwrap();
    world.meta_posts(world.iberia.tenant, &second).await;
    let (status, assigned): (String, bool) =
        sqlx::query_as("select status, assigned_to is not null from communications.conversations")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!((status.as_str(), assigned), ("OPEN", true));
    let kinds: Vec<String> =
        sqlx::query_scalar("select kind from communications.conversation_events order by at")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(kinds, ["OPENED", "REOPENED"]);
}

#[tokio::test]
async fn a_snoozed_thread_wakes_unless_it_is_to_sleep_through_replies() {
    let world = World::new().await;
    let write = async |text: &str| {
        let webhook = world
            .simulator
            .signed_inbound(world.iberia.phone_number_id, &ana(text))
            .unwrap();
        world.meta_posts(world.iberia.tenant, &webhook).await;
        world
            .scalar::<String>("select status from communications.conversations")
            .await
    };
    write("uno").await;
    world.execute("update communications.conversations set status = 'SNOOZED', snoozed_until = now() + interval '1 hour', snoozed_until_reply = false").await;
    assert_eq!(write("dos").await, "SNOOZED");
    world
        .execute("update communications.conversations set snoozed_until_reply = true")
        .await;
    assert_eq!(write("tres").await, "OPEN");
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
        let webhook = world
            .simulator
            .signed_inbound(world.iberia.phone_number_id, &ana(status))
            .unwrap();
        assert_eq!(
            world
                .meta_posts(world.iberia.tenant, &webhook)
                .await
                .status(),
            200
        );
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
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &image)
        .unwrap();
    world.meta_posts(world.iberia.tenant, &webhook).await;
    let (body, kind): (String, String) =
        sqlx::query_as("select body, content ->> 'kind' from communications.messages")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!((body.as_str(), kind.as_str()), ("[image]", "image"));
}

#[tokio::test]
async fn people_without_a_phone_number_are_one_contact_too() {
    let world = World::new().await;
    let both = Inbound {
        user_id: Some("ES.1349".to_owned()),
        ..ana("both")
    };
    let bsuid_only = Inbound {
        from: None,
        user_id: Some("ES.1349".to_owned()),
        ..ana("bsuid only")
    };
    for inbound in [both, bsuid_only] {
        let webhook = world
            .simulator
            .signed_inbound(world.iberia.phone_number_id, &inbound)
            .unwrap();
        assert_eq!(
            world
                .meta_posts(world.iberia.tenant, &webhook)
                .await
                .status(),
            200
        );
    }
    assert_eq!(
        (
            world.count("contacts").await,
            world.count("conversations").await,
            world.count("messages").await
        ),
        (1, 1, 2)
    );
}

#[tokio::test]
async fn a_thousand_statuses_are_one_request() {
    let world = World::new().await;
    let number = world.iberia.number();
    let builder = (0..1000).fold(world.simulator.builder(), |builder, index| {
        builder.status(
            &number,
            &StatusReport::new(&format!("wamid.{index}"), "delivered", "34600111222"),
        )
    });
    let response = world
        .meta_posts(world.iberia.tenant, &builder.build())
        .await;
    assert_eq!(
        response.body().as_str(),
        r#"{"messages":0,"quarantined":0,"statuses":1000}"#
    );
    assert_eq!(
        world
            .scalar::<i64>(
                "select count(*) from communications.message_status_events where message_id is null"
            )
            .await,
        1000
    );
}

/// Every permutation with repeats of what Meta may report ends in the same row.
#[test]
fn statuses_in_any_order_and_number_end_in_the_same_row() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let words = || proptest::sample::select(vec!["sent", "delivered", "read", "failed"]);
    let reports = proptest::collection::vec(words(), 1..6).prop_flat_map(|words| {
        (
            proptest::strategy::Just(words.clone()),
            proptest::strategy::Just(words).prop_shuffle(),
        )
    });
    runner
        .run(&reports, |(one, other)| {
            let (first, second) = runtime.block_on(async {
                (
                    final_row(&world, &one).await,
                    final_row(&world, &other).await,
                )
            });
            proptest::prop_assert_eq!(first, second, "{:?} and {:?}", one, other);
            Ok(())
        })
        .unwrap();
    runtime.block_on(async { drop(world) });
}

async fn final_row(world: &World, words: &[&str]) -> (String, bool, bool, bool) {
    world.execute("truncate communications.messages, communications.message_status_events, communications.trigger_runs cascade").await;
    world.simulator.reset();
    world
        .trip_is_delayed(&trip(world, &world.iberia).await)
        .await;
    world.step_dispatch().await;
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    for word in words {
        let step = if *word == "failed" {
            StatusStep::failed(131_026)
        } else {
            StatusStep::from(*word)
        };
        let webhook = world.simulator.signed_status(&wamid, &step).unwrap();
        assert_eq!(
            world
                .meta_posts(world.iberia.tenant, &webhook)
                .await
                .status(),
            200
        );
    }
    sqlx::query_as("select status, delivered_at is not null, read_at is not null, failed_code is not null from communications.messages where external_message_id = $1")
        .bind(wamid)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}
