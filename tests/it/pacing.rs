//! Nobody sends faster than its sender and its provider allow; waiting costs nothing, and the reserve is for who needs it.

use crate::flow::{self, assert_called_once_each, hinted, later, queue, scan, tally, whatsapp};
use comms_core::model::DispatchMessageJob;
use comms_tests::world::World;
use futures_util::future::join_all;
use std::collections::HashMap;
use uuid::Uuid;

/// Seconds from slot to slot in the shared part of a number with ten messages a second: Meta counts what comes in as well,
/// and a fifth is the interactive lane's.
const STEP: f64 = 1.0 / (10.0 * 0.9 * 0.8);

async fn ten_a_second(world: &World) {
    world
        .execute("update communications.channel_accounts set throughput_per_second = 10")
        .await;
}

/// Slots of these messages, in seconds since 1970; null where none is free within the horizon.
async fn reserve(world: &World, jobs: &[DispatchMessageJob]) -> Vec<Option<f64>> {
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = jobs
        .iter()
        .map(|job| (job.tenant_id.0, job.message_id.0))
        .unzip();
    sqlx::query_scalar(
        "select extract(epoch from slot)::float8 from communications.reserve_slots($1, $2) r
           join unnest($2) with ordinality as w (id, nth) on w.id = r.id order by nth",
    )
    .bind(&tenants)
    .bind(&ids)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

fn assert_spaced(mut slots: Vec<f64>, step: f64) {
    slots.sort_by(f64::total_cmp);
    for pair in slots.windows(2) {
        assert!(
            pair[1] - pair[0] > step - 1e-5,
            "{} and {} are closer than {step}",
            pair[0],
            pair[1]
        );
    }
}

async fn moment(world: &World) -> f64 {
    world
        .scalar("select extract(epoch from clock_timestamp())::float8")
        .await
}

fn given(slots: Vec<Option<f64>>) -> Vec<f64> {
    slots.into_iter().flatten().collect()
}

#[tokio::test]
async fn two_hundred_behind_a_rate_of_ten_are_sent_once_each_at_that_rate_and_at_no_cost() {
    let world = World::new().await;
    ten_a_second(&world).await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "BULK",
        "TRANSACTIONAL",
        200,
    )
    .await;
    let mut slots: HashMap<Uuid, f64> = HashMap::new();
    let mut elapsed = 0.0;
    hinted(&world).await;
    assert!(
        world.simulator.calls().len() <= 30,
        "only what has a slot within two seconds"
    );
    let waiting: i64 = world
        .scalar("select count(*) from communications.messages where status = 'QUEUED' and attempts = 0 and deferrals > 0")
        .await;
    assert_eq!(
        waiting,
        200 - i64::try_from(world.simulator.calls().len()).unwrap()
    );
    let hinted_otherwise =
        "messages where status = 'QUEUED' and hint_at not in (slot_at, '-infinity')";
    assert_eq!(
        world.count(hinted_otherwise).await,
        0,
        "looked at when its slot comes"
    );
    for _ in 0..20 {
        let rows: Vec<(Uuid, f64)> = sqlx::query_as(
            "select id, extract(epoch from slot_at)::float8 from communications.messages
              where status = 'QUEUED' and slot_at is not null",
        )
        .fetch_all(&world.pool)
        .await
        .unwrap();
        for (id, slot) in rows {
            slots.entry(id).or_insert(elapsed + slot);
        }
        if tally(&world).await.get("SENT") == Some(&200) {
            break;
        }
        later(&world, 7.0).await;
        elapsed += 7.0;
        hinted(&world).await;
        scan(&world).await;
    }
    assert_eq!(tally(&world).await["SENT"], 200);
    assert_called_once_each(&world, &jobs);
    let attempts: i32 = world
        .scalar("select max(attempts) from communications.messages")
        .await;
    assert_eq!(attempts, 1);
    assert!(slots.len() > 150, "most had to wait for theirs");
    let slots: Vec<f64> = slots.into_values().collect();
    let (first, last) = slots
        .iter()
        .fold((f64::MAX, f64::MIN), |(a, b), s| (a.min(*s), b.max(*s)));
    let count = f64::from(u32::try_from(slots.len()).unwrap());
    assert_spaced(slots, STEP);
    let used = (count - 1.0) * STEP / (last - first);
    assert!(
        (0.95..1.02).contains(&used),
        "{used} of the shared bucket is used"
    );
}

#[tokio::test]
async fn slots_are_a_step_apart_and_end_at_the_horizon() {
    let world = World::new().await;
    ten_a_second(&world).await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "BULK",
        "TRANSACTIONAL",
        100,
    )
    .await;
    let mut slots = given(reserve(&world, &jobs[..50]).await);
    assert_eq!(slots.len(), 50);
    let more = reserve(&world, &jobs[50..]).await;
    assert!(more.iter().any(Option::is_none));
    slots.extend(given(more));
    assert!(
        (72..100).contains(&slots.len()),
        "ten seconds of it: {}",
        slots.len()
    );
    assert_spaced(slots, STEP);
    assert!(
        given(reserve(&world, &jobs).await).len() < 20,
        "nothing is left"
    );
}

