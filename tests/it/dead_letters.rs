//! The dead-letter queue empties itself, the brake stops a storm of repairs, and neither sends anything twice.

use crate::flow::{column, dispatch, hinted, later, queue, scan, status, whatsapp};
use comms_core::model::{DispatchMessageJob, TenantId};
use comms_core::platform::Aws;
use comms_tests::world::World;
use uuid::Uuid;

async fn dies(world: &World, body: &str) {
    let aws = Aws::default();
    let call = aws
        .sqs()
        .await
        .send_message()
        .queue_url(world.dead_letter_url());
    call.message_body(body).send().await.unwrap();
}

async fn one(world: &World) -> DispatchMessageJob {
    queue(
        world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        1,
    )
    .await[0]
}

#[tokio::test]
async fn a_job_comes_back_three_times_and_then_its_message_is_poison() {
    let world = World::new().await;
    let job = one(&world).await;
    for round in 1..=3 {
        dies(&world, &job.body()).await;
        let drained = scan(&world).await.drained;
        assert_eq!(
            (drained.letters, drained.returned, drained.poison),
            (1, 1, 0),
            "round {round}"
        );
        assert_eq!(
            scan(&world).await.drained.letters,
            0,
            "and is gone from the queue"
        );
        dispatch(&world, &[job]).await;
        assert_eq!(status(&world, &job).await, "QUEUED", "it cools off first");
        assert_eq!(
            column(&world, "hint_at > now() + interval '55 seconds'", &job).await,
            "true"
        );
        later(&world, 61.0).await;
    }
    dies(&world, &job.body()).await;
    let drained = scan(&world).await.drained;
    assert_eq!((drained.returned, drained.poison), (0, 1));
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            column(&world, "failed_code", &job).await.as_str()
        ),
        ("CANCELLED", "poison")
    );
    assert!(world.simulator.calls().is_empty());
}

#[tokio::test]
async fn a_job_that_was_only_unlucky_is_sent_after_its_rest() {
    let world = World::new().await;
    let job = one(&world).await;
    dies(&world, &job.body()).await;
    scan(&world).await;
    later(&world, 61.0).await;
    hinted(&world).await;
    assert_eq!(status(&world, &job).await, "SENT");
}

#[tokio::test]
async fn a_finished_message_is_only_deleted_and_another_tenants_name_changes_nothing() {
    let world = World::new().await;
    let sent = one(&world).await;
    dispatch(&world, &[sent]).await;
    let queued = one(&world).await;
    dies(&world, &sent.body()).await;
    dies(
        &world,
        &DispatchMessageJob::new(world.albion.tenant, queued.message_id).body(),
    )
    .await;
    dies(
        &world,
        &DispatchMessageJob::new(TenantId(Uuid::now_v7()), queued.message_id).body(),
    )
    .await;
    let drained = scan(&world).await.drained;
    assert_eq!(
        (drained.letters, drained.returned, drained.poison),
        (3, 0, 0)
    );
    assert_eq!(
        (
            status(&world, &sent).await.as_str(),
            status(&world, &queued).await.as_str()
        ),
        ("SENT", "QUEUED")
    );
    assert_eq!(column(&world, "due_at <= now()", &queued).await, "true");
    assert_eq!(world.count("repairs").await, 0);
    assert_eq!(scan(&world).await.drained.letters, 0);
}

#[tokio::test]
async fn what_is_no_job_goes_into_quarantine() {
    let world = World::new().await;
    dies(&world, "not a job").await;
    dies(&world, r#"{"v":9}"#).await;
    assert_eq!(scan(&world).await.drained.poison, 2);
    assert_eq!(
        world.count("quarantine where reason = 'POISON_JOB'").await,
        2
    );
    assert_eq!(scan(&world).await.drained.letters, 0);
}

#[tokio::test]
async fn a_storm_of_lost_hints_is_braked_and_ends_in_the_next_run_with_nothing_sent_twice() {
    let world = World::new().await;
    world
        .execute("update communications.channel_accounts set throughput_per_second = 100000")
        .await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "BULK",
        "TRANSACTIONAL",
        6000,
    )
    .await;
    later(&world, 120.0).await;
    let first = scan(&world).await.repaired;
    assert_eq!(
        (first.republished, first.braked.as_slice()),
        (5000, &["HINT_LOST"][..])
    );
    let second = scan(&world).await.repaired;
    assert_eq!((second.republished, second.braked.len()), (1000, 0));
    assert_eq!(scan(&world).await.repaired.republished, 0);
    assert_eq!(world.count("repairs where kind = 'HINT_LOST'").await, 6000);
    // The lost hints were only late: both arrive.
    for batch in jobs[..200].chunks(50) {
        futures_util::join!(dispatch(&world, batch), dispatch(&world, batch));
    }
    assert_eq!(world.simulator.calls().len(), 200);
}
