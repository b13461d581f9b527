//! Files that do not come: refused credentials, providers that fail, files that are gone or are not what they should be.

use crate::media::{DOWNLOADED, JPEG, RESOLVED, calls_of, picture, script};
use comms_core::media::Fetched;
use comms_core::model::FetchMediaJob;
use comms_simulator::{Media, MediaAnswer, MediaStep};
use comms_tests::world::World;
use comms_tests::world::files::named;

#[tokio::test]
async fn refused_credentials_change_the_media_health_and_nothing_else() {
    for (step, answer) in [
        (MediaStep::Resolve, MediaAnswer::Fail { code: 190 }),
        (MediaStep::Resolve, MediaAnswer::Bare { http_status: 401 }),
        (MediaStep::Download, MediaAnswer::Bare { http_status: 401 }),
    ] {
        let world = World::new().await;
        let sent = picture(&world).await;
        script(&world, &sent, step, answer.clone(), 2);
        for attempt in 1..=2 {
            let (fetched, row) = world.fetch(&sent).await;
            assert_eq!(
                (fetched, row.attempts),
                (Fetched::Later, attempt),
                "{answer:?}"
            );
            assert_eq!(row.reason.as_deref(), Some("credentials-refused"));
            assert_eq!(row.media_health, "FAILING");
            assert_eq!(
                (row.status.as_str(), row.send_health.as_str()),
                ("ACTIVE", "UNKNOWN")
            );
            assert!(
                (3590.0..3610.0).contains(&row.due_in),
                "hourly: {}",
                row.due_in
            );
            assert!(!row.hinted, "beyond what a queue delays: the scan's");
            world.media_time_passes(61).await;
        }
        let events: Vec<(String, String, bool)> = events(&world).await;
        assert_eq!(
            events,
            [("media_health".into(), "FAILING".into(), true)],
            "once"
        );

        let (fetched, row) = world.fetch(&sent).await;
        assert_eq!(
            (fetched, row.media_health.as_str()),
            (Fetched::Stored, "OK")
        );
        assert_eq!(events_kinds(&world).await, ["FAILING", "OK"]);
    }
}

