//! The provider's reports, in any order and number, end in one row.

use crate::intake::trip;
use comms_simulator::{StatusReport, StatusStep};
use comms_tests::world::World;
use proptest::prelude::{ProptestConfig, Strategy};

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
        assert_eq!(world.provider_reports(&wamid, &step).await.status(), 200);
    }
    sqlx::query_as("select status, delivered_at is not null, read_at is not null, failed_code is not null from communications.messages where external_message_id = $1")
        .bind(wamid)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}
