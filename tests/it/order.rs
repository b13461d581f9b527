//! Within a conversation and a lane nothing overtakes, whatever the earlier message waits for but a clock; other conversations go on.

use crate::flow::{dispatch, hinted, in_one_conversation, later, queue, scan, status, whatsapp};
use comms_core::model::DispatchMessageJob;
use comms_simulator::{Answer, Script};
use comms_tests::world::World;

/// Three messages of one conversation and one of another.
async fn conversations(world: &World) -> (Vec<DispatchMessageJob>, DispatchMessageJob) {
    let from = whatsapp(&world.iberia);
    let chat = queue(world, from, "INTERACTIVE", "SERVICE", 3).await;
    in_one_conversation(world, &chat).await;
    let other = queue(world, from, "INTERACTIVE", "SERVICE", 1).await;
    in_one_conversation(world, &other).await;
    (chat, other[0])
}

async fn everything(world: &World) {
    dispatch(world, &world.queued().await).await;
}

fn sent(world: &World) -> Vec<String> {
    world
        .simulator
        .calls()
        .into_iter()
        .filter(|call| call.accepted)
        .filter_map(|call| call.correlation)
        .collect()
}

/// By hints alone, until all are sent: in their order.
async fn assert_goes_on_in_order(world: &World, chat: &[DispatchMessageJob]) {
    for _ in 0..10 {
        later(world, 10.0).await;
        hinted(world).await;
    }
    let sent = sent(world);
    let places: Vec<Option<usize>> = chat
        .iter()
        .map(|job| sent.iter().position(|id| *id == job.message_id.to_string()))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?}"
    );
}

#[tokio::test]
async fn nothing_overtakes_what_waits_for_its_next_try() {
    let world = World::new().await;
    let (chat, other) = conversations(&world).await;
    let first = chat[0].message_id.to_string();
    world.simulator.script(Script {
        correlation: Some(first),
        ..Script::fail(131_016)
    });
    everything(&world).await;
    everything(&world).await;
    let sent = sent(&world);
    assert!(sent.contains(&other.message_id.to_string()));
    assert!(
        chat[1..]
            .iter()
            .all(|job| !sent.contains(&job.message_id.to_string()))
    );
    assert_goes_on_in_order(&world, &chat).await;
}

#[tokio::test]
async fn nothing_overtakes_what_waits_for_a_slot() {
    let world = World::new().await;
    let (chat, _) = conversations(&world).await;
    world
        .execute(
            "insert into communications.rate_buckets (tenant_id, account_id, kind, tat, step)
             select tenant_id, id, kind, now() + interval '9 seconds', 1
               from communications.channel_accounts cross join (values ('SHARED'), ('RESERVE')) as k (kind)
              where external_account_id = '100000000000001'",
        )
        .await;
    everything(&world).await;
    assert!(sent(&world).is_empty());
    // Slots are free again, and the later messages are asked about first.
    world
        .execute("delete from communications.rate_buckets")
        .await;
    dispatch(&world, &chat[1..]).await;
    assert!(sent(&world).is_empty());
    assert_goes_on_in_order(&world, &chat).await;
    assert_eq!(sent(&world).len(), 4);
}

#[tokio::test]
async fn nothing_overtakes_behind_a_breaker() {
    let world = World::new().await;
    let (chat, _) = conversations(&world).await;
    world
        .execute(
            "insert into communications.breakers (tenant_id, account_id, failures, open_until)
             select tenant_id, id, 5, now() + interval '30 seconds' from communications.channel_accounts
              where external_account_id = '100000000000001'",
        )
        .await;
    everything(&world).await;
    dispatch(&world, &chat[1..]).await;
    assert!(sent(&world).is_empty());
    assert_goes_on_in_order(&world, &chat).await;
    assert_eq!(sent(&world).len(), 4);
}

#[tokio::test]
async fn nothing_overtakes_what_is_being_sent_and_doubt_holds_up_nobody() {
    let world = World::new().await;
    let (chat, _) = conversations(&world).await;
    world.simulator.script(Script {
        correlation: Some(chat[0].message_id.to_string()),
        delay_ms: 300,
        answer: Answer::HangUp { accepted: true },
        ..Script::default()
    });
    let worker = world.another_worker(&world.simulator.url());
    let meanwhile = async {
        world.simulator.wait_for_calls(1).await;
        worker.dispatch(&chat[1..]).await.unwrap()
    };
    let ((), meanwhile) = futures_util::join!(dispatch(&world, &chat[..1]), meanwhile);
    assert_eq!(meanwhile.claimed, 0);
    assert_eq!(status(&world, &chat[0]).await, "UNCERTAIN");
    assert_goes_on_in_order(&world, &chat).await;
}

/// A time that was asked for, quiet hours, a batch that is held: none of them holds back what is said after it.
#[tokio::test]
async fn what_waits_for_a_clock_is_overtaken() {
    let asleep = "quiet_hours = jsonb_build_object('from', to_char(now() at time zone 'UTC' - interval '1 hour', 'HH24:MI'),
         'to', to_char(now() at time zone 'UTC' + interval '2 hours', 'HH24:MI'), 'zone', 'UTC', 'action', 'HOLD')";
    for (waits, goes_on) in [
        ("due_at = now() + interval '8 hours'".to_owned(), true),
        (
            "due_at = 'infinity', held_due_at = now(), fence = 1".to_owned(),
            true,
        ),
        (
            format!("due_at = now() + interval '2 hours', fence = 1, {asleep}"),
            true,
        ),
        (
            "due_at = now() + interval '8 seconds', fence = 1".to_owned(),
            false,
        ),
    ] {
        let world = World::new().await;
        let (chat, _) = conversations(&world).await;
        let sql = format!("update communications.messages set {waits} where id = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(chat[0].message_id)
            .execute(&world.pool)
            .await
            .unwrap();
        everything(&world).await;
        everything(&world).await;
        let sent = sent(&world);
        let is_sent = |job: &DispatchMessageJob| sent.contains(&job.message_id.to_string());
        assert!(!is_sent(&chat[0]), "{waits}");
        assert!(
            chat[1..].iter().all(|job| is_sent(job) == goes_on),
            "{waits}"
        );
    }
}

/// What ends wakes the next, and a lost hint is found, past the one that waits for a clock.
#[tokio::test]
async fn behind_a_clock_each_wakes_the_next_and_the_scan_finds_what_lost_its_hint() {
    let world = World::new().await;
    let (chat, _) = conversations(&world).await;
    let tomorrow = "update communications.messages set due_at = now() + interval '20 hours', expires_at = now() + interval '2 days' where id = $1";
    sqlx::query(tomorrow)
        .bind(chat[0].message_id)
        .execute(&world.pool)
        .await
        .unwrap();
    world.take_hints().await;
    dispatch(&world, &chat[1..2]).await;
    let woken = world.take_hints().await;
    let third = chat[2].message_id.to_string();
    assert!(woken.iter().any(|hint| hint.contains(&third)), "{woken:?}");
    // It is lost; a quarter of an hour later the scan finds it.
    world
        .execute("update communications.messages set hint_at = now() - interval '15 minutes', due_at = least(due_at, now() - interval '15 minutes') where status = 'QUEUED' and due_at < now() + interval '1 hour'")
        .await;
    assert_eq!(
        scan(&world).await.repaired.republished,
        2,
        "the other conversation's too"
    );
    assert!(
        world
            .take_hints()
            .await
            .iter()
            .any(|hint| hint.contains(&third))
    );
}
