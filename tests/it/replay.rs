//! What an outage left behind, sent again in bulk: counted first, paced, and never twice for one original.

use crate::planted::{end_all, more, one};
use comms_core::model::DispatchMessageJob;
use comms_simulator::Inbound;
use comms_tests::calls;
use comms_tests::seed::opt_out;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};

async fn replays(world: &World, input: &Value) -> Result<Value, String> {
    let (tenant, user) = (world.iberia.tenant, world.iberia.colleague);
    world
        .acts_as("tenant_admin", tenant, user, "replayMessages", input)
        .await
}

fn since(dry_run: bool, more: &Value) -> Value {
    let mut filter = json!({"failed_after": "2020-01-01T00:00:00Z"});
    if let (Some(filter), Some(more)) = (filter.as_object_mut(), more.as_object()) {
        filter.extend(more.clone());
    }
    json!({"filter": filter, "dry_run": dry_run})
}

async fn replay(world: &World, dry_run: bool) -> Value {
    replays(world, &since(dry_run, &json!({}))).await.unwrap()
}

fn counts(answer: &Value) -> (i64, i64, i64) {
    let of = |member: &str| answer[member].as_i64().unwrap();
    (of("matched"), of("replayable"), of("replayed"))
}

fn skipped(answer: &Value) -> Vec<(&str, i64)> {
    let skipped = answer["skipped"].as_array().unwrap().iter();
    skipped
        .map(|skip| {
            (
                skip["reason"].as_str().unwrap(),
                skip["count"].as_i64().unwrap(),
            )
        })
        .collect()
}

/// So many failed an hour ago because the token was refused.
async fn outage(world: &World, count: i32) {
    let first = one(world).await;
    more(world, first, count - 1).await;
    end_all(world, "FAILED", "AUTH", "190").await;
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let world = World::new().await;
    outage(&world, 30).await;
    world
        .execute("update communications.messages set failed_code = '0' where address like '%1'")
        .await;
    let answer = replay(&world, true).await;
    assert_eq!(counts(&answer), (30, 30, 0));
    assert_eq!(
        answer["groups"],
        json!([
            {"class": "AUTH", "code": "190", "channel": "WHATSAPP", "count": 27},
            {"class": "AUTH", "code": "0", "channel": "WHATSAPP", "count": 3},
        ])
    );
    assert_eq!(world.outbound().await, vec!["FAILED"; 30]);
}

#[tokio::test]
async fn a_replay_copies_each_once_however_many_ask_and_is_paced() {
    let world = World::new().await;
    outage(&world, 300).await;
    let answers = join_all((0..4).map(|_| replay(&world, false))).await;
    let replayed: i64 = answers.iter().map(|answer| counts(answer).2).sum();
    assert_eq!((replayed, world.outbound().await.len()), (300, 600));
    let again = replay(&world, false).await;
    assert_eq!(counts(&again), (300, 0, 0));
    assert_eq!(skipped(&again), [("ALREADY_REPLAYED", 300)]);
    let waiting =
        "messages where status = 'QUEUED' and hint_at = '-infinity' and replay_of is not null";
    assert_eq!(world.count(waiting).await, 300);
    world.take_hints().await;

    let released = stuck_scan::handle(&world.scan).await.unwrap().repaired;
    assert!((1..=600).contains(&released.released), "{released:?}");
    let slots: i64 = world
        .scalar(
            "select count(distinct slot_at) from communications.messages where slot_at is not null",
        )
        .await;
    assert!(slots > 100, "each has a slot of its own: {slots}");
    let turn: Vec<DispatchMessageJob> = world.queued().await;
    world
        .execute("update communications.messages set slot_at = now() where slot_at is not null")
        .await;
    let response = dispatch_worker::handle(&world.worker, calls::batch(&turn[..10])).await;
    assert!(response.batch_item_failures.is_empty());
    let sent = world
        .count("messages where status = 'SENT' and replay_of is not null")
        .await;
    assert_eq!((sent, world.simulator.calls().len()), (10, 10));
}

/// The outage ended by night: whoever sleeps is not woken for it.
#[tokio::test]
async fn a_copy_waits_for_the_morning_as_its_original_would() {
    let world = World::new().await;
    outage(&world, 2).await;
    world
        .execute(
            "update communications.messages
                set expires_at = created_at + interval '30 hours', quiet_hours = jsonb_build_object(
                        'from', to_char(now() at time zone 'UTC' - interval '1 hour', 'HH24:MI'),
                        'to', to_char(now() at time zone 'UTC' + interval '2 hours', 'HH24:MI'), 'zone', 'UTC', 'action', 'HOLD')
              where id = (select min(id::text)::uuid from communications.messages)",
        )
        .await;
    assert_eq!(counts(&replay(&world, false).await), (2, 2, 2));
    world.step_dispatch().await;
    let copies: Vec<(String, bool)> = sqlx::query_as(
        "select status, due_at > now() + interval '1 hour' from communications.messages
          where replay_of is not null order by replay_of",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        copies,
        [("QUEUED".to_owned(), true), ("SENT".to_owned(), false)]
    );
    assert_eq!(world.simulator.calls().len(), 1);
}