/// A hint for what waits to be released would come back at once, and again, as long as it waits.
#[tokio::test]
async fn what_waits_for_its_turn_gets_no_hint() {
    let mut world = World::new().await;
    world.leaves_messages_in_flight();
    ten_a_second(&world).await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "BULK",
        "TRANSACTIONAL",
        200,
    )
    .await;
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = jobs
        .iter()
        .map(|job| (job.tenant_id.0, job.message_id.0))
        .unzip();
    let (at_once, later, never): (i64, i64, i64) = sqlx::query_as(
        "select count(*) filter (where hint_in < 1), count(*) filter (where hint_in >= 1), count(*) filter (where hint_in is null)
           from communications.claim_messages($1, $2, 45) where status = 'QUEUED'",
    )
    .bind(&tenants)
    .bind(&ids)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(at_once, 0);
    assert!(
        later > 0 && never > 90,
        "{later} later, {never} when there is a slot"
    );
}

#[tokio::test]
async fn an_answer_has_the_reserve_while_a_campaign_has_used_up_the_rest() {
    let world = World::new().await;
    ten_a_second(&world).await;
    let from = whatsapp(&world.iberia);
    let bulk = queue(&world, from, "BULK", "TRANSACTIONAL", 100).await;
    assert_eq!(given(reserve(&world, &bulk).await).len(), 72);
    let reserve_tat = "select tat::text from communications.rate_buckets where kind = 'RESERVE'";
    assert_eq!(
        world.scalar::<String>(reserve_tat).await,
        "-infinity",
        "a campaign never has the reserve"
    );
    let answers = queue(&world, from, "INTERACTIVE", "SERVICE", 30).await;
    let slots = given(reserve(&world, &answers).await);
    assert!(slots[0] < moment(&world).await, "at once");
    assert_eq!(slots.len(), 18, "ten seconds of the reserve");
    assert_spaced(slots, 1.0 / (10.0 * 0.9 * 0.2));
    let after: String = world.scalar(reserve_tat).await;
    reserve(&world, &bulk).await;
    assert_eq!(world.scalar::<String>(reserve_tat).await, after, "nor now");
}

#[tokio::test]
async fn a_tenant_without_a_backlog_is_not_behind_one_with_a_thousand() {
    let world = World::new().await;
    let loud = flow::account(&world, world.iberia.tenant, "SMS", "SNS").await;
    let quiet = flow::account(&world, world.albion.tenant, "SMS", "SNS").await;
    let flood = queue(&world, loud, "BULK", "TRANSACTIONAL", 1000).await;
    let mut granted = 0;
    for batch in flood.chunks(50) {
        granted += given(reserve(&world, batch).await).len();
    }
    assert!(
        (160..=300).contains(&granted),
        "the shared part of the provider: {granted}"
    );
    let one = queue(&world, quiet, "TRANSACTIONAL", "TRANSACTIONAL", 10).await;
    let slots = given(reserve(&world, &one).await);
    let now = moment(&world).await;
    assert!(
        slots.len() == 10 && slots[0] < now && slots[9] < now + 3.0,
        "{slots:?}"
    );
    let order = given(reserve(&world, &flood[..1]).await);
    assert!(
        order.iter().all(|slot| *slot > now + 5.0),
        "the flood waits"
    );
}

#[tokio::test]
async fn a_slow_sender_does_not_use_up_the_provider_of_all() {
    let world = World::new().await;
    let slow = flow::account(&world, world.iberia.tenant, "SMS", "SNS").await;
    world.execute("update communications.channel_accounts set throughput_per_second = 1 where provider = 'SNS'").await;
    let quick = flow::account(&world, world.albion.tenant, "SMS", "SNS").await;
    let few = queue(&world, slow, "BULK", "TRANSACTIONAL", 200).await;
    let mut slots = given(reserve(&world, &few).await);
    assert_eq!(slots.len(), 8, "ten seconds at four fifths of one a second");
    let many = queue(&world, quick, "BULK", "TRANSACTIONAL", 200).await;
    let others = given(reserve(&world, &many).await);
    assert!(
        others.len() >= 150,
        "{} of the provider's 160 are left",
        others.len()
    );
    // And behind a crowded provider the slow one is still slow.
    later(&world, 9.0).await;
    slots = given(reserve(&world, &few).await);
    assert!(slots.len() > 3);
    assert_spaced(slots, 1.25);
}