async fn events(world: &World) -> Vec<(String, String, bool)> {
    sqlx::query_as("select field, event, alert from communications.channel_account_events order by occurred_at")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

async fn events_kinds(world: &World) -> Vec<String> {
    let events = events(world).await.into_iter();
    events.map(|(_, event, _)| event).collect()
}

#[tokio::test]
async fn what_passes_is_tried_again_after_longer_and_longer() {
    let world = World::new().await;
    let sent = picture(&world).await;
    for (nth, (step, answer, reason)) in [
        (
            MediaStep::Resolve,
            MediaAnswer::Bare { http_status: 503 },
            "provider-no-provider-body",
        ),
        (
            MediaStep::Download,
            MediaAnswer::Bare { http_status: 503 },
            "provider-http-503",
        ),
        (
            MediaStep::Resolve,
            MediaAnswer::Fail { code: 4 },
            "provider-4",
        ),
        (
            MediaStep::Resolve,
            MediaAnswer::Fail { code: 131_000 },
            "provider-131000",
        ),
        (
            MediaStep::Download,
            MediaAnswer::Redirect {
                location: "http://127.0.0.1:9/".into(),
            },
            "provider-http-302",
        ),
        (
            MediaStep::Resolve,
            MediaAnswer::Fail { code: 368 },
            "provider-368",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        script(&world, &sent, step, answer, 1);
        let (fetched, row) = world.fetch(&sent).await;
        assert_eq!(
            (fetched, row.reason.as_deref()),
            (Fetched::Later, Some(reason))
        );
        let wait = [10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0][nth];
        assert!(
            (wait - 5.0..wait + 5.0).contains(&row.due_in),
            "{nth}: {}",
            row.due_in
        );
        assert_eq!(row.hinted, wait < 900.0);
        assert_ne!(row.media_health, "FAILING");
        assert_eq!(world.fetch(&sent).await.0, Fetched::Nothing, "not due");
        world.media_time_passes(361).await;
    }
    assert_eq!(world.fetch(&sent).await.0, Fetched::Stored);
}

#[tokio::test]
async fn gone_from_where_it_was_it_is_asked_for_once_more() {
    let world = World::new().await;
    let sent = picture(&world).await;
    let gone = MediaAnswer::Bare { http_status: 404 };
    script(&world, &sent, MediaStep::Download, gone.clone(), 1);
    assert_eq!(world.fetch(&sent).await.0, Fetched::Stored);
    assert_eq!(
        calls_of(&world, &sent),
        [RESOLVED, (MediaStep::Download, 404), RESOLVED, DOWNLOADED]
    );
    let sent = picture(&world).await;
    script(&world, &sent, MediaStep::Download, gone, 2);
    let (fetched, row) = world.fetch(&sent).await;
    assert_eq!(
        (fetched, row.reason.as_deref()),
        (Fetched::Later, Some("not-found"))
    );
}

#[tokio::test]
async fn what_the_provider_does_not_have_for_seven_days_is_expired() {
    let world = World::new().await;
    let sent = picture(&world).await;
    world.simulator.forget_media(&sent.media_id).unwrap();
    let mut attempts = 0;
    for _day in 0..8 {
        for _ in 0..4 {
            let scan = stuck_scan::handle(&world.scan).await.unwrap();
            if scan.media.expired == 1 {
                let row = world.media_row(&sent).await;
                assert_eq!(
                    (row.state.as_str(), row.reason.as_deref()),
                    ("EXPIRED", Some("not-found"))
                );
                assert!(
                    (20..40).contains(&attempts),
                    "{attempts} attempts in seven days"
                );
                assert_eq!(world.take_media_hints().await, Vec::<String>::new());
                assert_eq!(world.fetch(&sent).await.0, Fetched::Nothing);
                assert_eq!(
                    row.media_health, "UNKNOWN",
                    "a file says nothing about credentials"
                );
                assert_eq!(world.count("repairs where kind = 'MEDIA_EXPIRED'").await, 1);
                assert_eq!(
                    stuck_scan::handle(&world.scan).await.unwrap().media.expired,
                    0
                );
                return;
            }
            attempts += hints_are_followed(&world).await;
            world.media_time_passes(6 * 60 + 1).await;
        }
    }
    panic!("never expired");
}

/// The worker handles every hint in the queue; how many led to an attempt.
async fn hints_are_followed(world: &World) -> usize {
    let mut attempts = 0;
    for body in world.take_media_hints().await {
        let job = FetchMediaJob::parse(&body).unwrap();
        if world.media.fetch(job).await.unwrap() != Fetched::Nothing {
            attempts += 1;
        }
    }
    attempts
}

#[tokio::test]
async fn what_is_not_what_its_hash_says_is_refused_after_asking_twice() {
    let world = World::new().await;
    let sent = picture(&world).await;
    script(&world, &sent, MediaStep::Download, MediaAnswer::Garbage, 1);
    assert_eq!(
        world.fetch(&sent).await.0,
        Fetched::Stored,
        "a cut-off transfer"
    );

    let sent = picture(&world).await;
    script(&world, &sent, MediaStep::Download, MediaAnswer::Garbage, 2);
    let (fetched, row) = world.fetch(&sent).await;
    assert_eq!(
        (fetched, row.state.as_str()),
        (Fetched::Rejected, "REJECTED")
    );
    assert_eq!(row.reason.as_deref(), Some("hash-mismatch"));
    assert_eq!(
        calls_of(&world, &sent),
        [RESOLVED, DOWNLOADED, RESOLVED, DOWNLOADED]
    );
    assert!(world.objects_of(&sent).await.is_empty(), "never stored");
    assert_eq!(row.media_health, "OK", "the credentials are good");

    let media = Media::new(world.iberia.phone_number_id, "image/jpeg", JPEG);
    let id = world.simulator.upload(media.clone()).unwrap();
    let mut file = named("image", &id, &media);
    file.sha256 = Some(hex::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        JPEG,
    )));
    let sent = world.customer_sends_named(file).await;
    assert_eq!(world.fetch(&sent).await.0, Fetched::Stored, "in hex, too");
}

#[tokio::test]
async fn a_token_goes_to_no_host_that_is_not_listed_and_the_file_waits() {
    let world = World::new().await;
    let sent = picture(&world).await;
    let strict = world.media_worker_for(".fbsbx.com");
    assert_eq!(strict.fetch(sent.job).await.unwrap(), Fetched::Later);
    let row = world.media_row(&sent).await;
    assert_eq!(
        (row.state.as_str(), row.reason.as_deref()),
        ("PENDING", Some("host-not-allowed"))
    );
    assert_eq!(
        calls_of(&world, &sent),
        [RESOLVED],
        "nothing was asked there"
    );
    world.media_time_passes(1).await;
    assert_eq!(
        world.fetch(&sent).await.0,
        Fetched::Stored,
        "once the list is right"
    );
}
