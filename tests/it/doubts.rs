//! Nobody knows whether it was sent: the evidence decides, then its category, and never an endless repetition.

use crate::flow::{account, column, dispatch, hinted, later, queue, scan, status, whatsapp};
use crate::matrix::{T, post};
use crate::shown::orders;
use comms_core::model::DispatchMessageJob;
use comms_simulator::{Script, StatusStep};
use comms_tests::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One that was accepted, and whose answer was lost.
async fn doubtful(world: &World, category: &str) -> DispatchMessageJob {
    let job = queue(world, whatsapp(&world.iberia), "TRANSACTIONAL", category, 1).await[0];
    world.simulator.script(Script::accept_and_hang_up());
    dispatch(world, &[job]).await;
    assert_eq!(status(world, &job).await, "UNCERTAIN");
    job
}

async fn with_email_next(world: &World, job: &DispatchMessageJob) {
    let email = account(world, world.iberia.tenant, "EMAIL", "SES").await;
    let steps = json!([{
        "channel": "EMAIL", "account_id": email.account, "address": "a@example.com", "body": "t",
        "content": {"type": "email", "subject": "s", "text": "t"}, "template_id": null, "template_version": null
    }]);
    sqlx::query("insert into communications.message_fallbacks (tenant_id, message_id, steps) values ($1, $2, $3)")
        .bind(job.tenant_id)
        .bind(job.message_id)
        .bind(steps)
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_code_is_sent_again_after_ten_seconds_and_a_notice_after_two_minutes() {
    for (category, grace) in [("OTP", 10.0), ("TRANSACTIONAL", 120.0), ("SERVICE", 120.0)] {
        let world = World::new().await;
        let job = doubtful(&world, category).await;
        later(&world, grace - 4.0).await;
        assert_eq!(scan(&world).await.repaired.doubts_ended, 0, "{category}");
        dispatch(&world, &[job]).await;
        assert_eq!(world.simulator.calls().len(), 1);
        later(&world, 5.0).await;
        assert_eq!(scan(&world).await.repaired.doubts_ended, 1, "{category}");
        hinted(&world).await;
        assert_eq!(
            (
                status(&world, &job).await.as_str(),
                column(&world, "attempts", &job).await.as_str()
            ),
            ("SENT", "2")
        );
        assert_eq!(world.simulator.calls().len(), 2);
        assert_eq!(
            column(&world, "failed_code", &job).await,
            "",
            "the doubt is forgotten"
        );
    }
}

#[tokio::test]
async fn an_advertisement_is_never_sent_twice_nor_by_another_channel() {
    let world = World::new().await;
    let job = doubtful(&world, "MARKETING").await;
    with_email_next(&world, &job).await;
    later(&world, 100.0).await;
    assert_eq!(scan(&world).await.repaired.doubts_ended, 0);
    later(&world, 21.0).await;
    assert_eq!(scan(&world).await.repaired.doubts_ended, 1);
    later(&world, 4000.0).await;
    scan(&world).await;
    hinted(&world).await;
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            column(&world, "failed_code", &job).await.as_str()
        ),
        ("FAILED", "outcome-unknown")
    );
    assert_eq!(
        (world.simulator.calls().len(), world.count("messages").await),
        (1, 1)
    );
    assert_eq!(world.count("message_fallbacks").await, 0);
    // The evidence still counts when it comes late.
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    world
        .provider_reports(&wamid, &StatusStep::from("delivered"))
        .await;
    assert_eq!(status(&world, &job).await, "DELIVERED");
}

#[tokio::test]
async fn the_providers_report_in_between_ends_the_doubt_without_a_second_call() {
    let world = World::new().await;
    let job = doubtful(&world, "OTP").await;
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    world
        .provider_reports(&wamid, &StatusStep::from("sent"))
        .await;
    later(&world, 600.0).await;
    assert_eq!(scan(&world).await.repaired.doubts_ended, 0);
    dispatch(&world, &[job]).await;
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            world.simulator.calls().len()
        ),
        ("SENT", 1)
    );
}

