//! What travels through SQS: ids, and nothing that would be missed.

use crate::intake::{ANA, trip};
use comms_tests::world::World;

#[tokio::test]
async fn hints_carry_ids_and_nothing_personal() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    let hints = world.take_hints().await;
    assert_eq!(hints.len(), 2);
    for hint in &hints {
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(hint).unwrap();
        assert_eq!(
            members.keys().collect::<Vec<_>>(),
            ["message_id", "tenant_id", "v"]
        );
        assert!(!hint.contains(ANA.trim_start_matches('+')) && !hint.contains("Ana"));
    }
}

#[tokio::test]
async fn a_hint_delivered_twice_or_out_of_order_changes_nothing() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    let mut hints = world.take_hints().await;
    hints.reverse();
    hints.extend(hints.clone());
    for batch in [hints.clone(), hints] {
        let response =
            dispatch_worker::handle(&world.worker, comms_tests::calls::sqs(&batch)).await;
        assert!(response.batch_item_failures.is_empty());
    }
    assert_eq!(
        (world.outbound().await, world.simulator.calls().len()),
        (vec!["SENT".to_owned(); 2], 2)
    );
}
