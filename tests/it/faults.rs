//! Faults between us and the provider: the right state at once, and then one end for every message.

use comms_core::model::DispatchMessageJob;
use comms_simulator::{Answer, Script};
use comms_tests::seed::Traveller;
use comms_tests::world::{Reports, World};
use std::time::Duration;

/// Shorter than any answer that is held back here, longer than any that is not.
const PATIENCE: Duration = Duration::from_secs(2);

/// A delay of a trip with so many passengers, each to be told.
pub async fn messages(world: &World, count: usize) -> Vec<DispatchMessageJob> {
    let travellers = (0..count)
        .map(|nth| {
            // Leaked: a few bytes in a test process, and the fixture's texts are static.
            let phone = Box::leak(format!("+34600333{nth:03}").into_boxed_str());
            Traveller::new("Ana García", Some(phone), Some("es"))
        })
        .collect();
    let trip = world
        .iberia
        .schedule(&world.pool, "MAD-VLC-0815", travellers)
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    world.queued().await
}

fn answering(answer: Answer) -> Script {
    Script {
        answer,
        ..Script::default()
    }
}

fn bare(http_status: u16, body: &str, accepted: bool) -> Script {
    answering(Answer::Bare {
        http_status,
        body: body.to_owned(),
        accepted,
        retry_after: None,
    })
}

fn held_back(accepted: bool) -> Script {
    let answer = if accepted {
        Answer::Accept
    } else {
        Answer::Bare {
            http_status: 200,
            body: String::new(),
            accepted: false,
            retry_after: None,
        }
    };
    Script {
        delay_ms: 60_000,
        ..answering(answer)
    }
}

/// What the provider does to one call, what we know after it, and whether it took the message.
struct Fault {
    what: &'static str,
    script: Script,
    status: &'static str,
    code: &'static str,
    accepted: bool,
}

/// Taken or not, nobody knows.
fn doubtful() -> impl Iterator<Item = Fault> {
    type Made = fn(bool) -> Script;
    let garbage = "{\"messages\":[]}";
    let kinds: [(_, _, Made); 5] = [
        ("hung up", "connection-lost", |accepted| {
            answering(Answer::HangUp { accepted })
        }),
        ("answered too late", "timeout", held_back),
        ("answered a page", "no-provider-body", |accepted| {
            bare(200, "<html>ok", accepted)
        }),
        (
            "sat behind a broken proxy",
            "no-provider-body",
            |accepted| bare(502, "bad gateway", accepted),
        ),
        ("answered nothing in time", "no-provider-body", |accepted| {
            bare(504, "", accepted)
        }),
    ];
    let kinds = kinds.into_iter().flat_map(|(what, code, script)| {
        [true, false].map(|accepted| Fault {
            what,
            script: script(accepted),
            status: "UNCERTAIN",
            code,
            accepted,
        })
    });
    let other = Fault {
        what: "answered without an id",
        script: bare(200, garbage, false),
        status: "UNCERTAIN",
        code: "no-provider-body",
        accepted: false,
    };
    kinds.chain([other])
}

/// Known not to be taken.
fn refused() -> impl Iterator<Item = Fault> {
    let kinds = [
        ("its own 500", Script::fail(131_000), "131000"),
        ("its own 503", Script::fail(131_016), "131016"),
        (
            "turned away in front of it",
            bare(429, "slow down", false),
            "http-429",
        ),
        (
            "refused by a firewall",
            bare(403, "<html>", false),
            "http-403",
        ),
    ];
    kinds.into_iter().map(|(what, script, code)| Fault {
        what,
        script,
        status: "QUEUED",
        code,
        accepted: false,
    })
}