#[tokio::test]
async fn ten_workers_at_once_never_reserve_a_slot_twice() {
    let world = World::new().await;
    ten_a_second(&world).await;
    let jobs = queue(&world, whatsapp(&world.iberia), "BULK", "TRANSACTIONAL", 60).await;
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = jobs
        .iter()
        .map(|job| (job.tenant_id.0, job.message_id.0))
        .unzip();
    // Overlapping: worker n has forty of the sixty, from its own place on.
    let claims = (0..10).map(|worker: usize| {
        let (mut tenants, mut ids) = (tenants.clone(), ids.clone());
        tenants.rotate_left(worker * 6);
        ids.rotate_left(worker * 6);
        (tenants[..40].to_vec(), ids[..40].to_vec())
    });
    let claimed: Vec<(Uuid, String, f64)> = join_all(claims.map(|(tenants, ids)| {
        sqlx::query_as::<_, (Uuid, String, f64)>(
            "select message_id, status, extract(epoch from now())::float8 + case status when 'SENDING' then send_in else hint_in end
               from communications.claim_messages($1, $2, 45) where status = 'SENDING' or hint_in is not null",
        )
        .bind(tenants)
        .bind(ids)
        .fetch_all(&world.pool)
    }))
    .await
    .into_iter()
    .flat_map(Result::unwrap)
    .collect();
    let sending: Vec<Uuid> = claimed
        .iter()
        .filter(|row| row.1 == "SENDING")
        .map(|row| row.0)
        .collect();
    let mut once = sending.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), sending.len(), "claimed by one");
    let mut slots: HashMap<Uuid, f64> = HashMap::new();
    for (id, _, slot) in claimed {
        let before = *slots.entry(id).or_insert(slot);
        assert!((before - slot).abs() < 1e-4, "one message has one slot");
    }
    assert_eq!(slots.len(), 60);
    assert_spaced(slots.into_values().collect(), STEP - 1e-4);
    world.execute("update communications.messages set status = 'UNCERTAIN', lease_until = null where status = 'SENDING'").await;
}

#[tokio::test]
async fn a_text_of_three_parts_takes_three_slots() {
    let world = World::new().await;
    let from = flow::account(&world, world.iberia.tenant, "SMS", "SNS").await;
    let jobs = queue(&world, from, "TRANSACTIONAL", "TRANSACTIONAL", 60).await;
    world
        .execute("update communications.messages set units = 3")
        .await;
    let slots = given(reserve(&world, &jobs).await);
    let again = reserve(&world, &jobs).await;
    assert!(
        slots.len() >= 54 && given(again).len() < 10,
        "{}",
        slots.len()
    );
    assert_spaced(slots, 3.0 / 16.0);
}

#[tokio::test]
async fn one_in_twenty_seconds_goes_on_all_the_same() {
    let world = World::new().await;
    world.execute("update communications.provider_limits set rate_per_second = 0.0625 where provider = 'SNS'").await;
    let from = flow::account(&world, world.iberia.tenant, "SMS", "SNS").await;
    let jobs = queue(&world, from, "BULK", "TRANSACTIONAL", 3).await;
    let mut sent_after = Vec::new();
    for minute in 0..12 {
        hinted(&world).await;
        scan(&world).await;
        hinted(&world).await;
        let sent = tally(&world).await.get("SENT").copied().unwrap_or_default();
        if usize::try_from(sent).unwrap() > sent_after.len() {
            sent_after.resize(usize::try_from(sent).unwrap(), minute);
        }
        later(&world, 60.0).await;
    }
    assert_eq!(sent_after.len(), jobs.len(), "{sent_after:?}");
}

#[tokio::test]
async fn more_than_ten_quick_messages_to_one_person_are_spread_and_others_go_on() {
    let world = World::new().await;
    let from = whatsapp(&world.iberia);
    let chatty = queue(&world, from, "INTERACTIVE", "SERVICE", 14).await;
    flow::in_one_conversation(&world, &chatty).await;
    for _ in 0..20 {
        flow::dispatch(&world, &chatty).await;
    }
    let quick = world.simulator.calls().len();
    assert!((10..=11).contains(&quick), "{quick}");
    let other = queue(&world, from, "INTERACTIVE", "SERVICE", 1).await;
    flow::dispatch(&world, &other).await;
    assert_eq!(world.simulator.calls().len(), quick + 1);
    for _ in 0..6 {
        later(&world, 6.5).await;
        hinted(&world).await;
    }
    let mut all = chatty.clone();
    all.extend(other);
    assert_called_once_each(&world, &all);
    let order: Vec<String> = world
        .simulator
        .calls()
        .into_iter()
        .filter_map(|call| call.correlation)
        .collect();
    let written: Vec<String> = chatty
        .iter()
        .map(|job| job.message_id.to_string())
        .collect();
    let chat: Vec<&String> = order.iter().filter(|id| written.contains(id)).collect();
    assert!(
        chat.iter().copied().eq(written.iter()),
        "in the order of their writing"
    );
}