#[tokio::test]
async fn a_report_after_it_was_queued_again_withdraws_the_second_call() {
    let world = World::new().await;
    let job = doubtful(&world, "OTP").await;
    later(&world, 11.0).await;
    scan(&world).await;
    assert_eq!(status(&world, &job).await, "QUEUED");
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    world
        .provider_reports(&wamid, &StatusStep::from("sent"))
        .await;
    dispatch(&world, &[job]).await;
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            world.simulator.calls().len()
        ),
        ("SENT", 1)
    );
}

#[tokio::test]
async fn four_doubtful_calls_are_enough_and_then_the_next_channel_has_its_turn() {
    let world = World::new().await;
    let job = doubtful(&world, "OTP").await;
    with_email_next(&world, &job).await;
    world
        .simulator
        .script(Script::accept_and_hang_up().times(10));
    for _ in 0..6 {
        later(&world, 11.0).await;
        scan(&world).await;
        dispatch(&world, &[job]).await;
    }
    assert_eq!(world.simulator.calls().len(), 4);
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            column(&world, "failed_code", &job).await.as_str()
        ),
        ("FAILED", "outcome-unknown")
    );
    assert_eq!(
        world
            .count("messages where channel = 'EMAIL' and fallback_reason = 'FAILED'")
            .await,
        1
    );
}

#[tokio::test]
async fn what_expired_in_doubt_is_not_sent_again() {
    let world = World::new().await;
    let job = doubtful(&world, "OTP").await;
    world
        .execute("update communications.messages set expires_at = now()")
        .await;
    later(&world, 11.0).await;
    scan(&world).await;
    dispatch(&world, &[job]).await;
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            world.simulator.calls().len()
        ),
        ("EXPIRED", 1)
    );
}

#[tokio::test]
async fn the_hint_after_the_grace_decides_without_the_scan() {
    let world = World::new().await;
    let job = doubtful(&world, "OTP").await;
    later(&world, 11.0).await;
    dispatch(&world, &[job]).await;
    assert_eq!(status(&world, &job).await, "QUEUED");
    assert_eq!(
        world.take_hints().await.len(),
        1,
        "and is followed by the next"
    );
    hinted(&world).await;
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            world.simulator.calls().len()
        ),
        ("SENT", 2)
    );
}

#[tokio::test]
async fn many_who_decide_at_once_decide_once() {
    let world = World::new().await;
    let job = doubtful(&world, "OTP").await;
    later(&world, 11.0).await;
    let jobs = [job];
    let (a, b, ..) = futures_util::join!(
        scan(&world),
        scan(&world),
        dispatch(&world, &jobs),
        dispatch(&world, &jobs)
    );
    assert!(a.repaired.doubts_ended + b.repaired.doubts_ended <= 1);
    assert_eq!(world.count("repairs where kind = 'DOUBT_ENDED'").await, 1);
    hinted(&world).await;
    assert_eq!(
        (
            status(&world, &job).await.as_str(),
            world.simulator.calls().len()
        ),
        ("SENT", 2)
    );
}

#[tokio::test]
async fn that_an_earlier_send_failed_says_nothing_about_the_later_one() {
    let world = World::new().await;
    let job = doubtful(&world, "OTP").await;
    later(&world, 11.0).await;
    scan(&world).await;
    hinted(&world).await;
    assert_eq!(status(&world, &job).await, "SENT");
    let failed = StatusStep {
        code: Some(131_026),
        ..StatusStep::from("failed")
    };
    for (send, after, code) in [(0, "SENT", ""), (1, "FAILED", "131026")] {
        let wamid = world.simulator.calls()[send].wamid.clone().unwrap();
        world.provider_reports(&wamid, &failed).await;
        assert_eq!(
            (
                status(&world, &job).await.as_str(),
                column(&world, "failed_code", &job).await.as_str()
            ),
            (after, code)
        );
    }
    assert_eq!(
        world.count("message_status_events").await,
        2,
        "both are kept"
    );
}