/// Every fault on a message of its own, all in one batch.
async fn struck(world: &World) -> Vec<Fault> {
    let faults: Vec<Fault> = doubtful().chain(refused()).collect();
    let jobs = messages(world, faults.len()).await;
    for (job, fault) in jobs.iter().zip(&faults) {
        world.simulator.script(Script {
            correlation: Some(job.message_id.to_string()),
            ..fault.script.clone()
        });
    }
    world
        .impatient_worker(PATIENCE)
        .dispatch(&jobs)
        .await
        .unwrap();
    let left: Vec<(String, String)> =
        sqlx::query_as("select status, failed_code from communications.messages order by id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    for (fault, (status, code)) in faults.iter().zip(left) {
        assert_eq!(
            (status.as_str(), code.as_str()),
            (fault.status, fault.code),
            "{}",
            fault.what
        );
    }
    faults
}

#[tokio::test]
async fn whatever_the_provider_does_is_called_once_when_it_reports() {
    let world = World::new().await;
    let struck = struck(&world).await;
    let ends = world.everything_ends(Reports::Posted).await;
    for (end, fault) in ends.iter().zip(struck) {
        assert_eq!(
            (end.status.as_str(), end.accepted),
            ("DELIVERED", 1),
            "{}: {end:?}",
            fault.what
        );
    }
}

#[tokio::test]
async fn whatever_the_provider_does_is_sent_again_by_policy_when_nobody_reports() {
    let world = World::new().await;
    let struck = struck(&world).await;
    let ends = world.everything_ends(Reports::Withheld).await;
    for (end, fault) in ends.iter().zip(struck) {
        let times = if fault.accepted { 2 } else { 1 };
        assert_eq!(
            (end.status.as_str(), end.accepted),
            ("SENT", times),
            "{}: {end:?}",
            fault.what
        );
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_costs_no_call() {
    let world = World::new().await;
    let jobs = messages(&world, 1).await;
    // Bound and let go: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nowhere = world.another_worker(&format!("http://127.0.0.1:{port}"));
    nowhere.dispatch(&jobs).await.unwrap();
    let end = &world.ends().await[0];
    assert_eq!(
        (end.status.as_str(), end.attempts, end.accepted),
        ("QUEUED", 1, 0)
    );
    let code: String = world
        .scalar("select failed_code from communications.messages")
        .await;
    assert_eq!(code, "transport");
    let end = &world.everything_ends(Reports::Withheld).await[0];
    assert_eq!((end.status.as_str(), end.accepted), ("SENT", 1));
}

/// One message of each category was taken without an answer, and nobody reports on it.
#[tokio::test]
async fn doubt_ends_by_category_and_marketing_is_never_sent_twice() {
    let world = World::new().await;
    let jobs = messages(&world, 4).await;
    world
        .simulator
        .script(Script::accept_and_hang_up().times(4));
    world.worker.dispatch(&jobs).await.unwrap();
    // Past the consent that marketing needs: what matters here is after the call.
    world
        .execute(
            "update communications.messages m
                set category = (array ['OTP', 'TRANSACTIONAL', 'SERVICE', 'MARKETING'])[n.nth]
               from (select id, row_number() over (order by id) as nth from communications.messages) n where n.id = m.id",
        )
        .await;
    let ends = world.everything_ends(Reports::Withheld).await;
    let ends: Vec<(&str, usize)> = ends
        .iter()
        .map(|end| (end.status.as_str(), end.accepted))
        .collect();
    assert_eq!(ends, [("SENT", 2), ("SENT", 2), ("SENT", 2), ("FAILED", 1)]);
    // Every decision is listed.
    let decided = "repairs where kind = 'DOUBT_ENDED'";
    assert_eq!(world.count(decided).await, 4);
    // A delivery is stronger than what we gave up.
    world.provider_catches_up().await;
    assert_eq!(world.outbound().await, ["DELIVERED"; 4]);
}

/// The provider takes every call and never says so: the budget ends it, with as many calls and not one more.
#[tokio::test]
async fn endless_doubt_ends_after_four_calls() {
    let world = World::new().await;
    let jobs = messages(&world, 1).await;
    world
        .simulator
        .script(Script::accept_and_hang_up().times(100));
    world.worker.dispatch(&jobs).await.unwrap();
    let ends = world.everything_ends(Reports::Withheld).await;
    assert_eq!((ends[0].status.as_str(), ends[0].accepted), ("FAILED", 4));
}
