//! Rows reach the provider: claimed once, called once, settled by the fence; doubt is never a second call.

use crate::intake::{ANA, trip};
use comms_core::dispatch::Worker;
use comms_core::model::DispatchMessageJob;
use comms_simulator::{Answer, Script, StatusStep};
use comms_tests::calls;
use comms_tests::world::World;
use futures_util::future::join_all;

async fn one_message(world: &World) -> DispatchMessageJob {
    let trip = trip(world, &world.iberia).await;
    world.trip_is_delayed(&trip).await;
    world.execute("update communications.messages set status = 'CANCELLED' where address <> '+34600111222'").await;
    world.queued().await[0]
}

fn fails(code: i64) -> Script {
    Script {
        answer: Answer::Fail {
            code,
            http_status: None,
            subcode: None,
            is_transient: false,
            retry_after: None,
        },
        ..Script::default()
    }
}

fn row(world: &World) -> impl Future<Output = (String, Option<String>, i32, Option<String>)> {
    let pool = world.pool.clone();
    async move {
        let sql = "select status, external_message_id, attempts, failed_code from communications.messages where address = $1 and direction = 'OUTBOUND'";
        sqlx::query_as(sql)
            .bind(ANA)
            .fetch_one(&pool)
            .await
            .unwrap()
    }
}

