//! Workers that fetch files: two at once, one that dies, one that is late; and hints that are lost.

use crate::media::{DOWNLOADED, RESOLVED, calls_of, picture, script};
use comms_core::media::Fetched;
use comms_core::model::{FetchMediaJob, TenantId};
use comms_simulator::{MediaAnswer, MediaScript, MediaStep};
use comms_tests::calls;
use comms_tests::world::{Moment, World, killed_at};
use futures_util::future::join;

#[tokio::test]
async fn another_tenants_job_does_nothing() {
    let world = World::new().await;
    let sent = picture(&world).await;
    for tenant in [world.albion.tenant, TenantId::generate()] {
        let job = FetchMediaJob::new(tenant, sent.job.media_id);
        assert_eq!(world.media.fetch(job).await.unwrap(), Fetched::Nothing);
    }
    assert_eq!(world.media_row(&sent).await.attempts, 0);
    assert_eq!(calls_of(&world, &sent), []);
}

#[tokio::test]
async fn of_two_workers_at_once_one_fetches() {
    let world = World::new().await;
    let other = world.another_media_worker();
    for _ in 0..5 {
        let sent = picture(&world).await;
        let (one, two) = Box::pin(join(world.media.fetch(sent.job), other.fetch(sent.job))).await;
        let mut ends = [one.unwrap(), two.unwrap()];
        ends.sort_by_key(|end| *end == Fetched::Stored);
        assert_eq!(ends, [Fetched::Nothing, Fetched::Stored]);
        assert_eq!(calls_of(&world, &sent), [RESOLVED, DOWNLOADED]);
    }
}

/// Wherever a sandbox is killed, the file is stored in the end, once, and nothing is left of the attempt.
#[tokio::test]
async fn a_worker_that_dies_anywhere_is_followed_by_one_that_finishes() {
    let world = World::new().await;
    for nth in 1.. {
        let sent = picture(&world).await;
        let victim = world.another_media_worker();
        let ended = killed_at(nth, Moment::Waking, victim.fetch(sent.job)).await;
        if ended.is_some() {
            assert!(nth > 5, "it waits for more than that");
            break;
        }
        let row = world.media_row(&sent).await;
        let object = world.objects_of(&sent).await;
        if row.state == "PENDING" && object.len() == 1 {
            // Between store and settle.
            assert_eq!(
                world.fetch(&sent).await.0,
                Fetched::Nothing,
                "the lease holds"
            );
        }
        world.media_time_passes(3).await;
        world.step_media().await;
        assert_eq!(
            world.media_row(&sent).await.state,
            "STORED",
            "killed at {nth}"
        );
        assert_eq!(world.objects_of(&sent).await.len(), 1, "killed at {nth}");
    }
}

#[tokio::test]
async fn a_stale_worker_changes_nothing() {
    let world = World::new().await;
    let sent = picture(&world).await;
    let slow = MediaScript {
        delay_ms: 300,
        ..MediaScript::new(
            &sent.media_id,
            MediaStep::Download,
            MediaAnswer::Bare { http_status: 401 },
        )
    };
    world.simulator.script_media(slow);
    let stale = world.media.fetch(sent.job);
    let other = world.another_media_worker();
    let overtaken = async {
        // The first one holds its lease when it asks for the bytes.
        while calls_of(&world, &sent).len() < 2 {
            tokio::task::yield_now().await;
        }
        world.media_time_passes(3).await;
        other.fetch(sent.job).await
    };
    let (stale, overtaken) = Box::pin(join(stale, overtaken)).await;
    assert_eq!(
        (stale.unwrap(), overtaken.unwrap()),
        (Fetched::Stale, Fetched::Stored)
    );
    let row = world.media_row(&sent).await;
    assert_eq!(
        (row.state.as_str(), row.media_health.as_str()),
        ("STORED", "OK")
    );
}

#[tokio::test]
async fn a_lost_hint_is_repaired_by_the_scan_and_written_down() {
    let world = World::new().await;
    let sent = picture(&world).await;
    assert_eq!(
        stuck_scan::handle(&world.scan).await.unwrap().media.hinted,
        0,
        "young"
    );
    world.media_time_passes(3).await;
    assert_eq!(
        stuck_scan::handle(&world.scan).await.unwrap().media.hinted,
        1
    );
    assert_eq!(
        stuck_scan::handle(&world.scan).await.unwrap().media.hinted,
        0,
        "once"
    );
    assert_eq!(
        world.count("repairs where kind = 'MEDIA_HINT_LOST'").await,
        1
    );
    let hints = world.take_media_hints().await;
    assert_eq!(hints, [sent.job.body()]);
    let response = media_worker::handle(&world.media, calls::sqs(&hints)).await;
    assert!(response.batch_item_failures.is_empty());
    assert_eq!(world.media_row(&sent).await.state, "STORED");

    let late = picture(&world).await;
    world.media_time_passes(16).await;
    assert_eq!(
        stuck_scan::handle(&world.scan).await.unwrap().media_overdue,
        1
    );
    assert_eq!(world.fetch(&late).await.0, Fetched::Stored);
    assert_eq!(
        stuck_scan::handle(&world.scan).await.unwrap().media_overdue,
        0
    );
}

#[tokio::test]
async fn a_delayed_hint_follows_a_short_wait() {
    let world = World::new().await;
    let sent = picture(&world).await;
    script(
        &world,
        &sent,
        MediaStep::Resolve,
        MediaAnswer::Bare { http_status: 503 },
        1,
    );
    world.fetch(&sent).await;
    assert!(
        world.take_media_hints().await.is_empty(),
        "not yet to be seen"
    );
    world.media_time_passes(1).await;
    assert_eq!(
        stuck_scan::handle(&world.scan).await.unwrap().media.hinted,
        0,
        "its own is out"
    );
}

#[tokio::test]
async fn dead_hints_are_cleared_away_and_what_is_none_is_seen() {
    let world = World::new().await;
    let sent = picture(&world).await;
    world
        .media_hints_die(&[&sent.job.body(), "no job", &sent.job.body()])
        .await;
    let scan = stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(scan.media_dead_letters, 3);
    assert_eq!(
        world.count("quarantine where source = 'MEDIA_QUEUE'").await,
        1
    );
    let scan = stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(scan.media_dead_letters, 0);
    world.media_time_passes(3).await;
    stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(
        world.take_media_hints().await,
        [sent.job.body()],
        "the row knows"
    );
}
