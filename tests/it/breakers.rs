//! Throttles and breakers: a sender that must slow down, or that fails, pauses for all workers at once, and then comes
//! back carefully. None of it costs the waiting messages anything.

use crate::flow::{
    assert_called_once_each, column, dispatch, hinted, later, queue, scan, status, tally, whatsapp,
};
use crate::parking::{assert_waiting, five, run_out};
use comms_simulator::Script;
use comms_tests::world::World;

const BREAKER: &str = "select failures from communications.breakers";

#[tokio::test]
async fn a_pair_that_is_too_fast_waits_alone() {
    let world = World::new().await;
    let jobs = five(&world).await;
    let first = column(&world, "address", &jobs[0]).await;
    world.simulator.script(Script::fail(131_056).to(&first));
    dispatch(&world, &jobs).await;
    assert_eq!(tally(&world).await["SENT"], 4);
    assert_waiting(&world, &jobs[..1]).await;
    assert!(column(&world, "hint_at > now() + interval '5 seconds'", &jobs[0]).await == "true");
    // Another one to the same person waits as well, without a call.
    let more = queue(
        &world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        2,
    )
    .await;
    sqlx::query("update communications.messages set address = $1 where id = $2")
        .bind(&first)
        .bind(more[0].message_id)
        .execute(&world.pool)
        .await
        .unwrap();
    dispatch(&world, &more).await;
    assert_eq!(
        (
            status(&world, &more[0]).await.as_str(),
            status(&world, &more[1]).await.as_str()
        ),
        ("QUEUED", "SENT")
    );
    assert_eq!(world.simulator.calls().len(), 6);
    later(&world, 8.0).await;
    hinted(&world).await;
    assert_eq!(tally(&world).await["SENT"], 7);
}

#[tokio::test]
async fn a_throttle_stops_all_workers_of_the_account_for_its_time_and_costs_no_attempt() {
    let world = World::new().await;
    let jobs = five(&world).await;
    world.simulator.script(Script::fail(130_429));
    dispatch(&world, &jobs[..1]).await;
    let other = world.another_worker(&world.simulator.url());
    let dispatched = other.dispatch(&jobs[1..]).await.unwrap();
    assert_eq!((dispatched.claimed, dispatched.deferred), (0, 4));
    assert_waiting(&world, &jobs).await;
    assert_eq!(world.simulator.calls().len(), 1);
    later(&world, 4.0).await;
    world.simulator.script(Script::fail(130_429));
    hinted(&world).await;
    assert_eq!(world.simulator.calls().len(), 2, "one tries");
    later(&world, 4.0).await;
    hinted(&world).await;
    assert_eq!(world.simulator.calls().len(), 2, "twice as long");
    later(&world, 4.0).await;
    run_out(&world).await;
    assert_eq!(tally(&world).await["SENT"], 5);
    assert_eq!(world.simulator.calls().len(), 2 + 5);
    assert_eq!(column(&world, "attempts", &jobs[0]).await, "1");
}

#[tokio::test]
async fn five_faults_in_a_row_open_the_breaker_and_one_message_alone_tries_first() {
    let world = World::new().await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        12,
    )
    .await;
    world.simulator.script(Script::fail(131_016).times(6));
    for job in &jobs[..5] {
        dispatch(&world, std::slice::from_ref(job)).await;
    }
    assert_eq!(world.scalar::<i32>(BREAKER).await, 5);
    dispatch(&world, &jobs).await;
    scan(&world).await;
    hinted(&world).await;
    assert_eq!(
        world.simulator.calls().len(),
        5,
        "nothing is sent while it is open"
    );

    later(&world, 31.0).await;
    dispatch(&world, &jobs).await;
    assert_eq!(world.simulator.calls().len(), 6, "one tries");
    assert_eq!(world.scalar::<i32>(BREAKER).await, 6);
    let open: f64 = world
        .scalar(
            "select extract(epoch from open_until - now())::float8 from communications.breakers",
        )
        .await;
    assert!(open > 55.0, "longer than before: {open}");
    later(&world, 31.0).await;
    dispatch(&world, &jobs).await;
    assert_eq!(world.simulator.calls().len(), 6, "still open");

    later(&world, 30.0).await;
    world.simulator.script(Script::delay(300));
    let other = world.another_worker(&world.simulator.url());
    let meanwhile = async {
        world.simulator.wait_for_calls(7).await;
        other.dispatch(&jobs).await.unwrap()
    };
    let ((), meanwhile) = futures_util::join!(dispatch(&world, &jobs), meanwhile);
    assert_eq!(meanwhile.claimed, 0, "one alone, whoever asks");
    assert_eq!(
        world.count("breakers").await,
        0,
        "its success closes the breaker"
    );
    run_out(&world).await;
    assert_eq!(tally(&world).await["SENT"], 12);
    assert_eq!(world.simulator.calls().len(), 7 + 11);
}