#[tokio::test]
async fn a_limit_takes_the_oldest_and_the_next_call_goes_on() {
    let world = World::new().await;
    outage(&world, 25).await;
    world
        .execute("update communications.messages set failed_at = failed_at - interval '1 minute' where address like '%1'")
        .await;
    for replayed in [3, 3, 3] {
        let mut input = since(false, &json!({}));
        input["limit"] = json!(3);
        let answer = replays(&world, &input).await.unwrap();
        assert_eq!(counts(&answer).2, replayed);
    }
    let oldest: i64 = world
        .scalar("select count(*) from communications.messages o join communications.messages c on c.replay_of = o.id where o.address like '%1'")
        .await;
    assert_eq!(oldest, 3, "those of the earlier minute came first");
    assert_eq!(counts(&replay(&world, false).await), (25, 16, 16));
}

#[tokio::test]
async fn every_member_of_the_filter_narrows() {
    let world = World::new().await;
    outage(&world, 10).await;
    world
        .execute("update communications.messages set failed_code = '7', category = 'OTP' where address like '%1'")
        .await;
    let (soon, ago) = ("2999-01-01T00:00:00Z", "2020-01-02T00:00:00+02:00");
    for (narrowed, matched) in [
        (json!({"status": "FAILED"}), 10),
        (json!({"status": "EXPIRED"}), 0),
        (json!({"class": "AUTH"}), 10),
        (json!({"class": "UNKNOWN"}), 0),
        (json!({"code": "7"}), 1),
        (json!({"category": "OTP"}), 1),
        (json!({"channel": "WHATSAPP"}), 10),
        (json!({"channel": "SMS"}), 0),
        (json!({"trigger_event": "TRIP_DELAYED"}), 1),
        (json!({"trigger_event": "TRIP_CANCELLED"}), 0),
        (json!({"failed_before": soon}), 10),
        (json!({"failed_before": ago}), 0),
        (json!({"failed_after": soon}), 0),
    ] {
        let answer = replays(&world, &since(true, &narrowed)).await.unwrap();
        assert_eq!(counts(&answer).0, matched, "{narrowed}");
    }
}

#[tokio::test]
async fn a_copy_is_found_by_the_trigger_that_it_goes_back_to() {
    let world = World::new().await;
    outage(&world, 1).await;
    replay(&world, false).await;
    end_all(&world, "EXPIRED", "AUTH", "190").await;
    let of_trigger = json!({"trigger_event": "TRIP_DELAYED", "status": "EXPIRED"});
    let answer = replays(&world, &since(false, &of_trigger)).await.unwrap();
    assert_eq!(counts(&answer), (1, 1, 1));
}

/// Windows of time that follow each other miss nothing, however late it is noticed that a message is out of date.
#[tokio::test]
async fn an_expired_message_ended_when_that_was_noticed() {
    let world = World::new().await;
    one(&world).await;
    world
        .execute(
            "update communications.messages set expires_at = now() - interval '2 hours', status = 'EXPIRED'",
        )
        .await;
    let ago: String = world
        .scalar("select to_char((now() - interval '1 minute') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        .await;
    for (time, matched) in [("failed_after", 1), ("failed_before", 0)] {
        let answer = replays(&world, &since(true, &json!({time: ago})))
            .await
            .unwrap();
        assert_eq!(counts(&answer).0, matched, "{time}");
    }
}

#[tokio::test]
async fn consent_and_senders_are_those_of_now() {
    let world = World::new().await;
    outage(&world, 3).await;
    let contact = world.scalar("select id from communications.contacts").await;
    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED'")
        .await;
    let answer = replay(&world, false).await;
    assert_eq!(skipped(&answer), [("NO_ACTIVE_ACCOUNT", 3)]);
    opt_out(&world.pool, world.iberia.tenant, contact)
        .await
        .unwrap();
    let answer = replay(&world, false).await;
    assert_eq!(skipped(&answer), [("NO_CONSENT", 3)]);
    assert_eq!(world.outbound().await.len(), 3);
}

#[tokio::test]
async fn an_advertisement_that_may_have_been_sent_is_left_alone() {
    let world = World::new().await;
    let first = one(&world).await;
    more(&world, first, 1).await;
    end_all(&world, "FAILED", "AMBIGUOUS", "outcome-unknown").await;
    world
        .execute("update communications.messages set category = 'MARKETING' where step = 0 and run_id is null")
        .await;
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
             select tenant_id, communications.uuid_v7(), id, 'WHATSAPP', 'MARKETING', true, 'request', 'agent'
               from communications.contacts",
        )
        .await;
    let answer = replay(&world, false).await;
    assert_eq!(counts(&answer), (2, 1, 1));
    assert_eq!(skipped(&answer), [("MAY_HAVE_BEEN_SENT", 1)]);
}