async fn attempt_classes(world: &World) -> Vec<Option<String>> {
    sqlx::query_scalar(
        "select class from communications.message_attempts order by message_id, fence",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_queued_message_is_sent_as_the_approved_template_with_our_id_in_the_echo() {
    let world = World::new().await;
    let job = one_message(&world).await;
    world.step_dispatch().await;
    let calls = world.simulator.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body["template"]["name"], "trip_delayed");
    assert_eq!(calls[0].body["template"]["language"]["code"], "es");
    assert_eq!(
        (calls[0].to.as_deref(), calls[0].correlation.clone()),
        (Some(ANA), Some(job.message_id.to_string()))
    );
    let (status, external, attempts, _) = row(&world).await;
    assert_eq!(
        (status.as_str(), external, attempts),
        ("SENT", calls[0].wamid.clone(), 1)
    );
    assert_eq!(attempt_classes(&world).await, [Some("ACCEPTED".to_owned())]);
}

#[tokio::test]
async fn fifty_workers_with_the_same_hint_make_one_call() {
    let world = World::new().await;
    let job = one_message(&world).await;
    let workers: Vec<Worker> = (0..10)
        .map(|_| world.another_worker(&world.simulator.url()))
        .collect();
    let batches = (0..50).map(|index| workers[index % 10].dispatch(std::slice::from_ref(&job)));
    let claimed: usize = join_all(batches)
        .await
        .into_iter()
        .map(|result| result.unwrap().claimed)
        .sum();
    assert_eq!((claimed, world.simulator.calls().len()), (1, 1));
}

#[tokio::test]
async fn a_permanent_refusal_fails_and_a_transient_one_waits_for_its_time() {
    let world = World::new().await;
    one_message(&world).await;
    world.simulator.script(fails(131_016));
    world.step_dispatch().await;
    let (status, _, attempts, code) = row(&world).await;
    assert_eq!(
        (status.as_str(), attempts, code.as_deref()),
        ("QUEUED", 1, Some("131016"))
    );
    let later: bool = world.scalar("select due_at >= now() - interval '1 second' from communications.messages where address = '+34600111222'").await;
    assert!(later);

    world
        .execute("update communications.messages set due_at = now() where status = 'QUEUED'")
        .await;
    world.simulator.script(fails(131_026));
    world.step_dispatch().await;
    let (status, _, attempts, code) = row(&world).await;
    assert_eq!(
        (status.as_str(), attempts, code.as_deref()),
        ("FAILED", 2, Some("131026"))
    );
    world.step_dispatch().await;
    assert_eq!(world.simulator.calls().len(), 2);
    assert_eq!(
        attempt_classes(&world).await,
        [
            Some("RETRYABLE".to_owned()),
            Some("PERMANENT_RECIPIENT".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_throttle_gives_the_attempt_back() {
    let world = World::new().await;
    one_message(&world).await;
    world.simulator.script(fails(131_056));
    world.step_dispatch().await;
    let deferrals: i32 = world
        .scalar("select deferrals from communications.messages where address = '+34600111222'")
        .await;
    let (status, _, attempts, _) = row(&world).await;
    assert_eq!((status.as_str(), attempts, deferrals), ("QUEUED", 0, 1));
}

#[tokio::test]
async fn accepted_and_hung_up_is_uncertain_until_the_echo_settles_it() {
    let world = World::new().await;
    let job = one_message(&world).await;
    world.simulator.script(Script {
        answer: Answer::HangUp { accepted: true },
        ..Script::default()
    });
    world.step_dispatch().await;
    assert_eq!(row(&world).await.0, "UNCERTAIN");
    world.worker.dispatch(&[job]).await.unwrap();
    let calls = world.simulator.calls();
    assert_eq!(calls.len(), 1, "doubt is not a reason to call again");

    let wamid = calls[0].wamid.clone().unwrap();
    assert_eq!(
        world
            .provider_reports(&wamid, &StatusStep::from("sent"))
            .await
            .status(),
        200
    );
    let (status, external, _, code) = row(&world).await;
    assert_eq!(
        (status.as_str(), external, code),
        ("SENT", Some(wamid), None),
        "sent, and the doubt is forgotten"
    );
}

#[tokio::test]
async fn a_status_that_comes_before_the_settle_is_not_overwritten_by_it() {
    let world = World::new().await;
    one_message(&world).await;
    world.simulator.script(Script {
        delay_ms: 300,
        ..Script::default()
    });
    let dispatch = world.step_dispatch();
    let report = async {
        let wamid = world.simulator.wait_for_calls(1).await[0].wamid.clone();
        // Held back: accepted already, not answered yet.
        let wamid = match wamid {
            Some(wamid) => wamid,
            None => accepted(&world).await,
        };
        assert_eq!(
            world
                .provider_reports(&wamid, &StatusStep::from("delivered"))
                .await
                .status(),
            200
        );
    };
    futures_util::join!(dispatch, report);
    assert_eq!(row(&world).await.0, "DELIVERED");
    assert_eq!(attempt_classes(&world).await, [Some("ACCEPTED".to_owned())]);
}

/// The provider's id of the only message, as soon as it has one.
async fn accepted(world: &World) -> String {
    loop {
        if let Some(wamid) = world
            .simulator
            .calls()
            .into_iter()
            .find_map(|call| call.wamid)
        {
            return wamid;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_status_without_our_echo_waits_for_the_settle() {
    let world = World::new().await;
    one_message(&world).await;
    let number = world.iberia.number();
    world.simulator.script(Script {
        delay_ms: 300,
        ..Script::default()
    });
    let report = async {
        world.simulator.wait_for_calls(1).await;
        let wamid = accepted(&world).await;
        let webhook = world
            .simulator
            .builder()
            .status(
                &number,
                &comms_simulator::StatusReport::new(&wamid, "read", "34600111222"),
            )
            .build();
        assert_eq!(
            world
                .meta_posts(world.iberia.tenant, &webhook)
                .await
                .status(),
            200
        );
        assert_eq!(
            row(&world).await.0,
            "SENDING",
            "nothing names the message yet"
        );
    };
    futures_util::join!(world.step_dispatch(), report);
    assert_eq!(row(&world).await.0, "READ");
}

#[tokio::test]
async fn a_worker_that_dies_after_acceptance_leaves_doubt_and_the_echo_clears_it() {
    let mut world = World::new().await;
    let job = one_message(&world).await;
    world.simulator.script(Script {
        delay_ms: 60_000,
        ..Script::default()
    });
    {
        // The sandbox is killed while the provider has the message: its future is dropped, nothing is settled.
        let worker = world.another_worker(&world.simulator.url());
        let dispatch = worker.dispatch(std::slice::from_ref(&job));
        let killed = async {
            world.simulator.wait_for_calls(1).await;
            accepted(&world).await
        };
        futures_util::pin_mut!(dispatch, killed);
        futures_util::future::select(dispatch, killed).await;
    }
    assert_eq!(row(&world).await.0, "SENDING");
    world.execute("update communications.messages set lease_until = now() - interval '1 second' where status = 'SENDING'").await;
    let summary = stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(
        (summary.repaired.uncertain, row(&world).await.0.as_str()),
        (1, "UNCERTAIN")
    );

    let wamid = accepted(&world).await;
    world
        .provider_reports(&wamid, &StatusStep::from("delivered"))
        .await;
    assert_eq!(row(&world).await.0, "DELIVERED");
    assert_eq!(world.simulator.calls().len(), 1);
    world.leaves_messages_in_flight();
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_settle_but_its_result_is_kept() {
    let world = World::new().await;
    one_message(&world).await;
    world.simulator.script(Script {
        delay_ms: 300,
        ..Script::default()
    });
    let overtaken = async {
        world.simulator.wait_for_calls(1).await;
        world.execute("update communications.messages set status = 'UNCERTAIN', lease_until = null where status = 'SENDING'").await;
        world.execute("update communications.messages set status = 'QUEUED', fence = fence + 1 where status = 'UNCERTAIN'").await;
    };
    futures_util::join!(world.step_dispatch(), overtaken);
    let (status, external, ..) = row(&world).await;
    assert_eq!((status.as_str(), external), ("QUEUED", None));
    assert_eq!(attempt_classes(&world).await, [Some("ACCEPTED".to_owned())]);
}

#[tokio::test]
async fn what_must_not_be_sent_any_more_ends_in_the_claim() {
    let world = World::new().await;
    one_message(&world).await;
    world.execute("update communications.messages set expires_at = now() - interval '1 second' where status = 'QUEUED'").await;
    world.step_dispatch().await;
    assert_eq!(row(&world).await.0, "EXPIRED");

    let travellers = vec![comms_tests::seed::Traveller::new(
        "Tom",
        Some("+447700900124"),
        None,
    )];
    let trip = world
        .iberia
        .schedule(&world.pool, "T2", travellers)
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    let contact = world
        .scalar("select contact_id from communications.messages where address = '+447700900124'")
        .await;
    comms_tests::seed::opt_out(&world.pool, world.iberia.tenant, contact)
        .await
        .unwrap();
    world.step_dispatch().await;
    assert_eq!(
        world
            .scalar::<String>(
                "select status from communications.messages where address = '+447700900124'"
            )
            .await,
        "SUPPRESSED"
    );

    world
        .execute("update communications.channel_accounts set mode = 'SANDBOX'")
        .await;
    let travellers = vec![comms_tests::seed::Traveller::new(
        "Kim",
        Some("+447700900125"),
        None,
    )];
    let trip = world
        .iberia
        .schedule(&world.pool, "T3", travellers)
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    world.step_dispatch().await;
    assert_eq!(
        world
            .scalar::<String>(
                "select status from communications.messages where address = '+447700900125'"
            )
            .await,
        "SIMULATED"
    );
    assert!(world.simulator.calls().is_empty());
}

#[tokio::test]
async fn a_parked_account_keeps_its_messages_and_sends_them_when_it_is_active_again() {
    let world = World::new().await;
    one_message(&world).await;
    world
        .execute("update communications.channel_accounts set status = 'REAUTH_REQUIRED'")
        .await;
    world.step_dispatch().await;
    assert_eq!(row(&world).await.0, "QUEUED");
    world
        .execute("update communications.channel_accounts set status = 'ACTIVE'")
        .await;
    world.step_dispatch().await;
    assert_eq!(row(&world).await.0, "SENT");
}

#[tokio::test]
async fn credentials_of_another_row_do_not_open_and_nothing_is_sent() {
    let world = World::new().await;
    one_message(&world).await;
    world
        .execute(
            "update communications.channel_accounts a set provider_config = b.provider_config
               from communications.channel_accounts b where a.tenant_id <> b.tenant_id",
        )
        .await;
    world.step_dispatch().await;
    let (status, _, attempts, code) = row(&world).await;
    assert_eq!(
        (status.as_str(), attempts, code.as_deref()),
        ("QUEUED", 0, Some("vault"))
    );
    assert_eq!(attempt_classes(&world).await, [Some("AUTH".to_owned())]);
    assert!(world.simulator.calls().is_empty());
}

#[tokio::test]
async fn a_poison_record_is_left_to_the_dead_letter_queue_and_its_neighbours_are_sent() {
    let world = World::new().await;
    let job = one_message(&world).await;
    let bodies = ["not json".to_owned(), job.body(), r#"{"v":9,"tenant_id":"0192f000-0000-7000-8000-00000000000a","message_id":"0192f000-0000-7000-8000-00000000000a"}"#.to_owned()];
    let response = dispatch_worker::handle(&world.worker, calls::sqs(&bodies)).await;
    let failed: Vec<&str> = response
        .batch_item_failures
        .iter()
        .map(|failure| failure.item_identifier.as_str())
        .collect();
    assert_eq!(failed, ["record-0", "record-2"]);
    assert_eq!(row(&world).await.0, "SENT");
}

#[tokio::test]
async fn one_tenants_refused_token_does_not_touch_the_other() {
    let world = World::new().await;
    for operator in [&world.iberia, &world.albion] {
        let trip = trip(&world, operator).await;
        world.trip_is_delayed(&trip).await;
    }
    let mut number = world.iberia.number();
    number.access_token = "rotated-away".to_owned();
    world.simulator.register(number).unwrap();
    world.step_dispatch().await;
    let of = |tenant| {
        let pool = world.pool.clone();
        async move {
            let sql = "select distinct status from communications.messages where tenant_id = $1";
            sqlx::query_scalar::<_, String>(sql)
                .bind(tenant)
                .fetch_all(&pool)
                .await
                .unwrap()
        }
    };
    assert_eq!(of(world.iberia.tenant).await, ["QUEUED"]);
    assert_eq!(of(world.albion.tenant).await, ["SENT"]);
}