#[tokio::test]
async fn the_rest_is_released_by_the_success_without_a_scan() {
    let world = World::new().await;
    let jobs = five(&world).await;
    sqlx::query(
        "insert into communications.breakers (tenant_id, account_id, failures, open_until) values ($1, $2, 5, now() + interval '9 seconds')",
    )
    .bind(world.iberia.tenant)
    .bind(world.iberia.account)
    .execute(&world.pool)
    .await
    .unwrap();
    dispatch(&world, &jobs).await;
    assert_eq!(hinted(&world).await, 0);
    later(&world, 10.0).await;
    assert_eq!(hinted(&world).await, 1, "one hint is enough to try");
    assert_eq!(hinted(&world).await, 4);
    assert_called_once_each(&world, &jobs);
}

#[tokio::test]
async fn a_success_between_faults_keeps_the_breaker_closed() {
    let world = World::new().await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        10,
    )
    .await;
    for (nth, job) in jobs.iter().enumerate() {
        if nth % 4 != 3 {
            world.simulator.script(Script::fail(131_016));
        }
        dispatch(&world, std::slice::from_ref(job)).await;
    }
    assert_eq!(world.simulator.calls().len(), 10);
    assert_eq!(
        world.count("breakers where open_until is not null").await,
        0
    );
}

/// What an end of some sends means for the account: so many of one effect, each with this pause.
async fn ends(world: &World, effect: &str, pause: i32, count: i32) {
    sqlx::query(
        "select communications.apply_effects(array_agg(tenant_id), array_agg(id), array_agg(null::text), array_agg(null::text),
                    array_agg($2::float8), array_agg($1), array_agg(null::integer))
           from (select tenant_id, id from communications.messages order by id limit $3) m",
    )
    .bind(effect)
    .bind(pause)
    .bind(count)
    .execute(&world.pool)
    .await
    .unwrap();
}

/// The provider asked for an hour; what was under way when it did fails for its own reasons.
#[tokio::test]
async fn faults_do_not_shorten_a_throttle() {
    let world = World::new().await;
    five(&world).await;
    ends(&world, "THROTTLE", 3600, 1).await;
    ends(&world, "TROUBLE", 0, 5).await;
    assert_eq!(
        world
            .count("breakers where failures = 5 and open_until > now() + interval '59 minutes'")
            .await,
        1
    );
}

/// One message tries; the end of another, which was under way before, does not take the try away from it.
#[tokio::test]
async fn the_end_of_another_is_not_the_end_of_the_try() {
    for effect in ["THROTTLE", "TROUBLE"] {
        let world = World::new().await;
        let jobs = five(&world).await;
        sqlx::query(
            "insert into communications.breakers (tenant_id, account_id, failures, throttles, open_until, probe_id)
             select tenant_id, account_id, 5, 1, now() + interval '30 seconds', id from communications.messages where id = $1",
        )
        .bind(jobs[4].message_id)
        .execute(&world.pool)
        .await
        .unwrap();
        ends(&world, effect, 1, 2).await;
        assert_eq!(
            world.count("breakers where probe_id is not null").await,
            1,
            "{effect}"
        );
        ends(&world, effect, 1, 5).await;
        assert_eq!(
            world.count("breakers where probe_id is not null").await,
            0,
            "{effect}"
        );
    }
}

#[tokio::test]
async fn the_one_that_tries_is_one_that_may_be_sent() {
    let world = World::new().await;
    let jobs = five(&world).await;
    world
        .execute(
            "insert into communications.breakers (tenant_id, account_id, failures, open_until)
             select tenant_id, account_id, 5, now() from communications.messages limit 1",
        )
        .await;
    sqlx::query(
        "insert into communications.rate_buckets (tenant_id, account_id, kind, subject, tat, step)
         select tenant_id, account_id, 'PAIR', address, now() + interval '3 minutes', 6 from communications.messages where id = $1",
    )
    .bind(jobs[0].message_id)
    .execute(&world.pool)
    .await
    .unwrap();
    dispatch(&world, &jobs).await;
    assert_eq!(tally(&world).await["SENT"], 1);
    assert_eq!(status(&world, &jobs[0]).await, "QUEUED");
}