/// A doubtful send that is to be sent again, of which the provider then says that it had it, and that it failed: in any order, and at once.
#[tokio::test]
async fn what_is_told_of_a_doubtful_send_before_the_next_one_comes_out_alike_in_any_order() {
    let told = [("sent", 1), ("delivered", 2), ("failed", 3)];
    let world = World::new().await;
    let mut ends = BTreeSet::new();
    let mut choices: Vec<Vec<usize>> = orders(3);
    choices.extend([vec![0, 2], vec![2, 0], vec![2, 1], vec![1, 2]]);
    for order in choices {
        for together in [false, true] {
            let job = doubtful(&world, "TRANSACTIONAL").await;
            later(&world, 125.0).await;
            scan(&world).await;
            assert_eq!(status(&world, &job).await, "QUEUED");
            let report = |place: &usize| {
                let (status, second) = told[*place];
                let errors = if status == "failed" {
                    json!([{"code": 131_026, "title": "undeliverable"}])
                } else {
                    json!(null)
                };
                json!({"id": format!("wamid.{}", job.message_id), "status": status, "timestamp": (T + second).to_string(),
                       "recipient_id": "34600111222", "biz_opaque_callback_data": job.message_id, "errors": errors})
            };
            let reports: Vec<Value> = order.iter().map(report).collect();
            let payloads: Vec<&[Value]> = if together {
                vec![&reports]
            } else {
                reports.chunks(1).collect()
            };
            for statuses in payloads {
                post(&world, "messages", &json!({"statuses": statuses})).await;
            }
            let row: String = sqlx::query_scalar(
                "select concat_ws(' ', status, failed_code, extract(epoch from failed_at)::bigint - $2,
                                  extract(epoch from sent_at)::bigint - $2, extract(epoch from delivered_at)::bigint - $2)
                   from communications.messages where id = $1",
            )
            .bind(job.message_id)
            .bind(T)
            .fetch_one(&world.pool)
            .await
            .unwrap();
            hinted(&world).await;
            assert_eq!(world.simulator.calls().len(), 1, "it is not sent again");
            let delivered = order.contains(&1);
            ends.insert((delivered, order.contains(&0), row));
            world.forget_messages().await;
        }
    }
    let ends: Vec<_> = ends.into_iter().collect();
    assert_eq!(
        ends,
        [
            (false, true, "FAILED 131026 3 1".to_owned()),
            (true, false, "DELIVERED 131026 3 2 2".to_owned()),
            (true, true, "DELIVERED 131026 3 1 2".to_owned()),
        ]
    );
}

/// It was sent twice, and one of the two was refused: the other one is what the provider has.
#[tokio::test]
async fn of_two_sends_that_are_told_of_at_once_the_one_that_the_provider_has_counts() {
    let world = World::new().await;
    for queued in [false, true] {
        let job = doubtful(&world, "TRANSACTIONAL").await;
        if queued {
            later(&world, 125.0).await;
            scan(&world).await;
        }
        let report = |id: &str, status: &str, second: i64| {
            let errors = if status == "failed" {
                json!([{"code": 131_026, "title": "undeliverable"}])
            } else {
                json!(null)
            };
            json!({"id": id, "status": status, "timestamp": (T + second).to_string(), "recipient_id": "34600111222",
                   "biz_opaque_callback_data": job.message_id, "errors": errors})
        };
        let (taken, refused) = (
            format!("wamid.A{}", job.message_id),
            format!("wamid.B{}", job.message_id),
        );
        let (first, second) = if queued { (2, 1) } else { (1, 2) };
        let statuses = [
            report(&taken, "sent", first),
            report(&refused, "failed", second),
        ];
        post(&world, "messages", &json!({"statuses": statuses})).await;
        let row: (String, String, bool) = sqlx::query_as(
            "select status, external_message_id, failed_at is null and failed_code is null from communications.messages where id = $1",
        )
        .bind(job.message_id)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        assert_eq!(
            row,
            ("SENT".to_owned(), taken, true),
            "queued again: {queued}"
        );
        world.forget_messages().await;
    }
}