#[tokio::test]
async fn free_form_needs_its_window() {
    let world = World::new().await;
    world
        .customer_writes(&Inbound::text("34600111222", "hola"))
        .await;
    let conversation = world.only_conversation().await;
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    let input = json!({"conversation_id": conversation});
    let act = async |action: &str, input: &Value| {
        world
            .agent_acts(tenant, agent, action, input)
            .await
            .unwrap()
    };
    act("claimConversation", &input).await;
    let input = json!({"conversation_id": conversation, "client_message_id": "m", "content": {"text": "sí"}});
    act("sendAgentMessage", &input).await;
    end_all(&world, "FAILED", "AUTH", "190").await;
    assert_eq!(counts(&replay(&world, true).await), (1, 1, 0));
    world
        .execute("update communications.whatsapp_windows set open_until = now()")
        .await;
    assert_eq!(
        skipped(&replay(&world, false).await),
        [("WINDOW_CLOSED", 1)]
    );
}

/// A chain of two, WhatsApp and email, and how each ended.
async fn chain(world: &World, first: &str, second: &str) {
    world.iberia.connect_email(&world.pool).await.unwrap();
    one(world).await;
    world.simulator.script(crate::planted::fails(131_026));
    world.step_dispatch().await;
    let sql = format!(
        "begin; set local session_replication_role = replica;
         update communications.messages set failed_at = coalesce(failed_at, now()),
                status = case channel when 'WHATSAPP' then '{first}' else '{second}' end;
         commit"
    );
    let run = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
    run.execute(&world.pool).await.unwrap();
    assert_eq!(world.outbound().await, [first, second]);
}

#[tokio::test]
async fn who_was_reached_by_the_chain_is_left_alone() {
    for (first, second, reason) in [
        ("FAILED", "SENT", "REACHED_BY_CHAIN"),
        ("FAILED", "READ", "REACHED_BY_CHAIN"),
        ("READ", "FAILED", "REACHED_BY_CHAIN"),
        ("FAILED", "QUEUED", "FALLBACK_PENDING"),
        ("FAILED", "UNCERTAIN", "FALLBACK_PENDING"),
    ] {
        let world = World::new().await;
        chain(&world, first, second).await;
        let answer = replay(&world, false).await;
        assert_eq!(skipped(&answer), [(reason, 1)], "{first}, {second}");
        assert_eq!(world.outbound().await.len(), 2);
    }
}

#[tokio::test]
async fn of_a_chain_that_failed_from_end_to_end_one_channel_tries_again() {
    let world = World::new().await;
    chain(&world, "FAILED", "FAILED").await;
    let answer = replay(&world, false).await;
    assert_eq!(counts(&answer), (2, 1, 1));
    assert_eq!(skipped(&answer), [("ONE_OF_CHAIN", 1)]);
    let channel: String = world
        .scalar("select channel from communications.messages where replay_of is not null")
        .await;
    assert_eq!(channel, "WHATSAPP");
    let again = replay(&world, false).await;
    assert_eq!(skipped(&again), [("ALREADY_REPLAYED", 2)]);
}

#[tokio::test]
async fn only_the_tenants_administrators_replay_and_only_their_own() {
    let world = World::new().await;
    outage(&world, 2).await;
    let input = since(false, &json!({}));
    for role in ["dispatcher", "admin", "service"] {
        let refused = world
            .acts_as(
                role,
                world.iberia.tenant,
                world.iberia.agent,
                "replayMessages",
                &input,
            )
            .await;
        assert_eq!(refused.unwrap_err(), "forbidden", "{role}");
    }
    let (tenant, user) = (world.albion.tenant, world.albion.agent);
    let foreign = world
        .acts_as("tenant_admin", tenant, user, "replayMessages", &input)
        .await;
    assert_eq!(counts(&foreign.unwrap()), (0, 0, 0));
    assert_eq!(world.outbound().await.len(), 2);
}

#[tokio::test]
async fn what_is_not_clearly_said_is_refused() {
    let world = World::new().await;
    let good = since(true, &json!({}));
    for (member, value) in [
        ("limit", json!(0)),
        ("limit", json!(10_001)),
        ("limit", json!("5")),
        ("dry_run", json!("no")),
        ("dry_run", json!(null)),
        ("filter", json!([])),
        ("filter", json!({})),
        ("filter", json!({"failed_after": "2020-01-01"})),
        ("tenant_id", json!("0192f000-0000-7000-8000-00000000000b")),
    ] {
        let mut input = good.clone();
        input[member] = value;
        let refused = replays(&world, &input).await.unwrap_err();
        assert_eq!(refused, "validation-failed", "{input}");
    }
}
