//! What has no place is kept, and is where it belongs after a replay: once, however often it is asked for.

use crate::webhook::ana;
use comms_tests::calls;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::json;

/// Ana writes to a number that nobody has connected yet.
async fn written_to_nobody(world: &World) {
    let number = world.albion.phone_number_id;
    let webhook = world
        .simulator
        .signed_inbound(number, &ana("hola"))
        .unwrap();
    sqlx::query("update communications.channel_accounts set external_account_id = null where tenant_id = $1")
        .bind(world.albion.tenant)
        .execute(&world.pool)
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(
            world
                .meta_posts(world.albion.tenant, &webhook)
                .await
                .status(),
            200
        );
    }
    assert_eq!(world.count("messages").await, 0);
}

async fn connected(world: &World) {
    sqlx::query("update communications.channel_accounts set external_account_id = $2 where tenant_id = $1 and channel = 'WHATSAPP'")
        .bind(world.albion.tenant)
        .bind(world.albion.phone_number_id)
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_message_is_taken_in_once_its_number_is_connected() {
    let world = World::new().await;
    written_to_nobody(&world).await;
    let selection =
        json!({"reason": "UNKNOWN_ACCOUNT", "external_account_id": world.albion.phone_number_id});

    let early = world.replays(&selection).await;
    assert_eq!((early.matched, early.replayed), (1, 0));
    assert_eq!(early.kept[0].reason, "UNKNOWN_ACCOUNT");
    let tried: (i32, Option<String>) =
        sqlx::query_as("select replays, replay_error from communications.quarantine")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(tried, (1, Some("UNKNOWN_ACCOUNT".to_owned())));

    connected(&world).await;
    let dry = world
        .replays(&json!({"reason": "UNKNOWN_ACCOUNT", "dry_run": true}))
        .await;
    assert_eq!(
        (dry.matched, dry.replayed, world.count("messages").await),
        (1, 0, 0)
    );

    let at_once = join_all((0..5).map(|_| world.replays(&selection))).await;
    assert_eq!(
        at_once
            .iter()
            .map(|replayed| replayed.replayed)
            .sum::<usize>(),
        1
    );
    let stored: (uuid::Uuid, String) =
        sqlx::query_as("select tenant_id, body from communications.messages")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(stored, (world.albion.tenant.0, "hola".to_owned()));
    assert_eq!(world.count("quarantine where replayed_at is null").await, 0);
    assert_eq!(world.replays(&selection).await.matched, 0);
}

#[tokio::test]
async fn what_does_not_read_stays() {
    let world = World::new().await;
    let body = json!({"object": "whatsapp_business_account", "entry": "none"});
    assert_eq!(world.meta_tells_the_app(&body).await.status(), 200);
    let replayed = world.replays(&json!({"reason": "UNREADABLE"})).await;
    assert_eq!(
        (replayed.matched, replayed.replayed, replayed.kept.len()),
        (1, 0, 1)
    );
}

/// What was dealt with and comes again is to be looked at again; what is tried in vain lets the others pass.
#[tokio::test]
async fn what_comes_again_after_it_was_dealt_with_is_there_again() {
    let world = World::new().await;
    let broken = |entry: &str| json!({"object": "whatsapp_business_account", "entry": entry});
    world.meta_tells_the_app(&broken("first")).await;
    let one = json!({"reason": "UNREADABLE", "limit": 1});
    assert_eq!(world.replays(&one).await.matched, 1);
    world.meta_tells_the_app(&broken("second")).await;
    let first = world.replays(&one).await.kept[0].id;
    let second = world.replays(&one).await.kept[0].id;
    assert_ne!(first, second);
    world
        .execute("update communications.quarantine set replayed_at = now()")
        .await;
    world.meta_tells_the_app(&broken("first")).await;
    let again: Vec<(i32, i32)> = sqlx::query_as(
        "select times_seen, replays from communications.quarantine where replayed_at is null",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(again, [(2, 0)]);
}

#[tokio::test]
async fn a_selection_must_say_something_that_is_understood() {
    let world = World::new().await;
    for bad in [
        json!({}),
        json!({"limit": 5}),
        json!({"reasons": "UNREADABLE"}),
        json!({"ids": ["x"]}),
    ] {
        assert!(world.tries_to_replay(&bad).await.is_err(), "{bad}");
    }
    for (member, bad) in [
        ("reason: \"SPAMM\" is none of", json!({"reason": "SPAMM"})),
        ("source: \"META\" is none of", json!({"source": "META"})),
        ("ids: names none", json!({"ids": []})),
        (
            "limit: from 1 to 1000",
            json!({"reason": "SPAM", "limit": 0}),
        ),
        (
            "limit: from 1 to 1000",
            json!({"reason": "SPAM", "limit": 1001}),
        ),
        (
            "until: not behind since",
            json!({"since": "2026-11-24T00:00:00Z", "until": "2026-11-23T00:00:00Z"}),
        ),
    ] {
        let error = world.tries_to_replay(&bad).await.unwrap_err().to_string();
        assert!(error.contains(member), "{error}");
    }
}

/// A text has no time of its own: it is kept with the topic's.
#[tokio::test]
async fn a_text_that_waited_for_its_number_was_said_when_the_topic_had_it() {
    let world = World::new().await;
    let text = |id: &str, body: &str| {
        json!({"originationNumber": "+34600999000", "destinationNumber": format!("+{}", world.iberia.display_number),
               "messageBody": body, "inboundMessageId": id})
    };
    world
        .aws_tells(&[text("s-1", "STOP"), text("s-2", "hola")])
        .await;
    assert_eq!(world.count("quarantine").await, 2);
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let replayed = world.replays(&json!({"reason": "UNKNOWN_ACCOUNT"})).await;
    assert_eq!(replayed.messages, 2);
    // As the envelope of these has it.
    let then = "thread_at = '2026-11-23 10:00:00Z' and sent_at = thread_at";
    assert_eq!(world.count(&format!("messages where {then}")).await, 2);
    assert_eq!(
        world
            .count("consents where at <> '2026-11-23 10:00:00Z'")
            .await,
        0
    );
}

/// It would come again twice, and then be a dead letter.
#[tokio::test]
async fn an_event_of_the_log_that_is_none_is_kept() {
    let world = World::new().await;
    for event in [
        json!({"awslogs": {"data": "AAAA"}}),
        json!({"awslogs": {"data": "!!"}}),
        json!({"awslogs": {}}),
    ] {
        assert_eq!(world.sms_log(&event).await.quarantined, 1);
    }
    let kept = "quarantine where source = 'SMS_LOG' and reason = 'UNREADABLE' and payload like '%awslogs%'::bytea";
    assert_eq!(world.count(kept).await, 3);
    let replayed = world.replays(&json!({"source": "SMS_LOG"})).await;
    assert_eq!((replayed.matched, replayed.replayed), (3, 0));
    assert!(replayed.kept.iter().all(|kept| kept.reason == "UNREADABLE"));
    // One that reads by now.
    let line = json!({"notification": {"messageId": "x-1", "timestamp": "2026-11-23 10:00:00.000"},
                      "delivery": {"destination": "+34600999000", "providerResponse": "ok"}, "status": "SUCCESS"});
    sqlx::query(
        "update communications.quarantine set payload = $1 where payload like '%AAAA%'::bytea",
    )
    .bind(calls::sms_log(&[line]).to_string().into_bytes())
    .execute(&world.pool)
    .await
    .unwrap();
    let replayed = world.replays(&json!({"source": "SMS_LOG"})).await;
    let reasons: Vec<&str> = replayed
        .kept
        .iter()
        .map(|kept| kept.reason.as_str())
        .collect();
    assert_eq!(
        reasons
            .iter()
            .filter(|reason| **reason == "UNKNOWN_MESSAGE")
            .count(),
        1,
        "{reasons:?}"
    );
}
