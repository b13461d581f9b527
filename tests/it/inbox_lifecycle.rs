//! Who holds a conversation and how it stands: release, hand over, resolve, reopen, sleep and wake.

use crate::desk::{Desk, writes};
use comms_core::model::UserId;
use comms_simulator::Inbound;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn what_is_released_is_anybodys() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let none = json!({});
    assert_eq!(
        desk.colleague()
            .may_not("releaseConversation", none.clone())
            .await["assigned_to"],
        json!(desk.user)
    );
    for _ in 0..2 {
        let released = desk.does("releaseConversation", none.clone()).await;
        assert_eq!(released["assigned_to"], json!(null));
    }
    desk.colleague()
        .does("claimConversation", none.clone())
        .await;
    desk.administrator().does("releaseConversation", none).await;
    let kinds: Vec<String> = desk
        .events()
        .await
        .iter()
        .map(|event| event.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        ["OPENED", "CLAIMED", "RELEASED", "CLAIMED", "RELEASED"]
    );
}

#[tokio::test]
async fn a_conversation_is_handed_over_by_whoever_holds_it() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    let (me, other) = (desk.user, world.iberia.colleague);
    let to = |user: UserId| json!({"user_id": user});
    assert_eq!(
        desk.code("reassignConversation", to(other)).await,
        "claim-required"
    );
    desk.does("claimConversation", json!({})).await;
    assert_eq!(
        desk.colleague()
            .code("reassignConversation", to(other))
            .await,
        "conflict",
        "it is not theirs to take"
    );
    let moved = desk.does("reassignConversation", to(other)).await;
    assert_eq!(moved["assigned_to"], json!(other));
    assert_eq!(
        desk.code("reassignConversation", to(me)).await,
        "conflict",
        "it is not mine any more"
    );
    // The same again is no news, whoever asks.
    desk.does("reassignConversation", to(other)).await;
    assert_eq!(
        desk.events().await.last().unwrap(),
        &format!("REASSIGNED {me}>{other}")
    );
}

#[tokio::test]
async fn an_administrator_assigns_what_they_expected() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    let boss = desk.administrator();
    let (me, other) = (desk.user, world.iberia.colleague);
    let stale = boss
        .may_not(
            "reassignConversation",
            json!({"user_id": other, "expected_assignee": me}),
        )
        .await;
    assert_eq!(
        (stale["code"].clone(), stale["assigned_to"].clone()),
        (json!("conflict"), json!(null))
    );
    boss.does(
        "reassignConversation",
        json!({"user_id": me, "expected_assignee": null}),
    )
    .await;
    let stale = boss
        .may_not(
            "reassignConversation",
            json!({"user_id": other, "expected_assignee": null}),
        )
        .await;
    assert_eq!(stale["assigned_to"], json!(me));
    boss.does(
        "reassignConversation",
        json!({"user_id": other, "expected_assignee": me}),
    )
    .await;
    boss.does("reassignConversation", json!({"user_id": me}))
        .await;
    boss.does("resolveConversation", json!({})).await;
    assert_eq!(
        boss.code("reassignConversation", json!({"user_id": other}))
            .await,
        "conversation-resolved"
    );
}

#[tokio::test]
async fn of_two_hand_overs_from_one_holder_one_wins() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let boss = desk.administrator();
    let expected = desk.user;
    let tries = (0..20).map(|_| {
        let input = json!({"user_id": UserId::generate(), "expected_assignee": expected});
        async move { boss.asks("reassignConversation", input).await.0 }
    });
    let statuses = join_all(tries).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(
        world
            .count("conversation_events where kind = 'REASSIGNED'")
            .await,
        1
    );
}

#[tokio::test]
async fn what_was_resolved_is_reopened_for_its_holder() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    desk.does("resolveConversation", json!({"note": "done"}))
        .await;
    assert_eq!(
        desk.colleague().code("reopenConversation", json!({})).await,
        "conflict"
    );
    for _ in 0..2 {
        let reopened = desk
            .does("reopenConversation", json!({"note": "not done"}))
            .await;
        assert_eq!(reopened["status"], "OPEN");
    }
    assert_eq!(
        desk.events().await[2..],
        ["RESOLVED OPEN>RESOLVED", "REOPENED RESOLVED>OPEN"]
    );
    let held = "conversations where assigned_to is not null and status = 'OPEN'";
    assert_eq!(world.count(held).await, 1);
    assert_eq!(
        desk.code("reopenConversation", json!({"note": "x".repeat(4001)}))
            .await,
        "validation-failed"
    );
}

#[tokio::test]
async fn an_old_conversation_is_not_reopened_beside_a_live_one() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    desk.does("resolveConversation", json!({})).await;
    world
        .execute("update communications.tenant_settings set reopen_within_days = 1")
        .await;
    world
        .execute("update communications.conversations set resolved_at = now() - interval '2 days'")
        .await;
    writes(&world, "otra cosa").await;
    assert_eq!(world.count("conversations").await, 2);
    let refused = desk.may_not("reopenConversation", json!({})).await;
    let live: String = world
        .scalar("select id::text from communications.conversations where status = 'OPEN'")
        .await;
    assert_eq!(
        (refused["code"].clone(), refused["conversation_id"].clone()),
        (json!("conflict"), json!(live))
    );
}

#[tokio::test]
async fn a_snooze_ends_as_it_was_told() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let snooze = async |input| desk.does("snoozeConversation", input).await;
    let asleep = snooze(json!({"until": "2027-01-02T09:00:00.1234567+01:00"})).await;
    assert_eq!(asleep["snoozed_until"], "2027-01-02T09:00:00.123456+01:00");
    assert_eq!(asleep["snoozed_until_reply"], true);
    // The same again, however it is written, is no news.
    snooze(json!({"until": "2027-01-02T08:00:00.123456Z", "until_reply": true})).await;
    snooze(json!({"until": "2027-01-03T08:00:00Z", "until_reply": false})).await;
    writes(&world, "¿hola?").await;
    assert_eq!(
        world.count("conversations where status = 'SNOOZED'").await,
        1,
        "it sleeps through replies"
    );
    let asleep = snooze(json!({"until": null})).await;
    assert_eq!(asleep["snoozed_until"], json!(null));
    writes(&world, "¿hola?").await;
    let held =
        "conversations where status = 'OPEN' and snoozed_until is null and assigned_to is not null";
    assert_eq!(world.count(held).await, 1);
    assert_eq!(
        desk.events().await[2..],
        [
            "SNOOZED OPEN>2027-01-02T09:00:00.123456+01:00 or reply",
            "SNOOZED SNOOZED>2027-01-03T08:00:00Z",
            "SNOOZED SNOOZED>reply",
            "REOPENED SNOOZED>OPEN",
        ]
    );
}

#[tokio::test]
async fn what_cannot_sleep() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let refused = async |desk: &Desk<'_>, input| {
        desk.asks("snoozeConversation", input).await.1["message"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (input, message) in [
        (
            json!({"until": "2020-01-01T00:00:00Z"}),
            "until must be in the future",
        ),
        (
            json!({"until": "2099-01-01T00:00:00Z"}),
            "until must not be more than 366 days ahead",
        ),
        (
            json!({"until_reply": false}),
            "until must be given when until_reply is false",
        ),
        (
            json!({"until": "tomorrow"}),
            "until: must be RFC 3339 with an offset, such as 2026-12-01T09:00:00Z",
        ),
        (
            json!({"until": "2027-01-01T00:00:00"}),
            "until: must be RFC 3339 with an offset, such as 2026-12-01T09:00:00Z",
        ),
    ] {
        assert_eq!(refused(&desk, input).await, message);
    }
    assert_eq!(
        desk.colleague().code("snoozeConversation", json!({})).await,
        "conflict"
    );
    desk.does("resolveConversation", json!({})).await;
    assert_eq!(
        desk.code("snoozeConversation", json!({})).await,
        "conversation-resolved"
    );
}

/// Woken by a reply and by the clock at once, and resolved meanwhile: one state, and every event tells a real change.
#[tokio::test]
async fn a_reply_and_the_clock_wake_it_once() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    for round in 0..5 {
        desk.does(
            "snoozeConversation",
            json!({"until": "2027-01-02T09:00:00Z"}),
        )
        .await;
        world.execute("update communications.conversations set snoozed_until = now() - interval '1 second'").await;
        let database = world.database();
        let wake = || snooze_wakeup::handle(&database);
        let text = format!("hola {round}");
        let ((), first, second) = tokio::join!(writes(&world, &text), wake(), wake());
        assert!(first.unwrap().woken + second.unwrap().woken <= 1);
        assert_eq!(
            world
                .count("conversation_events where kind = 'REOPENED'")
                .await,
            round + 1
        );
        assert_eq!(world.count("conversations where status = 'OPEN'").await, 1);
    }
}

/// The emptied thread of somebody who was merged is history.
#[tokio::test]
async fn the_thread_of_a_merged_contact_stays_closed() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    world
        .customer_writes(&Inbound::text("34600333444", "yo también"))
        .await;
    let (kept, live): (Uuid, Uuid) =
        sqlx::query_as("select contact_id, id from communications.conversations where id <> $1")
            .bind(desk.conversation.0)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    let merged: Uuid = world
        .scalar(
            "select id from communications.contacts where identifiers ->> 'phone' like '%111222%'",
        )
        .await;
    let input = json!({"kept_contact_id": kept, "merged_contact_id": merged});
    world
        .acts_as(
            "tenant_admin",
            world.iberia.tenant,
            desk.user,
            "mergeContacts",
            &input,
        )
        .await
        .unwrap();
    let refused = desk.may_not("reopenConversation", json!({})).await;
    assert_eq!(
        (refused["code"].clone(), refused["conversation_id"].clone()),
        (json!("conflict"), json!(live))
    );
}
